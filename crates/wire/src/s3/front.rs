//! What is S3's and no operation's of its model: forms that browsers post, what they ask before, and
//! the errors of the way to an operation.

use http::{StatusCode, header, request::Parts};

use crate::{error::Error, schema::Operation};

/// A browser's upload, with all that it says in the fields of a form.
pub static POST_OBJECT: Operation = Operation::new("PostObject", u16::MAX, "POST", "/{Bucket}");

/// A browser's question whether a page may send a request (CORS).
pub static PREFLIGHT: Operation =
    Operation::new("Preflight", u16::MAX - 1, "OPTIONS", "/{Bucket}/{Key+}");

/// Whether a request to a bucket is a form.
pub fn is_form(parts: &Parts) -> Result<(), Error> {
    let media_type = parts.headers.get(header::CONTENT_TYPE);
    let is_form = media_type.is_some_and(|value| {
        let begins = value.as_bytes().get(..19).unwrap_or_default();
        begins.eq_ignore_ascii_case(b"multipart/form-data")
    });
    if is_form {
        return Ok(());
    }
    let message = "At least one of the pre-conditions you specified did not hold";
    let condition = "Bucket POST must be of the enclosure-type multipart/form-data";
    let error = Error::new(
        "PreconditionFailed",
        StatusCode::PRECONDITION_FAILED,
        message,
    );
    Err(error.with("Condition", condition))
}

/// `resource` is `SERVICE`, `BUCKET` or `OBJECT`.
pub fn method_not_allowed(parts: &Parts, resource: &'static str) -> Error {
    let method: String = parts.method.as_str().chars().take(32).collect();
    let message = "The specified method is not allowed against this resource.";
    Error::new("MethodNotAllowed", StatusCode::METHOD_NOT_ALLOWED, message)
        .with("Method", method)
        .with("ResourceType", resource)
}

pub fn invalid_uri(path: &str) -> Error {
    let path: String = path.chars().take(1024).collect();
    let message = "Couldn't parse the specified URI.";
    Error::new("InvalidURI", StatusCode::BAD_REQUEST, message).with("URI", path)
}

/// A bucket as a web site has a host of its own kind. There is none yet.
pub fn no_websites() -> Error {
    let message = "Lambent does not serve buckets as web sites yet. Their objects are at S3's own \
        endpoint.";
    Error::new("NotImplemented", StatusCode::NOT_IMPLEMENTED, message)
}
