//! S3's operations: told apart by whether there is a bucket and a key, by the method, and by what the
//! query string has, whose order and values mean nothing.

use http::{Method, header, request::Parts};

use super::{Labels, Route, Unrouted};
use crate::{
    error::Error,
    protocol::Protocol,
    query,
    s3::{
        address::{self, Address},
        front,
    },
    schema::{Operation, Service},
    sigv4,
};

/// What an operation asks of a request beyond its path in the model.
const MORE: &[(&str, &[&str])] = &[
    ("AbortMultipartUpload", &["uploadId"]),
    ("CompleteMultipartUpload", &["uploadId"]),
    ("ListParts", &["uploadId"]),
    ("UploadPart", &["partNumber", "uploadId"]),
    ("UploadPartCopy", &["partNumber", "uploadId"]),
    ("GetBucketAnalyticsConfiguration", &["id"]),
    ("GetBucketIntelligentTieringConfiguration", &["id"]),
    ("GetBucketInventoryConfiguration", &["id"]),
    ("GetBucketMetricsConfiguration", &["id"]),
    ("GetObjectAnnotation", &["annotationName"]),
];

/// Operations that share all that can be told with another one, which they are older than, or that are
/// of another kind of bucket.
const LEFT_OUT: &[&str] = &[
    "GetBucketLifecycle",
    "GetBucketNotification",
    "ListDirectoryBuckets",
    "PutBucketLifecycle",
    "PutBucketNotification",
    "WriteGetObjectResponse",
];

#[derive(Debug)]
pub struct Paths {
    service: &'static Service,
    /// Below it, names are those of buckets.
    base: Option<String>,
    /// Those that ask for most come first.
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    operation: &'static Operation,
    level: Level,
    query: Vec<(&'static str, &'static str)>,
    copies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Service,
    Bucket,
    Object,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Service => "SERVICE",
            Self::Bucket => "BUCKET",
            Self::Object => "OBJECT",
        }
    }
}

impl Paths {
    pub fn new(service: &'static Service, base: Option<String>) -> Self {
        let served = service.operations.iter();
        let served = served.filter(|operation| !LEFT_OUT.contains(&operation.name));
        let mut leaves: Vec<Leaf> = served.map(Leaf::of).collect();
        leaves.sort_by_key(|leaf| std::cmp::Reverse((leaf.query.len(), leaf.copies)));
        Self {
            service,
            base,
            leaves,
        }
    }

    pub fn at(self, host: &str) -> Self {
        Self {
            base: Some(host.to_ascii_lowercase()),
            ..self
        }
    }

    /// Whether a request is for S3 by its host or by how it is signed.
    pub fn is_meant(&self, parts: &Parts) -> bool {
        sigv4::parse(parts).is_some_and(|claimed| claimed.service == "s3")
            || address::is_of_s3(parts)
            || is_signed_for_s3(parts)
    }

    /// Whether it may be, of somebody unknown, where it is for nothing else.
    pub fn may_be_meant(&self, parts: &Parts) -> bool {
        !parts.headers.contains_key(header::AUTHORIZATION)
            && (address::could_be_bucket(parts.uri.path()) || self.is_below_base(parts))
    }

    fn is_below_base(&self, parts: &Parts) -> bool {
        let below = address::of(parts, self.base.as_deref());
        let by_path = address::of(parts, None);
        self.base.is_some() && below != by_path
    }

    pub fn route(&self, parts: &Parts) -> Result<Route, Unrouted> {
        let found = self.find(parts);
        let (operation, address) = found.map_err(|error| Unrouted {
            service: Some(self.service),
            protocol: Protocol::RestXml,
            error,
        })?;
        let named = [("Bucket", address.bucket), ("Key", address.key)];
        let labels = named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        Ok(Route {
            service: self.service,
            protocol: Protocol::RestXml,
            operation,
            labels: Labels(labels.collect()),
        })
    }

    fn find(&self, parts: &Parts) -> Result<(&'static Operation, Address), Error> {
        let address = address::of(parts, self.base.as_deref());
        let address = address.map_err(|_| front::invalid_uri(parts.uri.path()))?;
        if address.is_website {
            return Err(front::no_websites());
        }
        let level = match (&address.bucket, &address.key) {
            (None, _) => Level::Service,
            (Some(_), None) => Level::Bucket,
            (Some(_), Some(_)) => Level::Object,
        };
        if parts.method == Method::OPTIONS && level != Level::Service {
            return Ok((&front::PREFLIGHT, address));
        }
        let pairs: Vec<(&str, &str)> =
            query::pairs(parts.uri.query().unwrap_or_default()).collect();
        let copies = parts.headers.contains_key("x-amz-copy-source");
        let is_it = |leaf: &&Leaf| {
            leaf.level == level
                && leaf.operation.method == parts.method.as_str()
                && (copies || !leaf.copies)
                && leaf.query.iter().all(|wanted| has(&pairs, wanted))
        };
        match self.leaves.iter().find(is_it) {
            Some(leaf) => Ok((leaf.operation, address)),
            None if parts.method == Method::POST && level == Level::Bucket => {
                front::is_form(parts)?;
                Ok((&front::POST_OBJECT, address))
            }
            None => Err(front::method_not_allowed(parts, level.name())),
        }
    }
}

impl Leaf {
    fn of(operation: &'static Operation) -> Self {
        let (path, asked) = operation.uri.split_once('?').unwrap_or((operation.uri, ""));
        let level = match path {
            "/" => Level::Service,
            "/{Bucket}" => Level::Bucket,
            _ => Level::Object,
        };
        let mut query: Vec<_> = query::pairs(asked).collect();
        let more = MORE.iter().find(|(name, _)| *name == operation.name);
        query.extend(
            more.iter()
                .flat_map(|(_, more)| more.iter().map(|name| (*name, ""))),
        );
        let copies = matches!(operation.name, "CopyObject" | "UploadPartCopy");
        Self {
            operation,
            level,
            query,
            copies,
        }
    }
}

/// A value that the model has is one that counts.
fn has(pairs: &[(&str, &str)], (name, value): &(&str, &str)) -> bool {
    let is = |(n, v): &(&str, &str)| n == name && (value.is_empty() || v == value);
    pairs.iter().any(is)
}

/// Signed for S3, if perhaps not well: in the words that signers of both versions use.
fn is_signed_for_s3(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let parameter = |name: &str| query::pairs(query).find(|(n, _)| *n == name);
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or_default();
        return value.starts_with("AWS ") || value.contains("/s3/aws4_request");
    }
    if let Some((_, credential)) = parameter("X-Amz-Credential") {
        return query::decode(credential).contains("/s3/");
    }
    parameter("AWSAccessKeyId").is_some()
        && parameter("Signature").is_some()
        && parameter("Action").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3;

    fn route(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<&'static str, String> {
        let mut request = http::Request::builder().method(method).uri(uri);
        request = request.header("host", "s3.localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let route = Paths::new(&s3::SERVICE, None).route(&parts);
        route
            .map(|r| r.operation.name)
            .map_err(|u| u.error.code.to_owned())
    }

    #[test]
    fn operations_are_told_apart() {
        for (method, uri, expect) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/b", "CreateBucket"),
            ("PUT", "/b/", "CreateBucket"),
            ("HEAD", "/b", "HeadBucket"),
            ("GET", "/b", "ListObjects"),
            ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
            ("GET", "/b?list-type=1", "ListObjects"),
            ("GET", "/b?versions", "ListObjectVersions"),
            ("GET", "/b?uploads=", "ListMultipartUploads"),
            ("GET", "/b?lifecycle", "GetBucketLifecycleConfiguration"),
            (
                "GET",
                "/b?notification",
                "GetBucketNotificationConfiguration",
            ),
            ("GET", "/b?metrics&id=x", "GetBucketMetricsConfiguration"),
            ("GET", "/b?metrics", "ListBucketMetricsConfigurations"),
            ("POST", "/b?delete", "DeleteObjects"),
            ("GET", "/b/k", "GetObject"),
            ("GET", "/b/k?partNumber=1", "GetObject"),
            ("GET", "/b/k?versionId=x&acl", "GetObjectAcl"),
            ("GET", "/b/k?uploadId=x", "ListParts"),
            ("GET", "/b/k?attributes", "GetObjectAttributes"),
            ("PUT", "/b/k", "PutObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "/b/k?uploads", "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
            ("DELETE", "/b/k?versionId=x", "DeleteObject"),
            ("POST", "/b/k?restore", "RestoreObject"),
            ("POST", "/b/k?select&select-type=2", "SelectObjectContent"),
            ("OPTIONS", "/b/k", "Preflight"),
        ] {
            assert_eq!(
                route(method, uri, &[]).as_deref(),
                Ok(expect),
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn a_source_makes_a_copy() {
        let source = [("x-amz-copy-source", "/a/b")];
        assert_eq!(route("PUT", "/b/k", &source).as_deref(), Ok("CopyObject"));
        let part = "/b/k?partNumber=1&uploadId=x";
        assert_eq!(route("PUT", part, &source).as_deref(), Ok("UploadPartCopy"));
    }

    #[test]
    fn what_is_no_operation_is_refused_in_s3s_words() {
        for (method, uri, expect) in [
            ("POST", "/b/k", "MethodNotAllowed"),
            ("POST", "/", "MethodNotAllowed"),
            ("PATCH", "/b", "MethodNotAllowed"),
            ("POST", "/b", "PreconditionFailed"),
            ("GET", "/b/%ff", "InvalidURI"),
        ] {
            assert_eq!(
                route(method, uri, &[]),
                Err(expect.to_owned()),
                "{method} {uri}"
            );
        }
        let form = [("content-type", "multipart/form-data; boundary=x")];
        assert_eq!(route("POST", "/b", &form).as_deref(), Ok("PostObject"));
    }
}
