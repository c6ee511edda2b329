//! Which of AWS's errors each of ours is.

use http::StatusCode;
use wire::{
    Error as Refusal,
    lambda::{self as api, errors},
};

use crate::functions::error::Error;

/// AWS's error for one of ours.
pub(crate) fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::FunctionNotFound { .. } | Error::AliasNotFound { .. } | Error::NotFound(_) => {
            errors::resource_not_found(message)
        }
        Error::Exists { .. }
        | Error::UpdateInProgress { .. }
        | Error::NotActive { .. }
        | Error::Conflict(_) => errors::resource_conflict(message),
        Error::SnapStartNotReady => errors::snap_start_not_ready(message),
        Error::SnapStart(_) => errors::snap_start(message),
        Error::SnapStartTimeout => errors::snap_start_timeout(message),
        Error::WrongRevision { .. } => errors::precondition_failed(message),
        Error::SigningNotFound { .. } => errors::code_signing_config_not_found(message),
        Error::Unsigned => errors::code_verification_failed(message),
        Error::AccessDenied(_) => Refusal::access_denied(Some(message)),
        Error::Invalid(_)
        | Error::Unsupported { .. }
        | Error::TooManyVersions { .. }
        | Error::TooManyAliases { .. } => errors::invalid_parameter_value(message),
        Error::Constraint(_) => Refusal::validation(message),
        // Lambda's front says these, without a type.
        Error::TooMuchReserved { .. }
        | Error::OneVersionOnly
        | Error::LessThanProvisioned { .. } => errors::invalid_parameter_value(message).untyped(),
        Error::NotProvisioned => errors::provisioned_concurrency_config_not_found(message),
        Error::ZipTooLarge { .. } => Refusal::new(
            "RequestEntityTooLargeException",
            StatusCode::PAYLOAD_TOO_LARGE,
            message,
        ),
        Error::CodeStorageExceeded => errors::code_storage_exceeded(message),
        Error::PolicyTooLong { .. } => errors::policy_length_exceeded(message),
        Error::PayloadTooLarge { .. } => errors::request_too_large(message),
        Error::PayloadNotJson(_) => errors::invalid_request_content(message),
        Error::DurableAlreadyStarted(_) => errors::durable_execution_already_started(message),
        Error::Throttled { reason } => api::too_many_requests(reason, message),
        Error::EventTooLarge { .. } => errors::request_too_large(message),
        Error::Recursive => errors::recursive_invocation(message),
        Error::Platform { source, .. } => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            errors::service(message)
        }
    }
}

/// The same for an operation on a code signing configuration itself.
pub fn resource_refusal(error: Error) -> Refusal {
    match error {
        Error::SigningNotFound { .. } => errors::resource_not_found(error.to_string()),
        other => refusal(other),
    }
}
