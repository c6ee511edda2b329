//! What a target is sent of an event: all of it, a part, a text that is always the same, or a
//! template that is filled in. Pure.
//!
//! A template is filled in as text. Between quotes a variable stands for its value without quotes,
//! elsewhere for its JSON. A template that is no string but comes out as no JSON is not sent.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json_path::Path;

/// A target's input, as it was checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The event as it is.
    Event,
    Constant(String),
    Part(Path),
    Template(Template),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    paths: BTreeMap<String, Path>,
}

/// The event and what fired for it.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The event as it is sent.
    pub text: &'a str,
    pub event: &'a Value,
    pub rule_arn: &'a str,
    pub rule_name: &'a str,
    /// When it came in, as AWS writes it.
    pub ingested_at: &'a str,
}

/// Why a template cannot be, or what came of it cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    #[error("Invalid JSON path '{0}'")]
    Path(String),
    #[error("the template filled in is no JSON")]
    NotJson,
}

impl Template {
    pub fn new<'a>(
        text: &str,
        paths: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, BadInput> {
        let read = |(name, path): (&str, &str)| match Path::parse(path) {
            Ok(read) => Ok((name.to_owned(), read)),
            Err(_) => Err(BadInput::Path(path.to_owned())),
        };
        Ok(Self {
            text: text.to_owned(),
            paths: paths.into_iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    fn fill(&self, occasion: &Occasion<'_>) -> Result<String, BadInput> {
        let is_text = self.text.trim_start().starts_with('"');
        let mut filled = String::with_capacity(self.text.len());
        let (mut rest, mut quoted) = (self.text.as_str(), false);
        while let Some(at) = rest.find(['<', '"', '\\']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let taken = match rest.as_bytes()[0] {
                b'"' => {
                    quoted = !quoted;
                    None
                }
                b'\\' if quoted => None,
                _ => self.variable(rest, occasion).map(|(value, rest)| {
                    filled.push_str(&shown(value.as_ref(), quoted, is_text));
                    rest
                }),
            };
            rest = taken.unwrap_or_else(|| {
                // An escaped character is taken with its backslash.
                let escaped = rest.starts_with('\\') && quoted;
                let end = rest.char_indices().nth(1 + usize::from(escaped));
                let end = end.map_or(rest.len(), |(end, _)| end);
                filled.push_str(&rest[..end]);
                &rest[end..]
            });
        }
        filled.push_str(rest);
        match is_text || serde_json::from_str::<serde::de::IgnoredAny>(&filled).is_ok() {
            true => Ok(filled),
            false => Err(BadInput::NotJson),
        }
    }

    /// The value of the variable that a text begins with, and what follows it.
    fn variable<'t>(
        &self,
        text: &'t str,
        occasion: &Occasion<'_>,
    ) -> Option<(Option<Value>, &'t str)> {
        let (name, rest) = text.strip_prefix('<')?.split_once('>')?;
        let value = match (self.paths.get(name), name) {
            (Some(path), _) => path.find(occasion.event),
            (None, "aws.events.rule-arn") => Some(occasion.rule_arn.into()),
            (None, "aws.events.rule-name") => Some(occasion.rule_name.into()),
            (None, "aws.events.event.ingestion-time") => Some(occasion.ingested_at.into()),
            (None, "aws.events.event.json") => Some(occasion.event.clone()),
            (None, "aws.events.event") => {
                let mut event = occasion.event.clone();
                if let Some(object) = event.as_object_mut() {
                    object.shift_remove("detail");
                }
                Some(event)
            }
            // It is no variable of ours, but may be a text with angle brackets.
            _ => return None,
        };
        Some((value, rest))
    }
}

/// A value as it stands in a template. What the event has not got is empty.
fn shown(value: Option<&Value>, quoted: bool, is_text: bool) -> String {
    match (value, quoted) {
        (None, true) => String::new(),
        (None, false) if is_text => String::new(),
        (None, false) => "\"\"".to_owned(),
        (Some(Value::String(text)), true) => {
            let json = Value::from(text.as_str()).to_string();
            json[1..json.len() - 1].to_owned()
        }
        // A text has no room for the quotes of what stands in it.
        (Some(value), true) if is_text => value.to_string().replace('"', ""),
        (Some(value), _) => value.to_string(),
    }
}

impl Input {
    /// The text for the target.
    pub fn of(&self, occasion: &Occasion<'_>) -> Result<String, BadInput> {
        match self {
            Self::Event => Ok(occasion.text.to_owned()),
            Self::Constant(text) => Ok(text.clone()),
            Self::Part(path) => {
                let part = path.find(occasion.event).unwrap_or(Value::Null);
                Ok(part.to_string())
            }
            Self::Template(template) => template.fill(occasion),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Result<String, BadInput> {
        let event = json!({
            "time": "2026-01-01T00:00:00Z",
            "detail": {"id": "a-1", "say": "\"hi\"", "list": ["HIGH"], "all": {"x": "y"}, "ok": true},
        });
        let paths = [
            ("id", "$.detail.id"),
            ("say", "$.detail.say"),
            ("list", "$.detail.list"),
            ("all", "$.detail.all"),
            ("ok", "$.detail.ok"),
            ("none", "$.detail.none"),
        ];
        Template::new(template, paths)?.fill(&Occasion {
            text: &event.to_string(),
            event: &event,
            rule_arn: "arn:rule",
            rule_name: "rule",
            ingested_at: "2026-01-01T00:00:01Z",
        })
    }

    #[test]
    fn a_text_has_values_without_quotes() {
        for (template, text) in [
            (r#""id <id>, <ok>""#, r#""id a-1, true""#),
            (r#""<list> of <all>""#, r#""[HIGH] of {x:y}""#),
            (r#""[<none>] <unknown>""#, r#""[] <unknown>""#),
            (r#""{[/ \"<id>\" <say>""#, r#""{[/ \"a-1\" \"hi\"""#),
            ("\"<id>\"\n\"<ok>\"", "\"a-1\"\n\"true\""),
            (
                r#""<aws.events.rule-name> <aws.events.rule-arn> <aws.events.event.ingestion-time>""#,
                r#""rule arn:rule 2026-01-01T00:00:01Z""#,
            ),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn json_has_values_as_json_or_is_not_sent() {
        for (template, json) in [
            (
                r#"{"a": <id>, "b": "u/<id>/<id>"}"#,
                r#"{"a": "a-1", "b": "u/a-1/a-1"}"#,
            ),
            (
                r#"{"a": [<list>, <all>, <ok>]}"#,
                r#"{"a": [["HIGH"], {"x":"y"}, true]}"#,
            ),
            (r#"{"a": <none>, "b": "<none>"}"#, r#"{"a": "", "b": ""}"#),
            ("<all>", r#"{"x":"y"}"#),
            (
                r#"{"e": <aws.events.event>}"#,
                r#"{"e": {"time":"2026-01-01T00:00:00Z"}}"#,
            ),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(json), "{template}");
        }
        for template in [r#"{"a": "<all>"}"#, r#"{"a": "<list>"}"#, r#"{"a": <id>"#] {
            assert_eq!(filled(template), Err(BadInput::NotJson), "{template}");
        }
    }
}
