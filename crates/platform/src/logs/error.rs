//! Why an operation is refused. What is displayed are CloudWatch Logs' own words for the caller;
//! which code each becomes is decided in `api`.

use std::sync::Arc;

use super::{lines::PutError, pattern::PatternError};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("The specified log group does not exist.")]
    NoGroup,
    #[error("The specified log stream does not exist.")]
    NoStream,
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    /// Something else that is not there, by a whole sentence.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Parameter(String),
    #[error("{0}")]
    Validation(String),
    #[error("Resource limit exceeded.")]
    OverLimit,
    #[error("{0}")]
    TooManyTags(String),
    /// What AWS does and this platform does not.
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{message}")]
    Query {
        message: String,
        /// Where in the query, in characters.
        start: usize,
        end: usize,
    },
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

impl Error {
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::Parameter(message.into())
    }

    pub fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::Unsupported(format!("Lambent does not support {what}."))
    }

    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform {
            caller: INTERNAL,
            source: Arc::new(source),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let caller = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => DISK_FULL,
            _ => INTERNAL,
        };
        Self::Platform {
            caller,
            source: Arc::new(error),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::platform(error)
    }
}

impl From<PutError> for Error {
    fn from(error: PutError) -> Self {
        match error {
            PutError::NoStream => Self::NoStream,
            PutError::StreamExists => Self::StreamExists,
            PutError::Gone => Self::NoGroup,
            PutError::Io(error) => match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Self::Platform {
                        caller: DISK_FULL,
                        source: error,
                    }
                }
                _ => Self::Platform {
                    caller: INTERNAL,
                    source: error,
                },
            },
        }
    }
}

impl From<PatternError> for Error {
    fn from(error: PatternError) -> Self {
        Self::Parameter(error.to_string())
    }
}
