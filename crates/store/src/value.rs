//! What goes into a statement and comes out of a row: the six types both engines share.
//!
//! There is no conversion from `u64`: it does not fit, and the caller has to say what it means.

use std::sync::Arc;

use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    /// SQLite keeps it as 0 or 1; [`Row::get`] reads either form as a `bool`.
    Bool(bool),
}

/// The parameters of a statement, in the order of their numbers.
///
/// ```
/// # use lambent_store as store;
/// let name = String::from("greet");
/// assert_eq!(store::params![name, 7].len(), 2);
/// ```
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::Value] };
    ($($value:expr),+ $(,)?) => { &[$($crate::Value::from($value)),+][..] };
}

macro_rules! from {
    ($($given:ty => $value:ident),+ $(,)?) => { $(
        impl From<$given> for Value {
            fn from(given: $given) -> Self {
                Self::$value(given.into())
            }
        }
    )+ };
}

from! {
    i64 => Int, i32 => Int, u32 => Int, u16 => Int, u8 => Int,
    f64 => Real,
    String => Text, &str => Text,
    Vec<u8> => Blob, &[u8] => Blob,
    bool => Bool,
}

impl From<&String> for Value {
    fn from(given: &String) -> Self {
        Self::Text(given.clone())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Null, Into::into)
    }
}

/// One row of a result.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// Reads a column by its name or position; `Option<T>` where it may be NULL.
    pub fn get<T: FromValue>(&self, column: impl Column) -> Result<T> {
        T::from_value(self.value(&column)?).ok_or_else(|| self.mismatch::<T>(&column))
    }

    /// Like [`Row::get`], without copying texts and blobs.
    pub fn take<T: FromValue>(&mut self, column: impl Column) -> Result<T> {
        self.value(&column)?;
        let position = column.position(&self.columns).unwrap_or_default();
        let value = std::mem::replace(&mut self.values[position], Value::Null);
        T::from_owned(value).ok_or_else(|| self.mismatch::<T>(&column))
    }

    pub fn values(&self) -> &[Value] {
        &self.values
    }

    fn value(&self, column: &impl Column) -> Result<&Value> {
        let position = column.position(&self.columns);
        position
            .and_then(|at| self.values.get(at))
            .ok_or_else(|| Error::Statement {
                reason: format!(
                    "the row has no column {}, it has {:?}",
                    column.label(),
                    self.columns
                ),
            })
    }

    fn mismatch<T>(&self, column: &impl Column) -> Error {
        Error::Statement {
            reason: format!(
                "column {} is no {}",
                column.label(),
                std::any::type_name::<T>()
            ),
        }
    }
}

/// How a column is named: by text or by position.
pub trait Column {
    fn position(&self, columns: &[String]) -> Option<usize>;
    fn label(&self) -> String;
}

impl Column for &str {
    fn position(&self, columns: &[String]) -> Option<usize> {
        columns.iter().position(|name| name == self)
    }

    fn label(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Column for usize {
    fn position(&self, _: &[String]) -> Option<usize> {
        Some(*self)
    }

    fn label(&self) -> String {
        self.to_string()
    }
}

/// A type a column can be read as; `None` when the value is of another type.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self> {
        Self::from_owned(value.clone())
    }

    fn from_owned(value: Value) -> Option<Self>;
}

macro_rules! read {
    ($($wanted:ty: $pattern:pat => $read:expr),+ $(,)?) => { $(
        impl FromValue for $wanted {
            fn from_owned(value: Value) -> Option<Self> {
                match value { $pattern => $read, _ => None }
            }
        }
    )+ };
}

read! {
    i64: Value::Int(int) => Some(int),
    i32: Value::Int(int) => int.try_into().ok(),
    u32: Value::Int(int) => int.try_into().ok(),
    u64: Value::Int(int) => int.try_into().ok(),
    f64: Value::Real(real) => Some(real),
    String: Value::Text(text) => Some(text),
    Vec<u8>: Value::Blob(blob) => Some(blob),
}

impl FromValue for Value {
    fn from_owned(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl FromValue for bool {
    fn from_owned(value: Value) -> Option<Self> {
        match value {
            Value::Bool(bool) => Some(bool),
            Value::Int(int @ (0 | 1)) => Some(int == 1),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_owned(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_owned(value).map(Some),
        }
    }
}
