//! Why an operation on pipes is refused; which code each is, `api` decides.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Pipe {0} does not exist.")]
    NoPipe(String),
    #[error("Pipe {0} already exists.")]
    Exists(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    #[error("The maximum number of pipes is reached.")]
    OverLimit,
    /// What Pipes has and this platform has not yet.
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
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Platform(Arc::new(error))
    }
}
