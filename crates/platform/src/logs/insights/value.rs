//! What fields of records are, and how they are compared and shown.

use std::{borrow::Cow, cmp::Ordering, fmt};

use wire::Timestamp;

#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// The record has no such field.
    #[default]
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    /// In milliseconds since 1970.
    Time(i64),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Text that is a number is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Null | Self::Boolean(_) => None,
            Self::Number(number) => Some(*number),
            Self::Time(ms) => Some(*ms as f64),
            Self::Text(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
        }
    }

    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.into()),
            other => Some(other.to_string().into()),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Boolean(is_true) => *is_true,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => text == "true" || text == "1",
            Self::Null | Self::Time(_) => false,
        }
    }

    /// As numbers where both are, else as text; nothing is compared with what is not there.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if let (Some(left), Some(right)) = (self.number(), other.number()) {
            return left.partial_cmp(&right);
        }
        match (self, other) {
            (Self::Boolean(is_true), Self::Text(text)) if text == "true" || text == "false" => {
                return Some(is_true.cmp(&(text == "true")));
            }
            (Self::Text(_), Self::Boolean(_)) => return other.compare(self).map(Ordering::reverse),
            _ => {}
        }
        let (left, right) = (self.text()?, other.text()?);
        // A time may be written out.
        Some(left.cmp(&right))
    }

    /// For sorting, where everything has a place: what is not there comes first.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => match (self.number(), other.number()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => self.text().cmp(&other.text()),
            },
        }
    }

    /// What it takes in memory, about, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                _ => 0,
            }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Boolean(is_true) => f.write_str(if *is_true { "1" } else { "0" }),
            Self::Number(number) => number_text(*number, f),
            Self::Text(text) => f.write_str(text),
            Self::Time(ms) => match Timestamp::from_millisecond(*ms) {
                Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%d %H:%M:%S.%3f")),
                Err(_) => write!(f, "{ms}"),
            },
        }
    }
}

/// With four digits behind the point at most.
fn number_text(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return write!(f, "{number:.0}");
    }
    let rounded = (number * 10_000.0).round() / 10_000.0;
    write!(f, "{rounded}")
}

impl From<bool> for Value {
    fn from(is_true: bool) -> Self {
        Self::Boolean(is_true)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        match number.is_finite() {
            true => Self::Number(number),
            false => Self::Null,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
