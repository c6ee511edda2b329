//! S3's codes and statuses.

use http::StatusCode;
use wire::Error as WireError;

use crate::buckets::error::{Code, Error};

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        let (code, status) = named(error.code);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut made = WireError::new(code, status, error.message.clone());
        for (name, value) in &error.details {
            made = made.with(name, value.as_str());
        }
        for (name, value) in &error.headers {
            made = made.with_header(name, value);
        }
        made
    }
}

/// A code's name and status.
pub fn named(code: Code) -> (&'static str, u16) {
    match code {
        Code::AccessControlListNotSupported => ("AccessControlListNotSupported", 400),
        Code::AccessDenied => ("AccessDenied", 403),
        Code::BadDigest => ("BadDigest", 400),
        Code::BucketAlreadyExists => ("BucketAlreadyExists", 409),
        Code::BucketAlreadyOwnedByYou => ("BucketAlreadyOwnedByYou", 409),
        Code::BucketNotEmpty => ("BucketNotEmpty", 409),
        Code::ConditionalRequestConflict => ("ConditionalRequestConflict", 409),
        Code::CrossLocationLoggingProhibited => ("CrossLocationLoggingProhibitted", 403),
        Code::EntityTooLarge => ("EntityTooLarge", 400),
        Code::EntityTooSmall => ("EntityTooSmall", 400),
        Code::IllegalLocationConstraint => ("IllegalLocationConstraintException", 400),
        Code::IllegalVersioningConfiguration => ("IllegalVersioningConfigurationException", 400),
        Code::Internal => ("InternalError", 500),
        Code::InvalidArgument => ("InvalidArgument", 400),
        Code::InvalidBucketAclWithObjectOwnership => ("InvalidBucketAclWithObjectOwnership", 400),
        Code::InvalidBucketName => ("InvalidBucketName", 400),
        Code::InvalidBucketOwnerAwsAccountId => ("InvalidBucketOwnerAWSAccountID", 400),
        Code::InvalidBucketState => ("InvalidBucketState", 409),
        Code::InvalidEncryptionAlgorithm => ("InvalidEncryptionAlgorithmError", 400),
        Code::InvalidLocationConstraint => ("InvalidLocationConstraint", 400),
        Code::InvalidObjectState => ("InvalidObjectState", 403),
        Code::InvalidPart => ("InvalidPart", 400),
        Code::InvalidPartNumber => ("InvalidPartNumber", 416),
        Code::InvalidPartOrder => ("InvalidPartOrder", 400),
        Code::InvalidRange => ("InvalidRange", 416),
        Code::InvalidRequest => ("InvalidRequest", 400),
        Code::InvalidStorageClass => ("InvalidStorageClass", 400),
        Code::InvalidTag => ("InvalidTag", 400),
        Code::InvalidTargetBucketForLogging => ("InvalidTargetBucketForLogging", 400),
        Code::KeyTooLong => ("KeyTooLongError", 400),
        Code::MalformedAcl => ("MalformedACLError", 400),
        Code::MalformedPolicy => ("MalformedPolicy", 400),
        Code::MalformedXml => ("MalformedXML", 400),
        Code::MetadataTooLarge => ("MetadataTooLarge", 400),
        Code::MethodNotAllowed => ("MethodNotAllowed", 405),
        Code::MissingSecurityHeader => ("MissingSecurityHeader", 400),
        Code::NoSuchBucket => ("NoSuchBucket", 404),
        Code::NoSuchBucketPolicy => ("NoSuchBucketPolicy", 404),
        Code::NoSuchCorsConfiguration => ("NoSuchCORSConfiguration", 404),
        Code::NoSuchKey => ("NoSuchKey", 404),
        Code::NoSuchLifecycleConfiguration => ("NoSuchLifecycleConfiguration", 404),
        Code::NoSuchObjectLockConfiguration => ("NoSuchObjectLockConfiguration", 404),
        Code::NoSuchPublicAccessBlockConfiguration => ("NoSuchPublicAccessBlockConfiguration", 404),
        Code::NoSuchTagSet => ("NoSuchTagSet", 404),
        Code::NoSuchUpload => ("NoSuchUpload", 404),
        Code::NoSuchVersion => ("NoSuchVersion", 404),
        Code::NoSuchWebsiteConfiguration => ("NoSuchWebsiteConfiguration", 404),
        Code::NotImplemented => ("NotImplemented", 501),
        Code::NotModified => ("304", 304),
        Code::ObjectLockConfigurationNotFound => ("ObjectLockConfigurationNotFoundError", 404),
        Code::OperationAborted => ("OperationAborted", 409),
        Code::OwnershipControlsNotFound => ("OwnershipControlsNotFoundError", 404),
        Code::PermanentRedirect => ("PermanentRedirect", 301),
        Code::PreconditionFailed => ("PreconditionFailed", 412),
        Code::ReplicationConfigurationNotFound => ("ReplicationConfigurationNotFoundError", 404),
        Code::RestoreAlreadyInProgress => ("RestoreAlreadyInProgress", 409),
        Code::ServerSideEncryptionConfigurationNotFound => {
            ("ServerSideEncryptionConfigurationNotFoundError", 404)
        }
        Code::ServiceUnavailable => ("ServiceUnavailable", 503),
        Code::TooManyBuckets => ("TooManyBuckets", 400),
        Code::UnexpectedContent => ("UnexpectedContent", 400),
    }
}
