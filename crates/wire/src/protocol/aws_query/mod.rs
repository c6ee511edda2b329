//! awsQuery: a form goes in, XML comes out. Parameters are named by their path through the input, as
//! in `Entry.2.Name`; the answer is an element named for the operation.
//!
//! To a GET that accepts JSON the answer comes as JSON, in the shape that the XML would have.

mod decode;
mod form;
mod json;
mod xml;

pub use decode::decode_request;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{Protocol, codes};
use crate::{
    error::{Error, Fault},
    schema::{Operation, Service},
    value::Value,
};

/// Writes an operation's output.
pub fn encode_response(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
    request_id: &str,
) -> Response<Bytes> {
    let body = match protocol {
        Protocol::AwsQueryInJson => json::response(service, operation, output, request_id),
        _ => xml::response(service, operation, output, request_id),
    };
    answer(protocol, StatusCode::OK, body)
}

/// Writes an error. `detail` says whether an empty `Detail` is part of it.
pub fn encode_error(
    protocol: Protocol,
    service: &Service,
    detail: bool,
    error: &Error,
    request_id: &str,
) -> Response<Bytes> {
    let code = codes::in_query(service, error);
    let body = match protocol {
        // What is asked nothing is all that AWS answers so.
        _ if error.code == "UnknownOperationException" && error.message.is_empty() => {
            format!("<{}/>\n", error.code).into_bytes()
        }
        Protocol::AwsQueryInJson => json::error(service, code, error, request_id),
        _ => xml::error(service, code, detail, error, request_id),
    };
    answer(protocol, error.status, body)
}

fn side(error: &Error) -> &'static str {
    match error.fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    }
}

fn answer(protocol: Protocol, status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let media_type = match protocol {
        Protocol::AwsQueryInJson if body.starts_with(b"{") => "application/json",
        _ => "text/xml",
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
