//! Lambda's FilterCriteria for a queue: an event goes on if one of the patterns matches it.
//!
//! The body of a message is text. Where a pattern asks below `body`, the body has to be JSON, and
//! where it asks for `body` itself, it has to be none; otherwise the pattern does not match.

use serde_json::{Map, Value};

use crate::patterns::{InvalidPattern, Operators, Pattern};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Criteria {
    patterns: Vec<Pattern>,
    /// Whether anything but the body is asked for.
    beyond_body: bool,
}

/// A message, as far as criteria ask for it.
pub trait Subject {
    fn body(&self) -> &str;

    /// The record that the function would get, without its body.
    fn rest(&self) -> Map<String, Value>;
}

const BODY: &str = "body";

impl Criteria {
    pub fn compile<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidPattern> {
        let compiled = patterns.into_iter();
        let compiled = compiled.map(|pattern| Pattern::compile(pattern, Operators::LAMBDA));
        let patterns: Vec<_> = compiled.collect::<Result<_, _>>()?;
        let names = patterns.iter().flat_map(Pattern::names);
        Ok(Self {
            beyond_body: names.into_iter().any(|name| name != BODY),
            patterns,
        })
    }

    /// No criteria let everything through.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn let_through(&self, subject: &impl Subject) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let text = subject.body();
        let json = json(text);
        let is_json = json.is_some();
        let mut event = match self.beyond_body {
            true => subject.rest(),
            false => Map::new(),
        };
        let body = json.unwrap_or_else(|| Value::String(text.to_owned()));
        event.insert(BODY.to_owned(), body);
        let event = Value::Object(event);
        let fits = |pattern: &Pattern| {
            pattern
                .asks_below(BODY)
                .is_none_or(|below| below == is_json)
        };
        self.patterns
            .iter()
            .any(|pattern| fits(pattern) && pattern.matches(&event))
    }
}

/// The body as JSON, if it is an object or a list: a lone string or number is text.
fn json(body: &str) -> Option<Value> {
    let begins = body.trim_start_matches([' ', '\t', '\n', '\r']);
    if !begins.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Message(&'static str);

    impl Subject for Message {
        fn body(&self) -> &str {
            self.0
        }

        fn rest(&self) -> Map<String, Value> {
            json!({"eventSource": "aws:sqs"})
                .as_object()
                .unwrap()
                .clone()
        }
    }

    #[test]
    fn a_body_is_json_where_its_pattern_is_and_text_where_not() {
        let passes = |pattern: &str, body: &'static str| {
            Criteria::compile([pattern])
                .unwrap()
                .let_through(&Message(body))
        };
        let json = r#"{"body": {"a": [1]}}"#;
        assert!(passes(json, r#" {"a": 1}"#));
        assert!(!passes(json, r#"{"a": 2}"#));
        assert!(!passes(json, "text"));
        assert!(!passes(r#"{"body": {"a": [{"exists": false}]}}"#, "text"));
        let text = r#"{"body": ["text", {"prefix": "12"}]}"#;
        assert!(passes(text, "text"));
        assert!(passes(text, "123"));
        assert!(!passes(text, r#"{"a": "text"}"#));
        assert!(!passes(r#"{"body": [{"exists": false}]}"#, r#"{"a": 1}"#));
        let other = r#"{"eventSource": ["aws:sqs"]}"#;
        assert!(passes(other, "text") && passes(other, "{}"));
        let either = Criteria::compile([json, text]).unwrap();
        assert!(either.let_through(&Message("text")) && either.let_through(&Message(r#"{"a":1}"#)));
        assert!(!either.let_through(&Message("other")));
        assert!(Criteria::default().let_through(&Message("anything")));
    }
}
