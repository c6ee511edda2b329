//! Blobs as files: `ab/cd/<hash>`, drafts in `drafts/`.
//!
//! A draft is written, synced and renamed to its name, and the directories are synced up to the
//! root, so what is visible is whole and what was answered is durable. Putting a blob that is
//! there replaces its file: its age starts again, which is what keeps the collection from taking
//! a blob between its putting and its reference, and a damaged copy heals. A draft is locked
//! while its writer lives, also against other processes; an unlocked one is left from a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest;

use super::{Blob, BlobHash, CHUNK, damaged};
use crate::error::{Error, Result};

pub(super) struct Directory {
    root: PathBuf,
    drafts: PathBuf,
    /// Held while a blob appears under its name or is taken away by the collection.
    names: Mutex<()>,
}

impl Directory {
    pub fn open(root: PathBuf) -> Result<Self> {
        let drafts = root.join("drafts");
        make(&root)?;
        make(&drafts)?;
        sync(&root)?;
        if let Some(parent) = root
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync(parent)?;
        }
        let directory = Self {
            root,
            drafts,
            names: Mutex::new(()),
        };
        directory.remove_orphans()?;
        Ok(directory)
    }

    pub fn draft(&self) -> Result<Draft> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.drafts.join(format!("{}-{number}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Left by a process that had our id, or being written in another pid namespace.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io(error)),
            };
            file.lock().map_err(Error::io)?;
            // Another process's start may have taken it for an orphan before it was locked.
            if path.exists() {
                return Ok(Draft(Some(Open {
                    path,
                    file,
                    digest: hasher(),
                    len: 0,
                })));
            }
        }
    }

    pub fn publish(&self, mut draft: Draft) -> Result<Blob> {
        let open = draft.open()?;
        open.file.sync_all().map_err(Error::io)?;
        let hash = BlobHash::from(open.digest.clone().finish());
        let (path, len) = (self.path(hash), open.len);
        let leaf = path.parent().unwrap_or(&self.root);
        let shelf = leaf.parent().unwrap_or(&self.root);
        make(shelf)?;
        make(leaf)?;
        {
            let _names = self.names();
            fs::rename(&open.path, &path).map_err(Error::io)?;
        }
        // The draft's name is gone: nothing to remove when it is dropped.
        draft.0 = None;
        // Always all three: that a directory exists does not say that its entry is durable.
        for directory in [leaf, shelf, &self.root] {
            sync(directory)?;
        }
        Ok(Blob { hash, len })
    }

    pub fn path(&self, hash: BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.root.join(&name[..2]).join(&name[2..4]).join(name)
    }

    pub fn read(&self, hash: BlobHash) -> Result<(File, u64)> {
        let file = File::open(self.path(hash)).map_err(|error| missing(hash, error))?;
        let len = file.metadata().map_err(Error::io)?.len();
        Ok((file, len))
    }

    pub fn contains(&self, hash: BlobHash) -> Result<bool> {
        self.path(hash).try_exists().map_err(Error::io)
    }

    pub fn verify(&self, hash: BlobHash) -> Result<()> {
        let (mut file, _) = self.read(hash)?;
        let mut digest = hasher();
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk).map_err(Error::io)? {
                0 => break,
                count => digest.update(&chunk[..count]),
            }
        }
        let found = BlobHash::from(digest.finish());
        if found == hash {
            return Ok(());
        }
        Err(damaged(hash, found))
    }

    pub fn delete(&self, hash: BlobHash) -> Result<bool> {
        match fs::remove_file(self.path(hash)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(error)),
        }
    }

    /// The blobs of one first-level directory that are older than a time.
    pub fn put_before(&self, shelf: u8, before: SystemTime) -> Result<Vec<BlobHash>> {
        let mut found = Vec::new();
        for leaf in entries(&self.root.join(format!("{shelf:02x}")))? {
            for blob in entries(&leaf)? {
                // Other files are none of ours.
                let name = blob.file_name().and_then(|name| name.to_str());
                let Some(hash) = name.and_then(|name| name.parse().ok()) else {
                    continue;
                };
                if self.aged(hash, before)?.is_some() {
                    found.push(hash);
                }
            }
        }
        Ok(found)
    }

    /// Removes a blob unless it was put again since; gives the bytes that became free.
    pub fn delete_if_before(&self, hash: BlobHash, before: SystemTime) -> Result<Option<u64>> {
        let _names = self.names();
        let Some(len) = self.aged(hash, before)? else {
            return Ok(None);
        };
        Ok(self.delete(hash)?.then_some(len))
    }

    /// The length of a blob that is there and old enough.
    fn aged(&self, hash: BlobHash, before: SystemTime) -> Result<Option<u64>> {
        let meta = match fs::metadata(self.path(hash)) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(error)),
        };
        let put = meta.modified().map_err(Error::io)?;
        Ok((put < before).then_some(meta.len()))
    }

    fn remove_orphans(&self) -> Result<()> {
        for path in entries(&self.drafts)? {
            let Ok(file) = File::open(&path) else {
                continue;
            };
            if file.try_lock().is_ok() {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob being written. Its file goes when it is dropped unpublished.
pub(super) struct Draft(Option<Open>);

struct Open {
    path: PathBuf,
    file: File,
    digest: digest::Context,
    len: u64,
}

impl Draft {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let open = self.open()?;
        open.file.write_all(bytes).map_err(Error::io)?;
        open.digest.update(bytes);
        open.len += bytes.len() as u64;
        Ok(())
    }

    /// Moves the draft out, leaving one that can only be dropped.
    pub fn take(&mut self) -> Result<Self> {
        self.open()?;
        Ok(Self(self.0.take()))
    }

    fn open(&mut self) -> Result<&mut Open> {
        self.0.as_mut().ok_or_else(|| Error::Statement {
            reason: "an earlier write of this blob failed".into(),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            let _ = fs::remove_file(&open.path);
        }
    }
}

fn hasher() -> digest::Context {
    digest::Context::new(&digest::SHA256)
}

/// Readable by our user alone: blobs are other people's code and data.
fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(Error::io)
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(Error::io)
}

/// The paths in a directory; none where there is no such directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(Error::io)?.path()))
            .collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(Error::io(error)),
    }
}

fn missing(hash: BlobHash, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound {
            what: format!("blob {hash}"),
        },
        _ => Error::io(error),
    }
}
