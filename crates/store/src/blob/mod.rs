//! Blobs: bytes kept under the SHA-256 of their content, never changed, collected when unused.
//!
//! The face is the same whatever keeps them; today that is a directory of files. A blob that was
//! put is durable. The caller stores the reference afterwards, in a transaction; a blob whose
//! reference never came is found by [`BlobStore::collect`].

mod directory;
mod hash;

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::spawn_blocking;

use crate::error::{Error, Result};
use directory::{Directory, Draft};
pub use hash::{BlobHash, NotABlobHash};

/// Bytes handed to the disk at once by the streaming calls.
const CHUNK: usize = 256 * 1024;

/// A blob that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub hash: BlobHash,
    pub len: u64,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub kept: u64,
    pub removed: u64,
    pub removed_bytes: u64,
}

/// A cheap handle.
#[derive(Clone)]
pub struct BlobStore {
    engine: Engine,
}

/// Other engines, such as an object store, join here.
#[derive(Clone)]
enum Engine {
    Directory(Arc<Directory>),
}

impl BlobStore {
    /// Opens the blobs in a directory and removes what a crash left of unfinished ones.
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let root = directory.as_ref().to_owned();
        let directory = blocking(move || Directory::open(root)).await?;
        Ok(Self {
            engine: Engine::Directory(Arc::new(directory)),
        })
    }

    /// Stores bytes; the same bytes again are the same blob.
    pub async fn put(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Blob> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        blocking(move || {
            let mut draft = directory.draft()?;
            draft.write(bytes.as_ref())?;
            directory.publish(draft)
        })
        .await
    }

    /// Stores what a reader gives until its end.
    pub async fn put_stream(&self, mut source: impl AsyncRead + Unpin) -> Result<Blob> {
        let mut writer = self.writer().await?;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            while chunk.len() < CHUNK && source.read_buf(&mut chunk).await.map_err(Error::io)? > 0 {
            }
            if chunk.is_empty() {
                return writer.finish().await;
            }
            writer.write(chunk).await?;
        }
    }

    /// Begins a blob that is written piece by piece. Dropping the writer leaves nothing.
    pub async fn writer(&self) -> Result<BlobWriter> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        let draft = blocking({
            let directory = directory.clone();
            move || directory.draft()
        })
        .await?;
        Ok(BlobWriter { directory, draft })
    }

    /// Reads a whole blob, refusing one of more than `bytes_max`, and one whose content is not
    /// what its hash says.
    pub async fn get(&self, hash: BlobHash, bytes_max: u64) -> Result<Vec<u8>> {
        let reader = self.reader(hash).await?;
        if reader.len > bytes_max {
            let what = format!("blob {hash} of {} bytes, more than {bytes_max}", reader.len);
            return Err(Error::TooLarge { what });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(reader.len).unwrap_or_default());
        reader
            .file
            .take(bytes_max)
            .read_to_end(&mut bytes)
            .await
            .map_err(Error::io)?;
        blocking(move || match BlobHash::of(&bytes) {
            found if found == hash => Ok(bytes),
            found => Err(damaged(hash, found)),
        })
        .await
    }

    /// Reads a blob as a stream; [`Error::NotFound`] where there is none.
    pub async fn reader(&self, hash: BlobHash) -> Result<BlobReader> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        let (file, len) = blocking(move || directory.read(hash)).await?;
        Ok(BlobReader {
            file: tokio::fs::File::from_std(file),
            len,
        })
    }

    /// Opens a blob for reading at any place; [`Error::NotFound`] where there is none.
    pub async fn file(&self, hash: BlobHash) -> Result<BlobFile> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        let (file, len) = blocking(move || directory.read(hash)).await?;
        Ok(BlobFile {
            file: Arc::new(file),
            len,
        })
    }

    pub async fn contains(&self, hash: BlobHash) -> Result<bool> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        blocking(move || directory.contains(hash)).await
    }

    /// The file a blob is in, where the engine keeps files.
    pub fn path(&self, hash: BlobHash) -> Option<PathBuf> {
        let Engine::Directory(directory) = &self.engine;
        Some(directory.path(hash))
    }

    /// Reads a blob through; [`Error::Corrupt`] if its content is not what its hash says.
    pub async fn verify(&self, hash: BlobHash) -> Result<()> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        blocking(move || directory.verify(hash)).await
    }

    /// Removes a blob whether or not it is in use; says whether there was one.
    pub async fn delete(&self, hash: BlobHash) -> Result<bool> {
        let Engine::Directory(directory) = &self.engine;
        let directory = directory.clone();
        blocking(move || directory.delete(hash)).await
    }

    /// Removes every blob that nothing refers to and that was not put within the grace period,
    /// which must be longer than the time between putting a blob and storing its reference.
    pub async fn collect<F, Answer>(
        &self,
        now: SystemTime,
        grace: Duration,
        mut referenced: F,
    ) -> Result<Collected>
    where
        F: FnMut(BlobHash) -> Answer,
        Answer: Future<Output = Result<bool>>,
    {
        let Engine::Directory(directory) = &self.engine;
        // Before the beginning of time nothing was put.
        let before = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut collected = Collected::default();
        for shelf in 0..=u8::MAX {
            let lister = directory.clone();
            for hash in blocking(move || lister.put_before(shelf, before)).await? {
                if referenced(hash).await? {
                    collected.kept += 1;
                    continue;
                }
                let remover = directory.clone();
                if let Some(len) = blocking(move || remover.delete_if_before(hash, before)).await? {
                    collected.removed += 1;
                    collected.removed_bytes += len;
                }
            }
        }
        Ok(collected)
    }
}

fn damaged(hash: BlobHash, found: BlobHash) -> Error {
    Error::corrupt(format!("blob {hash} has the content of {found}"))
}

/// A blob in the making.
pub struct BlobWriter {
    directory: Arc<Directory>,
    draft: Draft,
}

impl BlobWriter {
    /// Appends bytes. An error ends the blob.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<()> {
        let mut draft = self.draft.take()?;
        self.draft = blocking(move || draft.write(bytes.as_ref()).map(|()| draft)).await?;
        Ok(())
    }

    /// Makes the blob durable and visible under its hash.
    pub async fn finish(mut self) -> Result<Blob> {
        let draft = self.draft.take()?;
        blocking(move || self.directory.publish(draft)).await
    }
}

/// A blob being read.
pub struct BlobReader {
    file: tokio::fs::File,
    pub len: u64,
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.file).poll_read(context, buffer)
    }
}

/// An open blob: what was opened can be read to the end, even if the blob is removed meanwhile.
#[derive(Clone)]
pub struct BlobFile {
    file: Arc<std::fs::File>,
    pub len: u64,
}

impl BlobFile {
    /// Fills the buffer with what lies from this place on. Blocks.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Error::corrupt("a blob is shorter than it was"),
                _ => Error::io(error),
            })
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(act).await.unwrap_or_else(|panic| {
        Err(Error::Panicked {
            message: panic.to_string(),
        })
    })
}
