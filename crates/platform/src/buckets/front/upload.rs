//! An object's bytes on their way in: piece by piece, and checked against everything the client said
//! of them by the time they end.

use async_trait::async_trait;
use bytes::Bytes;
use wire::{
    Error,
    s3::checksum::{Algorithm, Hasher},
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
    length: u64,
    read: u64,
    algorithm: Option<Algorithm>,
    md5: Hasher,
    hashers: Vec<Hasher>,
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
    /// Bytes that are there already, with nothing said of them.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self {
            pieces: Box::new(AtHand(Some(bytes))),
            length,
            read: 0,
            algorithm: None,
            md5: Hasher::new(Algorithm::Md5),
            hashers: Vec::new(),
        }
    }

    /// How many bytes there will be; S3 takes no object without saying so ahead.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The algorithm whose checksum the client sends along, or asks for.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Has a checksum taken that the client did not ask for. Before the first piece is read.
    pub fn take_checksum(&mut self, algorithm: Algorithm) {
        if !self.hashers.iter().any(|h| h.algorithm() == algorithm) {
            self.hashers.push(Hasher::new(algorithm));
        }
    }

    /// The next piece, of a few KiB up to some hundred; none when all have been, and are what the
    /// client said. The error is the client's to read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.pieces.next().await;
        let piece = piece.map_err(|_| Error::internal())?;
        if let Some(bytes) = &piece {
            self.read += bytes.len() as u64;
            self.md5.update(bytes);
            for hasher in &mut self.hashers {
                hasher.update(bytes);
            }
        }
        Ok(piece)
    }

    /// What was read, after [`Upload::next`] gave none; what had not been read is, and is lost.
    pub async fn finish(mut self) -> Result<Received, Error> {
        while self.next().await?.is_some() {}
        let checksums = self
            .hashers
            .into_iter()
            .map(|h| (h.algorithm(), h.finish()));
        Ok(Received {
            length: self.read,
            md5: self.md5.finish().try_into().unwrap_or_default(),
            checksums: checksums.collect(),
        })
    }
}

/// A body that is there.
struct AtHand(Option<Bytes>);

#[async_trait]
impl Pieces for AtHand {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}
