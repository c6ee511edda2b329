//! Signatures of a body's chunks (S3): each is over the one before it, and the first over the
//! request's own.

use aws_lc_rs::{constant_time, digest, hmac};
use jiff::Timestamp;

use super::{AuthError, hex};
use crate::{query, time};

/// Checks the chunks of one body, in their order.
#[derive(Clone)]
pub struct ChunkSigner {
    key: hmac::Key,
    /// Time and scope, as each text that is signed has them.
    common: String,
    previous: String,
}

impl std::fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkSigner").finish_non_exhaustive()
    }
}

impl ChunkSigner {
    pub(super) fn new(key: hmac::Key, at: Timestamp, scope: &str, signature: &str) -> Self {
        Self {
            key,
            common: format!("{}\n{scope}", time::iso8601_basic(at)),
            previous: signature.to_owned(),
        }
    }

    /// Checks the next chunk, by the SHA-256 of its bytes.
    pub fn check(&mut self, hash: &[u8], signature: &str) -> Result<(), AuthError> {
        let nothing = hex(digest::digest(&digest::SHA256, b"").as_ref());
        let rest = format!("{nothing}\n{}", hex(hash));
        self.check_next("AWS4-HMAC-SHA256-PAYLOAD", &rest, signature)
    }

    /// Checks the trailers after the last chunk, each `name:value` with a line feed after it.
    pub fn check_trailers(&mut self, trailers: &str, signature: &str) -> Result<(), AuthError> {
        let hash = hex(digest::digest(&digest::SHA256, trailers.as_bytes()).as_ref());
        self.check_next("AWS4-HMAC-SHA256-TRAILER", &hash, signature)
    }

    fn check_next(&mut self, kind: &str, rest: &str, signature: &str) -> Result<(), AuthError> {
        let text = format!("{kind}\n{}\n{}\n{rest}", self.common, self.previous);
        let expected = hmac::sign(&self.key, text.as_bytes());
        let given = bytes(signature).ok_or(AuthError::Mismatch)?;
        constant_time::verify_slices_are_equal(expected.as_ref(), &given)
            .map_err(|_| AuthError::Mismatch)?;
        self.previous = hex(expected.as_ref());
        Ok(())
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| query::hex_pair(pair[0], pair[1]))
        .collect()
}
