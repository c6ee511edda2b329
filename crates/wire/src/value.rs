//! The shape-less middle between the wire and typed structures: codecs make and read [`Value`]s by
//! the schema tables, and each generated structure turns itself into and from one.
//!
//! Conversions are total. A value reaches them decoded by its schema and validated, so a member
//! that is missing is one that may be, and stays at its default.

use bytes::Bytes;
use jiff::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An element of a sparse list or map.
    Null,
    Boolean(bool),
    /// Byte, short, integer and long.
    Integer(i64),
    Float(f64),
    String(String),
    Blob(Bytes),
    Timestamp(Timestamp),
    Document(serde_json::Value),
    List(Vec<Value>),
    /// In the order of arrival.
    Map(Vec<(String, Value)>),
    Structure(Members),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// A structure's members by their place in the schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Members(Vec<Option<Value>>);

impl Members {
    pub fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)?.as_ref()
    }

    pub fn set(&mut self, index: usize, value: Value) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(value);
        }
    }

    pub fn clear(&mut self, index: usize) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = None;
        }
    }

    pub fn take<T: FromValue>(&mut self, index: usize) -> T {
        T::from_value(self.0.get_mut(index).and_then(Option::take))
    }

    pub fn put<T: IntoValue>(&mut self, index: usize, value: T) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = value.into_value();
        }
    }

    /// How many members are set.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// The members that are set, with their places.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some((index, value.as_ref()?)))
    }

    /// How many members the structure has, set or not.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }
}

/// A member's Rust type, made of what was decoded for it.
pub trait FromValue: Sized {
    fn from_value(value: Option<Value>) -> Self;
}

/// A member's Rust type, as what the codecs encode; `None` leaves the member out.
pub trait IntoValue {
    fn into_value(self) -> Option<Value>;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<Value>) -> Self {
        match value {
            None | Some(Value::Null) => None,
            some => Some(T::from_value(some)),
        }
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Option<Value> {
        self.and_then(T::into_value)
    }
}

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: Option<Value>) -> Self {
        Box::new(T::from_value(value))
    }
}

impl<T: IntoValue> IntoValue for Box<T> {
    fn into_value(self) -> Option<Value> {
        (*self).into_value()
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Option<Value>) -> Self {
        match value {
            Some(Value::List(items)) => items.into_iter().map(|v| T::from_value(Some(v))).collect(),
            _ => Self::new(),
        }
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Option<Value> {
        let items = self
            .into_iter()
            .map(|v| v.into_value().unwrap_or(Value::Null));
        Some(Value::List(items.collect()))
    }
}

/// A map of the wire: in the order of arrival, which Lambda's messages repeat; of a key that came
/// twice the last value.
pub type Map<T> = indexmap::IndexMap<String, T>;

impl<T: FromValue> FromValue for Map<T> {
    fn from_value(value: Option<Value>) -> Self {
        match value {
            Some(Value::Map(entries)) => entries
                .into_iter()
                .map(|(k, v)| (k, T::from_value(Some(v))))
                .collect(),
            _ => Self::new(),
        }
    }
}

impl<T: IntoValue> IntoValue for Map<T> {
    fn into_value(self) -> Option<Value> {
        let entries = self
            .into_iter()
            .map(|(k, v)| (k, v.into_value().unwrap_or(Value::Null)));
        Some(Value::Map(entries.collect()))
    }
}

macro_rules! scalar {
    ($($type:ty, $variant:ident;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: Option<Value>) -> Self {
                match value {
                    Some(Value::$variant(value)) => value,
                    _ => Self::default(),
                }
            }
        }
        impl IntoValue for $type {
            fn into_value(self) -> Option<Value> {
                Some(Value::$variant(self))
            }
        }
    )*};
}

scalar! {
    bool, Boolean;
    i64, Integer;
    f64, Float;
    String, String;
    Bytes, Blob;
    Timestamp, Timestamp;
    serde_json::Value, Document;
}

impl FromValue for i32 {
    fn from_value(value: Option<Value>) -> Self {
        i32::try_from(i64::from_value(value)).unwrap_or_default()
    }
}

impl IntoValue for i32 {
    fn into_value(self) -> Option<Value> {
        Some(Value::Integer(i64::from(self)))
    }
}

impl IntoValue for () {
    fn into_value(self) -> Option<Value> {
        None
    }
}

impl FromValue for () {
    fn from_value(_: Option<Value>) -> Self {}
}

/// Says of a generated structure which of its fields is which member of its shape: fields come in
/// the order of the shape's members.
macro_rules! shape {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::value::FromValue for $name {
            #[allow(unused_mut, unused_variables, unused_assignments)]
            fn from_value(value: Option<$crate::value::Value>) -> Self {
                let Some($crate::value::Value::Structure(mut members)) = value else {
                    return Self::default();
                };
                let mut next = 0usize;
                Self { $($field: { next += 1; members.take(next - 1) },)* }
            }
        }
        impl $crate::value::IntoValue for $name {
            #[allow(unused_mut, unused_variables, unused_assignments)]
            fn into_value(self) -> Option<$crate::value::Value> {
                const COUNT: usize = <[&str]>::len(&[$(stringify!($field)),*]);
                let mut members = $crate::value::Members::new(COUNT);
                let mut next = 0usize;
                $(members.put(next, self.$field); next += 1;)*
                Some($crate::value::Value::Structure(members))
            }
        }
    };
}
pub(crate) use shape;
