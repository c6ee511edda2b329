//! rpcv2Cbor: the operation in the path, all members in a CBOR map, an error's code in the body
//! beside its message.

mod reader;
mod writer;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{codes, structure_of};
use crate::{
    error::Error,
    schema::{Operation, Service},
    value::{Members, Value},
};

/// Reads an operation's input. No body is an empty one.
pub fn decode_request(
    service: &Service,
    operation: &Operation,
    body: &Bytes,
) -> Result<Value, Error> {
    let Some(structure) = structure_of(service, operation.input) else {
        return Ok(Value::Structure(Members::default()));
    };
    let members = match body.is_empty() {
        true => Members::new(structure.members.len()),
        false => reader::decode_structure(service, &structure, body)?,
    };
    Ok(Value::Structure(members))
}

/// Writes an operation's output. One that has none has no body either.
pub fn encode_response(
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
) -> Response<Bytes> {
    let Some(structure) = structure_of(service, operation.output) else {
        let mut empty = answer(StatusCode::OK, Vec::new());
        empty.headers_mut().remove(header::CONTENT_TYPE);
        return empty;
    };
    let members = match output {
        Some(Value::Structure(members)) => members,
        _ => Members::default(),
    };
    let mut body = Vec::with_capacity(256);
    writer::structure(service, &structure, &members, &mut body);
    answer(StatusCode::OK, body)
}

/// Writes an error, also of a request that showed no service that is here.
pub fn encode_error(service: Option<&Service>, error: &Error) -> Response<Bytes> {
    let mut body = Vec::with_capacity(128);
    writer::map(&mut body, |out| match service {
        Some(service) => write_error(service, error, out),
        None => {
            writer::text("__type", out);
            writer::text(error.code, out);
            writer::text("message", out);
            writer::text(&error.message, out);
        }
    });
    let mut response = answer(error.status, body);
    if let Some(service) = service {
        codes::add_query_code(service, error, &mut response);
    }
    for (name, value) in &error.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn write_error(service: &Service, error: &Error, out: &mut Vec<u8>) {
    writer::text("__type", out);
    writer::text(&codes::qualified(service, error), out);
    let shape = codes::error_shape(service, error.code);
    let mut said = error.message.is_empty();
    for member in shape.map_or(&[][..], |structure| structure.members) {
        if matches!(member.name, "Message" | "message") {
            if !said {
                writer::text(member.wire(), out);
                writer::text(&error.message, out);
            }
            said = true;
            continue;
        }
        let given = error.members.iter().find(|(name, _)| *name == member.name);
        if let Some((_, value)) = given {
            writer::text(member.wire(), out);
            writer::value(service, service.shape(member.shape), value, out);
        }
    }
    if !said {
        writer::text("message", out);
        writer::text(&error.message, out);
    }
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/cbor");
    headers.insert(header::CONTENT_TYPE, media_type);
    let protocol = HeaderValue::from_static("rpc-v2-cbor");
    headers.insert("smithy-protocol", protocol);
    response
}
