//! Why an operation is refused. What is displayed are SQS's own words for the caller; which code
//! each becomes is decided in `api`.

use std::{fmt, sync::Arc};

use super::{EngineError, receipt::ReceiptError};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("The specified queue does not exist.")]
    NoQueue,
    #[error("A queue already exists with the same name and a different value for attribute {0}")]
    NameExists(&'static str),
    #[error("{0}")]
    AccessDenied(String),
    #[error("The address {0} is not valid for this endpoint.")]
    NoAddress(String),
    #[error("The request must contain the parameter {0}.")]
    Missing(&'static str),
    /// A parameter's value that cannot be, by SQS's whole sentence.
    #[error("{0}")]
    Parameter(String),
    #[error("Unknown Attribute {0}.")]
    UnknownAttribute(String),
    /// An attribute that may not be there now.
    #[error("{0}")]
    AttributeName(&'static str),
    #[error("Invalid value for the parameter {0}.")]
    AttributeValue(&'static str),
    #[error("Invalid value for the parameter {name}. Reason: {reason}")]
    AttributeReason {
        name: &'static str,
        reason: &'static str,
    },
    #[error(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF \
         | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )]
    Characters,
    #[error("There should be at least one {0} in the request.")]
    EmptyBatch(&'static str),
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntries(usize),
    #[error("Id {0} repeated.")]
    IdRepeated(String),
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It \
         can be at most 80 letters long."
    )]
    BatchId,
    #[error("Batch requests cannot be longer than {max} bytes. You have sent {sent} bytes.")]
    BatchTooLong { sent: usize, max: usize },
    #[error("The input receipt handle \"{0}\" is not a valid receipt handle.")]
    Handle(String),
    #[error("{0}")]
    OverLimit(String),
    #[error("Only one PurgeQueue operation on {0} is allowed every 60 seconds.")]
    PurgeInProgress(String),
    /// What a message move task is about is not there.
    #[error("{0}")]
    NoResource(String),
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("{caller}")]
    Platform {
        caller: &'static str,
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

const INTERNAL: &str = "The request could not be completed because of an internal error.";
const DISK_FULL: &str = "The platform's disk is full.";
const UNAVAILABLE: &str = "The platform's store is unavailable.";

impl Error {
    /// A parameter's value in SQS's common form.
    pub fn value(name: &str, value: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Parameter(format!(
            "Value {value} for parameter {name} is invalid. Reason: {reason}"
        ))
    }

    pub fn parameter(message: impl Into<String>) -> Self {
        Self::Parameter(message.into())
    }

    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::told(INTERNAL, source)
    }

    fn told(caller: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform {
            caller,
            source: Arc::new(source),
        }
    }

    /// What became of a receipt handle.
    pub fn of_receipt(error: ReceiptError, handle: &str, timeout_s: i32) -> Self {
        match error {
            ReceiptError::Invalid => Self::Handle(handle.to_owned()),
            ReceiptError::Expired => {
                Self::value("ReceiptHandle", handle, "The receipt handle has expired.")
            }
            ReceiptError::NotInFlight => Self::value(
                "ReceiptHandle",
                handle,
                "Message does not exist or is not available for visibility timeout change.",
            ),
            ReceiptError::TooLong => Self::value(
                "VisibilityTimeout",
                timeout_s,
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ),
            ReceiptError::Gone => Self::NoQueue,
            ReceiptError::DiskFull => Self::told(DISK_FULL, error),
            ReceiptError::Unavailable => Self::told(UNAVAILABLE, error),
            ReceiptError::Platform => Self::platform(error),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let caller = match &error {
            store::Error::DiskFull { .. } => DISK_FULL,
            // Whoever has taken the store over answers the next attempt.
            store::Error::Busy { .. }
            | store::Error::Unavailable { .. }
            | store::Error::NotOwner { .. } => UNAVAILABLE,
            _ => INTERNAL,
        };
        Self::told(caller, error)
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::OverLimit => {
                Self::OverLimit("The maximum number of in flight messages is reached.".to_owned())
            }
            EngineError::TooManyQueues => {
                Self::OverLimit("The maximum number of queues is reached.".to_owned())
            }
            EngineError::Gone => Self::NoQueue,
            EngineError::Store(error) => error.into(),
            other @ EngineError::Sealing(_) => Self::platform(other),
        }
    }
}
