//! One log group: a buffer in memory, its followers, and its segments on disk.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

use super::file::{self, Line};
use crate::limits;

pub struct Group {
    directory: PathBuf,
    buffer: Mutex<Buffer>,
    /// Held while writing, so that flushes keep their order.
    segment: Mutex<Option<Segment>>,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    followers: Option<broadcast::Sender<Arc<Line>>>,
}

struct Segment {
    file: File,
    number: u64,
    len: u64,
}

impl Group {
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            buffer: Mutex::default(),
            segment: Mutex::default(),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes a line; true if the group had none waiting. A writer that is faster than the disk
    /// writes for itself, which is its back-pressure.
    pub fn append(&self, timestamp_ms: i64, stream: &str, message: &[u8]) -> bool {
        let mut buffer = lock(&self.buffer);
        let was_empty = buffer.bytes.is_empty();
        file::encode(&mut buffer.bytes, timestamp_ms, stream, message);
        buffer.tell(timestamp_ms, stream, message);
        let full = buffer.bytes.len() > limits::LOG_BUFFER_BYTES_MAX;
        drop(buffer);
        if full && let Err(error) = self.flush() {
            tracing::error!(%error, group = %self.directory.display(), "log lines lost: write log");
        }
        was_empty
    }

    pub fn follow(&self) -> broadcast::Receiver<Arc<Line>> {
        let mut buffer = lock(&self.buffer);
        match &buffer.followers {
            Some(followers) => followers.subscribe(),
            None => {
                let (followers, follower) = broadcast::channel(limits::LOG_LINES_FOLLOWED_MAX);
                buffer.followers = Some(followers);
                follower
            }
        }
    }

    pub fn flush(&self) -> io::Result<()> {
        let mut segment = lock(&self.segment);
        let bytes = std::mem::take(&mut lock(&self.buffer).bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        let result = self.write(&mut segment, &bytes);
        if result.is_err() {
            // What became of a half-written line is found out when the segment is opened again.
            *segment = None;
        }
        result
    }

    pub fn query(&self, since_ms: i64, limit: usize) -> io::Result<Vec<Line>> {
        self.flush()?;
        let mut newest_first = Vec::new();
        for (_, path) in file::segments(&self.directory)?.into_iter().rev() {
            let lines = file::lines(&std::fs::read(path)?);
            let wanted = lines
                .into_iter()
                .rev()
                .filter(|line| line.timestamp_ms >= since_ms);
            newest_first.extend(wanted.take(limit - newest_first.len()));
            if newest_first.len() >= limit {
                break;
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    fn write(&self, current: &mut Option<Segment>, bytes: &[u8]) -> io::Result<()> {
        let mut segment = match current.take() {
            Some(segment) => segment,
            None => Segment::newest(&self.directory)?,
        };
        if segment.len >= limits::LOG_SEGMENT_BYTES_MAX {
            segment = Segment::create(&self.directory, segment.number + 1)?;
            file::remove_oldest(&self.directory, limits::LOG_GROUP_BYTES_MAX)?;
        }
        segment.file.write_all(bytes)?;
        segment.len += bytes.len() as u64;
        *current = Some(segment);
        Ok(())
    }
}

impl Buffer {
    fn tell(&mut self, timestamp_ms: i64, stream: &str, message: &[u8]) {
        let Some(followers) = &self.followers else {
            return;
        };
        let line = Line {
            timestamp_ms,
            stream: stream.to_owned(),
            message: message.to_vec(),
        };
        if followers.send(Arc::new(line)).is_err() {
            self.followers = None;
        }
    }
}

impl Segment {
    fn newest(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let Some((number, path)) = file::segments(directory)?.pop() else {
            return Self::create(directory, 0);
        };
        let len = file::whole_len(&std::fs::read(&path)?);
        let file = File::options().append(true).open(&path)?;
        file.set_len(len)?;
        Ok(Self { file, number, len })
    }

    fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let path = file::segment_path(directory, number);
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self {
            file,
            number,
            len: 0,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
