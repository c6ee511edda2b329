//! An error's code: the shape's name, qualified or not, and what it was called in awsQuery.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use crate::{
    error::{Error, Fault},
    schema::{Kind, Service, Structure},
};

/// What the front that all of AWS's services share calls an error, in awsJson and in awsQuery.
const OF_THE_FRONT: &[(&str, &str)] = &[
    ("AccessDeniedException", "AccessDenied"),
    ("IncompleteSignatureException", "IncompleteSignature"),
    ("InvalidParameterValueException", "InvalidParameterValue"),
    ("InvalidSignatureException", "SignatureDoesNotMatch"),
    (
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
    ),
    ("MissingRequiredParameterException", "MissingParameter"),
    ("SerializationException", "MalformedInput"),
    ("ThrottlingException", "Throttling"),
    ("UnknownOperationException", "InvalidAction"),
    ("UnrecognizedClientException", "InvalidClientTokenId"),
    ("ValidationException", "ValidationError"),
];

/// The shape of an error that the service's model has.
pub fn error_shape(service: &Service, code: &str) -> Option<Structure> {
    service.shapes.iter().find_map(|shape| match shape.kind {
        Kind::Structure(structure) if structure.error.is_some() && shape.name == code => {
            Some(structure)
        }
        _ => None,
    })
}

/// Adds the code that an error had in awsQuery, where the service spoke that before.
pub fn add_query_code(service: &Service, error: &Error, response: &mut Response<Bytes>) {
    if !service.query_compatible {
        return;
    }
    let side = match error.fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    };
    let code = format!("{};{side}", in_query(service, error));
    if let Ok(code) = HeaderValue::from_str(&code) {
        response.headers_mut().insert("x-amzn-query-error", code);
    }
}

/// A client that does not ask for the statuses of awsQuery (`x-amzn-query-mode`) gets 400 for all
/// that is its own fault, as the front of the newer protocols has it.
pub fn without_query_mode(response: &mut Response<Bytes>) {
    if response.status().is_client_error() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
}

/// The code in a body of awsJson or rpcv2Cbor.
pub fn qualified<'a>(service: &Service, error: &'a Error) -> Cow<'a, str> {
    let Some(namespace) = service.error_namespace else {
        return Cow::Borrowed(error.code);
    };
    let namespace = match error_shape(service, error.code) {
        _ if error.code == "ValidationException" => "com.amazon.coral.validate",
        Some(_) => namespace,
        None => "com.amazon.coral.service",
    };
    Cow::Owned(format!("{namespace}#{}", error.code))
}

/// The code in awsQuery.
pub fn in_query<'a>(service: &Service, error: &'a Error) -> &'a str {
    let shape = error_shape(service, error.code);
    if let Some(code) = shape.and_then(|s| s.error).and_then(|e| e.query_code) {
        return code;
    }
    let of_the_front = OF_THE_FRONT.iter().find(|(code, _)| *code == error.code);
    match (shape, of_the_front) {
        (None, Some((_, code))) => code,
        _ => error.code,
    }
}

/// What an error says in awsQuery, where SQS kept older words for a queue that is not there.
pub fn said_in_query<'a>(service: &Service, error: &'a Error) -> &'a str {
    const GONE: &str = "The specified queue does not exist.";
    match (service.name, error.message.as_str()) {
        ("SQS", GONE) => "The specified queue does not exist for this wsdl version.",
        (_, message) => message,
    }
}
