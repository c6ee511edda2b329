//! Why an operation is refused, in EventBridge's words; which code each is, `api` decides.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Event bus {0} does not exist.")]
    NoBus(String),
    #[error("Rule {rule} does not exist on EventBus {bus}.")]
    NoRule { rule: String, bus: String },
    /// `what` is e.g. `Archive`.
    #[error("{what} {name} does not exist.")]
    NoSuch { what: &'static str, name: String },
    /// Something else that is not there, by EventBridge's whole sentence.
    #[error("{0}")]
    NotFound(String),
    #[error("{what} {name} already exists.")]
    Exists { what: &'static str, name: String },
    #[error("{0}")]
    Invalid(String),
    #[error("Event pattern is not valid. Reason: {0}")]
    Pattern(String),
    #[error("The requested resource exceeds the maximum number allowed.")]
    OverLimit,
    #[error("{0}")]
    IllegalStatus(String),
    #[error("The policy is longer than {0} bytes.")]
    PolicyTooLong(usize),
    #[error("{0}")]
    AccessDenied(String),
    /// What EventBridge has and this platform has not yet.
    #[error("{0} is not supported by this platform yet.")]
    Unsupported(String),
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("The request could not be completed because of an internal error.")]
    Platform(Arc<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// A parameter's value that cannot be, in EventBridge's common form.
    pub fn parameter(name: &str, reason: &str) -> Self {
        Self::Invalid(format!("Parameter {name} is not valid. Reason: {reason}"))
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
