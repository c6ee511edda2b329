//! What functions say: append-only files per log group, read back by time and followed live.
//!
//! Not CloudWatch Logs' API yet; its groups and streams already. A line is in the file within
//! [`FLUSH_EVERY`] of being said. A group keeps its newest [`limits::LOG_GROUP_BYTES_MAX`] bytes.

mod file;
mod group;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::broadcast;

pub use file::Line;
use group::Group;

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
        std::fs::create_dir_all(&root)?;
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

    /// The newest `limit` lines of a group since a time, oldest first. Blocking: reads files.
    pub fn query(&self, group: GroupKey, since_ms: i64, limit: usize) -> io::Result<Vec<Line>> {
        self.group(group)
            .query(since_ms, limit.min(limits::LOG_LINES_ANSWERED_MAX))
    }

    /// The lines of a group from now on. A reader that falls behind loses the oldest ones.
    pub fn follow(&self, group: GroupKey) -> broadcast::Receiver<Arc<Line>> {
        self.group(group).follow()
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
            if let Err(error) = group.flush() {
                let group = group.directory().display();
                tracing::error!(%error, %group, "log lines lost: write log");
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> GroupKey {
        GroupKey {
            account_id: "000000000000".into(),
            region: "us-east-1".into(),
            name: "/aws/lambda/greet".into(),
        }
    }

    fn messages(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(&line.message).into_owned())
            .collect()
    }

    #[test]
    fn what_was_said_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        let stream = logs.stream(key(), "2026/01/01/[$LATEST]abc");
        stream.append(1000, b"first\n");
        stream.append(2000, b"sec\0ond\n");
        logs.flush();
        drop((stream, logs));

        let logs = Logs::open(dir.path()).unwrap();
        let lines = logs.query(key(), 0, 10).unwrap();
        assert_eq!(messages(&lines), ["first\n", "sec\0ond\n"]);
        assert_eq!(lines[0].stream, "2026/01/01/[$LATEST]abc");
        assert_eq!(
            messages(&logs.query(key(), 1500, 10).unwrap()),
            ["sec\0ond\n"]
        );
        assert_eq!(messages(&logs.query(key(), 0, 1).unwrap()), ["sec\0ond\n"]);
    }

    #[test]
    fn lines_not_yet_written_are_found_too() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        logs.stream(key(), "s").append(5, b"now\n");
        assert_eq!(messages(&logs.query(key(), 0, 10).unwrap()), ["now\n"]);
    }

    #[test]
    fn a_torn_end_is_left_out_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        logs.stream(key(), "s").append(1, b"whole\n");
        logs.flush();
        drop(logs);
        let segment = std::fs::read_dir(file::directory(dir.path(), &key()))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes.extend(bytes.clone().iter().take(9));
        std::fs::write(&segment, bytes).unwrap();

        let logs = Logs::open(dir.path()).unwrap();
        logs.stream(key(), "s").append(2, b"after\n");
        logs.flush();
        assert_eq!(
            messages(&logs.query(key(), 0, 10).unwrap()),
            ["whole\n", "after\n"]
        );
    }

    #[tokio::test]
    async fn a_follower_hears_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        let mut follower = logs.follow(key());
        logs.stream(key(), "s").append(7, b"live\n");
        assert_eq!(follower.recv().await.unwrap().message, b"live\n");
    }

    #[test]
    fn a_group_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        let stream = logs.stream(key(), "s");
        let line = vec![b'x'; 200 * 1024];
        let lines = limits::LOG_GROUP_BYTES_MAX / line.len() as u64 + 100;
        for at in 0..lines {
            stream.append(at as i64, &line);
        }
        logs.flush();
        let used: u64 = std::fs::read_dir(file::directory(dir.path(), &key()))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(used <= limits::LOG_GROUP_BYTES_MAX + limits::LOG_SEGMENT_BYTES_MAX);
        assert_eq!(
            logs.query(key(), 0, 1).unwrap()[0].timestamp_ms,
            lines as i64 - 1
        );
    }
}
