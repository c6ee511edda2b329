//! Requests whose body comes compressed, as SDKs send large ones of CloudWatch's PutMetricData.
//!
//! The signature is over what was sent, and everything else about what that is when unpacked: also
//! which operation a form asks for.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{StatusCode, header, request::Parts};
use wire::{Error, Head};

use crate::services;

/// The body of a request as it is read. One that is not compressed, or goes to a service that takes
/// none that is, is as it was.
pub fn unpacked(head: &Head, parts: &Parts, body: &Bytes) -> Result<Bytes, Error> {
    let encoding = parts.headers.get(header::CONTENT_ENCODING);
    let is_gzip = encoding.is_some_and(|encoding| {
        let last = encoding.as_bytes().rsplit(|byte| *byte == b',').next();
        last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"gzip"))
    });
    if !is_gzip || !services::takes_compressed(head) {
        return Ok(body.clone());
    }
    let most = services::body_bytes_max(head);
    let mut whole = Vec::new();
    // One byte more tells what is too long from what is just as long.
    let mut reader = MultiGzDecoder::new(body.as_ref()).take(most as u64 + 1);
    let read = reader.read_to_end(&mut whole);
    read.map_err(|_| {
        let message = "The request's body is not what its Content-Encoding says";
        Error::new("SerializationException", StatusCode::BAD_REQUEST, message)
    })?;
    match whole.len() > most {
        true => Err(services::body_too_large(head)),
        false => Ok(whole.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use http::Request;
    use wire::{Router, cloudwatch, sqs};

    use super::*;

    fn gzipped(plain: &[u8]) -> Bytes {
        let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap().into()
    }

    fn unpack(target: &str, encoding: &str, body: &Bytes) -> Result<Bytes, Error> {
        let request = Request::post("/")
            .header("x-amz-target", target)
            .header("content-encoding", encoding);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let router = Router::new(&[&cloudwatch::SERVICE, &sqs::SERVICE]);
        unpacked(&router.head(&parts).unwrap(), &parts, body)
    }

    const PUT: &str = "GraniteServiceVersion20100801.PutMetricData";

    #[test]
    fn a_body_is_unpacked_within_bounds() {
        let plain = Bytes::from_static(b"{}");
        assert_eq!(unpack(PUT, "gzip", &gzipped(&plain)).unwrap(), plain);
        assert_eq!(
            unpack(PUT, "aws-chunked, gzip", &gzipped(&plain)).unwrap(),
            plain
        );
        assert_eq!(unpack(PUT, "identity", &plain).unwrap(), plain);
        let broken = unpack(PUT, "gzip", &plain).unwrap_err();
        assert_eq!(broken.code, "SerializationException");
        let bomb = gzipped(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 1024 * 1024);
        let refused = unpack(PUT, "gzip", &bomb).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn what_others_are_sent_is_left_alone() {
        let body = gzipped(b"{}");
        let sent = unpack("AmazonSQS.SendMessage", "gzip", &body).unwrap();
        assert_eq!(sent, body);
    }
}
