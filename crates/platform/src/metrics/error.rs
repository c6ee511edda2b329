//! Why an operation is refused, in CloudWatch's words; which code each is, `api` decides.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// InvalidParameterValue
    #[error("{0}")]
    Invalid(String),
    /// InvalidParameterCombination
    #[error("{0}")]
    Combination(String),
    /// MissingParameter
    #[error("{0}")]
    Missing(String),
    /// ValidationError
    #[error("{0}")]
    Validation(String),
    #[error("The value for the parameter NextToken is invalid.")]
    Token,
    /// An alarm; CloudWatch says no more.
    #[error("")]
    NoSuchAlarm,
    /// Something else, by its ARN or name.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NoSuchDashboard(String),
    /// What is wrong with a dashboard's body, by path and text.
    #[error("The dashboard body is invalid")]
    Dashboard(Vec<(String, String)>),
    #[error("{0}")]
    Format(String),
    #[error("{0}")]
    LimitExceeded(String),
    /// What CloudWatch has and this platform has not yet.
    #[error("{what} is not supported by this platform yet")]
    Unsupported { what: String },
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("The request could not be completed because of an internal error.")]
    Platform(Arc<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
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
