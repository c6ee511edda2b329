//! The way from a request to the buckets for what is S3's alone: bodies that are never in memory whole,
//! in and out, and what their clients are asked and told on the way.
//!
//! Knows the wire, and no bucket: who has those implements [`S3Streams`].

mod caller;
mod post;
mod upload;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use wire::{
    Call, Context, Error, Route,
    s3::{
        self, S3, cors,
        front::{POST_OBJECT, PREFLIGHT},
        stated::Stated,
    },
    sigv4::ChunkSigner,
};

use crate::{
    body::Body,
    identity::{Identity, Sender},
};

pub use caller::caller;
pub use upload::{Cut, Pieces, Received, Upload};

/// The longest document. That of a multipart upload of 10,000 parts with their checksums has some MiB.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// S3's operations whose bodies are objects, beside the others, which [`s3::S3`] has. Of these three
/// that trait's methods are never called.
pub trait S3Streams: Send + Sync {
    /// `input` has all but the body. A POST form comes as this too.
    fn put_object_stream(
        &self,
        cx: &Context,
        input: s3::PutObjectRequest,
        upload: Upload,
    ) -> impl Future<Output = Result<s3::PutObjectOutput, Error>> + Send;

    fn upload_part_stream(
        &self,
        cx: &Context,
        input: s3::UploadPartRequest,
        upload: Upload,
    ) -> impl Future<Output = Result<s3::UploadPartOutput, Error>> + Send;

    /// The output has `content_length`, and no body. One with a `content_range` is answered as 206.
    fn get_object_stream(
        &self,
        cx: &Context,
        input: s3::GetObjectRequest,
    ) -> impl Future<Output = Result<(s3::GetObjectOutput, Body), Error>> + Send;

    /// A bucket's CORS rules, whoever asks: browsers send no credentials with that question. None
    /// where the bucket has none, or is none.
    fn cors_rules(&self, bucket: &str) -> impl Future<Output = Option<Vec<s3::CORSRule>>> + Send;
}

/// A request to S3, of somebody who is known to have sent it.
pub struct Asked<'a> {
    pub cx: &'a Context,
    pub route: &'a Route,
    pub parts: Parts,
    pub pieces: Box<dyn Pieces>,
    /// Checks the chunks that are signed, where signatures are checked.
    pub signer: Option<ChunkSigner>,
    /// Forms show later who sends them.
    pub identity: &'a Identity,
    pub sender: &'a Sender,
}

/// Answers a request.
pub async fn answer<B: S3 + S3Streams>(buckets: &B, mut asked: Asked<'_>) -> Response<Body> {
    let bucket = asked.route.labels.get("Bucket").map(str::to_owned);
    let is_page = asked.parts.headers.contains_key(header::ORIGIN);
    let is_question = std::ptr::eq(asked.route.operation, &PREFLIGHT);
    let rules = match &bucket {
        Some(bucket) if is_page || is_question => buckets.cors_rules(bucket).await,
        _ => None,
    };
    if is_question {
        return preflight(&asked, rules.as_deref()).map(Body::from);
    }
    let told = cors::headers(rules.as_deref().unwrap_or_default(), &asked.parts);
    hoist(&mut asked.parts);
    let mut answer = match std::ptr::eq(asked.route.operation, &POST_OBJECT) {
        true => post::answer(buckets, asked).await.map(Body::from),
        false => dispatch(buckets, asked).await,
    };
    cors::tell(told, answer.headers_mut());
    answer
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("AmazonS3"));
    answer
}

async fn dispatch<B: S3 + S3Streams>(buckets: &B, asked: Asked<'_>) -> Response<Body> {
    let Asked {
        cx,
        route,
        parts,
        pieces,
        signer,
        ..
    } = asked;
    let nothing = Bytes::new();
    let head = Call {
        cx,
        route,
        parts: &parts,
        body: &nothing,
    };
    let upload = match Stated::read(&parts) {
        Ok(mut stated) => {
            // What it says is of the object that it makes, and not of its own body.
            if route.operation.name == "CompleteMultipartUpload" {
                stated.checksum = None;
            }
            Upload::new(pieces, stated, signer)
        }
        Err(error) => return head.refuse(&error).map(Body::from),
    };
    let answer = match route.operation.name {
        "PutObject" => put_object(buckets, head, upload).await,
        "UploadPart" => upload_part(buckets, head, upload).await,
        "GetObject" => return get_object(buckets, head).await,
        _ => match document(route, upload).await {
            Ok(body) => {
                let call = Call {
                    body: &body,
                    ..head
                };
                return s3::dispatch(buckets, call).await.map(Body::from);
            }
            Err(error) => Err(error),
        },
    };
    let answer = answer.unwrap_or_else(|error| head.refuse(&error));
    answer.map(Body::from)
}

async fn put_object<B: S3Streams>(
    buckets: &B,
    call: Call<'_>,
    upload: Upload,
) -> Result<Response<Bytes>, Error> {
    let mut input: s3::PutObjectRequest = call.input()?;
    upload.is_object()?;
    without_chunked(&mut input.content_encoding);
    let output = buckets.put_object_stream(call.cx, input, upload).await?;
    Ok(call.respond(output))
}

async fn upload_part<B: S3Streams>(
    buckets: &B,
    call: Call<'_>,
    upload: Upload,
) -> Result<Response<Bytes>, Error> {
    let input: s3::UploadPartRequest = call.input()?;
    upload.is_object()?;
    let output = buckets.upload_part_stream(call.cx, input, upload).await?;
    Ok(call.respond(output))
}

async fn get_object<B: S3Streams>(buckets: &B, call: Call<'_>) -> Response<Body> {
    let pairs = wire::query_pairs(call.parts.uri.query().unwrap_or_default());
    let input = s3::front::check_overrides(&pairs).and_then(|()| call.input());
    let asked = match input {
        Ok(input) => buckets.get_object_stream(call.cx, input).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok((output, body)) => {
            let is_part = output.content_range.is_some();
            let mut answer = call.respond(output).map(|_| body);
            if is_part {
                *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            answer
        }
        Err(error) => call.refuse(&error).map(Body::from),
    }
}

/// The body of an operation that has no object in it. Those that take none ignore what comes.
async fn document(route: &Route, upload: Upload) -> Result<Bytes, Error> {
    let operation = route.operation;
    if !matches!(operation.method, "PUT" | "POST") {
        return Ok(Bytes::new());
    }
    if operation.checksum_required {
        upload.requires_checksum()?;
    }
    upload.whole(DOCUMENT_BYTES_MAX).await
}

fn preflight(asked: &Asked<'_>, rules: Option<&[s3::CORSRule]>) -> Response<Bytes> {
    let is_of_object = asked.route.labels.get("Key").is_some();
    let told = cors::preflight(rules, &asked.parts, is_of_object);
    let mut answer = match told {
        Ok(told) => {
            let mut answer = wire::encode_response(
                asked.route.protocol,
                asked.route.service,
                asked.route.operation,
                None,
                &asked.cx.request_id,
            );
            cors::tell(told, answer.headers_mut());
            answer
        }
        Err(error) => wire::refuse(asked.route, &asked.parts, &error, &asked.cx.request_id),
    };
    answer
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("AmazonS3"));
    answer
}

/// A presigned address has in its query string what else is in headers.
fn hoist(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default();
    let signed = ["X-Amz-Signature=", "Signature="];
    if !query
        .split('&')
        .any(|pair| signed.iter().any(|name| pair.starts_with(name)))
    {
        return;
    }
    for (name, value) in wire::query_pairs(query) {
        let lower = name.to_ascii_lowercase();
        let is_header = lower.starts_with("x-amz-") && !OF_SIGNATURES.contains(&lower.as_str())
            || HOISTED.contains(&lower.as_str());
        let (Ok(name), Ok(value), true) = (
            HeaderName::from_bytes(lower.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
            is_header,
        ) else {
            continue;
        };
        if !parts.headers.contains_key(&name) {
            parts.headers.insert(name, value);
        }
    }
}

/// Headers of HTTP that signers may put there too.
const HOISTED: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// What in a query string is the signature's own.
const OF_SIGNATURES: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The coding of the transfer is none of the object.
fn without_chunked(encoding: &mut Option<String>) {
    let Some(given) = encoding else { return };
    let names = given.split(',').map(str::trim);
    let kept: Vec<&str> = names.filter(|name| *name != "aws-chunked").collect();
    let kept = kept.join(",");
    *encoding = (!kept.is_empty()).then_some(kept);
}
