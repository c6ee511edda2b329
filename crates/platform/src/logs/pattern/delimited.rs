//! `[ip, user, ..., status = 4* || status = 5*, bytes > 1000]`: fields with spaces between them.
//!
//! What is in brackets or quotes is one field. Without an ellipsis the last has all that is left.

use super::{
    DEPTH_MAX, Extracted, PatternError,
    condition::{Operator, Value},
    scanner::Scanner,
    value,
};

/// As many as a pattern of the greatest length can name.
const FIELDS_MAX: usize = 512;

#[derive(Debug, Clone)]
pub struct Delimited {
    before: Vec<Field>,
    /// Behind the ellipsis, if there is one.
    after: Option<Vec<Field>>,
}

#[derive(Debug, Clone, Default)]
struct Field {
    name: Option<String>,
    condition: Option<Condition>,
}

#[derive(Debug, Clone)]
enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare(Operator, Value),
}

pub fn parse(text: &str) -> Result<Delimited, PatternError> {
    let mut scanner = Scanner::new(text);
    scanner.expect("[")?;
    let mut found = Delimited {
        before: Vec::new(),
        after: None,
    };
    loop {
        scanner.space();
        if scanner.take("...") {
            if found.after.replace(Vec::new()).is_some() {
                return Err(PatternError::Invalid);
            }
        } else if scanner.peek() == Some(']') && found.before.is_empty() && found.after.is_none() {
            // `[]`: every event.
        } else {
            let field = field(&mut scanner)?;
            found
                .after
                .as_mut()
                .unwrap_or(&mut found.before)
                .push(field);
        }
        scanner.space();
        match scanner.next() {
            Some(',') if found.before.len() < FIELDS_MAX => {}
            Some(']') => break,
            _ => return Err(PatternError::Invalid),
        }
    }
    scanner.space();
    match scanner.is_done() {
        true => Ok(found),
        false => Err(PatternError::Invalid),
    }
}

fn field(scanner: &mut Scanner<'_>) -> Result<Field, PatternError> {
    let mut name = None;
    let condition = either(scanner, &mut name, 0)?;
    Ok(Field { name, condition })
}

fn either(
    scanner: &mut Scanner<'_>,
    name: &mut Option<String>,
    depth: usize,
) -> Result<Option<Condition>, PatternError> {
    let mut all = Vec::new();
    loop {
        all.extend(both(scanner, name, depth)?);
        scanner.space();
        if !scanner.take("||") {
            break;
        }
    }
    Ok(match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Condition::Or(all)),
    })
}

fn both(
    scanner: &mut Scanner<'_>,
    name: &mut Option<String>,
    depth: usize,
) -> Result<Option<Condition>, PatternError> {
    let mut all = Vec::new();
    loop {
        all.extend(single(scanner, name, depth)?);
        scanner.space();
        if !scanner.take("&&") {
            break;
        }
    }
    Ok(match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Condition::And(all)),
    })
}

fn single(
    scanner: &mut Scanner<'_>,
    name: &mut Option<String>,
    depth: usize,
) -> Result<Option<Condition>, PatternError> {
    scanner.space();
    if depth > DEPTH_MAX {
        return Err(PatternError::Invalid);
    }
    if scanner.take("(") {
        let inner = either(scanner, name, depth + 1)?;
        scanner.space();
        scanner.expect(")")?;
        return Ok(inner);
    }
    let word = scanner.word(|c| !(c.is_alphanumeric() || c == '_' || c == '-' || c == '.'));
    match name {
        Some(known) if known != word => return Err(PatternError::Invalid),
        None if !word.is_empty() => *name = Some(word.to_owned()),
        _ => {}
    }
    scanner.space();
    let Some(operator) = Operator::parse(scanner) else {
        return Ok(None);
    };
    scanner.space();
    let value = value(scanner)?;
    match value.fits(operator) {
        true => Ok(Some(Condition::Compare(operator, value))),
        false => Err(PatternError::Invalid),
    }
}

impl Condition {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(text)),
            Self::Or(all) => all.iter().any(|one| one.holds(text)),
            Self::Compare(operator, value) => value.compare_text(*operator, text),
        }
    }
}

impl Delimited {
    pub fn matches(&self, message: &str) -> bool {
        self.fields(message).is_some()
    }

    pub fn extract(&self, message: &str) -> Option<Extracted> {
        let fields = self.fields(message)?;
        let named = fields.into_iter().enumerate().map(|(at, (field, text))| {
            let name = match field.and_then(|field| field.name.as_deref()) {
                Some(name) => format!("${name}"),
                None => format!("${}", at + 1),
            };
            (name, text.to_owned())
        });
        Some(Extracted(named.collect()))
    }

    /// Each field of a message with what the pattern says of it; none if it does not match.
    fn fields<'a, 'm>(&'a self, message: &'m str) -> Option<Vec<(Option<&'a Field>, &'m str)>> {
        let message = message.trim_end();
        let Some(after) = &self.after else {
            let count = self.before.len();
            let texts = split(message, count.max(1));
            if texts.len() < count {
                return None;
            }
            let all: Vec<_> = self.before.iter().map(Some).zip(texts).collect();
            return hold(&all).then_some(all);
        };
        let texts = split(message, usize::MAX);
        let unnamed = texts.len().checked_sub(self.before.len() + after.len())?;
        let patterns = self.before.iter().map(Some);
        let patterns = patterns.chain(std::iter::repeat_n(None, unnamed));
        let all: Vec<_> = patterns.chain(after.iter().map(Some)).zip(texts).collect();
        hold(&all).then_some(all)
    }
}

fn hold(fields: &[(Option<&Field>, &str)]) -> bool {
    let conditions = fields.iter().filter_map(|(field, text)| {
        let condition = field.as_ref()?.condition.as_ref()?;
        Some((condition, text))
    });
    conditions
        .into_iter()
        .all(|(condition, text)| condition.holds(text))
}

/// The last of `max` has all that is left.
fn split(message: &str, max: usize) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim_start();
    while !rest.is_empty() {
        let (field, after) = one(rest);
        if fields.len() + 1 >= max && !after.trim_start().is_empty() {
            fields.push(rest);
            break;
        }
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}

fn one(text: &str) -> (&str, &str) {
    let closes = match text.as_bytes().first() {
        Some(b'"') => Some('"'),
        Some(b'[') => Some(']'),
        _ => None,
    };
    if let Some(closes) = closes
        && let Some((inner, after)) = text[1..].split_once(closes)
        && (after.is_empty() || after.starts_with(char::is_whitespace))
    {
        return (inner, after);
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}
