//! Why an operation is refused. What is displayed are SNS's own words for the caller; which code each
//! becomes is decided in `api`.

use std::sync::Arc;

use crate::deliveries::DeliveryError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Invalid parameter: {0}")]
    Parameter(String),
    /// A parameter, without the words that usually come before it.
    #[error("{0}")]
    Plain(String),
    /// A message attribute that cannot be.
    #[error("{0}")]
    AttributeValue(String),
    #[error("{0}")]
    Validation(String),
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// What tags were asked for.
    #[error("Resource does not exist")]
    NoResource,
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    TooManyTags(&'static str),
    #[error("{0}")]
    TooManyFilters(&'static str),
    #[error("{0}")]
    TooManySubscriptions(&'static str),
    #[error("{0}")]
    TooManyTopics(&'static str),
    #[error("The batch request doesn't contain any entries.")]
    EmptyBatch,
    #[error("The batch request contains more entries than permissible.")]
    TooManyEntries,
    #[error("Two or more batch entries in the request have the same Id.")]
    IdsNotDistinct,
    #[error("{0}")]
    BatchId(String),
    #[error("The length of all the batch messages put together is more than the limit.")]
    BatchTooLong,
    /// What the platform does not do.
    #[error("Lambent does not {0}")]
    NotSupported(String),
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
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::Parameter(message.into())
    }

    pub const TOPIC: Self = Self::NotFound("Topic");
    pub const SUBSCRIPTION: Self = Self::NotFound("Subscription");

    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform {
            caller: INTERNAL,
            source: Arc::new(source),
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
        Self::Platform {
            caller,
            source: Arc::new(error),
        }
    }
}

impl From<DeliveryError> for Error {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Engine(crate::queues::EngineError::Store(error)) => error.into(),
            other => Self::platform(other),
        }
    }
}
