//! One log group: a buffer in memory and its segments on disk.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{file, reader::Position};
use crate::limits;

pub struct Group {
    directory: PathBuf,
    buffer: Mutex<Vec<u8>>,
    /// Held while writing, so that flushes keep their order.
    disk: Mutex<Disk>,
    /// How far the files are whole, for those who read along.
    written: watch::Sender<Position>,
}

#[derive(Default)]
struct Disk {
    segment: Option<Segment>,
    /// Lines that could not be written since the last that was.
    lost: u64,
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
            disk: Mutex::default(),
            written: watch::Sender::default(),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes a line; true if the group had none waiting. A writer that is faster than the disk
    /// writes for itself, which is its back-pressure.
    pub fn append(&self, timestamp_ms: i64, stream: &str, message: &[u8]) -> bool {
        let mut buffer = lock(&self.buffer);
        let was_empty = buffer.is_empty();
        file::encode(&mut buffer, timestamp_ms, stream, message);
        let full = buffer.len() > limits::LOG_BUFFER_BYTES_MAX;
        drop(buffer);
        if full {
            self.flush();
        }
        was_empty
    }

    pub fn written(&self) -> watch::Receiver<Position> {
        self.written.subscribe()
    }

    /// Behind the last line that was said.
    pub fn end(&self) -> io::Result<Position> {
        self.flush();
        if let Some(segment) = &lock(&self.disk).segment {
            return Ok(segment.end());
        }
        let Some((number, path)) = file::segments(&self.directory)?.pop() else {
            return Ok(Position::default());
        };
        let at = std::fs::metadata(path)?.len();
        Ok(Position {
            segment: number,
            at,
        })
    }

    /// Writes what waits. What cannot be written is gone, as memory is bounded; the log says so
    /// where the lines are missing, and the operator is told once.
    pub fn flush(&self) {
        let mut disk = lock(&self.disk);
        let mut bytes = std::mem::take(&mut *lock(&self.buffer));
        if bytes.is_empty() {
            return;
        }
        let lines = file::frames(&bytes).count() as u64;
        if disk.lost > 0 {
            bytes = [gap(&bytes, disk.lost), bytes].concat();
        }
        let group = self.directory.display();
        match self.write(&mut disk.segment, &bytes) {
            Ok(end) => {
                if disk.lost > 0 {
                    tracing::warn!(lines = disk.lost, %group, "the log is written again");
                }
                disk.lost = 0;
                self.written.send_replace(end);
            }
            Err(error) => {
                if disk.lost == 0 {
                    tracing::error!(%error, %group, "log lines are being lost: write log");
                }
                disk.lost += lines;
            }
        }
    }

    fn write(&self, current: &mut Option<Segment>, bytes: &[u8]) -> io::Result<Position> {
        // Left out until it is written to without an error: what became of a half-written line is
        // found out when the segment is opened again.
        let mut segment = match current.take() {
            Some(segment) => segment,
            None => Segment::newest(&self.directory)?,
        };
        if segment.len >= limits::LOG_SEGMENT_BYTES_MAX {
            segment = Segment::create(&self.directory, segment.number + 1)?;
            if let Err(error) = file::remove_oldest(&self.directory, limits::LOG_GROUP_BYTES_MAX) {
                tracing::warn!(%error, group = %self.directory.display(), "remove old log lines");
            }
        }
        segment.file.write_all(bytes)?;
        segment.len += bytes.len() as u64;
        Ok(current.insert(segment).end())
    }
}

/// A line in place of those that were lost, with the time and the stream of the one behind them.
fn gap(bytes: &[u8], lost: u64) -> Vec<u8> {
    let mut line = Vec::new();
    if let Some((_, next)) = file::frames(bytes).next() {
        let stream = String::from_utf8_lossy(next.stream);
        let message = format!("[lambent: about {lost} lines could not be written here]\n");
        file::encode(&mut line, next.timestamp_ms, &stream, message.as_bytes());
    }
    line
}

impl Segment {
    fn newest(directory: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
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

    fn end(&self) -> Position {
        Position {
            segment: self.number,
            at: self.len,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
