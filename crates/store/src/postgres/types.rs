//! The store's values in PostgreSQL's binary formats, by the type the statement wants.
//!
//! What SQLite would take silently and PostgreSQL keeps apart is refused here by the type's name.

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::value::Value;

type Refusal = Box<dyn std::error::Error + Sync + Send>;

/// A parameter.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(int) => int_to_sql(*int, ty, out),
            Value::Bool(bool) if *ty == Type::BOOL => bool.to_sql(ty, out),
            Value::Bool(bool) => int_to_sql((*bool).into(), ty, out),
            Value::Real(real) if *ty == Type::FLOAT8 => real.to_sql(ty, out),
            Value::Text(text) if is_text(ty) => text.to_sql(ty, out),
            Value::Text(text) if *ty == Type::JSONB => {
                out.extend_from_slice(&[1]);
                text.to_sql(&Type::TEXT, out)
            }
            Value::Blob(blob) if *ty == Type::BYTEA => blob.to_sql(ty, out),
            value => Err(unfit(value, ty)),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn int_to_sql(int: i64, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
    match *ty {
        Type::INT8 => int.to_sql(ty, out),
        Type::INT4 => i32::try_from(int)?.to_sql(ty, out),
        Type::INT2 => i16::try_from(int)?.to_sql(ty, out),
        Type::BOOL if int == 0 || int == 1 => (int == 1).to_sql(ty, out),
        _ => Err(unfit(&Value::Int(int), ty)),
    }
}

fn is_text(ty: &Type) -> bool {
    [
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::UNKNOWN,
        Type::JSON,
    ]
    .contains(ty)
}

fn unfit(value: &Value, ty: &Type) -> Refusal {
    let kind = match value {
        Value::Null => "NULL",
        Value::Int(_) => "an integer",
        Value::Real(_) => "a real",
        Value::Text(_) => "a text",
        Value::Blob(_) => "a blob",
        Value::Bool(_) => "a bool",
    };
    format!("{kind} is not a {ty}").into()
}

/// A column of a row.
pub(super) struct Read(pub Value);

impl<'a> FromSql<'a> for Read {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Refusal> {
        let value = match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::NUMERIC => Value::Int(whole_numeric(raw)?),
            Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
            Type::FLOAT8 => Value::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(ty, raw)?.into()),
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::JSONB => Value::Text(String::from_sql(&Type::TEXT, raw.get(1..).unwrap_or(&[]))?),
            Type::VOID => Value::Null,
            _ if is_text(ty) => Value::Text(String::from_sql(ty, raw)?),
            _ => return Err(format!("the store does not read the type {ty}").into()),
        };
        Ok(Self(value))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Refusal> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The sum of integers is a NUMERIC here and an integer in SQLite. The format: four 16-bit words
/// (digits, weight, sign, scale), then digits to the base 10,000 from the highest power down.
fn whole_numeric(raw: &[u8]) -> Result<i64, Refusal> {
    let words: Vec<i16> = raw
        .chunks_exact(2)
        .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let [count, weight, sign, _scale, digits @ ..] = words.as_slice() else {
        return Err("a numeric is cut off".into());
    };
    let refused = || Refusal::from("the numeric is not a whole number of 64 bits");
    if digits.len() != usize::try_from(*count)? || !matches!(sign, 0 | 0x4000) {
        return Err(refused());
    }
    let powers = (0..=*weight).rev();
    if digits.len() > powers.len() {
        return Err(refused());
    }
    let mut magnitude: i64 = 0;
    for (place, _) in powers.enumerate() {
        let digit = digits.get(place).copied().unwrap_or(0);
        magnitude = magnitude
            .checked_mul(10_000)
            .and_then(|whole| whole.checked_add(digit.into()))
            .ok_or_else(refused)?;
    }
    Ok(if *sign == 0 { magnitude } else { -magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numerics_are_integers() {
        let raw = |words: &[i16]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let cases: [(Vec<u8>, Option<i64>); 7] = [
            (raw(&[0, 0, 0, 0]), Some(0)),
            (raw(&[1, 0, 0, 0, 42]), Some(42)),
            (raw(&[1, 1, 0, 0, 3]), Some(30_000)),
            (raw(&[2, 1, 0x4000, 0, 1, 2345]), Some(-12_345)),
            (raw(&[1, -1, 0, 1, 5000]), None),
            (raw(&[1, 9, 0, 0, 1]), None),
            (raw(&[1]), None),
        ];
        for (raw, expect) in cases {
            assert_eq!(whole_numeric(&raw).ok(), expect, "{raw:?}");
        }
    }
}
