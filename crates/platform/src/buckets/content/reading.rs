//! Bytes going out, a piece at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use store::{BlobFile, BlobHash, BlobStore};
use tokio::task::spawn_blocking;

use super::{
    cipher::{self, DataKey, SEGMENT, Stretch},
    intake::ContentError,
    pins::Pinned,
};

/// How much is read and opened at once.
const PIECE: u64 = 8 * SEGMENT;

/// A stretch of one content.
pub struct Extent {
    pub place: Place,
    pub key: DataKey,
    /// How long the content is, what is wanted of it and from where; plain bytes.
    pub whole: u64,
    pub from: u64,
    pub len: u64,
}

pub enum Place {
    Bytes(Vec<u8>),
    File(BlobHash),
}

/// A content, or a range of one, on its way out.
pub struct Reading {
    blobs: BlobStore,
    extents: VecDeque<Extent>,
    open: Option<BlobFile>,
    _pinned: Option<Pinned>,
}

impl Reading {
    pub fn new(blobs: BlobStore, extents: Vec<Extent>, pinned: Option<Pinned>) -> Self {
        let extents = extents.into_iter().filter(|extent| extent.len > 0);
        Self {
            blobs,
            extents: extents.collect(),
            open: None,
            _pinned: pinned,
        }
    }

    /// The next piece; none at the end. An error ends it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ContentError> {
        let piece = self.piece().await;
        if piece.is_err() {
            self.extents.clear();
        }
        piece
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, ContentError> {
        let Some(extent) = self.extents.front_mut() else {
            return Ok(None);
        };
        // To the end of a segment, so that none is opened twice.
        let to_boundary = PIECE - extent.from % SEGMENT;
        let (from, len) = (extent.from, extent.len.min(to_boundary));
        let stretch = cipher::stretch(from, len, extent.whole);
        let (key, whole) = (extent.key.clone(), extent.whole);
        let plain = match &mut extent.place {
            Place::Bytes(sealed) => {
                let range = stretch.offset as usize..(stretch.offset + stretch.len) as usize;
                let sealed = sealed.get(range).ok_or(cipher::CipherError::Damaged)?;
                wanted(&key, sealed.to_vec(), stretch, whole, len)?
            }
            Place::File(hash) => {
                let file = match &self.open {
                    Some(file) => file.clone(),
                    None => self.open.insert(self.blobs.file(*hash).await?).clone(),
                };
                let read = spawn_blocking(move || {
                    let mut sealed = vec![0; stretch.len as usize];
                    file.read_exact_at(&mut sealed, stretch.offset)?;
                    wanted(&key, sealed, stretch, whole, len)
                });
                read.await.map_err(|_| ContentError::Panicked)??
            }
        };
        extent.from += len;
        extent.len -= len;
        if extent.len == 0 {
            self.extents.pop_front();
            self.open = None;
        }
        Ok(Some(plain))
    }
}

fn wanted(
    key: &DataKey,
    sealed: Vec<u8>,
    stretch: Stretch,
    whole: u64,
    len: u64,
) -> Result<Bytes, ContentError> {
    let plain = Bytes::from(cipher::open(key, sealed, stretch, whole)?);
    let end = stretch.skip + len;
    if (plain.len() as u64) < end {
        return Err(cipher::CipherError::Damaged.into());
    }
    Ok(plain.slice(stretch.skip as usize..end as usize))
}
