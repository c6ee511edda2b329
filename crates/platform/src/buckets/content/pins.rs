//! Which files must stay for now: those that somebody reads, and those that no row refers to yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use store::BlobHash;
use tokio::sync::{RwLock, RwLockReadGuard};

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Pins(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: Mutex<HashMap<BlobHash, usize>>,
    /// Shared by whoever looks up what to pin; the collection takes it alone, so that whatever was
    /// looked up before a file became garbage is pinned when the collection looks.
    looking: RwLock<()>,
}

/// Keeps files until it is dropped.
pub struct Pinned {
    pins: Pins,
    hashes: Vec<BlobHash>,
}

impl Pins {
    /// To be held from before a row is read until its files are pinned.
    pub async fn look_up(&self) -> RwLockReadGuard<'_, ()> {
        self.0.looking.read().await
    }

    pub fn pin(&self, hashes: Vec<BlobHash>) -> Pinned {
        let mut counts = self.lock();
        for hash in &hashes {
            *counts.entry(*hash).or_default() += 1;
        }
        drop(counts);
        Pinned {
            pins: self.clone(),
            hashes,
        }
    }

    /// Those of these files, garbage already, that nobody has pinned nor can.
    pub async fn unpinned(&self, hashes: Vec<BlobHash>) -> Vec<BlobHash> {
        let _alone = self.0.looking.write().await;
        let counts = self.lock();
        let free = |hash: &BlobHash| !counts.contains_key(hash);
        hashes.into_iter().filter(free).collect()
    }

    pub fn is_pinned(&self, hash: BlobHash) -> bool {
        self.lock().contains_key(&hash)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobHash, usize>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut counts = self.pins.lock();
        for hash in &self.hashes {
            if let Some(count) = counts.get_mut(hash) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(hash);
                }
            }
        }
    }
}
