//! Why an operation on schedules is refused, in Scheduler's words; which code each is, `api.rs` decides.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Schedule {0} does not exist.")]
    NoSchedule(String),
    #[error("Schedule group {0} does not exist.")]
    NoGroup(String),
    #[error("Schedule {0} already exists.")]
    ScheduleExists(String),
    #[error("Schedule group {0} already exists.")]
    GroupExists(String),
    #[error("Schedule group {0} is being deleted.")]
    GroupIsGoing(String),
    #[error("{0}")]
    Invalid(String),
    /// What Scheduler has and this platform has not yet.
    #[error("{what} is not supported by this platform yet")]
    Unsupported { what: String },
    #[error("The limit of {0} schedule groups is reached.")]
    TooManyGroups(u64),
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("Unexpected error encountered while processing the request.")]
    Platform(Arc<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
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
