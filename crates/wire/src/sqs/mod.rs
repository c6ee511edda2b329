//! Amazon SQS on the wire: awsJson 1.0 and the query protocol that it had before.
//!
//! [`SQS`] has a method for every operation. Ahead of it only presence is checked; what SQS says of a
//! wrong value is in the operations' own words.

mod generated;

pub use generated::*;

use http::StatusCode;

use crate::error::Error;

/// The longest body of a request, which the listener has to stop reading at. A message, or a batch,
/// has 1 MiB; a control character takes six bytes in JSON, and the rest of a request is small.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a body beyond [`BODY_BYTES_MAX`] gets.
pub fn body_too_large() -> Error {
    Error::new(
        "RequestEntityTooLargeException",
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("Request must be smaller than {BODY_BYTES_MAX} bytes"),
    )
}

/// A parameter's value is not one that SQS takes: an error that its model does not have.
pub fn invalid_parameter_value(message: impl Into<String>) -> Error {
    Error::new(
        "InvalidParameterValueException",
        StatusCode::BAD_REQUEST,
        message,
    )
}
