//! Why an operation is refused, in Lambda's words for the caller; `api.rs` decides which code each
//! becomes.

use std::sync::Arc;

use super::core::Refused;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    /// Both SDKs take what begins so for something that another invocation will settle.
    #[error("Invalid checkpoint token")]
    Token,
    #[error("{0}")]
    CallbackTimeout(String),
    #[error("An execution with the name {name} has already been started with a different payload.")]
    AlreadyStarted { name: String },
    #[error("The platform is shutting down.")]
    Stopping,
    /// The source is for the operator.
    #[error("{caller}")]
    Platform {
        caller: &'static str,
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform {
            caller: "The request could not be completed because of an internal error.",
            source: Arc::new(source),
        }
    }

    pub fn no_execution(arn: &str) -> Self {
        Self::NotFound(format!("Durable execution not found: {arn}"))
    }
}

impl From<Refused> for Error {
    fn from(Refused(why): Refused) -> Self {
        Self::Invalid(why)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let caller = match &error {
            store::Error::DiskFull { .. } => "The platform's disk is full.",
            store::Error::Busy { .. }
            | store::Error::Unavailable { .. }
            | store::Error::NotOwner { .. } => "The platform's store is unavailable.",
            _ => return Self::platform(error),
        };
        Self::Platform {
            caller,
            source: Arc::new(error),
        }
    }
}
