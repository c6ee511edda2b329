//! A service's model as static tables: operations, shapes, constraints and where on the wire each
//! member lives. Code generation writes them for whole services; the codecs, the router and the
//! validation read them, so that an operation costs table rows and not code.
//!
//! No protocol is spoken here, and nothing is parsed at run time but regular expressions, each on
//! its first use. Tables need not be static in the source: tests build and leak their own.

use std::sync::OnceLock;

use fancy_regex::{Regex, RegexBuilder};

use crate::protocol::Protocol;

/// A shape's index in its service's table.
pub type ShapeId = u16;

/// One AWS service.
#[derive(Debug)]
pub struct Service {
    /// The service's short name, e.g. `Lambda`.
    pub name: &'static str,
    /// The name in a signature's credential scope, and in most endpoints, e.g. `lambda`.
    pub signing_name: &'static str,
    pub api_version: &'static str,
    /// What comes before the operation's name in `X-Amz-Target` (awsJson).
    pub target_prefix: Option<&'static str>,
    /// In the order of AWS's preference.
    pub protocols: &'static [Protocol],
    pub operations: &'static [Operation],
    pub shapes: &'static [Shape],
}

impl Service {
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[usize::from(id)]
    }

    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|o| o.name == name)
    }
}

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    /// Its place in [`Service::operations`].
    pub index: u16,
    pub method: &'static str,
    /// As in the model, e.g. `/2015-03-31/functions/{FunctionName}?List=ALL`.
    pub uri: &'static str,
    /// The status of a good answer.
    pub status: u16,
    /// The media type of an answer whose body is a blob, where it is not `application/octet-stream`.
    pub content_type: Option<&'static str>,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
    pub errors: &'static [ShapeId],
}

/// One shape with its constraints.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub kind: Kind,
    /// Least length of a string, blob, list or map, or least value of a number.
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<Pattern>,
    /// The values of an enumeration; empty for every other shape.
    pub values: &'static [&'static str],
    /// Its value stays out of logs and error messages.
    pub sensitive: bool,
    /// How an instant is written, where that is not the protocol's usual way.
    pub timestamp: Option<TimestampFormat>,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Boolean,
    Byte,
    Short,
    Integer,
    Long,
    Float,
    Double,
    String,
    Blob,
    Timestamp,
    /// Free-form JSON.
    Document,
    List(List),
    Map(Map),
    Structure(Structure),
}

#[derive(Debug, Clone, Copy)]
pub struct List {
    pub member: ShapeId,
    /// The element's name in XML and in queries, where it differs from `member`.
    pub member_name: Option<&'static str>,
    pub flattened: bool,
    /// Whether `null` may be an element.
    pub sparse: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Map {
    pub key: ShapeId,
    pub value: ShapeId,
    pub key_name: Option<&'static str>,
    pub value_name: Option<&'static str>,
    pub flattened: bool,
    pub sparse: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Structure {
    pub members: &'static [Member],
    /// The member that is the whole body.
    pub payload: Option<u16>,
    /// Exactly one member is set.
    pub union: bool,
    /// A union whose values arrive one by one.
    pub event_stream: bool,
    pub error: Option<ErrorShape>,
}

/// What makes a structure an error.
#[derive(Debug, Clone, Copy)]
pub struct ErrorShape {
    /// Its code where that is not the shape's name.
    pub code: Option<&'static str>,
    pub status: u16,
    /// The caller's fault, not the service's.
    pub sender: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    /// The name on the wire, where that differs.
    pub wire_name: Option<&'static str>,
    pub shape: ShapeId,
    pub location: Location,
    pub required: bool,
    pub idempotency_token: bool,
    pub flattened: bool,
    pub xml_attribute: bool,
    pub xml_namespace: Option<&'static str>,
    pub timestamp: Option<TimestampFormat>,
    /// A string that travels as base64 of JSON in a header.
    pub json_value: bool,
    /// The body of an event in an event stream.
    pub event_payload: bool,
    pub event_header: bool,
}

/// Where in a request or an answer a member travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Body,
    Uri,
    Query,
    Header,
    /// All headers that begin with the member's wire name.
    HeaderPrefix,
    StatusCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    EpochSeconds,
    Iso8601,
    Rfc822,
}

/// A regular expression of the model. AWS checks with Java's `matches()`: the whole value, with
/// look-around.
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    compiled: OnceLock<Option<Box<Regex>>>,
}

/// How far a pattern may backtrack before the value counts as not matching. Only patterns with
/// look-around backtrack at all, and none of AWS's needs more than a few steps for each character.
const BACKTRACK_STEPS: usize = 200_000;

impl Pattern {
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    pub fn matches(&self, value: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            RegexBuilder::new(&format!(r"\A(?:{})\z", java_to_rust(self.text)))
                .backtrack_limit(BACKTRACK_STEPS)
                .build()
                .ok()
                .map(Box::new)
        });
        match compiled {
            Some(regex) => regex.is_match(value).unwrap_or(false),
            // A test compiles every pattern of every service, so this is one of a test's own.
            None => true,
        }
    }

    /// Whether the regex engine takes the pattern at all.
    pub fn compiles(&self) -> bool {
        self.matches("");
        self.compiled.get().is_some_and(Option::is_some)
    }
}

/// Java reads `[` inside a character class as a nested class and `&&` as an intersection, as Rust
/// does; a `-` after a range (`[a-z0-9-_]`) is a plain dash in Java and an error in Rust.
fn java_to_rust(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let chars: Vec<char> = pattern.chars().collect();
    let mut in_class = false;
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        match c {
            '\\' => {
                out.push(c);
                i += 1;
                if let Some(&next) = chars.get(i) {
                    out.push(next);
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push(c);
            }
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            '-' if in_class && is_plain_dash(&chars, i) => out.push_str("\\-"),
            _ => out.push(c),
        }
        i += 1;
    }
    out
}

/// A dash is plain where the character before it ended a range (`a-z-_`) or was a class (`\w-.`).
fn is_plain_dash(chars: &[char], at: usize) -> bool {
    let ends_range = at >= 3 && chars[at - 2] == '-' && chars[at - 3] != '[';
    let after_class = at >= 2
        && chars[at - 2] == '\\'
        && matches!(chars[at - 1], 'w' | 'd' | 's' | 'W' | 'D' | 'S');
    ends_range || after_class
}

/// The constructors that the generated tables are written with; all of them are `const`.
impl Shape {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            min: None,
            max: None,
            pattern: None,
            values: &[],
            sensitive: false,
            timestamp: None,
        }
    }

    /// A string that has to match a pattern. It is no step of its own like the other constraints
    /// because a `const fn` cannot replace what has a destructor.
    pub const fn matching(name: &'static str, pattern: &'static str) -> Self {
        Self {
            name,
            kind: Kind::String,
            min: None,
            max: None,
            pattern: Some(Pattern::new(pattern)),
            values: &[],
            sensitive: false,
            timestamp: None,
        }
    }

    pub const fn list(name: &'static str, member: ShapeId) -> Self {
        let list = List {
            member,
            member_name: None,
            flattened: false,
            sparse: false,
        };
        Self::new(name, Kind::List(list))
    }

    pub const fn map(name: &'static str, key: ShapeId, value: ShapeId) -> Self {
        let map = Map {
            key,
            value,
            key_name: None,
            value_name: None,
            flattened: false,
            sparse: false,
        };
        Self::new(name, Kind::Map(map))
    }

    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        let structure = Structure {
            members,
            payload: None,
            union: false,
            event_stream: false,
            error: None,
        };
        Self::new(name, Kind::Structure(structure))
    }

    pub const fn min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    pub const fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }

    pub const fn sparse(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.sparse = true,
            Kind::Map(map) => map.sparse = true,
            _ => {}
        }
        self
    }

    pub const fn flattened(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.flattened = true,
            Kind::Map(map) => map.flattened = true,
            _ => {}
        }
        self
    }

    pub const fn item(mut self, name: &'static str) -> Self {
        if let Kind::List(list) = &mut self.kind {
            list.member_name = Some(name);
        }
        self
    }

    pub const fn entry(mut self, key: &'static str, value: &'static str) -> Self {
        if let Kind::Map(map) = &mut self.kind {
            map.key_name = Some(key);
            map.value_name = Some(value);
        }
        self
    }

    pub const fn payload(mut self, member: u16) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.payload = Some(member);
        }
        self
    }

    pub const fn union(mut self) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.union = true;
        }
        self
    }

    pub const fn event_stream(mut self) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.event_stream = true;
        }
        self
    }

    pub const fn error(mut self, status: u16, sender: bool) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.error = Some(ErrorShape {
                code: None,
                status,
                sender,
            });
        }
        self
    }

    pub const fn code(mut self, code: &'static str) -> Self {
        if let Kind::Structure(structure) = &mut self.kind
            && let Some(error) = &mut structure.error
        {
            error.code = Some(code);
        }
        self
    }
}

impl Member {
    pub const fn new(name: &'static str, shape: ShapeId) -> Self {
        Self {
            name,
            wire_name: None,
            shape,
            location: Location::Body,
            required: false,
            idempotency_token: false,
            flattened: false,
            xml_attribute: false,
            xml_namespace: None,
            timestamp: None,
            json_value: false,
            event_payload: false,
            event_header: false,
        }
    }

    /// The name on the wire.
    pub const fn wire(&self) -> &'static str {
        match self.wire_name {
            Some(name) => name,
            None => self.name,
        }
    }

    const fn at(mut self, location: Location, name: &'static str) -> Self {
        self.location = location;
        self.wire_name = Some(name);
        self
    }

    pub const fn named(self, name: &'static str) -> Self {
        self.at(Location::Body, name)
    }

    pub const fn uri(self, name: &'static str) -> Self {
        self.at(Location::Uri, name)
    }

    pub const fn query(self, name: &'static str) -> Self {
        self.at(Location::Query, name)
    }

    pub const fn header(self, name: &'static str) -> Self {
        self.at(Location::Header, name)
    }

    pub const fn header_prefix(self, prefix: &'static str) -> Self {
        self.at(Location::HeaderPrefix, prefix)
    }

    pub const fn status_code(mut self) -> Self {
        self.location = Location::StatusCode;
        self
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn idempotency_token(mut self) -> Self {
        self.idempotency_token = true;
        self
    }

    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub const fn xml_attribute(mut self) -> Self {
        self.xml_attribute = true;
        self
    }

    pub const fn xml_namespace(mut self, uri: &'static str) -> Self {
        self.xml_namespace = Some(uri);
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }

    pub const fn json_value(mut self) -> Self {
        self.json_value = true;
        self
    }

    pub const fn event_payload(mut self) -> Self {
        self.event_payload = true;
        self
    }

    pub const fn event_header(mut self) -> Self {
        self.event_header = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_java_reads_them() {
        let check = |pattern, value: &str, expect: bool| {
            assert_eq!(
                Pattern::new(pattern).matches(value),
                expect,
                "{pattern} on {value}"
            );
        };
        check("[a-zA-Z0-9-_]+", "a-b_c9", true);
        check("[a-zA-Z0-9-_]+", "a.b", false);
        check(r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12", false);
        check(r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12a", true);
        check(r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket.", false);
        check("a|b", "ab", false);
        check(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 1", true);
    }
}
