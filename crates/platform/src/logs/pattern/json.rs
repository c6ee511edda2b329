//! `{ $.user.id = 1 && ($.errors[0].code != "E*" || $.next NOT EXISTS) }`: conditions on the values
//! of a message that is JSON.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{
    DEPTH_MAX, Extracted, PatternError,
    condition::{Operator, Value},
    scanner::Scanner,
    value,
};

#[derive(Debug, Clone)]
pub enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Condition(Selector, Test),
}

#[derive(Debug, Clone)]
pub enum Test {
    Compare(Operator, Value),
    IsNull,
    IsTrue,
    IsFalse,
    NotExists,
    Exists,
}

/// `$.a.b[0]`
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    written: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    /// Any element or member.
    Any,
}

pub enum Selected<'a> {
    Missing,
    Found(&'a Json),
}

pub fn parse(text: &str) -> Result<Expression, PatternError> {
    let mut scanner = Scanner::new(text);
    scanner.expect("{")?;
    let expression = either(&mut scanner, 0)?;
    scanner.space();
    scanner.expect("}")?;
    scanner.space();
    match scanner.is_done() {
        true => Ok(expression),
        false => Err(PatternError::Invalid),
    }
}

pub fn selector(text: &str) -> Result<Selector, PatternError> {
    let mut scanner = Scanner::new(text);
    let selector = Selector::parse(&mut scanner)?;
    match scanner.is_done() {
        true => Ok(selector),
        false => Err(PatternError::Invalid),
    }
}

fn either(scanner: &mut Scanner<'_>, depth: usize) -> Result<Expression, PatternError> {
    let mut all = vec![both(scanner, depth)?];
    loop {
        scanner.space();
        if !scanner.take("||") {
            return Ok(one_of(all, Expression::Or));
        }
        all.push(both(scanner, depth)?);
    }
}

fn both(scanner: &mut Scanner<'_>, depth: usize) -> Result<Expression, PatternError> {
    let mut all = vec![single(scanner, depth)?];
    loop {
        scanner.space();
        if !scanner.take("&&") {
            return Ok(one_of(all, Expression::And));
        }
        all.push(single(scanner, depth)?);
    }
}

fn one_of(mut all: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.len() {
        1 => all.remove(0),
        _ => join(all),
    }
}

fn single(scanner: &mut Scanner<'_>, depth: usize) -> Result<Expression, PatternError> {
    scanner.space();
    if depth > DEPTH_MAX {
        return Err(PatternError::Invalid);
    }
    if scanner.take("(") {
        let inner = either(scanner, depth + 1)?;
        scanner.space();
        scanner.expect(")")?;
        return Ok(inner);
    }
    let selector = Selector::parse(scanner)?;
    scanner.space();
    let test = match Operator::parse(scanner) {
        Some(operator) => {
            scanner.space();
            let value = value(scanner)?;
            if !value.fits(operator) {
                return Err(PatternError::Invalid);
            }
            Test::Compare(operator, value)
        }
        None => keyword_test(scanner)?,
    };
    Ok(Expression::Condition(selector, test))
}

fn keyword_test(scanner: &mut Scanner<'_>) -> Result<Test, PatternError> {
    if scanner.take_keyword("NOT") {
        scanner.space();
        return match scanner.take_keyword("EXISTS") {
            true => Ok(Test::NotExists),
            false => Err(PatternError::Invalid),
        };
    }
    if scanner.take_keyword("EXISTS") {
        return Ok(Test::Exists);
    }
    if !scanner.take_keyword("IS") {
        return Err(PatternError::Invalid);
    }
    scanner.space();
    let all = [
        ("NULL", Test::IsNull),
        ("TRUE", Test::IsTrue),
        ("FALSE", Test::IsFalse),
    ];
    let found = all
        .into_iter()
        .find(|(keyword, _)| scanner.take_keyword(keyword));
    found.map(|(_, test)| test).ok_or(PatternError::Invalid)
}

impl Selector {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self, PatternError> {
        scanner.expect("$")?;
        let mut written = "$".to_owned();
        let mut steps = Vec::new();
        loop {
            let is_named = scanner.take(".");
            if is_named && scanner.peek() != Some('[') {
                let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '*'));
                let name = scanner.word(ends);
                written.push('.');
                written.push_str(name);
                steps.push(match name {
                    "" => return Err(PatternError::Invalid),
                    "*" => Step::Any,
                    name => Step::Name(name.to_owned()),
                });
            } else if scanner.take("[") {
                let (step, text) = Self::bracketed(scanner)?;
                written.push_str(&text);
                steps.push(step);
            } else if is_named {
                return Err(PatternError::Invalid);
            } else {
                break;
            }
        }
        match steps.is_empty() {
            true => Err(PatternError::Invalid),
            false => Ok(Self { written, steps }),
        }
    }

    fn bracketed(scanner: &mut Scanner<'_>) -> Result<(Step, String), PatternError> {
        let found = match scanner.peek() {
            Some('"') => {
                let name = scanner.quoted()?;
                (Step::Name(name.clone()), format!("[\"{name}\"]"))
            }
            Some('\'') => {
                scanner.next();
                let name = scanner.word(|c| c == '\'').to_owned();
                scanner.expect("'")?;
                (Step::Name(name.clone()), format!("['{name}']"))
            }
            _ => match scanner.word(|c| c == ']') {
                "*" => (Step::Any, "[*]".to_owned()),
                number => {
                    let index = number.trim().parse();
                    let index = index.map_err(|_| PatternError::Invalid)?;
                    (Step::Index(index), format!("[{index}]"))
                }
            },
        };
        scanner.expect("]")?;
        Ok(found)
    }

    /// The first there is.
    pub fn select<'a>(&self, json: &'a Json) -> Selected<'a> {
        let mut first = Selected::Missing;
        any(&self.steps, json, &mut |value| {
            first = Selected::Found(value);
            true
        });
        first
    }

    fn any(&self, json: &Json, mut test: impl FnMut(&Json) -> bool) -> bool {
        any(&self.steps, json, &mut |value| test(value))
    }
}

/// Whether a test is true of one of the values that steps lead to.
fn any<'a>(steps: &[Step], json: &'a Json, test: &mut dyn FnMut(&'a Json) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return test(json);
    };
    match step {
        Step::Name(name) => json.get(name).is_some_and(|json| any(rest, json, test)),
        Step::Index(index) => json.get(index).is_some_and(|json| any(rest, json, test)),
        Step::Any => match json {
            Json::Array(all) => all.iter().any(|json| any(rest, json, test)),
            Json::Object(all) => all.values().any(|json| any(rest, json, test)),
            _ => false,
        },
    }
}

impl Expression {
    pub fn holds(&self, json: &Json) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(json)),
            Self::Or(all) => all.iter().any(|one| one.holds(json)),
            Self::Condition(selector, test) => test.holds(selector, json),
        }
    }

    pub fn extract(&self, json: &Json) -> Extracted {
        let mut extracted = Extracted::default();
        self.extract_into(json, &mut extracted);
        extracted
    }

    fn extract_into(&self, json: &Json, extracted: &mut Extracted) {
        match self {
            Self::And(all) | Self::Or(all) => {
                all.iter().for_each(|one| one.extract_into(json, extracted));
            }
            Self::Condition(selector, _) => {
                let Selected::Found(value) = selector.select(json) else {
                    return;
                };
                let is_new = extracted.get(&selector.written).is_none();
                if let (true, Some(text)) = (is_new, text_of(value)) {
                    extracted
                        .0
                        .push((selector.written.clone(), text.into_owned()));
                }
            }
        }
    }
}

impl Test {
    fn holds(&self, selector: &Selector, json: &Json) -> bool {
        match self {
            Self::NotExists => !selector.any(json, |_| true),
            Self::Exists => selector.any(json, |_| true),
            Self::IsNull => selector.any(json, Json::is_null),
            Self::IsTrue => selector.any(json, |value| *value == Json::Bool(true)),
            Self::IsFalse => selector.any(json, |value| *value == Json::Bool(false)),
            Self::Compare(operator, value) => {
                selector.any(json, |found| compare(*operator, value, found))
            }
        }
    }
}

/// Objects, arrays and null are equal to nothing, and not unequal either.
fn compare(operator: Operator, value: &Value, found: &Json) -> bool {
    match found {
        Json::Number(number) => {
            let written = number.to_string();
            value.compare_number(operator, number.as_f64().unwrap_or(f64::NAN), &written)
        }
        Json::String(text) => value.compare_text(operator, text),
        Json::Bool(is_true) => {
            let text = if *is_true { "true" } else { "false" };
            value.compare_text(operator, text)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

pub fn text_of(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}
