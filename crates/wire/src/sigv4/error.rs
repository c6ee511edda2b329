//! Why a signature is refused, and how each kind of service says so.

use aws_lc_rs::digest;
use http::StatusCode;
use jiff::Timestamp;

use crate::{
    error::Error,
    protocol::{Protocol, base64_encode},
    time::iso8601_basic,
};

/// Why a request's signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request is not signed")]
    Missing,
    /// The signature's parts are not all there or not well-formed; the text is AWS's.
    #[error("{0}")]
    Incomplete(String),
    /// The same of a presigned address; the text is AWS's.
    #[error("{0}")]
    IncompleteQuery(String),
    /// The scope or the signed headers are not what they have to be; the text is AWS's.
    #[error("{0}")]
    Invalid(String),
    /// The scope's region is none.
    #[error("'{0}' is no region")]
    Region(String),
    /// No such access key, or not with this session token.
    #[error("the access key or the session token is unknown")]
    UnknownAccessKey,
    /// Temporary credentials whose time is over.
    #[error("the session token has expired")]
    ExpiredToken,
    #[error("the signature does not match")]
    Mismatch,
    /// The body is not the one whose hash the request states.
    #[error("the body does not match its hash")]
    PayloadMismatch,
    #[error("the signature was good until {end}")]
    Expired {
        at: Timestamp,
        end: Timestamp,
        limit: Timestamp,
        now: Timestamp,
        presigned: bool,
    },
    #[error("the signature is of {at}, which is still to come")]
    NotYet {
        at: Timestamp,
        limit: Timestamp,
        now: Timestamp,
    },
}

/// What S3 tells who asks for a region that is none.
const S3_REGION: &str = "us-east-1";

const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. Consult the service \
    documentation for details.";

impl AuthError {
    /// The error as a service of this protocol words it.
    pub fn to_error(&self, protocol: Protocol) -> Error {
        let (code, message) = match protocol {
            Protocol::RestXml => self.of_s3(),
            Protocol::AwsQuery | Protocol::AwsQueryInJson => self.of_query(),
            _ => self.of_json(),
        };
        let status = match (protocol, code) {
            // awsJson's front has one status for all that is the caller's fault.
            (Protocol::AwsJson1_0 | Protocol::AwsJson1_1 | Protocol::RpcV2Cbor, _) => {
                StatusCode::BAD_REQUEST
            }
            (Protocol::RestXml, "ExpiredToken")
            | (
                _,
                "XAmzContentSHA256Mismatch"
                | "AuthorizationHeaderMalformed"
                | "AuthorizationQueryParametersError",
            ) => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        let error = Error::new(code, status, message);
        match (protocol, self) {
            // Some clients sign again for the region that they are told.
            (Protocol::RestXml, Self::Region(_)) => error.with("Region", S3_REGION),
            (
                Protocol::RestXml,
                Self::Expired {
                    at,
                    end,
                    now,
                    presigned: true,
                    ..
                },
            ) => {
                let seconds = end.duration_since(*at).as_secs();
                // Version 2 has an end and no beginning.
                let error = match seconds {
                    0 => error,
                    seconds => error.with("X-Amz-Expires", seconds.to_string()),
                };
                error
                    .with("Expires", iso8601(*end))
                    .with("ServerTime", iso8601(*now))
            }
            _ => error,
        }
    }

    fn of_json(&self) -> (&'static str, String) {
        match self {
            Self::Missing => (
                "MissingAuthenticationTokenException",
                "Missing Authentication Token".into(),
            ),
            Self::Incomplete(text) | Self::IncompleteQuery(text) => {
                ("IncompleteSignatureException", text.clone())
            }
            Self::UnknownAccessKey => (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.".into(),
            ),
            Self::ExpiredToken => (
                "ExpiredTokenException",
                "The security token included in the request is expired".into(),
            ),
            _ => ("InvalidSignatureException", self.text()),
        }
    }

    fn of_query(&self) -> (&'static str, String) {
        match self {
            Self::Missing => (
                "MissingAuthenticationToken",
                "Request is missing Authentication Token".into(),
            ),
            Self::Incomplete(text) | Self::IncompleteQuery(text) => {
                ("IncompleteSignature", text.clone())
            }
            Self::UnknownAccessKey => (
                "InvalidClientTokenId",
                "The security token included in the request is invalid.".into(),
            ),
            Self::ExpiredToken => (
                "ExpiredToken",
                "The security token included in the request is expired".into(),
            ),
            _ => ("SignatureDoesNotMatch", self.text()),
        }
    }

    fn of_s3(&self) -> (&'static str, String) {
        match self {
            Self::Missing => ("AccessDenied", "Access Denied".into()),
            Self::IncompleteQuery(text) => ("AuthorizationQueryParametersError", text.clone()),
            Self::Region(found) => (
                "AuthorizationHeaderMalformed",
                format!(
                    "The authorization header is malformed; the region '{found}' is wrong; \
                     expecting '{S3_REGION}'"
                ),
            ),
            Self::Incomplete(text) | Self::Invalid(text) => {
                ("AuthorizationHeaderMalformed", text.clone())
            }
            Self::UnknownAccessKey => (
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.".into(),
            ),
            Self::ExpiredToken => ("ExpiredToken", "The provided token has expired.".into()),
            Self::Mismatch => (
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                 Check your key and signing method."
                    .into(),
            ),
            Self::PayloadMismatch => (
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed."
                    .into(),
            ),
            Self::Expired {
                presigned: true, ..
            } => ("AccessDenied", "Request has expired".into()),
            Self::Expired { .. } | Self::NotYet { .. } => (
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.".into(),
            ),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Invalid(text) | Self::Incomplete(text) | Self::IncompleteQuery(text) => {
                text.clone()
            }
            Self::Region(found) => {
                format!("Credential should be scoped to a valid region, not '{found}'. ")
            }
            Self::Expired {
                end,
                now,
                presigned: true,
                ..
            } => format!(
                "Signature expired: {} is now earlier than {}",
                iso8601_basic(*end),
                iso8601_basic(*now)
            ),
            Self::Expired { at, limit, now, .. } => format!(
                "Signature expired: {} is now earlier than {} ({} - 5 min.)",
                iso8601_basic(*at),
                iso8601_basic(*limit),
                iso8601_basic(*now)
            ),
            Self::NotYet { at, limit, now } => format!(
                "Signature not yet current: {} is still later than {} ({} + 5 min.)",
                iso8601_basic(*at),
                iso8601_basic(*limit),
                iso8601_basic(*now)
            ),
            _ => MISMATCH.to_owned(),
        }
    }

    /// The scope is of another service than the one that is called.
    pub fn wrong_service(expected: &str) -> Self {
        Self::Invalid(format!(
            "Credential should be scoped to correct service: '{expected}'. "
        ))
    }

    /// A presigned address of version 2 without all of its parts: S3 lets nobody in by that.
    pub(crate) fn incomplete_old_query() -> Self {
        Self::IncompleteQuery(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId \
             parameters"
                .to_owned(),
        )
    }

    pub(super) fn algorithm(found: &str) -> Self {
        Self::Incomplete(format!(
            "Unsupported AWS 'algorithm': '{}' (only AWS4-HMAC-SHA256 for now). ",
            shortened(found)
        ))
    }

    /// An `Authorization` of some other scheme. It may hold a secret, so AWS repeats its hash only.
    pub(crate) fn no_pair(header: &str) -> Self {
        Self::Incomplete(format!(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with \
             SHA-256 and encoded with Base64): '{}'.",
            hashed(header)
        ))
    }

    pub(super) fn incomplete_header(
        missing: [(&str, bool); 3],
        no_date: bool,
        header: &str,
    ) -> Self {
        let mut text = String::new();
        for (name, _) in missing.iter().filter(|(_, missing)| *missing) {
            text.push_str(&format!(
                "Authorization header requires '{name}' parameter. "
            ));
        }
        if no_date {
            text.push_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header. ",
            );
        }
        text.push_str(&format!(
            "(Hashed with SHA-256 and encoded with Base64) Authorization={}",
            hashed(header)
        ));
        Self::Incomplete(text)
    }

    pub(super) fn incomplete_query(missing: impl Iterator<Item = &'static str>) -> Self {
        let mut text = String::new();
        for name in missing {
            text.push_str(&format!(
                "AWS query-string parameters must include '{name}'. "
            ));
        }
        text.push_str("Re-examine the query-string parameters.");
        Self::IncompleteQuery(text)
    }

    pub(super) fn expires_out_of_range() -> Self {
        Self::IncompleteQuery("X-Amz-Expires must be between 1 and 604800 seconds".to_owned())
    }

    pub(super) fn bad_date(found: &str) -> Self {
        let found = shortened(found);
        Self::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{found}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    }

    pub(super) fn credential(found: &str) -> Self {
        let found = shortened(found);
        Self::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term, got '{found}'"
        ))
    }

    pub(super) fn terminator(found: &str) -> Self {
        Self::Invalid(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'. ",
            shortened(found)
        ))
    }

    pub(super) fn scope_date(scope: &str, at: &str) -> Self {
        let day = at.get(..8).unwrap_or_default();
        Self::Invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{day}', from '{at}'.",
            shortened(scope)
        ))
    }

    pub(super) fn region(found: &str) -> Self {
        Self::Region(shortened(found))
    }

    pub(super) fn header_signed_twice() -> Self {
        Self::Invalid("Each 'SignedHeader' must be named once in the AWS Authorization.".to_owned())
    }

    pub(super) fn host_not_signed() -> Self {
        Self::Invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        )
    }
}

fn iso8601(at: Timestamp) -> String {
    crate::time::print(crate::schema::TimestampFormat::Iso8601, at)
}

fn hashed(text: &str) -> String {
    base64_encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// What a stranger sent, cut to what a message can bear.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
