//! Why an operation on mappings is refused, in Lambda's words; which code each is, `api.rs` decides.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("The resource you requested does not exist.")]
    NotFound,
    #[error("Event source mapping not found: {0}")]
    NoSuchArn(String),
    #[error(
        "An event source mapping with SQS arn (\" {queue} \") and function (\" {function} \") \
         already exists. Please update or delete the existing mapping with UUID {uuid}"
    )]
    Exists {
        queue: String,
        function: String,
        uuid: String,
    },
    #[error("Cannot {verb} the event source mapping because it is in use.")]
    InUse { verb: &'static str },
    #[error("{0}")]
    Invalid(String),
    /// What Lambda has and this platform has not yet.
    #[error("{what} is not supported by this platform yet")]
    Unsupported { what: &'static str },
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("The request could not be completed because of an internal error.")]
    Platform(Arc<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform(Arc::new(source))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::platform(error)
    }
}
