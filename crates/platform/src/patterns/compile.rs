//! From a pattern's JSON to what is asked of events, with everything refused that AWS refuses.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{
    Bound, Cidr, Field, Leaf, Node, Operators, Pattern, Range, Test, Text, fold,
    wildcard::{InvalidWildcard, Wildcard},
};

/// Why a pattern cannot be; EventBridge shows such reasons, Lambda keeps them to itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
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
    #[error("Only one key allowed in match expression")]
    NotOneOperator,
    #[error("Unrecognized match type {0}")]
    UnknownOperator(String),
    #[error("{0} match pattern must be a string")]
    NotText(&'static str),
    #[error("exists match pattern must be either true or false.")]
    NotBool,
    #[error("Value of numeric must be an array.")]
    NumericNotAList,
    #[error("Unrecognized numeric range operator: {0}")]
    UnknownComparison(String),
    #[error("Bad numeric range operator: {0}")]
    BadComparison(String),
    #[error("Value of {0} must be numeric")]
    NotNumeric(String),
    #[error("Too many elements in numeric expression")]
    NumericTooLong,
    #[error("Bottom must be less than top")]
    EmptyRange,
    #[error("Value of anything-but must be an array or single string/number value.")]
    BadAnythingBut,
    #[error("Inside anything but list, start|null|boolean is not supported.")]
    BadAnythingButList,
    #[error(
        "Inside anything but list, either all values are number or string, mixed type is not supported"
    )]
    MixedAnythingBut,
    #[error(
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
    )]
    BadIgnoreCaseList,
    #[error("Malformed CIDR, one '/' required")]
    Cidr,
    #[error("Nonstandard IP address: {0}")]
    Address(String),
    #[error("Malformed CIDR, mask bits must be an integer")]
    MaskBits,
    #[error("{0}")]
    Wildcard(#[from] InvalidWildcard),
}

type Result<T, E = InvalidPattern> = std::result::Result<T, E>;

impl Pattern {
    pub fn compile(text: &str, operators: Operators) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| InvalidPattern::NotJson(error.to_string()))?;
        let Value::Object(object) = value else {
            return Err(InvalidPattern::NotAnObject);
        };
        let mut compiler = Compiler {
            operators,
            absent: Vec::new(),
        };
        let mut node = Node::default();
        compiler.add(&mut node, &object, &mut Vec::new())?;
        Ok(Self {
            node,
            absent: compiler.absent,
        })
    }
}

struct Compiler {
    operators: Operators,
    absent: Vec<Vec<String>>,
}

impl Compiler {
    fn add(
        &mut self,
        node: &mut Node,
        object: &Map<String, Value>,
        path: &mut Vec<String>,
    ) -> Result<()> {
        for (key, value) in object {
            if let Some(alternatives) = alternatives(key, value) {
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
            match value {
                Value::Object(below) if below.is_empty() => {
                    return Err(InvalidPattern::EmptyObject);
                }
                Value::Object(below) => {
                    self.add(field.below.get_or_insert_default(), below, path)?;
                }
                Value::Array(values) => field.leaf = Some(self.leaf(values, path)?),
                _ => return Err(InvalidPattern::NotAList(key.clone())),
            }
            path.truncate(depth);
        }
        Ok(())
    }

    fn leaf(&mut self, values: &[Value], path: &[String]) -> Result<Leaf> {
        if values.is_empty() {
            return Err(InvalidPattern::EmptyList);
        }
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
    fn test(&self, value: &Value) -> Result<Option<Test>> {
        Ok(Some(match value {
            Value::Null => Test::Null,
            Value::Bool(value) => Test::Bool(*value),
            Value::Number(value) => Test::Number(value.clone()),
            Value::String(value) => Test::Text(Text::Equal(value.clone())),
            Value::Array(_) => return Err(InvalidPattern::BadValue),
            Value::Object(object) => {
                let (name, operand) = only(object)?;
                if !self.operators.has(name) {
                    return Err(InvalidPattern::UnknownOperator(name.clone()));
                }
                match name.as_str() {
                    "exists" => match operand.as_bool() {
                        Some(true) => Test::Exists,
                        Some(false) => return Ok(None),
                        None => return Err(InvalidPattern::NotBool),
                    },
                    "numeric" => Test::Range(range(operand)?),
                    "cidr" => Test::Cidr(cidr(text(operand, "prefix")?)?),
                    "anything-but" => anything_but(operand)?,
                    name => Test::Text(text_test(name, operand)?),
                }
            }
        }))
    }
}

/// What `$or` offers. A field that is just named so is none: it has no list of two objects or
/// more, or objects that look like operators.
fn alternatives<'a>(key: &str, value: &'a Value) -> Option<Vec<&'a Map<String, Value>>> {
    let values = value
        .as_array()
        .filter(|values| key == "$or" && values.len() >= 2)?;
    let objects: Option<Vec<_>> = values.iter().map(Value::as_object).collect();
    let plain = |object: &&Map<String, Value>| {
        !object.is_empty() && !object.keys().any(|key| Operators::ALL.has(key))
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

fn only(object: &Map<String, Value>) -> Result<(&String, &Value)> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(InvalidPattern::NotOneOperator),
    }
}

fn text<'a>(operand: &'a Value, name: &'static str) -> Result<&'a str> {
    operand.as_str().ok_or(InvalidPattern::NotText(name))
}

fn text_test(name: &str, operand: &Value) -> Result<Text> {
    let ignoring_case = || {
        let object = operand.as_object()?;
        object
            .get("equals-ignore-case")
            .filter(|_| object.len() == 1)?
            .as_str()
    };
    Ok(match name {
        "prefix" => match ignoring_case() {
            Some(folded) => Text::PrefixIgnoreCase(fold(folded)),
            None => Text::Prefix(text(operand, "prefix")?.to_owned()),
        },
        "suffix" => match ignoring_case() {
            Some(folded) => Text::SuffixIgnoreCase(fold(folded)),
            None => Text::Suffix(text(operand, "suffix")?.to_owned()),
        },
        "equals-ignore-case" => Text::EqualIgnoreCase(fold(text(operand, "equals-ignore-case")?)),
        "wildcard" => Text::Wildcard(Wildcard::parse(text(operand, "wildcard")?)?),
        other => return Err(InvalidPattern::UnknownOperator(other.to_owned())),
    })
}

fn anything_but(operand: &Value) -> Result<Test> {
    match operand {
        Value::Number(number) => Ok(Test::NotNumbers(vec![number.clone()])),
        Value::String(text) => Ok(Test::NotTexts(vec![Text::Equal(text.clone())])),
        Value::Array(values) => anything_but_list(values),
        Value::Object(object) => {
            let (name, operand) = only(object)?;
            anything_but_like(name, operand).map(Test::NotTexts)
        }
        Value::Null | Value::Bool(_) => Err(InvalidPattern::BadAnythingBut),
    }
}

fn anything_but_list(values: &[Value]) -> Result<Test> {
    if values.is_empty() {
        return Err(InvalidPattern::EmptyList);
    }
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Number(number) => numbers.push(number.clone()),
            Value::String(text) => texts.push(Text::Equal(text.clone())),
            _ => return Err(InvalidPattern::BadAnythingButList),
        }
    }
    match (numbers.is_empty(), texts.is_empty()) {
        (false, true) => Ok(Test::NotNumbers(numbers)),
        (true, _) => Ok(Test::NotTexts(texts)),
        (false, false) => Err(InvalidPattern::MixedAnythingBut),
    }
}

/// `anything-but` with `prefix`, `suffix`, `equals-ignore-case` or `wildcard`, of one or several.
fn anything_but_like(name: &str, operand: &Value) -> Result<Vec<Text>> {
    let not_text = match name {
        "prefix" | "suffix" => InvalidPattern::NotText("prefix/suffix"),
        "equals-ignore-case" => InvalidPattern::BadIgnoreCaseList,
        "wildcard" => InvalidPattern::NotText("wildcard"),
        other => return Err(InvalidPattern::UnknownOperator(other.to_owned())),
    };
    let values = match operand {
        Value::Array(values) if values.is_empty() => return Err(InvalidPattern::EmptyList),
        Value::Array(values) => values.as_slice(),
        Value::Object(_) => return Err(InvalidPattern::BadAnythingBut),
        one => std::slice::from_ref(one),
    };
    if !values.iter().all(Value::is_string) {
        return Err(not_text);
    }
    values.iter().map(|value| text_test(name, value)).collect()
}

/// `["=", 3]`, `["<", 3]`, `[">=", 0, "<", 3]`
fn range(operand: &Value) -> Result<Range> {
    let Value::Array(parts) = operand else {
        return Err(InvalidPattern::NumericNotAList);
    };
    let (first, at) = comparison(parts)?;
    let bound = |inclusive| Some(Bound { at, inclusive });
    let mut range = match first {
        "=" => Range {
            from: bound(true),
            to: bound(true),
        },
        "<" => Range {
            from: None,
            to: bound(false),
        },
        "<=" => Range {
            from: None,
            to: bound(true),
        },
        ">" => Range {
            from: bound(false),
            to: None,
        },
        ">=" => Range {
            from: bound(true),
            to: None,
        },
        other => return Err(InvalidPattern::UnknownComparison(other.to_owned())),
    };
    let rest = parts.get(2..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(range);
    }
    if range.to.is_some() {
        return Err(InvalidPattern::NumericTooLong);
    }
    let (second, top) = match rest[0].as_str() {
        Some("<" | "<=") => comparison(rest)?,
        other => {
            let other = other.map_or_else(|| rest[0].to_string(), str::to_owned);
            return Err(InvalidPattern::BadComparison(other));
        }
    };
    if rest.len() > 2 {
        return Err(InvalidPattern::NumericTooLong);
    }
    if at >= top {
        return Err(InvalidPattern::EmptyRange);
    }
    range.to = Some(Bound {
        at: top,
        inclusive: second == "<=",
    });
    Ok(range)
}

fn comparison(parts: &[Value]) -> Result<(&str, f64)> {
    let name = parts.first().ok_or(InvalidPattern::EmptyList)?;
    let Some(name) = name.as_str() else {
        return Err(InvalidPattern::UnknownComparison(name.to_string()));
    };
    let number = parts.get(1).and_then(Value::as_f64);
    let number = number.ok_or_else(|| InvalidPattern::NotNumeric(name.to_owned()))?;
    Ok((name, number))
}

fn cidr(text: &str) -> Result<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) if !bits.contains('/') => (address, Some(bits)),
        Some(_) => return Err(InvalidPattern::Cidr),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err(match bits {
            Some(_) => InvalidPattern::Address(address.to_owned()),
            None => InvalidPattern::Cidr,
        });
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    // A plain address is a network of one.
    let bits = bits.map_or(Ok(most), |bits| {
        bits.parse().map_err(|_| InvalidPattern::MaskBits)
    })?;
    if bits > most {
        return Err(InvalidPattern::MaskBits);
    }
    Ok(Cidr { address: ip, bits })
}
