//! What is S3's and no operation's of its model: forms that browsers post, what they ask before, and
//! the errors of the way to an operation.

use http::{StatusCode, header, request::Parts};

use crate::{error::Error, query, schema::Operation};

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

/// What a form says as a document (`Tagging`), as a header says it: `a=b&c=d`.
pub fn tags_in_header(document: &str) -> Result<String, Error> {
    use crate::{
        FromValue,
        protocol::xml,
        s3::{SERVICE, Tagging},
    };
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our \
            published schema";
        Error::new("MalformedXML", StatusCode::BAD_REQUEST, message)
    };
    let shape = SERVICE
        .shapes
        .iter()
        .position(|shape| shape.name == "Tagging");
    let shape = shape
        .and_then(|at| u16::try_from(at).ok())
        .ok_or_else(Error::internal)?;
    let bytes = bytes::Bytes::from(document.to_owned());
    let value = match xml::read(&SERVICE, shape, &["Tagging"], &bytes) {
        Ok(value) => value,
        // Another document is no tags to S3, where one that is none is an error.
        Err(_) if xml::is_well_formed(document) => return Ok(String::new()),
        Err(_) => return Err(malformed()),
    };
    let tagging = Tagging::from_value(Some(value));
    let mut out = String::new();
    for tag in tagging.tag_set {
        if !out.is_empty() {
            out.push('&');
        }
        query::encode_into(tag.key.as_bytes(), &mut out);
        out.push('=');
        query::encode_into(tag.value.as_bytes(), &mut out);
    }
    Ok(out)
}

/// What an answer is to say instead of what was stored has to fit into a header.
pub fn check_overrides(pairs: &[(String, String)]) -> Result<(), Error> {
    let is_override = |name: &str| name.starts_with("response-");
    let fits = |value: &str| value.chars().all(|c| u32::from(c) < 256);
    let Some((name, value)) = pairs.iter().find(|(n, v)| is_override(n) && !fits(v)) else {
        return Ok(());
    };
    let message = "Header value cannot be represented using ISO-8859-1.";
    Err(
        Error::new("InvalidArgument", StatusCode::BAD_REQUEST, message)
            .with("ArgumentName", name.as_str())
            .with("ArgumentValue", value.as_str()),
    )
}

/// The address of an object, at the host and in the style in which it was asked for.
pub fn location(parts: &Parts, host: &str, bucket: &str, key: &str) -> String {
    let mut out = format!("http://{host}/");
    // In the path of whoever asked, or else in the host.
    let path = parts.uri.path().trim_matches('/');
    if path == bucket {
        out.push_str(bucket);
        out.push('/');
    }
    for (n, segment) in key.split('/').enumerate() {
        if n > 0 {
            out.push('/');
        }
        query::encode_into(segment.as_bytes(), &mut out);
    }
    out
}

/// Where a form that was taken sends its browser. None if that is no address; S3 goes on as if it had
/// not been said.
pub fn redirected(to: &str, bucket: &str, key: &str, etag: &str) -> Option<String> {
    let uri: http::Uri = to.parse().ok()?;
    uri.scheme().filter(|_| uri.host().is_some())?;
    let mut out = to.to_owned();
    out.push(if uri.query().is_some() { '&' } else { '?' });
    for (n, (name, value)) in [("bucket", bucket), ("key", key), ("etag", etag)]
        .iter()
        .enumerate()
    {
        if n > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        query::encode_into(value.as_bytes(), &mut out);
    }
    Some(out)
}

/// The document of a form that asked to be told by one.
pub fn post_response(location: &str, bucket: &str, key: &str, etag: &str) -> bytes::Bytes {
    use crate::protocol::xml;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
    for (name, value) in [
        ("Location", location),
        ("Bucket", bucket),
        ("Key", key),
        ("ETag", etag),
    ] {
        out.push_str(&format!("<{name}>"));
        xml::escape(value, &mut out);
        out.push_str(&format!("</{name}>"));
    }
    out.push_str("</PostResponse>");
    out.into()
}
