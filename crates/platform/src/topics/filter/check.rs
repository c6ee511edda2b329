//! What SNS refuses in a filter policy, in its words. `patterns` would refuse most of it as well, in
//! others.

use serde_json::{Map, Value};

use super::{OPERATORS, Scope};
use crate::topics::{
    error::{Error, Result},
    limits,
};

pub fn check(policy: &Value, scope: Scope, at: &str) -> Result<()> {
    let invalid = |what: String| Error::parameter(format!("{at}FilterPolicy: {what}"));
    let Value::Object(object) = policy else {
        return Err(invalid("Filter is not an object".to_owned()));
    };
    if scope == Scope::MessageAttributes && is_nested(object) {
        return Err(Error::parameter(format!(
            "{at}Filter policy scope MessageAttributes does not support nested filter policy"
        )));
    }
    let mut walk = Walk { keys: 0 };
    let combinations = walk.object(object, 1).map_err(invalid)?;
    if walk.keys > limits::FILTER_KEYS_MAX {
        return Err(invalid(format!(
            "Filter policy can not have more than {} keys",
            limits::FILTER_KEYS_MAX
        )));
    }
    if combinations > limits::FILTER_COMBINATIONS_MAX {
        return Err(invalid("Filter policy is too complex".to_owned()));
    }
    Ok(())
}

/// The objects that `$or` offers, if that is what it is.
fn alternatives<'a>(key: &str, value: &'a Value) -> Option<Vec<&'a Map<String, Value>>> {
    let values = value
        .as_array()
        .filter(|all| key == "$or" && all.len() > 1)?;
    values.iter().map(Value::as_object).collect()
}

fn is_nested(object: &Map<String, Value>) -> bool {
    object
        .iter()
        .any(|(key, value)| match alternatives(key, value) {
            Some(all) => all.into_iter().any(is_nested),
            None => value.is_object(),
        })
}

struct Walk {
    keys: usize,
}

type Checked<T> = std::result::Result<T, String>;

impl Walk {
    /// The combinations of the values below: keys multiply, alternatives add up, and a value counts
    /// once for each level that it is deep.
    fn object(&mut self, object: &Map<String, Value>, depth: usize) -> Checked<usize> {
        if object.is_empty() {
            return Err("Empty objects are not allowed".to_owned());
        }
        if depth > limits::FILTER_DEPTH_MAX {
            return Err("Filter policy is too complex".to_owned());
        }
        let mut combinations = 1_usize;
        for (key, value) in object {
            let of_key = match (alternatives(key, value), value) {
                (Some(all), _) => {
                    let mut sum = 0_usize;
                    for alternative in all {
                        sum = sum.saturating_add(self.object(alternative, depth)?);
                    }
                    sum
                }
                (None, Value::Object(below)) => self.object(below, depth + 1)?,
                (None, Value::Array(values)) => {
                    self.keys += 1;
                    if values.is_empty() {
                        return Err("Empty arrays are not allowed".to_owned());
                    }
                    values.iter().try_for_each(value_of)?;
                    values.len().saturating_mul(depth)
                }
                _ => return Err(format!("\"{key}\" must be an object or an array")),
            };
            combinations = combinations.saturating_mul(of_key);
        }
        Ok(combinations)
    }
}

fn value_of(value: &Value) -> Checked<()> {
    match value {
        Value::Object(object) => {
            let mut members = object.iter();
            let (Some((name, operand)), None) = (members.next(), members.next()) else {
                return Err("Only one key allowed in match expression".to_owned());
            };
            operator(name, operand)
        }
        Value::Array(_) => {
            Err("Match value must be String, number, true, false, or null".to_owned())
        }
        _ => Ok(()),
    }
}

fn operator(name: &str, operand: &Value) -> Checked<()> {
    let text = |name: &str, operand: &Value| match operand {
        Value::String(_) => Ok(()),
        _ => Err(format!("{name} match pattern must be a string")),
    };
    match name {
        _ if !OPERATORS.has(name) => Err(format!("Unrecognized match type {name}")),
        "numeric" => match operand {
            Value::Array(parts) => numeric(parts),
            _ => Err("Value of numeric must be an array.".to_owned()),
        },
        "anything-but" => match operand {
            Value::Object(object) => match object.iter().next() {
                Some((inner, operand)) if inner == "prefix" => text("prefix", operand),
                Some((inner, _)) => Err(format!("Unsupported anything-but pattern: {inner}")),
                None => Err("Empty objects are not allowed".to_owned()),
            },
            // What else it may be, the language says.
            _ => Ok(()),
        },
        "exists" => match operand {
            Value::Bool(_) => Ok(()),
            _ => Err("exists match pattern must be either true or false.".to_owned()),
        },
        "cidr" => text("prefix", operand),
        name => text(name, operand),
    }
}

fn numeric(parts: &[Value]) -> Checked<()> {
    let Some(first) = parts.first() else {
        return Err("Invalid member in numeric match: ]".to_owned());
    };
    let Some(first) = first.as_str() else {
        return Err(format!("Invalid member in numeric match: {first}"));
    };
    let called = match first {
        "=" => "equals",
        "<" | "<=" | ">" | ">=" => first,
        other => return Err(format!("Unrecognized numeric range operator: {other}")),
    };
    let number = |at: usize, called: &str| {
        let number = parts.get(at).and_then(Value::as_f64);
        number.ok_or_else(|| format!("Value of {called} must be numeric"))
    };
    let bottom = number(1, called)?;
    let Some(second) = parts.get(2) else {
        return Ok(());
    };
    if !first.starts_with('>') {
        return Err("Too many elements in numeric expression".to_owned());
    }
    let Some(second) = second.as_str() else {
        return Err(format!("Bad value in numeric range: {second}"));
    };
    if !matches!(second, "<" | "<=") {
        return Err(format!("Bad numeric range operator: {second}"));
    }
    let top = number(3, second)?;
    if bottom >= top {
        return Err("Bottom must be less than top".to_owned());
    }
    match parts.len() > 4 {
        true => Err("Too many terms in numeric range expression".to_owned()),
        false => Ok(()),
    }
}
