//! AWS's protocols over the schema tables: a request becomes a [`Value`] of the operation's input
//! shape, a `Value` of its output shape an answer, an [`Error`] an answer too.
//!
//! The protocols differ in where the parts of a message go, not in what they are: each is an arm
//! in the three functions here and a module beside this one. Nothing here knows a domain type.

mod aws_json;
mod aws_query;
mod codes;
mod envelope;
mod event_stream;
mod json;
pub(crate) mod rest;
mod rest_xml;
mod rpc_v2_cbor;
mod text;
pub(crate) mod xml;

pub use envelope::spoken;
pub use event_stream::{EVENT_STREAM, encode_event, encode_initial_response};
pub(crate) use text::{base64_decode, base64_encode, print_float};

use bytes::Bytes;
use http::{HeaderValue, Response, request};

use crate::{
    error::Error,
    router::{Labels, Route},
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
    /// awsQuery to a client that reads JSON: a way of answering, not one that a service announces.
    AwsQueryInJson,
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
        Protocol::RestJson1 | Protocol::RestXml => {
            rest::decode_request(protocol, service, operation, labels, parts, body)
        }
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 => {
            aws_json::decode_request(service, operation, body)
        }
        Protocol::AwsQuery | Protocol::AwsQueryInJson => {
            aws_query::decode_request(service, operation, parts, body)
        }
        Protocol::RpcV2Cbor => rpc_v2_cbor::decode_request(service, operation, body),
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
        Protocol::RestJson1 | Protocol::RestXml => {
            rest::encode_response(protocol, service, operation, output)
        }
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 => Ok(aws_json::encode_response(
            protocol, service, operation, output,
        )),
        Protocol::AwsQuery | Protocol::AwsQueryInJson => Ok(aws_query::encode_response(
            protocol, service, operation, output, request_id,
        )),
        Protocol::RpcV2Cbor => Ok(rpc_v2_cbor::encode_response(service, operation, output)),
    };
    match encoded {
        Ok(response) if service.signing_name == "s3" => rest_xml::identified(response, request_id),
        Ok(response) => identified(response, request_id),
        Err(error) => encode_error(protocol, Some(service), &error, request_id),
    }
}

/// Writes an error that arose before the operation was known. Without a service not even that was.
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
        (Protocol::AwsQuery | Protocol::AwsQueryInJson, Some(service)) => {
            aws_query::encode_error(protocol, service, service.error_detail, error, request_id)
        }
        (Protocol::AwsQuery | Protocol::AwsQueryInJson, None) => envelope::query(error, request_id),
        (Protocol::RestXml, Some(service)) => rest_xml::encode_error(service, error, request_id),
        (Protocol::RestXml, None) => envelope::xml(error, request_id),
        (Protocol::RpcV2Cbor, service) => rpc_v2_cbor::encode_error(service, error),
    };
    if service.is_some_and(|service| service.signing_name == "s3") {
        return rest_xml::identified(response, request_id);
    }
    identified(response, request_id)
}

/// Writes the error of an operation, as the client that sent the request reads it.
pub fn refuse(
    route: &Route,
    parts: &request::Parts,
    error: &Error,
    request_id: &str,
) -> Response<Bytes> {
    let Route {
        service,
        protocol,
        operation,
        ..
    } = *route;
    match protocol {
        Protocol::AwsQuery | Protocol::AwsQueryInJson => {
            let detail = service.error_detail && !operation.without_detail;
            let answer = aws_query::encode_error(protocol, service, detail, error, request_id);
            identified(answer, request_id)
        }
        Protocol::AwsJson1_0 | Protocol::AwsJson1_1 | Protocol::RpcV2Cbor => {
            let mut answer = encode_error(protocol, Some(service), error, request_id);
            let query_mode = parts.headers.get("x-amzn-query-mode");
            if service.query_compatible && query_mode.is_none_or(|mode| mode != "true") {
                codes::without_query_mode(&mut answer);
            }
            answer
        }
        _ => {
            let mut answer = encode_error(protocol, Some(service), error, request_id);
            // What the client is told is in the status then.
            if protocol == Protocol::RestXml && parts.method == http::Method::HEAD {
                answer.body_mut().clear();
            }
            answer
        }
    }
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
