//! The language of patterns over JSON events: EventBridge's rules and archives, Lambda's and Pipes'
//! filters and SNS's filter policies speak it, each with its own set of operators ([`Operators`]).
//!
//! Pure. A pattern is compiled once ([`Pattern::compile`]) and then asked about events. Matching
//! takes time in proportion to pattern times event, whatever stands in them.

mod compile;
mod index;
mod json;
mod matching;
#[cfg(test)]
mod tests;
mod wildcard;

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Number;
use wildcard::Wildcard;

pub use compile::{InvalidPattern, Reason};
pub use index::Index;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    node: Node,
    /// The fields that `exists: false` asks for.
    absent: Vec<Vec<String>>,
}

/// The operators that a service knows, by their names in patterns.
#[derive(Debug, Clone, Copy)]
pub struct Operators(pub &'static [&'static str]);

impl Operators {
    /// All there are: EventBridge's.
    pub const ALL: Self = Self(&[
        "exists",
        "prefix",
        "suffix",
        "equals-ignore-case",
        "wildcard",
        "anything-but",
        "numeric",
        "cidr",
    ]);
    /// Lambda's event filtering.
    pub const LAMBDA: Self = Self(&[
        "exists",
        "prefix",
        "suffix",
        "equals-ignore-case",
        "wildcard",
        "anything-but",
        "numeric",
    ]);

    /// EventBridge has no rule for everything by saying nothing.
    fn refuses_empty(self) -> bool {
        self.has("cidr")
    }

    pub fn has(self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// What a pattern says about an object, or the objects of an array: all of it has to hold, in one
/// and the same element.
#[derive(Debug, Clone, Default, PartialEq)]
struct Node {
    fields: BTreeMap<String, Field>,
    /// Of each list of alternatives at least one holds.
    ors: Vec<Vec<Node>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Field {
    /// Of what stands at the field itself, one of these.
    leaf: Option<Leaf>,
    /// Of what stands below it.
    below: Option<Node>,
}

#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    tests: Vec<Test>,
    /// `exists: false` is among them. That holds where no element of any array has the field, so it
    /// is asked of the whole event: which of the pattern's `absent`.
    or_absent: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    Exists,
    Range(Range),
    Cidr(Cidr),
    /// Any value but these; a value of another kind is none of them.
    NotNumbers(Vec<Number>),
    NotTexts(Vec<Text>),
}

/// A test of a string.
#[derive(Debug, Clone, PartialEq)]
enum Text {
    Equal(String),
    Prefix(String),
    Suffix(String),
    /// These three are kept folded.
    EqualIgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
    Wildcard(Wildcard),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    from: Option<Bound>,
    to: Option<Bound>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    at: f64,
    inclusive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cidr {
    address: IpAddr,
    bits: u32,
}

fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
