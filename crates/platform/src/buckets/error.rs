//! Why an operation is refused: which of S3's errors it is, S3's sentence, and the further elements
//! that S3 tells with it. Status and spelling of each are decided in `api/errors.rs`.

use std::fmt;

use super::content::intake::ContentError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    AccessControlListNotSupported,
    AccessDenied,
    BadDigest,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    ConditionalRequestConflict,
    CrossLocationLoggingProhibited,
    EntityTooLarge,
    EntityTooSmall,
    IllegalLocationConstraint,
    IllegalVersioningConfiguration,
    Internal,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidBucketOwnerAwsAccountId,
    InvalidBucketState,
    InvalidEncryptionAlgorithm,
    InvalidLocationConstraint,
    InvalidObjectState,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    InvalidStorageClass,
    InvalidTag,
    InvalidTargetBucketForLogging,
    KeyTooLong,
    MalformedAcl,
    MalformedPolicy,
    MalformedXml,
    MetadataTooLarge,
    MethodNotAllowed,
    MissingSecurityHeader,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchCorsConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
    NoSuchObjectLockConfiguration,
    NoSuchPublicAccessBlockConfiguration,
    NoSuchTagSet,
    NoSuchUpload,
    NoSuchVersion,
    NoSuchWebsiteConfiguration,
    NotImplemented,
    NotModified,
    ObjectLockConfigurationNotFound,
    OperationAborted,
    OwnershipControlsNotFound,
    PermanentRedirect,
    PreconditionFailed,
    ReplicationConfigurationNotFound,
    RestoreAlreadyInProgress,
    ServerSideEncryptionConfigurationNotFound,
    ServiceUnavailable,
    TooManyBuckets,
    UnexpectedContent,
}

/// A refusal.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
pub struct Parts {
    pub code: Code,
    pub message: String,
    /// Elements beside code and message, in their order.
    pub details: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, String)>,
}

impl std::ops::Deref for Error {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }))
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    pub fn no_bucket(name: &str) -> Self {
        Self::new(Code::NoSuchBucket, "The specified bucket does not exist")
            .with("BucketName", name)
    }

    pub fn no_key(key: &str) -> Self {
        Self::new(Code::NoSuchKey, "The specified key does not exist.").with("Key", key)
    }

    pub fn no_version(key: &str, version_id: &str) -> Self {
        Self::new(Code::NoSuchVersion, "The specified version does not exist.")
            .with("Key", key)
            .with("VersionId", version_id)
    }

    pub fn no_upload(upload_id: &str) -> Self {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the \
                       upload may have been aborted or completed.";
        Self::new(Code::NoSuchUpload, message).with("UploadId", upload_id)
    }

    pub fn access_denied() -> Self {
        Self::new(Code::AccessDenied, "Access Denied")
    }

    pub fn argument(
        message: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self::new(Code::InvalidArgument, message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }

    pub fn request(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub fn malformed_xml() -> Self {
        let message = "The XML you provided was not well-formed or did not validate against our \
                       published schema";
        Self::new(Code::MalformedXml, message)
    }

    pub fn precondition(condition: &str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(Code::PreconditionFailed, message).with("Condition", condition)
    }

    pub fn not_modified() -> Self {
        Self::new(Code::NotModified, "Not Modified")
    }

    /// A header that AWS does not take either.
    pub fn header_not_implemented(header: &str) -> Self {
        let message = "A header you provided implies functionality that is not implemented";
        Self::new(Code::NotImplemented, message).with("Header", header)
    }

    /// Something of S3's that is not built here.
    pub fn not_built(what: &str) -> Self {
        Self::new(
            Code::NotImplemented,
            format!("{what} is not implemented by this platform yet"),
        )
    }

    /// The platform could not; the operator finds out why in the log.
    pub fn platform(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "{what}");
        let message = "We encountered an internal error. Please try again.";
        Self::new(Code::Internal, message)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let message = match &error {
            store::Error::DiskFull { .. } => "The platform's disk is full.",
            store::Error::Busy { .. } | store::Error::Unavailable { .. } => {
                "The platform's store is unavailable. Please try again."
            }
            _ => return Self::platform("the store of buckets failed", &error),
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "buckets: {message}"
        );
        Self::new(Code::ServiceUnavailable, message)
    }
}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Store(error) => error.into(),
            other => Self::platform("an object's content failed", &other),
        }
    }
}
