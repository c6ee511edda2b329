//! AWS's event stream, `application/vnd.amazon.eventstream`: an answer whose events leave one by one,
//! each a message with lengths, headers and checksums of its own.
//!
//! Writes events by the schema tables. Members that travel in a message's headers are none in the
//! services here; exceptions in the middle of a stream are none in Lambda, which ends its own with an
//! event that tells of the error.

use bytes::{BufMut, Bytes, BytesMut};

use super::{json, structure_of};
use crate::{
    schema::{Kind, Member, Operation, Service, Structure},
    value::{IntoValue, Members, Value},
};

pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// A header's type: text with a length of two bytes.
const TEXT: u8 = 7;

/// Writes an event of the stream that an operation answers with: the member of the union that is
/// set. Nothing comes of one in which none is, or of an operation that has no stream.
pub fn encode_event(service: &Service, operation: &Operation, event: impl IntoValue) -> Bytes {
    let event = event.into_value();
    let (Some(union), Some(Value::Structure(members))) = (union_of(service, operation), &event)
    else {
        return Bytes::new();
    };
    let Some((index, Value::Structure(fields))) = members.iter().next() else {
        return Bytes::new();
    };
    let member = &union.members[index];
    let Some(structure) = structure_of(service, Some(member.shape)) else {
        return Bytes::new();
    };
    let (content_type, payload) = payload(service, &structure, fields);
    let (kind, named) = match structure.error {
        Some(_) => ("exception", ":exception-type"),
        None => ("event", ":event-type"),
    };
    let headers = [
        (":message-type", kind),
        (named, member.name),
        (":content-type", content_type),
    ];
    message(&headers, &payload)
}

/// Writes the event that comes before all others where the protocol has no other place for the
/// operation's answer itself, as awsJson has not.
pub fn encode_initial_response(
    service: &Service,
    operation: &Operation,
    output: impl IntoValue,
) -> Bytes {
    let output = output.into_value();
    let body = match (structure_of(service, operation.output), &output) {
        (Some(structure), Some(Value::Structure(members))) => {
            json::encode_structure(service, &structure, members)
        }
        _ => "{}".into(),
    };
    let headers = [
        (":message-type", "event"),
        (":event-type", "initial-response"),
        (":content-type", "application/x-amz-json-1.1"),
    ];
    message(&headers, body.as_ref())
}

fn union_of(service: &Service, operation: &Operation) -> Option<Structure> {
    let output = structure_of(service, operation.output)?;
    // In rest protocols it is the payload; in others a member like any other.
    let mut members = output.members.iter();
    members.find_map(|member| {
        structure_of(service, Some(member.shape)).filter(|union| union.event_stream)
    })
}

/// An event's body: the one member that is all of it, or the members as JSON.
fn payload(service: &Service, structure: &Structure, fields: &Members) -> (&'static str, Bytes) {
    let is_payload = |(_, member): &(usize, &Member)| member.event_payload;
    let Some((index, member)) = structure.members.iter().enumerate().find(is_payload) else {
        let object = json::encode_structure(service, structure, fields);
        return ("application/json", object.into());
    };
    match (service.shape(member.shape).kind, fields.get(index)) {
        (Kind::Blob, Some(Value::Blob(bytes))) => ("application/octet-stream", bytes.clone()),
        (Kind::String, Some(Value::String(text))) => ("text/plain", text.clone().into()),
        (_, Some(value)) => {
            let object = json::encode(service, member.shape, value);
            ("application/json", object.into())
        }
        (_, None) => ("application/octet-stream", Bytes::new()),
    }
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let headers_length: usize = headers
        .iter()
        .map(|(name, value)| 1 + name.len() + 1 + 2 + value.len())
        .sum();
    let length = PRELUDE_BYTES + headers_length + payload.len() + CHECKSUM_BYTES;
    let mut out = BytesMut::with_capacity(length);
    // A payload that does not fit in four bytes of length does not fit in an answer either.
    out.put_u32(length as u32);
    out.put_u32(headers_length as u32);
    out.put_u32(crc32fast::hash(&out));
    for (name, value) in headers {
        // Names and values are the tables' own, all of them short.
        out.put_u8(name.len() as u8);
        out.put_slice(name.as_bytes());
        out.put_u8(TEXT);
        out.put_u16(value.len() as u16);
        out.put_slice(value.as_bytes());
    }
    out.put_slice(payload);
    out.put_u32(crc32fast::hash(&out));
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_awsjson_has_its_union_among_the_members() {
        use crate::cloudwatch_logs as api;
        let is_it = |operation: &&Operation| operation.name == "StartLiveTail";
        let operation = api::SERVICE.operations.iter().find(is_it).unwrap();
        let has = |event: &Bytes, text: &str| {
            event
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let update = api::StartLiveTailResponseStream {
            session_update: Some(Default::default()),
            ..Default::default()
        };
        let event = encode_event(&api::SERVICE, operation, update);
        assert!(has(&event, "sessionUpdate") && has(&event, ":event-type"));
        let timeout = api::StartLiveTailResponseStream {
            session_timeout_exception: Some(Default::default()),
            ..Default::default()
        };
        let event = encode_event(&api::SERVICE, operation, timeout);
        assert!(has(&event, "SessionTimeoutException") && has(&event, ":exception-type"));
        let output = api::StartLiveTailResponse::default();
        let event = encode_initial_response(&api::SERVICE, operation, output);
        assert!(has(&event, "initial-response") && has(&event, "{}"));
    }

    #[test]
    fn a_message_without_anything_is_that_of_the_specification() {
        let expect = b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
        assert_eq!(&message(&[], b"")[..], expect);
    }
}
