//! awsJson 1.0 and 1.1: the operation in `X-Amz-Target`, all members in a JSON body, an error's code
//! in the body beside its message.
//!
//! A service that spoke awsQuery before also says the code that an error had then, in a header.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{Protocol, codes, json, structure_of};
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
        false => json::decode_structure(service, &structure, body)?,
    };
    Ok(Value::Structure(members))
}

/// Writes an operation's output.
pub fn encode_response(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
) -> Response<Bytes> {
    let body = match (structure_of(service, operation.output), output) {
        (Some(structure), Some(Value::Structure(members))) => {
            json::encode_structure(service, &structure, &members)
        }
        _ => b"{}".to_vec(),
    };
    answer(protocol, StatusCode::OK, body)
}

/// Writes an error: its code in the body, qualified where the service does that.
pub fn encode_error(protocol: Protocol, service: &Service, error: &Error) -> Response<Bytes> {
    let shape = codes::error_shape(service, error.code);
    let body = json::typed_error(service, codes::qualified(service, error), shape, error);
    let mut response = answer(protocol, error.status, body);
    codes::add_query_code(service, error, &mut response);
    for (name, value) in &error.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn answer(protocol: Protocol, status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let content_type = match protocol {
        Protocol::AwsJson1_0 => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    };
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
