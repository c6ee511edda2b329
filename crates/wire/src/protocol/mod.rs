//! AWS's protocols over the schema tables: a request becomes a [`Value`] of the operation's input
//! shape, a `Value` of its output shape an answer, an [`Error`] an answer too.
//!
//! The protocols differ in where the parts of a message go, not in what they are: each is an arm
//! in the three functions here and a module beside this one. Nothing here knows a domain type.

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
    schema::{Operation, Service},
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
    let response = match protocol {
        Protocol::RestJson1 => rest::encode_error(service, error),
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 => envelope::json(protocol, error),
        Protocol::AwsQuery => envelope::query(error, request_id),
        Protocol::RestXml => envelope::xml(error, request_id),
        Protocol::RpcV2Cbor => envelope::cbor(error),
    };
    identified(response, request_id)
}

fn unspoken(protocol: Protocol) -> Error {
    Error::new(
        "NotImplemented",
        http::StatusCode::NOT_IMPLEMENTED,
        format!("The protocol {protocol:?} is not implemented yet"),
    )
}

fn identified(mut response: Response<Bytes>, request_id: &str) -> Response<Bytes> {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
