//! AWS's protocols over the schema tables: a request becomes a [`Value`] of the operation's input
//! shape, a `Value` of its output shape an answer, an [`Error`] an answer too.
//!
//! The protocols differ in where the parts of a message go, not in what they are: each is an arm
//! in the three functions here and a module beside this one. Nothing here knows a domain type.

mod aws_json;
mod codes;
mod envelope;
mod json;
mod rest;
mod text;

pub use envelope::spoken;
pub(crate) use text::{base64_encode, print_float};

use bytes::Bytes;
use http::{HeaderValue, Response, request};

use crate::{
    error::Error,
    router::Labels,
    schema::{Kind, Operation, Service, ShapeId, Structure},
    value::Value,
};

/// How a service talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    RestJson1,
    AwsJson1_0,
    AwsJson1_1,
    AwsQuery,
    RestXml,
    RpcV2Cbor,
}

/// Reads a request's input. Constraints of the model are not checked here.
pub fn decode_request(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    labels: &Labels,
    parts: &request::Parts,
    body: &Bytes,
) -> Result<Value, Error> {
    match protocol {
        Protocol::RestJson1 => rest::decode_request(service, operation, labels, parts, body),
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 => {
            aws_json::decode_request(service, operation, body)
        }
        other => Err(unspoken(other)),
    }
}

/// Writes an operation's good answer.
pub fn encode_response(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
    request_id: &str,
) -> Response<Bytes> {
    let encoded = match protocol {
        Protocol::RestJson1 => rest::encode_response(service, operation, output),
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 => Ok(aws_json::encode_response(
            protocol, service, operation, output,
        )),
        other => Err(unspoken(other)),
    };
    match encoded {
        Ok(response) => identified(response, request_id),
        Err(error) => encode_error(protocol, Some(service), &error, request_id),
    }
}

/// Writes an error. Without a service it is one that arose before the service was known.
pub fn encode_error(
    protocol: Protocol,
    service: Option<&Service>,
    error: &Error,
    request_id: &str,
) -> Response<Bytes> {
    let response = match (protocol, service) {
        (Protocol::RestJson1, service) => rest::encode_error(service, error),
        (Protocol::AwsJson1_0 | Protocol::AwsJson1_1, Some(service)) => {
            aws_json::encode_error(protocol, service, error)
        }
        (Protocol::AwsJson1_0 | Protocol::AwsJson1_1, None) => envelope::json(protocol, error),
        (Protocol::AwsQuery, _) => envelope::query(error, request_id),
        (Protocol::RestXml, _) => envelope::xml(error, request_id),
        (Protocol::RpcV2Cbor, _) => envelope::cbor(error),
    };
    identified(response, request_id)
}

/// An error as a client of this request reads it: one that does not know awsQuery gets no status of
/// awsQuery's.
pub fn for_client(
    protocol: Protocol,
    service: &Service,
    parts: &request::Parts,
    mut answer: Response<Bytes>,
) -> Response<Bytes> {
    let json = matches!(protocol, Protocol::AwsJson1_0 | Protocol::AwsJson1_1);
    let knows_query = || parts.headers.get("x-amzn-query-mode");
    if json && service.query_compatible && knows_query().is_none_or(|v| v != "true") {
        aws_json::without_query_mode(&mut answer);
    }
    answer
}

fn unspoken(protocol: Protocol) -> Error {
    Error::new(
        "NotImplemented",
        http::StatusCode::NOT_IMPLEMENTED,
        format!("The protocol {protocol:?} is not implemented yet"),
    )
}

fn structure_of(service: &Service, shape: Option<ShapeId>) -> Option<Structure> {
    match service.shape(shape?).kind {
        Kind::Structure(structure) => Some(structure),
        _ => None,
    }
}

fn identified(mut response: Response<Bytes>, request_id: &str) -> Response<Bytes> {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
