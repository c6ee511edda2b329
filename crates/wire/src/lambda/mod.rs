//! AWS Lambda on the wire.
//!
//! [`Lambda`] has a method for every operation that is typed; one that an implementation leaves out
//! answers that it is not implemented, and so do all others of Lambda's operations. Which are typed
//! is a list in `models/operations.json`; `cargo xtask codegen` makes the rest.

mod generated;
mod name;

pub use generated::*;
pub use name::{FunctionName, function_arn, function_of};

use http::StatusCode;

use crate::{error::Error, schema::Operation};

/// A 429 with the reason that Lambda gives, such as `ReservedFunctionConcurrentInvocationLimitExceeded`.
pub fn too_many_requests(reason: &'static str, message: impl Into<String>) -> Error {
    errors::too_many_requests(message).with("Reason", reason)
}

/// The longest body of a request, which the listener has to stop reading at. Lambda takes code of
/// 50 MB in base64, payloads of 6 MB, and little else.
pub fn body_bytes_max(operation: &Operation) -> usize {
    match takes_code(operation) {
        true => 70_167_211,
        false => 6_291_456,
    }
}

/// Whether a package is part of the request.
pub fn takes_code(operation: &Operation) -> bool {
    matches!(
        operation.name,
        "CreateFunction" | "UpdateFunctionCode" | "PublishLayerVersion"
    )
}

/// What a body beyond [`body_bytes_max`] gets.
pub fn body_too_large(operation: &Operation) -> Error {
    let name = match operation.name {
        "Invoke" => "InvokeFunction",
        name => name,
    };
    let limit = body_bytes_max(operation);
    Error::new(
        "RequestEntityTooLargeException",
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("Request must be smaller than {limit} bytes for the {name} operation"),
    )
}
