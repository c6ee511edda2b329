//! From a pattern's JSON to what is asked of events, with everything refused that AWS refuses.

use std::net::IpAddr;

use super::{
    Bound, Cidr, Field, Leaf, Node, Operators, Pattern, Range, Test, Text, fold,
    json::{Json, Value},
    wildcard::{InvalidWildcard, Wildcard},
};

/// Why a pattern cannot be, and where. EventBridge shows both, Lambda neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidPattern {
    pub reason: Reason,
    /// How many bytes had been read.
    at: Option<usize>,
    /// EventBridge says twice where a member of an `anything-but` list is wrong.
    twice: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("{0}")]
    NotJson(String),
    #[error("Filter is not an object")]
    NotAnObject,
    #[error("\"{0}\" must be an object or an array")]
    NotAList(String),
    #[error("Empty arrays are not allowed")]
    EmptyList,
    #[error("Empty objects are not allowed")]
    EmptyObject,
    #[error("Match value must be String, number, true, false, or null")]
    BadValue,
    #[error("{0} expression name not found")]
    NoOperator(&'static str),
    #[error("Only one key allowed in match expression")]
    NotOneOperator,
    #[error("Unrecognized match type {0}")]
    UnknownOperator(String),
    #[error("Unsupported {0} pattern: {1}")]
    UnsupportedIn(&'static str, String),
    #[error("{0} match pattern must be a string")]
    NotText(&'static str),
    #[error("exists match pattern must be either true or false.")]
    NotBool,
    #[error("Value of numeric must be an array.")]
    NumericNotAList,
    #[error("Invalid member in numeric match: {0}")]
    BadNumericMember(String),
    #[error("Bad value in numeric range: {0}")]
    BadNumericValue(String),
    #[error("Unrecognized numeric range operator: {0}")]
    UnknownComparison(String),
    #[error("Bad numeric range operator: {0}")]
    BadComparison(String),
    #[error("Value of {0} must be numeric")]
    NotNumeric(String),
    #[error("Too many elements in numeric expression")]
    NumericTooLong,
    #[error("Too many terms in numeric range expression")]
    RangeTooLong,
    #[error("Bottom must be less than top")]
    EmptyRange,
    #[error("Value of anything-but must be an array or single string/number value.")]
    BadAnythingBut,
    #[error("Inside anything but list, start|null|boolean is not supported.")]
    BadAnythingButList,
    #[error(
        "Inside anything but list, either all values are number or string, mixed type is not \
         supported"
    )]
    MixedAnythingBut,
    #[error(
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
    )]
    BadIgnoreCaseList,
    #[error("Null prefix/suffix not allowed")]
    EmptyAffix,
    #[error("Malformed CIDR, one '/' required")]
    Cidr,
    #[error("Nonstandard IP address: {0}")]
    Address(String),
    #[error("Malformed CIDR, mask bits must be an integer")]
    MaskBits,
    #[error("{0}")]
    Wildcard(#[from] InvalidWildcard),
}

impl InvalidPattern {
    pub(super) fn at(at: usize, reason: Reason) -> Self {
        Self {
            reason,
            at: Some(at),
            twice: false,
        }
    }

    fn twice(self) -> Self {
        Self {
            twice: true,
            ..self
        }
    }

    /// The reason with the place in the pattern, as EventBridge writes it.
    pub fn located(&self, pattern: &str) -> String {
        let Some(read) = self.at.and_then(|at| pattern.get(..at)) else {
            return self.reason.to_string();
        };
        let line = read.matches('\n').count() + 1;
        let column = read.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place =
            format!("\n at [Source: (String)\"{pattern}\"; line: {line}, column: {column}]");
        format!(
            "{}{}",
            self.reason,
            place.repeat(1 + usize::from(self.twice))
        )
    }
}

/// What an address or a wildcard's complexity is refused for is not told with a place.
impl From<Reason> for InvalidPattern {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            at: None,
            twice: false,
        }
    }
}

type Result<T, E = InvalidPattern> = std::result::Result<T, E>;

impl Pattern {
    pub fn compile(text: &str, operators: Operators) -> Result<Self> {
        let json = Json::parse(text)?;
        let Value::Object(members) = &json.value else {
            return Err(InvalidPattern::at(json.met, Reason::NotAnObject));
        };
        if members.is_empty() && operators.refuses_empty() {
            return Err(InvalidPattern::at(json.end, Reason::EmptyObject));
        }
        let mut compiler = Compiler {
            operators,
            absent: Vec::new(),
        };
        let mut node = Node::default();
        compiler.add(&mut node, members, &mut Vec::new())?;
        Ok(Self {
            node,
            absent: compiler.absent,
        })
    }
}

type Members = [(String, Json)];

struct Compiler {
    operators: Operators,
    absent: Vec<Vec<String>>,
}

impl Compiler {
    fn add(&mut self, node: &mut Node, members: &Members, path: &mut Vec<String>) -> Result<()> {
        for (key, json) in members {
            if let Some(alternatives) = alternatives(key, json) {
                let alternatives = alternatives.into_iter().map(|alternative| {
                    let mut node = Node::default();
                    self.add(&mut node, alternative, path)?;
                    Ok(node)
                });
                node.ors.push(alternatives.collect::<Result<_>>()?);
                continue;
            }
            let depth = path.len();
            // A dot in a key is as good as a level.
            path.extend(key.split('.').map(str::to_owned));
            let field = field_at(node, &path[depth..]);
            match &json.value {
                Value::Object(below) if below.is_empty() => {
                    return Err(InvalidPattern::at(json.end, Reason::EmptyObject));
                }
                Value::Object(below) => {
                    self.add(field.below.get_or_insert_default(), below, path)?;
                }
                Value::List(values) if values.is_empty() => {
                    return Err(InvalidPattern::at(json.end, Reason::EmptyList));
                }
                Value::List(values) => field.leaf = Some(self.leaf(values, path)?),
                _ => return Err(InvalidPattern::at(json.met, Reason::NotAList(key.clone()))),
            }
            path.truncate(depth);
        }
        Ok(())
    }

    fn leaf(&mut self, values: &[Json], path: &[String]) -> Result<Leaf> {
        let mut leaf = Leaf {
            tests: Vec::with_capacity(values.len()),
            or_absent: None,
        };
        for value in values {
            match self.test(value)? {
                Some(test) => leaf.tests.push(test),
                None => {
                    leaf.or_absent = Some(self.absent.len());
                    self.absent.push(path.to_vec());
                }
            }
        }
        Ok(leaf)
    }

    /// None is `exists: false`.
    fn test(&self, json: &Json) -> Result<Option<Test>> {
        Ok(Some(match &json.value {
            Value::Null => Test::Null,
            Value::Bool(value) => Test::Bool(*value),
            Value::Number(value) => Test::Number(value.clone()),
            Value::Text(value) => Test::Text(Text::Equal(value.clone())),
            Value::List(_) => return Err(InvalidPattern::at(json.met, Reason::BadValue)),
            Value::Object(members) => return self.expression(json, members),
        }))
    }

    fn expression(&self, json: &Json, members: &Members) -> Result<Option<Test>> {
        let (name, operand) = first(json, members, "Match")?;
        if !self.operators.has(name) {
            let reason = Reason::UnknownOperator(name.clone());
            return Err(InvalidPattern::at(operand.met, reason));
        }
        let test = match name.as_str() {
            "exists" => match operand.value {
                Value::Bool(true) => Some(Test::Exists),
                Value::Bool(false) => None,
                _ => return Err(InvalidPattern::at(operand.met, Reason::NotBool)),
            },
            "numeric" => Some(Test::Range(range(operand)?)),
            "cidr" => Some(Test::Cidr(cidr(text(operand, "prefix")?)?)),
            "anything-but" => Some(anything_but(operand)?),
            name => Some(Test::Text(text_test(name, operand)?)),
        };
        let reason = match name.as_str() {
            "numeric" | "anything-but" => Reason::NumericTooLong,
            _ => Reason::NotOneOperator,
        };
        only(members, reason)?;
        Ok(test)
    }
}

/// What `$or` offers. A field that is just named so is none: it has no list of two objects or
/// more, or objects that look like operators.
fn alternatives<'a>(key: &str, json: &'a Json) -> Option<Vec<&'a Members>> {
    let Value::List(values) = &json.value else {
        return None;
    };
    if key != "$or" || values.len() < 2 {
        return None;
    }
    let members = |json: &'a Json| match &json.value {
        Value::Object(members) => Some(members.as_slice()),
        _ => None,
    };
    let objects: Option<Vec<_>> = values.iter().map(members).collect();
    let plain = |members: &&Members| {
        let mut names = members.iter().map(|(name, _)| name);
        !members.is_empty() && !names.any(|name| Operators::ALL.has(name))
    };
    objects.filter(|objects| objects.iter().all(plain))
}

fn field_at<'a>(node: &'a mut Node, path: &[String]) -> &'a mut Field {
    let (last, above) = path.split_last().expect("a split gives at least one part");
    let mut node = node;
    for part in above {
        let field = node.fields.entry(part.clone()).or_default();
        node = field.below.get_or_insert_default();
    }
    node.fields.entry(last.clone()).or_default()
}

fn first<'a>(
    json: &Json,
    members: &'a Members,
    what: &'static str,
) -> Result<(&'a String, &'a Json)> {
    let first = members.first().map(|(name, operand)| (name, operand));
    first.ok_or_else(|| InvalidPattern::at(json.end, Reason::NoOperator(what)))
}

fn only(members: &Members, reason: Reason) -> Result<()> {
    match members.get(1) {
        Some((_, second)) => Err(InvalidPattern::at(second.met, reason)),
        None => Ok(()),
    }
}

fn text<'a>(operand: &'a Json, name: &'static str) -> Result<&'a str> {
    let not_text = || InvalidPattern::at(operand.met, Reason::NotText(name));
    operand.text().ok_or_else(not_text)
}

fn text_test(name: &str, operand: &Json) -> Result<Text> {
    Ok(match name {
        "prefix" => match ignoring_case(operand, "Prefix", "prefix")? {
            Some(folded) => Text::PrefixIgnoreCase(folded),
            None => Text::Prefix(text(operand, "prefix")?.to_owned()),
        },
        "suffix" => match ignoring_case(operand, "Suffix", "suffix")? {
            Some(folded) => Text::SuffixIgnoreCase(folded),
            None => Text::Suffix(text(operand, "suffix")?.to_owned()),
        },
        "equals-ignore-case" => Text::EqualIgnoreCase(fold(text(operand, "equals-ignore-case")?)),
        "wildcard" => Text::Wildcard(wildcard(text(operand, "wildcard")?, operand.end)?),
        other => {
            let reason = Reason::UnknownOperator(other.to_owned());
            return Err(InvalidPattern::at(operand.met, reason));
        }
    })
}

/// The text, folded, of `{"equals-ignore-case": text}`.
fn ignoring_case(
    operand: &Json,
    shown: &'static str,
    name: &'static str,
) -> Result<Option<String>> {
    let Value::Object(members) = &operand.value else {
        return Ok(None);
    };
    let (inner, value) = first(operand, members, shown)?;
    if inner != "equals-ignore-case" {
        let reason = Reason::UnsupportedIn(name, inner.clone());
        return Err(InvalidPattern::at(value.met, reason));
    }
    let folded = fold(text(value, "equals-ignore-case")?);
    only(members, Reason::NotOneOperator)?;
    Ok(Some(folded))
}

fn wildcard(text: &str, at: usize) -> Result<Wildcard> {
    Wildcard::parse(text).map_err(|invalid| match invalid {
        InvalidWildcard::TooComplex => Reason::Wildcard(invalid).into(),
        _ => InvalidPattern::at(at, Reason::Wildcard(invalid)),
    })
}

fn anything_but(operand: &Json) -> Result<Test> {
    match &operand.value {
        Value::Number(number) => Ok(Test::NotNumbers(vec![number.clone()])),
        Value::Text(text) => Ok(Test::NotTexts(vec![Text::Equal(text.clone())])),
        Value::List(values) => anything_but_list(values, operand.end),
        Value::Object(members) => anything_but_like(operand, members).map(Test::NotTexts),
        Value::Null | Value::Bool(_) => {
            Err(InvalidPattern::at(operand.met, Reason::BadAnythingBut))
        }
    }
}

fn anything_but_list(values: &[Json], end: usize) -> Result<Test> {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for json in values {
        match &json.value {
            Value::Number(number) => numbers.push(number.clone()),
            Value::Text(text) => texts.push(Text::Equal(text.clone())),
            _ => {
                return Err(InvalidPattern::at(json.met, Reason::BadAnythingButList).twice());
            }
        }
    }
    match (numbers.is_empty(), texts.is_empty()) {
        (false, true) => Ok(Test::NotNumbers(numbers)),
        (true, false) => Ok(Test::NotTexts(texts)),
        _ => Err(InvalidPattern::at(end, Reason::MixedAnythingBut)),
    }
}

/// `anything-but` with `prefix`, `suffix`, `equals-ignore-case` or `wildcard`, of one or several.
fn anything_but_like(json: &Json, members: &Members) -> Result<Vec<Text>> {
    let (name, operand) = first(json, members, "Anything-But")?;
    let not_text = match name.as_str() {
        "prefix" | "suffix" => Reason::NotText("prefix/suffix"),
        "equals-ignore-case" => Reason::BadIgnoreCaseList,
        "wildcard" => Reason::NotText("wildcard"),
        other => {
            let reason = Reason::UnsupportedIn("anything-but", other.to_owned());
            return Err(InvalidPattern::at(operand.met, reason));
        }
    };
    let is_affix = matches!(name.as_str(), "prefix" | "suffix");
    let one = |value: &Json| {
        let text = value.text();
        let text = text.ok_or_else(|| InvalidPattern::at(value.met, not_text.clone()))?;
        match is_affix && text.is_empty() {
            true => Err(InvalidPattern::at(value.end, Reason::EmptyAffix)),
            false => Ok(text.to_owned()),
        }
    };
    let texts = match &operand.value {
        Value::List(values) if values.is_empty() => {
            return Err(InvalidPattern::at(operand.end, Reason::EmptyList));
        }
        Value::List(values) => {
            let texts = values
                .iter()
                .map(|value| one(value).map_err(InvalidPattern::twice));
            texts.collect::<Result<Vec<String>>>()?
        }
        Value::Text(_) | Value::Number(_) => vec![one(operand)?],
        _ => return Err(InvalidPattern::at(operand.met, Reason::BadAnythingBut)),
    };
    let test = |text: String| {
        Ok(match name.as_str() {
            "prefix" => Text::Prefix(text),
            "suffix" => Text::Suffix(text),
            "wildcard" => Text::Wildcard(wildcard(&text, operand.end)?),
            _ => Text::EqualIgnoreCase(fold(&text)),
        })
    };
    let tests = texts.into_iter().map(test).collect::<Result<_>>()?;
    only(members, Reason::NumericTooLong)?;
    Ok(tests)
}

/// `["=", 3]`, `["<", 3]`, `[">=", 0, "<", 3]`
fn range(operand: &Json) -> Result<Range> {
    let Value::List(parts) = &operand.value else {
        return Err(InvalidPattern::at(operand.met, Reason::NumericNotAList));
    };
    let end = operand.end;
    let (name, at) = comparison(parts, end)?;
    let bound = |inclusive| Some(Bound { at, inclusive });
    let (from, to) = match name {
        "=" => (bound(true), bound(true)),
        "<" => (None, bound(false)),
        "<=" => (None, bound(true)),
        ">" => (bound(false), None),
        _ => (bound(true), None),
    };
    let range = Range { from, to };
    let Some(second) = parts.get(2) else {
        return Ok(range);
    };
    if range.to.is_some() {
        return Err(InvalidPattern::at(second.met, Reason::NumericTooLong));
    }
    let Some(name) = second.text() else {
        let reason = Reason::BadNumericValue(second.shown());
        return Err(InvalidPattern::at(second.met, reason));
    };
    if !matches!(name, "<" | "<=") {
        let reason = Reason::BadComparison(name.to_owned());
        return Err(InvalidPattern::at(second.end, reason));
    }
    let top = numeric(parts.get(3), name, end)?;
    if let Some(extra) = parts.get(4) {
        return Err(InvalidPattern::at(extra.met, Reason::RangeTooLong));
    }
    if at >= top {
        return Err(InvalidPattern::at(end, Reason::EmptyRange));
    }
    Ok(Range {
        to: Some(Bound {
            at: top,
            inclusive: name == "<=",
        }),
        ..range
    })
}

/// The first comparison of a range: its name and its number.
fn comparison(parts: &[Json], end: usize) -> Result<(&str, f64)> {
    let Some(first) = parts.first() else {
        let reason = Reason::BadNumericMember("]".to_owned());
        return Err(InvalidPattern::at(end, reason));
    };
    let Some(name) = first.text() else {
        let reason = Reason::BadNumericMember(first.shown());
        return Err(InvalidPattern::at(first.met, reason));
    };
    if !matches!(name, "=" | "<" | "<=" | ">" | ">=") {
        let at = parts.get(1).map_or(end, |next| next.met);
        let reason = Reason::UnknownComparison(name.to_owned());
        return Err(InvalidPattern::at(at, reason));
    }
    let said = if name == "=" { "equals" } else { name };
    Ok((name, numeric(parts.get(1), said, end)?))
}

fn numeric(part: Option<&Json>, name: &str, end: usize) -> Result<f64> {
    let number = part
        .and_then(Json::number)
        .and_then(|number| number.as_f64());
    let at = part.map_or(end, |part| part.met);
    number.ok_or_else(|| InvalidPattern::at(at, Reason::NotNumeric(name.to_owned())))
}

fn cidr(text: &str) -> Result<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) if !bits.contains('/') => (address, Some(bits)),
        Some(_) => return Err(Reason::Cidr.into()),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err(match bits {
            Some(_) => Reason::Address(address.to_owned()).into(),
            None => Reason::Cidr.into(),
        });
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    // A plain address is a network of one.
    let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| Reason::MaskBits))?;
    if bits > most {
        return Err(Reason::MaskBits.into());
    }
    Ok(Cidr { address: ip, bits })
}
