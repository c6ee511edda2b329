//! Scalars as text, in headers, labels and query strings, and base64.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::{
    error::Error,
    schema::{Kind, Shape, TimestampFormat},
    time,
    value::Value,
};

/// SDKs always pad; some hand-made clients do not, and AWS takes both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub fn base64_encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Padding is whole or not there at all.
pub fn base64_decode(text: impl AsRef<[u8]>) -> Option<Bytes> {
    let text = text.as_ref();
    if text.ends_with(b"=") && !text.len().is_multiple_of(4) {
        return None;
    }
    BASE64.decode(text).ok().map(Bytes::from)
}

/// Reads a scalar of `shape`; `format` is for timestamps.
pub fn parse(shape: &Shape, text: &str, format: TimestampFormat) -> Result<Value, Error> {
    let refused = || Error::serialization(refusal(&shape.kind, text));
    Ok(match shape.kind {
        Kind::Boolean => match text {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => return Err(refused()),
        },
        Kind::Byte | Kind::Short | Kind::Integer | Kind::Long => {
            let number: i64 = plain_number(text)
                .and_then(|t| t.parse().ok())
                .ok_or_else(refused)?;
            if !fits(&shape.kind, number) {
                return Err(refused());
            }
            Value::Integer(number)
        }
        Kind::Float | Kind::Double => Value::Float(parse_float(text).ok_or_else(refused)?),
        Kind::String => Value::String(text.to_owned()),
        Kind::Blob => Value::Blob(base64_decode(text).ok_or_else(refused)?),
        Kind::Timestamp => Value::Timestamp(time::parse(format, text).ok_or_else(refused)?),
        Kind::Document => Value::Document(serde_json::from_str(text).map_err(|_| refused())?),
        Kind::List(_) | Kind::Map(_) | Kind::Structure(_) => return Err(refused()),
    })
}

/// Writes a scalar; what is none writes as nothing.
pub fn print(value: &Value, format: TimestampFormat) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => print_float(*value),
        Value::String(value) => value.clone(),
        Value::Blob(value) => base64_encode(value),
        Value::Timestamp(value) => time::print(format, *value),
        Value::Document(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Structure(_) => String::new(),
    }
}

/// Whether a number is one of the shape's kind.
pub fn fits(kind: &Kind, number: i64) -> bool {
    match kind {
        Kind::Byte => i8::try_from(number).is_ok(),
        Kind::Short => i16::try_from(number).is_ok(),
        Kind::Integer => i32::try_from(number).is_ok(),
        _ => true,
    }
}

/// `+1`, ` 1` and `` parse in some languages and are no numbers to AWS.
fn plain_number(text: &str) -> Option<&str> {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then_some(text)
}

pub fn parse_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => plain_number(text)?
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite()),
    }
}

pub fn print_float(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() && v > 0.0 => "Infinity".to_owned(),
        v if v.is_infinite() => "-Infinity".to_owned(),
        v => serde_json::Number::from_f64(v).map_or_else(String::new, |n| n.to_string()),
    }
}

fn refusal(kind: &Kind, text: &str) -> String {
    let wanted = match kind {
        Kind::Boolean => "Boolean",
        Kind::Byte => "Byte",
        Kind::Short => "Short",
        Kind::Integer => "Integer",
        Kind::Long => "Long",
        Kind::Float => "Float",
        Kind::Double => "Double",
        Kind::Timestamp => "Timestamp",
        Kind::Blob => "Blob",
        _ => "value of the expected type",
    };
    let shown: String = text.chars().take(64).collect();
    format!("'{shown}' can not be converted to a {wanted}")
}
