//! An object's bytes on their way in: piece by piece, and checked against everything the client said
//! of them by the time they end.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use wire::{
    Error,
    s3::{
        checksum::{self, Algorithm, Hasher},
        chunked::{ChunkError, Chunked},
        policy::Range,
        stated::{self, Checksum, Coding, Stated},
    },
    sigv4::{AuthError, ChunkSigner},
};

/// A request's body, as the listener reads it.
#[async_trait]
pub trait Pieces: Send {
    /// None at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Cut>;
}

/// Why a body ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The client sends nothing any more.
    Slow,
    /// The connection is gone.
    Gone,
}

/// An object's bytes on their way in. To be read to the end; what is dropped before was never there.
pub struct Upload {
    pieces: Box<dyn Pieces>,
    stated: Stated,
    /// Takes the body apart where it comes in chunks.
    chunked: Option<Chunked>,
    /// What has been taken apart and not been given.
    ready: VecDeque<Bytes>,
    read: u64,
    md5: Hasher,
    hashers: Vec<Hasher>,
    /// Those of the hashers that somebody wants to know of; the other checks what was signed.
    wanted: Vec<Algorithm>,
    /// What a form's policy says of the length, or S3.
    bounds: Option<Range>,
    ended: Option<Result<Received, Error>>,
}

/// What an object's bytes were, all of them read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// In bytes.
    pub length: u64,
    /// What makes the ETag.
    pub md5: [u8; 16],
    /// Of the client's algorithm, if it named one, and of those that were asked for.
    pub checksums: Vec<(Algorithm, Vec<u8>)>,
}

impl Upload {
    /// `signer` is that of chunks which are signed, where signatures are checked.
    pub fn new(pieces: Box<dyn Pieces>, stated: Stated, signer: Option<ChunkSigner>) -> Self {
        let chunked = match stated.coding {
            Coding::Chunked { is_signed } => Some(Chunked::new(signer.filter(|_| is_signed))),
            Coding::Plain | Coding::Hashed(_) => None,
        };
        let mut hashers = Vec::new();
        if let Coding::Hashed(_) = stated.coding {
            hashers.push(Hasher::new(Algorithm::Sha256));
        }
        let mut upload = Self {
            pieces,
            chunked,
            ready: VecDeque::new(),
            read: 0,
            md5: Hasher::new(Algorithm::Md5),
            hashers,
            wanted: Vec::new(),
            bounds: None,
            ended: None,
            stated,
        };
        if let Some(algorithm) = upload.algorithm() {
            upload.take_checksum(algorithm);
        }
        upload
    }

    /// Bytes that are there already, with nothing said of them.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let stated = Stated {
            length: Some(bytes.len() as u64),
            coding: Coding::Plain,
            md5: None,
            checksum: None,
        };
        Self::new(Box::new(AtHand(Some(bytes))), stated, None)
    }

    /// How many bytes there will be; S3 takes no object without saying so ahead. 0 of a form's file,
    /// of which nobody knows.
    pub fn length(&self) -> u64 {
        self.stated.length.unwrap_or_default()
    }

    /// A form's file, whose length shows when it ends.
    pub(super) fn of_form(pieces: Box<dyn Pieces>, stated: Stated, bounds: Range) -> Self {
        let mut upload = Self::new(pieces, stated, None);
        upload.bounds = Some(bounds);
        upload
    }

    /// Whether it may be one, as far as its head says.
    pub(super) fn is_object(&self) -> Result<(), Error> {
        self.stated.object_length().map(|_| ())
    }

    pub(super) fn requires_checksum(&self) -> Result<(), Error> {
        self.stated.requires_checksum()
    }

    /// The algorithm whose checksum the client sends along.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.stated.checksum.as_ref().map(|sum| sum.algorithm)
    }

    /// Has a checksum taken that the client did not send. Before the first piece is read.
    pub fn take_checksum(&mut self, algorithm: Algorithm) {
        if !self.hashers.iter().any(|h| h.algorithm() == algorithm) {
            self.hashers.push(Hasher::new(algorithm));
        }
        if !self.wanted.contains(&algorithm) {
            self.wanted.push(algorithm);
        }
    }

    /// The next piece, of a few KiB up to some hundred; none when all have been, and are what the
    /// client said. The error is the client's to read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.account(&bytes)?;
                if self.bounds.is_some_and(|bounds| self.read > bounds.max) {
                    self.count_rest().await;
                    continue;
                }
                return Ok(Some(bytes));
            }
            if let Some(ended) = &self.ended {
                return ended.clone().map(|_| None);
            }
            let piece = self.pieces.next().await;
            match piece.map_err(cut_off).and_then(|piece| self.take(piece)) {
                Ok(()) => {}
                Err(error) => self.ended = Some(Err(error)),
            }
        }
    }

    /// What was read, after [`Upload::next`] gave none; what had not been read is, and is lost.
    pub async fn finish(mut self) -> Result<Received, Error> {
        while self.next().await?.is_some() {}
        self.ended.unwrap_or_else(|| Err(Error::internal()))
    }

    /// All of a body that is no object, if it is not longer than that.
    pub async fn whole(mut self, bytes_max: usize) -> Result<Bytes, Error> {
        if self.length() > bytes_max as u64 {
            return Err(too_long());
        }
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        let mut second = self.next().await?;
        if second.is_none() {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first);
        while let Some(piece) = second {
            if whole.len() + piece.len() > bytes_max {
                return Err(too_long());
            }
            whole.extend_from_slice(&piece);
            second = self.next().await?;
        }
        Ok(whole.freeze())
    }

    /// Of what is too long it is told how long it is.
    async fn count_rest(&mut self) {
        while let Ok(Some(bytes)) = self.pieces.next().await {
            self.read += bytes.len() as u64;
        }
        let max = self.bounds.map(|bounds| bounds.max).unwrap_or_default();
        let message = "Your proposed upload exceeds the maximum allowed size";
        let error = bad("EntityTooLarge", message)
            .with("ProposedSize", self.read.to_string())
            .with("MaxSizeAllowed", max.to_string());
        self.ready.clear();
        self.ended = Some(Err(error));
    }

    fn account(&mut self, bytes: &Bytes) -> Result<(), Error> {
        self.read += bytes.len() as u64;
        if self.stated.length.is_some_and(|length| self.read > length) {
            let error = stated::incomplete();
            self.ready.clear();
            self.ended = Some(Err(error.clone()));
            return Err(error);
        }
        self.md5.update(bytes);
        for hasher in &mut self.hashers {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// Takes what came next, or the end.
    fn take(&mut self, piece: Option<Bytes>) -> Result<(), Error> {
        let Some(piece) = piece else {
            let received = self.end()?;
            self.ended = Some(Ok(received));
            return Ok(());
        };
        match &mut self.chunked {
            Some(chunked) => {
                let mut out = Vec::new();
                chunked.take(piece, &mut out).map_err(chunk_error)?;
                self.ready.extend(out.into_iter().filter(|b| !b.is_empty()));
            }
            None if piece.is_empty() => {}
            None => self.ready.push_back(piece),
        }
        Ok(())
    }

    /// Checks all that the client said.
    fn end(&mut self) -> Result<Received, Error> {
        let trailers = match self.chunked.take() {
            Some(chunked) => chunked.end().map_err(chunk_error)?,
            None => Vec::new(),
        };
        if self.stated.length.is_some_and(|length| length != self.read) {
            return Err(stated::incomplete());
        }
        if let Some(bounds) = self.bounds.filter(|bounds| self.read < bounds.min) {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(bad("EntityTooSmall", message)
                .with("ProposedSize", self.read.to_string())
                .with("MinSizeAllowed", bounds.min.to_string()));
        }
        let md5 = std::mem::replace(&mut self.md5, Hasher::new(Algorithm::Md5)).finish();
        let hashers = std::mem::take(&mut self.hashers).into_iter();
        let mut checksums: Vec<_> = hashers.map(|h| (h.algorithm(), h.finish())).collect();
        let calculated = |algorithm| {
            let found = checksums.iter().find(|(a, _)| *a == algorithm);
            found.map(|(_, value)| value.as_slice()).unwrap_or_default()
        };
        if let Coding::Hashed(expected) = self.stated.coding {
            let found = calculated(Algorithm::Sha256);
            if found != expected {
                return Err(other_hash(&expected, found));
            }
        }
        if let Some(expected) = self
            .stated
            .md5
            .as_ref()
            .filter(|expected| **expected != md5)
        {
            return Err(other_md5(expected, &md5));
        }
        if let Some(sum) = &self.stated.checksum {
            let expected = expected(sum, &trailers)?;
            if calculated(sum.algorithm) != expected {
                return Err(other_checksum(sum.algorithm));
            }
        }
        checksums.retain(|(algorithm, _)| self.wanted.contains(algorithm));
        Ok(Received {
            length: self.read,
            md5: md5.try_into().unwrap_or_default(),
            checksums,
        })
    }
}

/// The value that came in a header, or has come in a trailer.
fn expected(sum: &Checksum, trailers: &[(String, String)]) -> Result<Vec<u8>, Error> {
    if let Some(value) = &sum.value {
        return Ok(value.clone());
    }
    let header = sum.algorithm.header();
    let Some((_, value)) = trailers.iter().find(|(name, _)| name == header) else {
        let message = "The request contained trailing data that was not well-formed or did not \
            conform to our published schema.";
        return Err(bad("MalformedTrailerError", message));
    };
    let value = sum.algorithm.parse(value);
    value.ok_or_else(|| {
        let message = format!("Value for {header} trailing header is invalid.");
        bad("InvalidRequest", message)
    })
}

fn bad(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(code, StatusCode::BAD_REQUEST, message)
}

fn cut_off(cut: Cut) -> Error {
    match cut {
        Cut::Gone => stated::incomplete(),
        Cut::Slow => bad(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the \
             timeout period. Idle connections will be closed.",
        ),
    }
}

fn chunk_error(error: ChunkError) -> Error {
    match error {
        ChunkError::Signature => AuthError::Mismatch.to_error(wire::Protocol::RestXml),
        ChunkError::Malformed | ChunkError::Incomplete => {
            bad("IncompleteBody", "The request body terminated unexpectedly")
        }
    }
}

fn too_long() -> Error {
    bad("MaxMessageLengthExceeded", "Your request was too big.")
}

fn other_hash(expected: &[u8], found: &[u8]) -> Error {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    AuthError::PayloadMismatch
        .to_error(wire::Protocol::RestXml)
        .with("ClientComputedContentSHA256", hex(expected))
        .with("S3ComputedContentSHA256", hex(found))
}

fn other_md5(expected: &[u8], found: &[u8]) -> Error {
    let message = "The Content-MD5 you specified did not match what we received.";
    bad("BadDigest", message)
        .with("ExpectedDigest", checksum::text(expected))
        .with("CalculatedDigest", checksum::text(found))
}

fn other_checksum(algorithm: Algorithm) -> Error {
    let name = algorithm.name();
    bad(
        "BadDigest",
        format!("The {name} you specified did not match the calculated checksum."),
    )
}

/// A body that is there.
struct AtHand(Option<Bytes>);

#[async_trait]
impl Pieces for AtHand {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces, then an end of this kind.
    struct Sent(VecDeque<Bytes>, Result<(), Cut>);

    #[async_trait]
    impl Pieces for Sent {
        async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
            match self.0.pop_front() {
                Some(piece) => Ok(Some(piece)),
                None => self.1.map(|()| None),
            }
        }
    }

    fn stated(headers: &[(&str, &str)]) -> Stated {
        let mut request = http::Request::put("/b/k");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Stated::read(&parts).expect("it can be")
    }

    async fn send(
        headers: &[(&str, &str)],
        pieces: &[&'static str],
        end: Result<(), Cut>,
    ) -> Result<Received, &'static str> {
        let pieces = pieces
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()));
        let sent = Box::new(Sent(pieces.collect(), end));
        let upload = Upload::new(sent, stated(headers), None);
        upload.finish().await.map_err(|error| error.code)
    }

    #[tokio::test]
    async fn what_is_as_it_was_said_is_received() {
        let received = send(
            &[
                ("content-length", "9"),
                ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
                ("x-amz-checksum-crc32", "y/Q5Jg=="),
            ],
            &["1234", "", "56789"],
            Ok(()),
        );
        let received = received
            .await
            .map(|r| (r.length, r.md5[0], r.checksums[0].clone()));
        let crc = vec![0xcb, 0xf4, 0x39, 0x26];
        assert_eq!(received, Ok((9, 0x25, (Algorithm::Crc32, crc))));
    }

    #[tokio::test]
    async fn trailers_are_checked_after_the_last_chunk() {
        let headers = [
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let body = "9\r\n123456789\r\n0\r\n";
        let check = async |end: &'static str| {
            let sent = send(&headers, &[body, end], Ok(())).await;
            sent.map(|received| received.length)
        };
        assert_eq!(check("x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n").await, Ok(9));
        assert_eq!(
            check("x-amz-checksum-crc32:AAAAAA==\r\n\r\n").await,
            Err("BadDigest")
        );
        assert_eq!(
            check("x-amz-checksum-crc32:AA\r\n\r\n").await,
            Err("InvalidRequest")
        );
        assert_eq!(check("\r\n").await, Err("MalformedTrailerError"));
        assert_eq!(
            check("x-amz-checksum-crc32:y/Q5Jg==").await,
            Err("IncompleteBody")
        );
    }

    #[tokio::test]
    async fn what_is_not_as_it_was_said_is_refused_and_stays_refused() {
        let nine = ("content-length", "9");
        let check = async |headers: &[(&str, &str)], end, expect| {
            assert_eq!(
                send(headers, &["123456789"], end).await,
                Err(expect),
                "{headers:?}"
            );
        };
        check(&[("content-length", "8")], Ok(()), "IncompleteBody").await;
        check(&[("content-length", "10")], Ok(()), "IncompleteBody").await;
        check(&[nine], Err(Cut::Gone), "IncompleteBody").await;
        check(&[nine], Err(Cut::Slow), "RequestTimeout").await;
        let md5 = ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
        check(&[nine, md5], Ok(()), "BadDigest").await;
        let hash = "0".repeat(64);
        let hash = ("x-amz-content-sha256", hash.as_str());
        check(&[nine, hash], Ok(()), "XAmzContentSHA256Mismatch").await;

        let sent = Box::new(Sent(VecDeque::new(), Err(Cut::Gone)));
        let mut upload = Upload::new(sent, stated(&[nine]), None);
        assert!(upload.next().await.is_err());
        assert!(upload.next().await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_is_no_object_is_read_up_to_its_bound() {
        let whole = async |bytes_max| {
            let pieces = ["1234", "56789"].map(|text| Bytes::from_static(text.as_bytes()));
            let sent = Box::new(Sent(pieces.into_iter().collect(), Ok(())));
            let read = Upload::new(sent, stated(&[]), None).whole(bytes_max).await;
            read.map_err(|error| error.code)
        };
        assert_eq!(whole(9).await, Ok(Bytes::from_static(b"123456789")));
        assert_eq!(whole(8).await, Err("MaxMessageLengthExceeded"));
    }
}
