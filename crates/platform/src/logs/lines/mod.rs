//! The lines of log groups: files that only grow at their end, read back by time and followed live.
//!
//! Knows no definition: a group is a directory, and is there as soon as something is written. What
//! functions say is in a file within [`FLUSH_EVERY`]; what is put is durable when that is said.

mod directory;
pub mod frame;
mod group;
mod legacy;
mod reader;
pub mod scan;
mod segment;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Duration,
};

pub use frame::Event;
use frame::{Frame, Kind};
pub use group::{Group, Needs, PutError};
pub use reader::Reader;
use serde::{Deserialize, Serialize};
pub use streams::{Stream, Streams};
use wire::Timestamp;

use crate::{background::Wake, limits};

/// How long a line may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// What a function may say of a line's time, before and after now; the time of others is now.
const OLD_MAX_MS: i64 = 14 * 24 * 3600 * 1000;
const NEW_MAX_MS: i64 = 2 * 3600 * 1000;

/// Which log group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    pub account_id: String,
    pub region: String,
    /// E.g. `/aws/lambda/resize`.
    pub name: String,
}

/// A place between two events of a group, in the order in which they came.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq {
    pub segment: u64,
    pub index: u32,
}

/// One line, for those who want no more of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub timestamp_ms: i64,
    pub stream: String,
    /// With its end of line, if it had one; any bytes.
    pub message: Vec<u8>,
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        Self {
            timestamp_ms: event.timestamp_ms,
            stream: event.stream,
            message: event.message,
        }
    }
}

/// What a group may take on disk.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub segment_bytes: u64,
    pub group_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            segment_bytes: limits::LOG_SEGMENT_BYTES_MAX,
            group_bytes: limits::LOG_GROUP_BYTES_MAX,
        }
    }
}

/// Somebody who hears every event once it is written, and is quick about it.
pub trait Listener: Send + Sync {
    fn heard(&self, group: &GroupKey, message: &[u8], timestamp_ms: i64);
}

/// The listener, once there is one.
type Listening = Arc<OnceLock<Arc<dyn Listener>>>;

/// A cheap handle on all groups of this node.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    bounds: Bounds,
    groups: RwLock<HashMap<GroupKey, Arc<Group>>>,
    waiting: Arc<Waiting>,
    /// Groups that functions write to, for whoever keeps definitions.
    written_to: Mutex<Vec<GroupKey>>,
    wake: Wake,
    listening: Listening,
}

/// What the thread that writes waits for.
#[derive(Default)]
struct Waiting {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    /// Groups with lines that are not in their file yet, or files that are full.
    dirty: Vec<Arc<Group>>,
    closed: bool,
}

/// Where one environment writes.
#[derive(Clone)]
pub struct LogStream {
    key: GroupKey,
    /// Another one when the group has been deleted.
    group: Arc<Mutex<Arc<Group>>>,
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl Logs {
    /// Opens the logs below a directory and starts the thread that writes them.
    pub fn open(root: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_within(root, Bounds::default())
    }

    pub(super) fn open_within(root: impl AsRef<Path>, bounds: Bounds) -> io::Result<Self> {
        let root = root.as_ref().to_owned();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        directory::empty_graves(&root)?;
        let shared = Arc::new(Shared {
            root,
            bounds,
            groups: RwLock::default(),
            waiting: Arc::default(),
            written_to: Mutex::default(),
            wake: Wake::default(),
            listening: Listening::default(),
        });
        let waiting = shared.waiting.clone();
        std::thread::Builder::new()
            .name("logs".into())
            .spawn(move || waiting.write_until_closed())?;
        Ok(Self { shared })
    }

    /// Says who hears every event. Once.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        let _ = self.shared.listening.set(listener);
    }

    /// Where somebody writes whose group is made by writing.
    pub fn stream(&self, key: GroupKey, name: &str) -> LogStream {
        let group = self.group(&key);
        self.shared.say_written_to(&key);
        LogStream {
            key,
            group: Arc::new(Mutex::new(group)),
            shared: self.shared.clone(),
            name: name.into(),
        }
    }

    /// A reader of a group, from its newest `limit` lines since a time on. Blocking: reads files.
    pub fn reader(&self, key: &GroupKey, since_ms: i64, limit: usize) -> io::Result<Reader> {
        Reader::open(self.group(key), since_ms, limit)
    }

    /// A reader from a place on, or of what comes from now on. Blocking.
    pub fn reader_at(&self, key: &GroupKey, from: Option<Seq>) -> io::Result<Reader> {
        Reader::at(self.group(key), from)
    }

    /// The event at a place, if it is still there. Blocking.
    pub fn event(&self, key: &GroupKey, at: Seq) -> io::Result<Option<Event>> {
        reader::event(&self.group(key), at)
    }

    /// Writes what waits in memory.
    pub fn flush(&self) {
        self.shared.waiting.flush();
    }

    /// Writes events of one stream; durable when it comes back. Blocking.
    pub fn put(
        &self,
        key: &GroupKey,
        stream: &str,
        needs: Needs,
        events: &[Frame<'_>],
    ) -> Result<(), PutError> {
        let mut frames = Vec::new();
        for event in events {
            event.encode(&mut frames);
        }
        let group = self.group(key);
        let put = group.put(stream, needs, frames);
        if group.has_unsealed() {
            self.shared.waiting.add(group);
        }
        put
    }

    /// Makes a stream, or ends it with all its events. Blocking.
    pub fn set_stream(
        &self,
        key: &GroupKey,
        stream: &str,
        is_there: bool,
        now_ms: i64,
    ) -> Result<(), PutError> {
        let (needs, kind) = match is_there {
            true => (Needs::NoStream, Kind::Created),
            false => (Needs::Stream, Kind::Deleted),
        };
        let frame = Frame {
            kind,
            timestamp_ms: now_ms,
            ingested_ms: now_ms,
            stream: stream.as_bytes(),
            message: b"",
        };
        self.put(key, stream, needs, &[frame])
    }

    /// Removes the events before a time, as far as whole files are. Blocking.
    pub fn expire(&self, key: &GroupKey, before_ms: i64) -> io::Result<()> {
        let group = self.group(key);
        group.expire(before_ms)?;
        if group.has_unsealed() {
            self.shared.waiting.add(group);
        }
        Ok(())
    }

    /// Removes a group with all it has. Blocking.
    pub fn remove(&self, key: &GroupKey) -> io::Result<()> {
        let group = self.group(key);
        let grave = directory::grave(&self.shared.root)?;
        group.remove(&grave)?;
        self.shared.groups_mut().remove(key);
        directory::remove(&grave)
    }

    /// The groups that functions have begun to write to since the last time this was asked.
    pub fn take_written_to(&self) -> Vec<GroupKey> {
        std::mem::take(&mut *lock(&self.shared.written_to))
    }

    /// They are given again.
    pub fn put_back_written_to(&self, keys: Vec<GroupKey>) {
        lock(&self.shared.written_to).extend(keys);
    }

    /// Is woken when there is one.
    pub fn wake(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// The groups there are on disk whose names can be read off it, with when each began. Blocking.
    pub fn found(&self) -> io::Result<Vec<(GroupKey, i64)>> {
        directory::found(&self.shared.root)
    }

    pub fn group(&self, key: &GroupKey) -> Arc<Group> {
        self.shared.group(key)
    }
}

impl Shared {
    fn group(&self, key: &GroupKey) -> Arc<Group> {
        let found = read(&self.groups).get(key).cloned();
        found.unwrap_or_else(|| {
            let mut groups = self.groups_mut();
            let directory = directory::of(&self.root, key);
            if groups.len() >= limits::LOG_GROUPS_OPEN_MAX {
                // Nobody else can come to hold one while we do the map.
                groups.retain(|_, group| Arc::strong_count(group) > 1);
            }
            let listening = self.listening.clone();
            let new = || Arc::new(Group::new(key.clone(), directory, self.bounds, listening));
            groups.entry(key.clone()).or_insert_with(new).clone()
        })
    }

    fn groups_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<GroupKey, Arc<Group>>> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_written_to(&self, key: &GroupKey) {
        let mut written_to = lock(&self.written_to);
        if !written_to.contains(key) {
            written_to.push(key.clone());
        }
        drop(written_to);
        self.wake.wake();
    }
}

impl LogStream {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn append(&self, timestamp_ms: i64, message: &[u8]) {
        let now_ms = Timestamp::now().as_millisecond();
        let is_credible = (now_ms - OLD_MAX_MS..now_ms + NEW_MAX_MS).contains(&timestamp_ms);
        let frame = Frame {
            kind: Kind::Event,
            timestamp_ms: if is_credible { timestamp_ms } else { now_ms },
            ingested_ms: now_ms,
            stream: self.name.as_bytes(),
            message,
        };
        let mut group = lock(&self.group);
        if group.is_gone() {
            *group = self.shared.group(&self.key);
            self.shared.say_written_to(&self.key);
        }
        if group.append(&frame) || group.has_unsealed() {
            self.shared.waiting.add(group.clone());
        }
    }
}

impl Waiting {
    fn write_until_closed(&self) {
        loop {
            let work = lock(&self.work);
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
            for group in self.flush() {
                if group.has_unsealed() {
                    group.seal();
                }
            }
            if closed {
                return;
            }
        }
    }

    /// Gives those that were written.
    fn flush(&self) -> Vec<Arc<Group>> {
        let dirty = std::mem::take(&mut lock(&self.work).dirty);
        for group in &dirty {
            group.flush();
        }
        dirty
    }

    fn add(&self, group: Arc<Group>) {
        let mut work = lock(&self.work);
        if !work.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &group)) {
            work.dirty.push(group);
        }
        drop(work);
        self.changed.notify_one();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&self.waiting.work).closed = true;
        self.waiting.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
