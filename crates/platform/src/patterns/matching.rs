//! Whether an event is as a pattern says.
//!
//! Arrays are seen through: a field of an array's elements is as good as the array's own. But what
//! is asked together of the fields of one object has to hold within one element.

use std::{cell::OnceCell, net::IpAddr};

use serde_json::{Map, Number, Value};

use super::{Cidr, Field, Leaf, Node, Pattern, Range, Test, Text, fold};

impl Pattern {
    pub fn matches(&self, event: &Value) -> bool {
        let question = Question {
            event,
            pattern: self,
            absent: self.absent.iter().map(|_| OnceCell::new()).collect(),
        };
        match event.as_object() {
            Some(object) => question.holds(&self.node, Some(Place::whole(object))),
            None => false,
        }
    }

    /// The fields that it asks for at the top.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.node.names(&mut names);
        names
    }

    /// Whether what it asks of a field at the top is about what is below it. None if it does not
    /// ask for the field.
    pub(crate) fn asks_below(&self, name: &str) -> Option<bool> {
        self.node.asks_below(name)
    }
}

impl Node {
    fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        names.extend(self.fields.keys().map(String::as_str));
        for alternative in self.ors.iter().flatten() {
            alternative.names(names);
        }
    }

    fn asks_below(&self, name: &str) -> Option<bool> {
        let here = self.fields.get(name).map(|field| field.below.is_some());
        let ors = self.ors.iter().flatten();
        here.or_else(|| ors.into_iter().find_map(|node| node.asks_below(name)))
    }
}

/// Where in the event a node is asked about: an object, or those of its fields whose names begin
/// with what stands before a dot.
#[derive(Clone, Copy)]
struct Place<'a> {
    object: &'a Map<String, Value>,
    prefix: &'a str,
}

impl<'a> Place<'a> {
    fn whole(object: &'a Map<String, Value>) -> Self {
        Self { object, prefix: "" }
    }

    fn value(self, name: &str) -> Option<&'a Value> {
        match self.prefix {
            "" => self.object.get(name),
            prefix => self.object.get(&format!("{prefix}.{name}")),
        }
    }

    /// The same object's fields one name further: `a.b` is `b` in `a`.
    fn dotted(self, name: &str) -> Option<Self> {
        let behind = |key: &'a str| {
            let rest = match self.prefix {
                "" => key,
                prefix => key.strip_prefix(prefix)?.strip_prefix('.')?,
            };
            let tail = rest.strip_prefix(name)?;
            tail.starts_with('.')
                .then(|| &key[..key.len() - tail.len()])
        };
        let mut keys = self.object.keys().filter(|key| key.contains('.'));
        let prefix = keys.find_map(|key| behind(key))?;
        Some(Self { prefix, ..self })
    }
}

struct Question<'a> {
    event: &'a Value,
    pattern: &'a Pattern,
    /// Looked for once, however many elements ask.
    absent: Vec<OnceCell<bool>>,
}

impl Question<'_> {
    fn holds(&self, node: &Node, place: Option<Place<'_>>) -> bool {
        node.fields
            .iter()
            .all(|(name, field)| self.field_holds(field, name, place))
            && node
                .ors
                .iter()
                .all(|or| or.iter().any(|node| self.holds(node, place)))
    }

    fn field_holds(&self, field: &Field, name: &str, place: Option<Place<'_>>) -> bool {
        let value = place.and_then(|place| place.value(name));
        let leaf = field.leaf.as_ref();
        if !leaf.is_none_or(|leaf| self.leaf_holds(leaf, value)) {
            return false;
        }
        let Some(below) = &field.below else {
            return true;
        };
        value.is_some_and(|value| self.holds_in(below, value))
            || place
                .and_then(|place| place.dotted(name))
                .is_some_and(|dotted| self.holds(below, Some(dotted)))
            // What is asked may be that nothing is there.
            || self.holds(below, None)
    }

    fn holds_in(&self, node: &Node, value: &Value) -> bool {
        match value {
            Value::Object(object) => self.holds(node, Some(Place::whole(object))),
            Value::Array(elements) => elements.iter().any(|element| self.holds_in(node, element)),
            _ => false,
        }
    }

    fn leaf_holds(&self, leaf: &Leaf, value: Option<&Value>) -> bool {
        value.is_some_and(|value| passes(&leaf.tests, value))
            || leaf.or_absent.is_some_and(|which| self.is_absent(which))
    }

    fn is_absent(&self, which: usize) -> bool {
        let look = || !exists(self.event, &self.pattern.absent[which]);
        *self.absent[which].get_or_init(look)
    }
}

/// Whether there is a value that is no object, nor an array without any, at a path.
fn exists(value: &Value, path: &[String]) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| exists(element, path)),
        Value::Object(object) => {
            let Some((name, rest)) = path.split_first() else {
                return false;
            };
            let dotted = object.iter().filter(|(key, _)| key.contains('.'));
            object.get(name).is_some_and(|value| exists(value, rest))
                || dotted.into_iter().any(|(key, value)| {
                    let names = key.split('.').count();
                    path.len() >= names
                        && key.split('.').eq(path[..names].iter().map(String::as_str))
                        && exists(value, &path[names..])
                })
        }
        _ => path.is_empty(),
    }
}

fn passes(tests: &[Test], value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| passes(tests, element)),
        Value::Object(_) => false,
        value => tests.iter().any(|test| test.passes(value)),
    }
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Exists, _) | (Self::Null, Value::Null) => true,
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Self::Number(wanted), Value::Number(found)) => equal(wanted, found),
            (Self::Range(range), Value::Number(found)) => range.has(found),
            (Self::Text(test), Value::String(found)) => test.passes(found),
            (Self::Cidr(cidr), Value::String(found)) => cidr.has(found),
            (Self::NotNumbers(not), Value::Number(found)) => {
                !not.iter().any(|not| equal(not, found))
            }
            (Self::NotTexts(not), Value::String(found)) => !not.iter().any(|not| not.passes(found)),
            (Self::NotNumbers(_) | Self::NotTexts(_), _) => true,
            _ => false,
        }
    }
}

impl Text {
    fn passes(&self, found: &str) -> bool {
        match self {
            Self::Equal(wanted) => found == wanted,
            Self::Prefix(prefix) => found.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => found.ends_with(suffix.as_str()),
            Self::EqualIgnoreCase(wanted) => fold(found) == *wanted,
            Self::PrefixIgnoreCase(prefix) => fold(found).starts_with(prefix.as_str()),
            Self::SuffixIgnoreCase(suffix) => fold(found).ends_with(suffix.as_str()),
            Self::Wildcard(wildcard) => wildcard.matches(found),
        }
    }
}

/// 1, 1.0 and 1e0 are one number; integers are compared as such, however large.
fn equal(one: &Number, other: &Number) -> bool {
    one == other || !(is_integer(one) && is_integer(other)) && one.as_f64() == other.as_f64()
}

fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64()
}

impl Range {
    fn has(self, found: &Number) -> bool {
        let Some(found) = found.as_f64() else {
            return false;
        };
        let above = |bound: super::Bound| found > bound.at || bound.inclusive && found == bound.at;
        let below = |bound: super::Bound| found < bound.at || bound.inclusive && found == bound.at;
        self.from.is_none_or(above) && self.to.is_none_or(below)
    }
}

impl Cidr {
    fn has(self, found: &str) -> bool {
        let network = |bits: u32, most: u32| most - bits.min(most);
        match (self.address, found.parse()) {
            (IpAddr::V4(ours), Ok(IpAddr::V4(found))) => {
                let differ = u64::from(ours.to_bits() ^ found.to_bits());
                differ >> network(self.bits, 32) == 0
            }
            (IpAddr::V6(ours), Ok(IpAddr::V6(found))) => {
                let differ = ours.to_bits() ^ found.to_bits();
                differ.checked_shr(network(self.bits, 128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}
