//! Who has a store to itself, and how a process comes to be that one.
//!
//! A store that is opened with an [`Owner`] has no other owner beside it: the second is refused and
//! told about the first. A directory is held by a lock that ends with the process; how a database
//! is held, which may be lost, is in `postgres/owner.rs`. Who opens a store without a name shares
//! it with everybody, its owner included: for tests, and for looking in.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::{Error, Result};

/// A process, in words for the operator who has to find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub host: String,
    pub pid: u32,
    /// When it started, as it is to be shown.
    pub since: String,
}

impl Owner {
    /// This process, which began at `since`.
    pub fn this_process(since: impl Into<String>) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            pid: std::process::id(),
            since: since.into(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, pid, since } = self;
        write!(f, "process {pid} on {host:?} (since {since})")
    }
}

/// The owner's words for itself, or what is said where it left none.
pub(crate) fn named(owner: &Option<Owner>) -> String {
    match owner {
        Some(owner) => owner.to_string(),
        None => "another process".into(),
    }
}

/// A file that one process at a time has; the kernel takes it back when the process is dead.
#[derive(Debug)]
pub struct OwnerFile {
    _locked: File,
}

impl OwnerFile {
    /// Takes the file, or refuses with [`Error::Owned`] at once: nobody has it whose process has
    /// ended, however it did.
    pub fn take(path: &Path, owner: &Owner) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.mode(0o600).open(path).map_err(Error::io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let by = owner_in(&mut file);
                return Err(Error::Owned { by });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(error)),
        }
        let words = serde_json::to_vec(owner).expect("three plain fields");
        file.set_len(0).map_err(Error::io)?;
        file.write_all(&words).map_err(Error::io)?;
        Ok(Self { _locked: file })
    }
}

/// Who wrote the file. Nobody yet, where the other has just locked it.
fn owner_in(file: &mut File) -> Option<Owner> {
    let mut words = Vec::new();
    file.read_to_end(&mut words).ok()?;
    serde_json::from_slice(&words).ok()
}

/// The time in which the store is this process's own; it ends when this is dropped.
pub(crate) struct Tenure {
    /// Set once, when another process has become the owner.
    pub lost: watch::Receiver<Option<Error>>,
    /// Whatever holds the store.
    _held: Box<dyn Send + Sync>,
}

impl Tenure {
    pub fn new(lost: watch::Receiver<Option<Error>>, held: impl Send + Sync + 'static) -> Self {
        Self {
            lost,
            _held: Box::new(held),
        }
    }

    /// One that cannot be lost.
    pub fn for_good(held: impl Send + Sync + 'static) -> Self {
        let (_, lost) = watch::channel(None);
        Self::new(lost, held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32) -> Owner {
        Owner {
            host: "here".into(),
            pid,
            since: "today".into(),
        }
    }

    #[test]
    fn a_file_that_is_taken_says_by_whom_and_is_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("owner");
        let first = OwnerFile::take(&path, &owner(1000)).unwrap();
        let refused = OwnerFile::take(&path, &owner(2)).unwrap_err();
        assert!(
            matches!(&refused, Error::Owned { by: Some(by) } if *by == owner(1000)),
            "{refused:?}"
        );
        let said = refused.to_string();
        assert!(said.contains("process 1000 on \"here\""), "{said}");
        drop(first);
        let second = OwnerFile::take(&path, &owner(2)).unwrap();
        let refused = OwnerFile::take(&path, &owner(3)).unwrap_err();
        assert!(matches!(&refused, Error::Owned { by: Some(by) } if *by == owner(2)));
        drop(second);
    }
}
