//! The filter pattern language: which log events are meant, and what values they have.
//!
//! Pure: a [`Pattern`] is made of text and asked about messages. Terms, phrases and their
//! exclusion, JSON selectors, fields between spaces, and regular expressions between percent signs,
//! which take time linear in what they look at. Grammar: AWS, "Filter pattern syntax".

mod condition;
mod delimited;
mod json;
mod scanner;
mod terms;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use condition::Value;
use delimited::Delimited;
use json::Selected;
use scanner::Scanner;
use terms::Terms;

/// Regular expressions of one pattern; CloudWatch Logs' figure.
const REGEX_MAX: usize = 2;
/// What one takes when it is compiled, in bytes.
const REGEX_SIZE_MAX: usize = 1024 * 1024;
/// How deep parentheses may be.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone)]
pub struct Pattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    All,
    Terms(Terms),
    Json(json::Expression),
    Delimited(Delimited),
}

/// Why text is no pattern, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("Invalid filter pattern")]
    Invalid,
    #[error("Invalid character(s) in term '{0}'")]
    Characters(String),
    #[error("Invalid regex in filter pattern: {0}")]
    Regex(String),
    #[error("Invalid filter pattern: no more than {REGEX_MAX} regular expressions")]
    TooManyRegexes,
}

/// The values of a message that matched: of a field or selector as a pattern names it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extracted(pub Vec<(String, String)>);

impl Extracted {
    /// Of `$name` or `$.selector`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        let kind = match text.chars().next() {
            None => Kind::All,
            Some('{') => Kind::Json(json::parse(text)?),
            Some('[') => Kind::Delimited(delimited::parse(text)?),
            Some(_) => Kind::Terms(terms::parse(text)?),
        };
        Ok(Self(kind))
    }

    pub fn is_all(&self) -> bool {
        matches!(self.0, Kind::All)
    }

    pub fn matches(&self, message: &[u8]) -> bool {
        let text: Cow<'_, str> = match &self.0 {
            Kind::All => return true,
            _ => String::from_utf8_lossy(message),
        };
        match &self.0 {
            Kind::All => true,
            Kind::Terms(terms) => terms.matches(&text),
            Kind::Json(expression) => {
                serde_json::from_str(&text).is_ok_and(|json| expression.holds(&json))
            }
            Kind::Delimited(fields) => fields.matches(&text),
        }
    }

    /// None for a message that does not match.
    pub fn extract(&self, message: &str) -> Option<Extracted> {
        match &self.0 {
            Kind::All => Some(Extracted::default()),
            Kind::Terms(terms) => terms.matches(message).then(Extracted::default),
            Kind::Json(expression) => {
                let json = serde_json::from_str(message).ok()?;
                expression.holds(&json).then(|| expression.extract(&json))
            }
            Kind::Delimited(fields) => fields.extract(message),
        }
    }

    /// What a value such as `$size` or `$.latency` is in a message, whether or not the pattern names
    /// it; none where the message has none.
    pub fn value(&self, name: &str, message: &str) -> Option<String> {
        if name.starts_with("$.") || name.starts_with("$[") {
            let selector = json::selector(name).ok()?;
            let json = serde_json::from_str(message).ok()?;
            return match selector.select(&json) {
                Selected::Missing => None,
                Selected::Found(value) => json::text_of(value).map(Cow::into_owned),
            };
        }
        self.extract(message)?.get(name).map(str::to_owned)
    }
}

/// What follows a comparison: `"text"`, `404`, `4*`, `%regex%`.
fn value(scanner: &mut Scanner<'_>) -> Result<Value, PatternError> {
    match scanner.peek() {
        Some('"') => Ok(Value::text(&scanner.quoted()?)),
        Some('%') => Value::regex(scanner),
        Some(_) => {
            let stops =
                |c: char| c.is_whitespace() || matches!(c, ')' | '}' | ']' | ',' | '&' | '|');
            let word = scanner.word(stops);
            match word.is_empty() {
                true => Err(PatternError::Invalid),
                false => Ok(Value::bare(word)),
            }
        }
        None => Err(PatternError::Invalid),
    }
}
