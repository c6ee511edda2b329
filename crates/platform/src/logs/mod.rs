//! What functions say: append-only files per log group, read back by time and followed live.
//!
//! Not CloudWatch Logs' API yet; its groups and streams already. A line is in the file within
//! [`FLUSH_EVERY`] of being said. A group keeps its newest [`limits::LOG_GROUP_BYTES_MAX`] bytes.

mod api;
mod file;
mod group;
mod reader;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

pub use file::Line;
use group::Group;
pub use reader::Reader;

use crate::limits;

/// How long a line may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Which log group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupKey {
    pub account_id: String,
    pub region: String,
    /// E.g. `/aws/lambda/resize`.
    pub name: String,
}

/// A cheap handle on all groups of this node.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    groups: RwLock<HashMap<GroupKey, Arc<Group>>>,
    waiting: Arc<Waiting>,
}

/// What the thread that writes waits for.
#[derive(Default)]
struct Waiting {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// Groups with lines that are not in their file yet.
    dirty: Vec<Arc<Group>>,
    closed: bool,
}

/// Where one environment writes.
#[derive(Clone)]
pub struct LogStream {
    group: Arc<Group>,
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl Logs {
    /// Opens the logs below a directory and starts the thread that writes them.
    pub fn open(root: impl AsRef<Path>) -> io::Result<Self> {
        let root = root.as_ref().to_owned();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        let shared = Arc::new(Shared {
            root,
            groups: RwLock::default(),
            waiting: Arc::default(),
        });
        let waiting = shared.waiting.clone();
        std::thread::Builder::new()
            .name("logs".into())
            .spawn(move || waiting.write_until_closed())?;
        Ok(Self { shared })
    }

    pub fn stream(&self, group: GroupKey, name: &str) -> LogStream {
        LogStream {
            group: self.group(group),
            shared: self.shared.clone(),
            name: name.into(),
        }
    }

    /// A reader of a group, from its newest `limit` lines since a time on. Blocking: reads files.
    pub fn reader(&self, group: GroupKey, since_ms: i64, limit: usize) -> io::Result<Reader> {
        Reader::open(self.group(group), since_ms, limit)
    }

    /// Writes what waits in memory.
    pub fn flush(&self) {
        self.shared.waiting.flush();
    }

    fn group(&self, key: GroupKey) -> Arc<Group> {
        let found = read(&self.shared.groups).get(&key).cloned();
        found.unwrap_or_else(|| {
            let mut groups = self
                .shared
                .groups
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let directory = file::directory(&self.shared.root, &key);
            if groups.len() >= limits::LOG_GROUPS_OPEN_MAX {
                // Nobody else can come to hold one while we do the map.
                groups.retain(|_, group| Arc::strong_count(group) > 1);
            }
            groups
                .entry(key)
                .or_insert_with(|| Arc::new(Group::new(directory)))
                .clone()
        })
    }
}

impl LogStream {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn append(&self, timestamp_ms: i64, message: &[u8]) {
        if self.group.append(timestamp_ms, &self.name, message) {
            self.shared.waiting.lock().dirty.push(self.group.clone());
            self.shared.waiting.changed.notify_one();
        }
    }
}

impl Waiting {
    fn write_until_closed(&self) {
        loop {
            let work = self.lock();
            let work = self
                .changed
                .wait_while(work, |work| work.dirty.is_empty() && !work.closed)
                .unwrap_or_else(PoisonError::into_inner);
            let closed = work.closed;
            drop(work);
            if !closed {
                // Not for anything to happen, but for more lines to share the write.
                std::thread::sleep(FLUSH_EVERY);
            }
            self.flush();
            if closed {
                return;
            }
        }
    }

    fn flush(&self) {
        let dirty = std::mem::take(&mut self.lock().dirty);
        for group in dirty {
            group.flush();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.waiting.lock().closed = true;
        self.waiting.changed.notify_one();
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
