//! A service's model as static tables: operations, shapes, constraints and where on the wire each
//! member lives. Code generation writes them for whole services; the codecs, the router and the
//! validation read them, so that an operation costs table rows and not code.
//!
//! No protocol is spoken here, and nothing is parsed at run time but regular expressions, each on
//! its first use. Tables need not be static in the source: tests build and leak their own.

mod build;
mod pattern;

use crate::protocol::Protocol;

pub use pattern::Pattern;

/// A shape's index in its service's table.
pub type ShapeId = u16;

/// One AWS service.
#[derive(Debug)]
pub struct Service {
    /// The service's short name, e.g. `Lambda`.
    pub name: &'static str,
    /// The name in a signature's credential scope, and in most endpoints, e.g. `lambda`.
    pub signing_name: &'static str,
    /// What host names begin with, e.g. `monitoring` for CloudWatch.
    pub endpoint_prefix: &'static str,
    pub api_version: &'static str,
    /// What comes before the operation's name in `X-Amz-Target` (awsJson).
    pub target_prefix: Option<&'static str>,
    /// What answers in XML are in (awsQuery, restXml).
    pub xml_namespace: Option<&'static str>,
    /// It spoke awsQuery before it spoke awsJson: errors also carry the code they had then.
    pub query_compatible: bool,
    /// What comes before an error's code in awsJson, e.g. `com.amazonaws.sqs`. Not all services
    /// qualify theirs.
    pub error_namespace: Option<&'static str>,
    pub checks: Checks,
    /// The member that a request leaves out which goes to the URL that it would have (awsQuery).
    pub path_member: Option<&'static str>,
    /// An empty `Detail` is part of an error (awsQuery).
    pub error_detail: bool,
    /// In the order of AWS's preference.
    pub protocols: &'static [Protocol],
    pub operations: &'static [Operation],
    pub shapes: &'static [Shape],
}

/// What of an input a service looks at before an operation does, and in which words it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// All constraints of the model; what breaks them is listed in a ValidationException.
    Constraints,
    /// That what is required is there; the first that is not is a MissingParameter. The operations
    /// have words of their own for all else.
    Presence,
    /// Nothing: the operations have words of their own for all.
    None,
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
    pub auth: Auth,
    /// What its host name begins with before the service's own, e.g. `sync-`.
    pub host_prefix: Option<&'static str>,
    pub method: &'static str,
    /// As in the model, e.g. `/2015-03-31/functions/{FunctionName}?List=ALL`.
    pub uri: &'static str,
    /// The status of a good answer.
    pub status: u16,
    /// The media type of an answer whose body is a blob, where it is not `application/octet-stream`.
    pub content_type: Option<&'static str>,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
    /// The element that holds all of the input (restXml).
    pub input_root: Option<XmlRoot>,
    /// The element that holds all of the output (awsQuery).
    pub result_wrapper: Option<&'static str>,
    /// The body comes with its MD5 or another checksum.
    pub checksum_required: bool,
    /// Not to be asked for at the URL of something that the service holds (awsQuery).
    pub root_only: bool,
    /// Its errors have no `Detail` although the service's others do (awsQuery).
    pub without_detail: bool,
    pub errors: &'static [ShapeId],
}

/// How a request shows who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By a signature over all of it.
    Signed,
    /// By a signature that leaves the body out.
    UnsignedBody,
    /// Not at all: what the request holds has to do.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlRoot {
    pub name: &'static str,
    pub namespace: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlNamespace {
    pub prefix: Option<&'static str>,
    pub uri: &'static str,
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
    /// A blob that is not held whole.
    pub streaming: bool,
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
    /// Its element's name where it is a whole body (restXml).
    pub xml_name: Option<&'static str>,
    pub xml_namespace: Option<XmlNamespace>,
    pub error: Option<ErrorShape>,
}

/// What makes a structure an error.
#[derive(Debug, Clone, Copy)]
pub struct ErrorShape {
    /// Its code in awsQuery and to clients that still expect that one; everywhere else its code is
    /// the shape's name.
    pub query_code: Option<&'static str>,
    pub status: u16,
    /// The caller's fault, not the service's.
    pub sender: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    /// The name on the wire, where that differs.
    pub wire_name: Option<&'static str>,
    /// The name in awsQuery's requests and answers, where that is another one again.
    pub query_name: Option<&'static str>,
    pub shape: ShapeId,
    pub location: Location,
    pub required: bool,
    pub idempotency_token: bool,
    pub flattened: bool,
    pub xml_attribute: bool,
    pub xml_namespace: Option<XmlNamespace>,
    pub timestamp: Option<TimestampFormat>,
    /// A string that travels as base64 of JSON in a header.
    pub json_value: bool,
    /// The body of an event in an event stream.
    pub event_payload: bool,
    pub event_header: bool,
    /// Part of the host name that the operation's prefix describes.
    pub host_label: bool,
    /// A blob that is not held whole.
    pub streaming: bool,
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
