//! What a request's head says of its body: how long it is, how it is coded, and what it hashes to. S3
//! checks all of it, and refuses what cannot be before a byte is read.

use http::{StatusCode, request::Parts};

use super::checksum::Algorithm;
use crate::{
    error::Error,
    protocol::{base64_decode, rest},
    query,
};

/// The longest object that comes in one request, and the longest part.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Of the object, once chunks are taken apart. None where nothing says it.
    pub length: Option<u64>,
    pub coding: Coding,
    pub md5: Option<Vec<u8>>,
    pub checksum: Option<Checksum>,
}

/// How the bytes that travel are those of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// They are.
    Plain,
    /// They are, and have this SHA-256.
    Hashed([u8; 32]),
    /// `aws-chunked`.
    Chunked { is_signed: bool },
}

/// A checksum that comes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: Algorithm,
    /// None if it comes as a trailer.
    pub value: Option<Vec<u8>>,
}

impl Stated {
    pub fn read(parts: &Parts) -> Result<Self, Error> {
        let coding = coding(parts)?;
        let length = match coding {
            Coding::Chunked { .. } => number(parts, "x-amz-decoded-content-length")?,
            _ => number(parts, "content-length")?,
        };
        Ok(Self {
            length,
            coding,
            md5: md5(parts)?,
            checksum: checksum(parts)?,
        })
    }

    /// The length that an object has to have ahead.
    pub fn object_length(&self) -> Result<u64, Error> {
        let length = self.length.ok_or_else(missing_length)?;
        if length > OBJECT_BYTES_MAX {
            let message = "Your proposed upload exceeds the maximum allowed size";
            let error = Error::new("EntityTooLarge", StatusCode::BAD_REQUEST, message);
            return Err(error
                .with("ProposedSize", length.to_string())
                .with("MaxSizeAllowed", OBJECT_BYTES_MAX.to_string()));
        }
        Ok(length)
    }

    /// Some operations change too much for a body that may not be what was sent.
    pub fn requires_checksum(&self) -> Result<(), Error> {
        if self.md5.is_some() || self.checksum.is_some() {
            return Ok(());
        }
        let message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        Err(invalid_request(message))
    }
}

fn coding(parts: &Parts) -> Result<Coding, Error> {
    let Some(given) = parts.headers.get("x-amz-content-sha256") else {
        return Ok(Coding::Plain);
    };
    let given = given.to_str().unwrap_or_default();
    match given {
        "UNSIGNED-PAYLOAD" => return Ok(Coding::Plain),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => return Ok(Coding::Chunked { is_signed: false }),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
            return Ok(Coding::Chunked { is_signed: true });
        }
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
        | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
            let message = "Lambent does not check signatures of version 4A yet";
            let status = StatusCode::NOT_IMPLEMENTED;
            return Err(Error::new("NotImplemented", status, message));
        }
        _ => {}
    }
    match sha256(given) {
        Some(hash) => Ok(Coding::Hashed(hash)),
        None => {
            let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
                STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
                STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, \
                STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";
            let given: String = given.chars().take(1024).collect();
            Err(
                Error::new("InvalidArgument", StatusCode::BAD_REQUEST, message)
                    .with("ArgumentName", "x-amz-content-sha256")
                    .with("ArgumentValue", given),
            )
        }
    }
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = query::hex_pair(pair[0], pair[1])?;
    }
    Some(hash)
}

fn number(parts: &Parts, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = parts.headers.get(name) else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or_default().trim();
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse().ok().filter(|_| plain) {
        Some(number) => Ok(Some(number)),
        None => Err(missing_length()),
    }
}

fn md5(parts: &Parts) -> Result<Option<Vec<u8>>, Error> {
    let Some(value) = parts.headers.get("content-md5") else {
        return Ok(None);
    };
    let value = value.to_str().unwrap_or_default();
    match base64_decode(value).filter(|md5| md5.len() == 16) {
        Some(md5) => Ok(Some(md5.to_vec())),
        None => {
            let message = "The Content-MD5 you specified was invalid.";
            let value: String = value.chars().take(1024).collect();
            let error = Error::new("InvalidDigest", StatusCode::BAD_REQUEST, message);
            Err(error.with("Content-MD5", value))
        }
    }
}

fn checksum(parts: &Parts) -> Result<Option<Checksum>, Error> {
    let named = parts.headers.get("x-amz-sdk-checksum-algorithm");
    let named = named.and_then(|value| value.to_str().ok());
    let in_headers = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| parts.headers.contains_key(algorithm.header()));
    let trailers = parts.headers.get_all("x-amz-trailer").iter();
    let trailers: Vec<String> = trailers.map(rest::latin).collect();
    let in_trailers = trailers.iter().flat_map(|names| names.split(','));
    let in_trailers = in_trailers.filter_map(|name| Algorithm::in_header(name.trim()));
    let mut all = in_headers
        .map(|algorithm| (algorithm, true))
        .chain(in_trailers.map(|algorithm| (algorithm, false)));
    let first = all.next();
    if all.next().is_some() {
        return Err(more_than_one());
    }
    let mut found = None;
    if let Some((algorithm, in_header)) = first {
        let value = || {
            let value = parts.headers.get(algorithm.header())?.to_str().ok()?;
            algorithm.parse(value)
        };
        let value = match in_header {
            true => Some(value().ok_or_else(|| invalid_value(algorithm.header()))?),
            false => None,
        };
        found = Some(Checksum { algorithm, value });
    }
    match (named, &found) {
        (Some(name), Some(checksum)) if !checksum.algorithm.name().eq_ignore_ascii_case(name) => {
            Err(invalid_value("x-amz-sdk-checksum-algorithm"))
        }
        (Some(_), None) if !is_presigned(parts) => Err(invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found.",
        )),
        _ => Ok(found),
    }
}

/// Whoever presigns an address does not know the body yet, but names what will check it.
fn is_presigned(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query::pairs(query).any(|(name, _)| matches!(name, "X-Amz-Signature" | "Signature"))
}

pub fn missing_length() -> Error {
    let message = "You must provide the Content-Length HTTP header.";
    Error::new("MissingContentLength", StatusCode::LENGTH_REQUIRED, message)
}

pub fn incomplete() -> Error {
    let message =
        "You did not provide the number of bytes specified by the Content-Length HTTP header";
    Error::new("IncompleteBody", StatusCode::BAD_REQUEST, message)
}

pub fn invalid_value(header: &str) -> Error {
    invalid_request(&format!("Value for {header} header is invalid."))
}

fn more_than_one() -> Error {
    invalid_request(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}

fn invalid_request(message: &str) -> Error {
    Error::new("InvalidRequest", StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<Stated, String> {
        let mut request = http::Request::put("/b/k");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Stated::read(&parts).map_err(|error| error.code.to_owned())
    }

    #[test]
    fn what_is_said_is_understood() {
        let plain = read(&[("content-length", "7")]).unwrap();
        assert_eq!((plain.length, plain.coding), (Some(7), Coding::Plain));
        let chunked = read(&[
            ("content-length", "100"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-sdk-checksum-algorithm", "crc32"),
        ]);
        let chunked = chunked.unwrap();
        assert_eq!(chunked.coding, Coding::Chunked { is_signed: false });
        assert_eq!(chunked.length, Some(9));
        let expect = Checksum {
            algorithm: Algorithm::Crc32,
            value: None,
        };
        assert_eq!(chunked.checksum, Some(expect));
        let sum = read(&[("x-amz-checksum-crc32", "AAAAAA==")]).unwrap();
        assert_eq!(sum.checksum.unwrap().value, Some(vec![0; 4]));
        let hashed = read(&[("x-amz-content-sha256", &"aB".repeat(32))]).unwrap();
        assert_eq!(hashed.coding, Coding::Hashed([0xab; 32]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |headers: &[(&str, &str)], expect: &str| {
            assert_eq!(read(headers), Err(expect.to_owned()), "{headers:?}");
        };
        check(&[("content-length", "-1")], "MissingContentLength");
        check(&[("content-md5", "AAAA")], "InvalidDigest");
        check(&[("x-amz-content-sha256", "abc")], "InvalidArgument");
        check(&[("x-amz-checksum-crc32", "AAAA")], "InvalidRequest");
        let two = [
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ];
        check(&two, "InvalidRequest");
        check(
            &[("x-amz-sdk-checksum-algorithm", "CRC32")],
            "InvalidRequest",
        );
        let other = [
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-sdk-checksum-algorithm", "SHA1"),
        ];
        check(&other, "InvalidRequest");
    }

    #[test]
    fn objects_have_a_length_and_a_longest_one() {
        let of = |length| Stated {
            length,
            coding: Coding::Plain,
            md5: None,
            checksum: None,
        };
        let code = |stated: Stated| stated.object_length().map_err(|error| error.code);
        assert_eq!(code(of(None)), Err("MissingContentLength"));
        assert_eq!(code(of(Some(OBJECT_BYTES_MAX))), Ok(OBJECT_BYTES_MAX));
        assert_eq!(code(of(Some(OBJECT_BYTES_MAX + 1))), Err("EntityTooLarge"));
    }
}
