//! AWS Lambda on the wire.
//!
//! [`Lambda`] has a method for every operation that is typed; one that an implementation leaves out
//! answers that it is not implemented, and so do all others of Lambda's operations. Which are typed
//! is a list in `models/operations.json`; `cargo xtask codegen` makes the rest.

mod generated;
mod name;

pub use generated::*;
pub use name::{FunctionName, function_arn, function_of};

use crate::error::Error;

/// A 429 with the reason that Lambda gives, such as `ReservedFunctionConcurrentInvocationLimitExceeded`.
pub fn too_many_requests(reason: &'static str, message: impl Into<String>) -> Error {
    errors::too_many_requests(message).with("Reason", reason)
}
