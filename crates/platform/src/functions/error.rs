//! Why an operation is refused. What is displayed are Lambda's own words for the caller; which
//! code and status each becomes is decided in `api/refusal.rs`.

use std::sync::Arc;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Function not found: {arn}")]
    FunctionNotFound { arn: String },
    #[error("Cannot find alias arn: {arn}")]
    AliasNotFound { arn: String },
    /// Something else that is not there.
    #[error("{0}")]
    NotFound(String),
    #[error("Function already exist: {name}")]
    Exists { name: String },
    #[error(
        "The operation cannot be performed at this time. An update is in progress for resource: \
         {arn}"
    )]
    UpdateInProgress { arn: String },
    #[error(
        "The operation cannot be performed at this time. The function is currently in the \
         following state: {state}"
    )]
    NotActive { state: &'static str },
    /// The version's snapshot is still being made.
    #[error(
        "Lambda is initializing your function. It will be ready to invoke once your function state \
         becomes ACTIVE."
    )]
    SnapStartNotReady,
    /// The text is for the function's owner.
    #[error("{0}")]
    SnapStart(String),
    #[error("Lambda couldn't restore the snapshot within the timeout limit.")]
    SnapStartTimeout,
    #[error("{0}")]
    Conflict(String),
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the {ask} API to \
         retrieve the latest Revision Id"
    )]
    WrongRevision { ask: &'static str },
    /// What another account has and does not share; the text says it, as AWS does.
    #[error("{0}")]
    AccessDenied(String),
    #[error(
        "The code signing configuration cannot be found. Check that the provided configuration is \
         not deleted: {arn}."
    )]
    SigningNotFound { arn: String },
    /// Code without a signature, where one is demanded.
    #[error(
        "Lambda cannot deploy the function. The function or layer might be signed using a \
         signature that the client is not configured to accept. Check the provided signature for \
         unsigned."
    )]
    Unsigned,
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// What Lambda has and this platform has not yet.
    #[error("{what} is not supported by this platform yet")]
    Unsupported { what: &'static str },
    #[error("{0}")]
    Constraint(String),
    #[error("$LATEST is not supported for an alias pointing to more than 1 version")]
    OneVersionOnly,
    #[error("A function can have {max} published versions at most on this platform")]
    TooManyVersions { max: usize },
    #[error("A function can have {max} aliases at most on this platform")]
    TooManyAliases { max: usize },
    #[error("No Provisioned Concurrency Config found for this function")]
    NotProvisioned,
    #[error(
        " ReservedConcurrentExecutions  {asked} should not be lower than function's total \
         provisioned concurrency [{provisioned}]."
    )]
    LessThanProvisioned { asked: u32, provisioned: u32 },
    #[error("Code storage limit exceeded.")]
    CodeStorageExceeded,
    #[error("Zipped size must be smaller than {max} bytes")]
    ZipTooLarge { max: usize },
    #[error(
        "Specified ReservedConcurrentExecutions for function decreases account's \
         UnreservedConcurrentExecution below its minimum value of [{min}]."
    )]
    TooMuchReserved { min: u32 },
    #[error("The final policy size is bigger than the limit ({max}).")]
    PolicyTooLong { max: usize },
    #[error("Request must be smaller than {max} bytes for the InvokeFunction operation")]
    PayloadTooLarge { max: usize },
    #[error("Could not parse request body into json: {0}")]
    PayloadNotJson(String),
    /// Another execution has the name.
    #[error("{0}")]
    DurableAlreadyStarted(String),
    #[error("Rate Exceeded.")]
    Throttled { reason: &'static str },
    #[error("{bytes} byte payload is too large for the Event invocation type (limit {max} bytes)")]
    EventTooLarge { bytes: usize, max: usize },
    #[error(
        "Lambda has detected your function being invoked in a recursive loop with other AWS \
         resources and stopped your function's invocation."
    )]
    Recursive,
    /// The platform could not; the source is for the operator, who finds it in the log.
    #[error("{caller}")]
    Platform {
        caller: &'static str,
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub fn platform(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Platform {
            caller: INTERNAL,
            source: Arc::new(source),
        }
    }
}

impl Error {
    /// What the file system would not do.
    pub fn disk(error: std::io::Error) -> Self {
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

const DISK_FULL: &str = "The platform's disk is full.";
const INTERNAL: &str = "The request could not be completed because of an internal error.";

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let caller = match &error {
            store::Error::DiskFull { .. } => DISK_FULL,
            store::Error::Busy { .. }
            | store::Error::Unavailable { .. }
            | store::Error::NotOwner { .. } => "The platform's store is unavailable.",
            _ => INTERNAL,
        };
        Self::Platform {
            caller,
            source: Arc::new(error),
        }
    }
}
