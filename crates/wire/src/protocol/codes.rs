//! An error's code: the shape's name, qualified or not, and what it was called in awsQuery.

use std::borrow::Cow;

use crate::{
    error::Error,
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

/// The code in an awsJson body.
pub fn qualified<'a>(service: &Service, error: &'a Error) -> Cow<'a, str> {
    let Some(namespace) = service.error_namespace else {
        return Cow::Borrowed(error.code);
    };
    let namespace = match error_shape(service, error.code) {
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
