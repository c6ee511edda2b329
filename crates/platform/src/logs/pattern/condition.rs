//! A comparison with a value: of numbers as numbers, of text with `*` for whatever there is.

use regex::{Regex, RegexBuilder};

use super::{PatternError, REGEX_SIZE_MAX, scanner::Scanner};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub fn parse(scanner: &mut Scanner<'_>) -> Option<Self> {
        let all = [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ];
        let found = all.into_iter().find(|(text, _)| scanner.take(text));
        found.map(|(_, operator)| operator)
    }

    fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Value {
    /// A number, and how it is written, with which text is compared.
    Number(f64, Wildcard),
    Text(Wildcard),
    Regex(Regex),
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(Wildcard::new(text))
    }

    /// Without quotes it may be a number.
    pub fn bare(text: &str) -> Self {
        match text.parse::<f64>().ok().filter(|number| number.is_finite()) {
            Some(number) => Self::Number(number, Wildcard::new(text)),
            None => Self::text(text),
        }
    }

    pub fn regex(scanner: &mut Scanner<'_>) -> Result<Self, PatternError> {
        Ok(Self::Regex(regex(scanner.regex()?)?))
    }

    /// Only numbers have an order.
    pub fn fits(&self, operator: Operator) -> bool {
        !operator.is_order() || matches!(self, Self::Number(..))
    }

    pub fn compare_number(&self, operator: Operator, number: f64, written: &str) -> bool {
        match self {
            Self::Number(value, _) => operator.holds(number, *value),
            _ => self.compare_text(operator, written),
        }
    }

    pub fn compare_text(&self, operator: Operator, text: &str) -> bool {
        let is_it = match self {
            Self::Number(value, wildcard) => {
                if let Ok(number) = text.parse::<f64>() {
                    return operator.holds(number, *value);
                }
                wildcard.matches(text)
            }
            Self::Text(wildcard) => wildcard.matches(text),
            Self::Regex(regex) => regex.is_match(text),
        };
        match operator {
            Operator::Equal => is_it,
            Operator::NotEqual => !is_it,
            _ => false,
        }
    }
}

/// Regular expressions of patterns have no groups, and few characters beside letters and digits.
pub fn regex(text: &str) -> Result<Regex, PatternError> {
    let wrong = |reason: &str| Err(PatternError::Regex(reason.to_owned()));
    if text.is_empty() {
        return wrong("it is empty");
    }
    let is_known =
        |c: char| c.is_ascii_alphanumeric() || c == ' ' || ":_#=@/;,-^$?[]{}|\\*+.".contains(c);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        // Behind a backslash is what would mean something else.
        let is_fine = match character {
            '\\' => characters.next().is_some_and(|next| next.is_ascii()),
            other => is_known(other),
        };
        if !is_fine {
            return wrong(&format!("'{character}' is not supported"));
        }
    }
    let made = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(REGEX_SIZE_MAX)
        .build();
    let made = made.or_else(|_| RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build());
    made.map_err(|_| PatternError::Regex("it cannot be understood, or is too large".to_owned()))
}

/// Text with `*` for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    parts: Vec<String>,
}

impl Wildcard {
    pub fn new(text: &str) -> Self {
        Self {
            parts: text.split('*').map(str::to_owned).collect(),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            // The leftmost leaves the most for the rest.
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}
