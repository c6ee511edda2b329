//! Bytes coming in: encrypted and written as they come, so that an object of any length takes little
//! memory.

use std::sync::Arc;

use bytes::Bytes;
use store::{BlobHash, BlobStore, BlobWriter};
use tokio::task::spawn_blocking;

use super::{
    Pins, SealedKey,
    cipher::{CipherError, CustomerKey, DataKey, Sealer},
    pins::Pinned,
};
use crate::{buckets::limits, secrets::Secrets};

/// Why bytes could not be taken in or given out.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Cipher(#[from] CipherError),
    #[error("the work on an object's content panicked")]
    Panicked,
}

/// A content on its way in. Dropped before its end it leaves nothing.
pub struct Intake {
    blobs: BlobStore,
    pins: Pins,
    /// Elsewhere while a batch is worked on, and gone after an error.
    sealer: Option<Sealer>,
    sealed_key: SealedKey,
    batch: Vec<Bytes>,
    batch_len: usize,
    writer: Option<BlobWriter>,
    len: u64,
    rows_max: u64,
}

/// A content that is all there and, if it is in a file, durable.
pub struct Taken {
    pub len: u64,
    pub key: SealedKey,
    pub held: Held,
}

/// Where it is until a row refers to it. A file stays as long as this lives.
pub enum Held {
    Nothing,
    Bytes(Arc<Vec<u8>>),
    File(NewFile),
}

/// A file that nothing refers to yet: it goes with this, unless it was said to be kept.
pub struct NewFile {
    pub hash: BlobHash,
    blobs: BlobStore,
    is_kept: bool,
    _pinned: Pinned,
}

impl NewFile {
    /// From here on a transaction that refers to it may be durable.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// No transaction refers to it.
    pub fn discard(mut self) {
        self.is_kept = false;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (blobs, hash) = (self.blobs.clone(), self.hash);
        // Outside of a runtime the sweep finds it later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = blobs.delete(hash).await {
                    tracing::warn!(%error, "a file of an object that was not put stays for now");
                }
            });
        }
    }
}

impl Intake {
    pub fn new(
        blobs: BlobStore,
        pins: Pins,
        secrets: &Secrets,
        customer: Option<&CustomerKey>,
    ) -> Result<Self, ContentError> {
        let key = DataKey::random()?;
        Ok(Self {
            blobs,
            pins,
            sealer: Some(Sealer::new(&key)),
            sealed_key: key.seal(secrets, customer)?,
            batch: Vec::new(),
            batch_len: 0,
            writer: None,
            len: 0,
            rows_max: limits::ROW_BYTES_MAX,
        })
    }

    /// However small, it is to be a file.
    #[must_use]
    pub fn into_file(mut self) -> Self {
        self.rows_max = 0;
        self
    }

    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError> {
        self.len += bytes.len() as u64;
        self.batch_len += bytes.len();
        self.batch.push(bytes);
        match self.batch_len >= limits::BATCH_BYTES {
            true => self.flush(false).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, is_last: bool) -> Result<(), ContentError> {
        let batch = std::mem::take(&mut self.batch);
        let room = std::mem::take(&mut self.batch_len) + 4096;
        let mut sealer = self.sealer.take().ok_or(ContentError::Panicked)?;
        let sealed = spawn_blocking(move || {
            let mut sealed = Vec::with_capacity(room);
            for bytes in batch {
                sealer.push(&bytes, &mut sealed)?;
            }
            let left = match is_last {
                true => {
                    sealer.finish(&mut sealed)?;
                    None
                }
                false => Some(sealer),
            };
            Ok::<_, ContentError>((left, sealed))
        });
        let (sealer, sealed) = sealed.await.map_err(|_| ContentError::Panicked)??;
        self.sealer = sealer;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.blobs.writer().await?),
        };
        Ok(writer.write(sealed).await?)
    }

    pub async fn finish(mut self) -> Result<Taken, ContentError> {
        let held = if self.len == 0 {
            Held::Nothing
        } else if self.writer.is_none() && self.len <= self.rows_max {
            let mut sealer = self.sealer.take().ok_or(ContentError::Panicked)?;
            let mut sealed = Vec::new();
            for bytes in &self.batch {
                sealer.push(bytes, &mut sealed)?;
            }
            sealer.finish(&mut sealed)?;
            Held::Bytes(Arc::new(sealed))
        } else {
            self.flush(true).await?;
            let writer = self.writer.take().ok_or(ContentError::Panicked)?;
            let hash = writer.finish().await?.hash;
            Held::File(NewFile {
                hash,
                blobs: self.blobs,
                is_kept: false,
                _pinned: self.pins.pin(vec![hash]),
            })
        };
        Ok(Taken {
            len: self.len,
            key: self.sealed_key,
            held,
        })
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
