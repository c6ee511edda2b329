//! Amazon CloudWatch Logs on the wire: awsJson 1.1, with events for a live tail.

mod generated;

pub use generated::*;

use crate::Error;

/// The refusal of what breaks the model's constraints: a code of its own, and of names that are too
/// long another sentence.
pub(crate) fn refused(message: String) -> Error {
    const TOO_LONG: &str = "Member must have length less than or equal to 512";
    let is_name = |name: &str| {
        message.contains(&format!(
            "at '{name}' failed to satisfy constraint: {TOO_LONG}"
        ))
    };
    if is_name("logGroupName") || is_name("logStreamName") {
        return errors::invalid_parameter(
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512.",
        );
    }
    errors::invalid_parameter(message)
}
