//! JSON of which it is known where it stands: a pattern that is refused is shown the place. Pure.
//!
//! A place is how far a reader has come that reads no further than it must: of a string only the
//! quote, until somebody asks for the text.

use serde_json::Number;

use super::compile::{InvalidPattern, Reason};
use crate::functions::json_text;

/// Levels of objects and lists.
const DEPTH_MAX: usize = 128;

#[derive(Debug, Clone)]
pub struct Json {
    pub value: Value,
    /// How far the reader has come when it knows what this is.
    pub met: usize,
    /// And when it has read all of it.
    pub end: usize,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    /// As they stand there: a key may be there more than once.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if let Some((what, at)) = json_text::fault(text.as_bytes()) {
            return Err(InvalidPattern::at(at, Reason::NotJson(what)));
        }
        let mut reader = Reader { text, at: 0 };
        reader.value(0)
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<&Number> {
        match &self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// As a reader shows what it has just met.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(_) => "[".to_owned(),
            Value::Object(_) => "{".to_owned(),
        }
    }
}

/// Reads what is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, InvalidPattern> {
        self.space();
        let start = self.at;
        if depth > DEPTH_MAX {
            let what = "The nesting is too deep".to_owned();
            return Err(InvalidPattern::at(start, Reason::NotJson(what)));
        }
        let bytes = self.text.as_bytes();
        let mut met = start + 1;
        let value = match bytes.get(start) {
            Some(b'{') => {
                self.at += 1;
                let mut members = Vec::new();
                while self.more(b'}') {
                    let key = self.string();
                    self.space();
                    // The colon.
                    self.at += 1;
                    members.push((key, self.value(depth + 1)?));
                }
                Value::Object(members)
            }
            Some(b'[') => {
                self.at += 1;
                let mut elements = Vec::new();
                while self.more(b']') {
                    elements.push(self.value(depth + 1)?);
                }
                Value::List(elements)
            }
            Some(b'"') => Value::Text(self.string()),
            _ => {
                let ends = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
                let rest = &self.text[start..];
                let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
                self.at += word.len();
                met = self.at;
                match word {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    number => serde_json::from_str(number)
                        .map(Value::Number)
                        .map_err(|error| {
                            InvalidPattern::at(met, Reason::NotJson(error.to_string()))
                        })?,
                }
            }
        };
        Ok(Json {
            value,
            met,
            end: self.at,
        })
    }

    /// Whether another member follows; it is then at its beginning.
    fn more(&mut self, close: u8) -> bool {
        self.space();
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b',') {
            self.at += 1;
            self.space();
        }
        let more = bytes.get(self.at).is_some_and(|byte| *byte != close);
        self.at += usize::from(!more);
        more
    }

    fn string(&mut self) -> String {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if *byte == b'"' {
                break;
            }
        }
        let end = self.at.min(self.text.len());
        let written = self.text.get(start..end).unwrap_or_default();
        // A lone surrogate in an escape is no text; nothing will be equal to it either.
        serde_json::from_str(written).unwrap_or_else(|_| written.to_owned())
    }

    fn space(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}
