//! One log group's files, and what waits for them: a buffer of what functions say, which is written
//! soon, and puts, whose callers wait until they are durable.
//!
//! Who waits for the disk's lock first writes for all who came meanwhile, with one sync.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    Bounds, GroupKey, Listening, Seq,
    frame::{self, Frame, Kind},
    segment::{self, Form, Segment},
    streams::Streams,
};
use crate::limits;

pub struct Group {
    key: GroupKey,
    directory: PathBuf,
    bounds: Bounds,
    listening: Listening,
    /// Frames of what functions said.
    buffer: Mutex<Vec<u8>>,
    puts: Mutex<Vec<Put>>,
    disk: Mutex<Disk>,
    /// How far there is something to read, for those who read along.
    written: watch::Sender<Seq>,
    has_unsealed: AtomicBool,
    is_gone: AtomicBool,
}

#[derive(Default)]
pub struct Disk {
    is_loaded: bool,
    /// Before the tail, oldest first.
    segments: Vec<Segment>,
    tail: Option<Tail>,
    next_number: u64,
    pub streams: Streams,
    /// Lines that could not be written since the last that was.
    lost: u64,
}

struct Tail {
    file: File,
    segment: Segment,
}

/// What is to be durable before its caller is told.
struct Put {
    stream: String,
    needs: Needs,
    frames: Vec<u8>,
    done: Arc<OnceLock<Result<(), PutError>>>,
}

/// Whether the stream of a put has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Stream,
    NoStream,
    /// It is made if it is not there.
    Nothing,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum PutError {
    #[error("there is no such stream")]
    NoStream,
    #[error("there is such a stream")]
    StreamExists,
    #[error("the group has been deleted")]
    Gone,
    #[error("write the log: {0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for PutError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// The segments there are at a moment, and what of them is deleted.
pub struct View {
    pub directory: PathBuf,
    pub segments: Vec<Segment>,
    pub deleted: Arc<std::collections::HashMap<String, Seq>>,
}

impl Group {
    pub fn new(key: GroupKey, directory: PathBuf, bounds: Bounds, listening: Listening) -> Self {
        Self {
            key,
            directory,
            bounds,
            listening,
            buffer: Mutex::default(),
            puts: Mutex::default(),
            disk: Mutex::default(),
            written: watch::Sender::default(),
            has_unsealed: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes a line; true if the group had none waiting. A writer that is faster than the disk
    /// writes for itself, which is its back-pressure.
    pub fn append(&self, line: &Frame<'_>) -> bool {
        let mut buffer = lock(&self.buffer);
        let was_empty = buffer.is_empty();
        line.encode(&mut buffer);
        let full = buffer.len() > limits::LOG_BUFFER_BYTES_MAX;
        drop(buffer);
        if full {
            self.flush();
        }
        was_empty
    }

    /// Writes frames of one stream and comes back when they are durable. Blocking.
    pub fn put(&self, stream: &str, needs: Needs, frames: Vec<u8>) -> Result<(), PutError> {
        let done = Arc::new(OnceLock::new());
        lock(&self.puts).push(Put {
            stream: stream.to_owned(),
            needs,
            frames,
            done: done.clone(),
        });
        let mut disk = lock(&self.disk);
        if done.get().is_none() {
            self.write_all(&mut disk);
        }
        drop(disk);
        done.get().cloned().unwrap_or(Err(PutError::Gone))
    }

    pub fn written(&self) -> watch::Receiver<Seq> {
        self.written.subscribe()
    }

    /// Behind the last line that was said. Blocking, as all that follows.
    pub fn end(&self) -> io::Result<Seq> {
        let disk = self.loaded()?;
        Ok(disk.end())
    }

    pub fn view(&self) -> io::Result<View> {
        let disk = self.loaded()?;
        let tail = disk.tail.iter().map(|tail| &tail.segment);
        Ok(View {
            directory: self.directory.clone(),
            segments: disk.segments.iter().chain(tail).cloned().collect(),
            deleted: disk.streams.deleted.clone(),
        })
    }

    /// The segment that has what comes at a place, or the next there is.
    pub fn segment_at(&self, at: Seq) -> io::Result<Option<(Segment, View)>> {
        let disk = self.loaded()?;
        let tail = disk.tail.iter().map(|tail| &tail.segment);
        let mut all = disk.segments.iter().chain(tail);
        let found = all.find(|segment| segment.end() > at);
        let deleted = disk.streams.deleted.clone();
        Ok(found.map(|segment| {
            let view = View {
                directory: self.directory.clone(),
                segments: Vec::new(),
                deleted,
            };
            (segment.clone(), view)
        }))
    }

    /// Looks at the streams there are.
    pub fn streams<T>(&self, look: impl FnOnce(&Streams) -> T) -> io::Result<T> {
        let disk = self.loaded()?;
        Ok(look(&disk.streams))
    }

    /// As CloudWatch Logs counts.
    pub fn stored_bytes(&self) -> io::Result<u64> {
        let view = self.view()?;
        Ok(view
            .segments
            .iter()
            .map(|segment| segment.stored_bytes)
            .sum())
    }

    /// Writes what waits.
    pub fn flush(&self) {
        let mut disk = lock(&self.disk);
        self.write_all(&mut disk);
    }

    fn loaded(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = lock(&self.disk);
        self.write_all(&mut disk);
        self.load(&mut disk)?;
        Ok(disk)
    }

    fn load(&self, disk: &mut Disk) -> io::Result<()> {
        if disk.is_loaded {
            return Ok(());
        }
        let lost = disk.lost;
        *disk = Disk::load(&self.directory)?;
        disk.lost = lost;
        let is_unsealed = |segment: &Segment| segment.form != Form::Sealed;
        if disk.segments.iter().any(is_unsealed) {
            self.has_unsealed.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn write_all(&self, disk: &mut Disk) {
        let lines = std::mem::take(&mut *lock(&self.buffer));
        if !lines.is_empty() {
            self.write_lines(disk, lines);
        }
        let puts = std::mem::take(&mut *lock(&self.puts));
        if !puts.is_empty() {
            self.write_puts(disk, puts);
        }
    }

    /// What cannot be written is gone, as memory is bounded; the log says so where the lines are
    /// missing, and the operator is told once.
    fn write_lines(&self, disk: &mut Disk, mut lines: Vec<u8>) {
        if self.is_gone() {
            return;
        }
        let count = frame::frames(&lines).count() as u64;
        if disk.lost > 0 {
            lines = [gap(&lines, disk.lost), lines].concat();
        }
        let group = self.directory.display();
        match self.write(disk, &lines) {
            Ok(()) => {
                if disk.lost > 0 {
                    tracing::warn!(lines = disk.lost, %group, "the log is written again");
                }
                disk.lost = 0;
                self.tell(disk);
            }
            Err(error) => {
                if disk.lost == 0 {
                    tracing::error!(%error, %group, "log lines are being lost: write log");
                }
                disk.lost += count;
            }
        }
    }

    fn write_puts(&self, disk: &mut Disk, puts: Vec<Put>) {
        let mut written = Vec::with_capacity(puts.len());
        for put in puts {
            match self.write_put(disk, &put) {
                Ok(()) => written.push(put),
                Err(error) => {
                    let _ = put.done.set(Err(error));
                }
            }
        }
        let synced = match &disk.tail {
            _ if written.is_empty() => Ok(()),
            Some(tail) => tail.file.sync_data(),
            // A write failed after others had succeeded.
            None => Err(io::Error::other("the log could not be written")),
        };
        let result = synced.map_err(|error| {
            disk.is_loaded = false;
            PutError::from(error)
        });
        for put in written {
            let _ = put.done.set(result.clone());
        }
        self.tell(disk);
    }

    fn write_put(&self, disk: &mut Disk, put: &Put) -> Result<(), PutError> {
        if self.is_gone() {
            return Err(PutError::Gone);
        }
        self.load(disk)?;
        let is_there = disk.streams.by_name.contains_key(&put.stream);
        match put.needs {
            Needs::Stream if !is_there => return Err(PutError::NoStream),
            Needs::NoStream if is_there => return Err(PutError::StreamExists),
            _ => {}
        }
        Ok(self.write(disk, &put.frames)?)
    }

    fn write(&self, disk: &mut Disk, frames: &[u8]) -> io::Result<()> {
        if self.is_gone() {
            return Err(io::Error::other("the group has been deleted"));
        }
        let written = self.load(disk).and_then(|()| {
            if disk.is_full(self.bounds) {
                self.rotate(disk)?;
            }
            disk.write(&self.directory, frames)
        });
        if written.is_err() {
            // What became of a half-written batch is found out when the files are looked at again.
            disk.is_loaded = false;
            disk.tail = None;
        } else if let Some(listener) = self.listening.get() {
            for frame in frame::frames(frames).filter(|frame| frame.kind == Kind::Event) {
                listener.heard(&self.key, frame.message, frame.timestamp_ms);
            }
        }
        written
    }

    /// Begins a new tail, and lets the oldest go if all takes too much.
    fn rotate(&self, disk: &mut Disk) -> io::Result<()> {
        disk.rotate(&self.directory)?;
        self.has_unsealed.store(true, Ordering::Release);
        let mut used: u64 = disk.segments.iter().map(|segment| segment.len).sum();
        let mut kept_from = 0;
        for segment in &disk.segments {
            if used <= self.bounds.group_bytes {
                break;
            }
            used -= segment.len;
            kept_from += 1;
        }
        let removed: Vec<u64> = disk.segments[..kept_from]
            .iter()
            .map(|s| s.number)
            .collect();
        disk.remove(&self.directory, &removed)
    }

    fn tell(&self, disk: &Disk) {
        if disk.is_loaded {
            self.written.send_replace(disk.end());
        }
    }

    /// Whether there is something to seal.
    pub fn has_unsealed(&self) -> bool {
        self.has_unsealed.load(Ordering::Acquire)
    }

    /// Seals what is full. One caller at a time.
    pub fn seal(&self) {
        self.has_unsealed.store(false, Ordering::Release);
        while let Some(segment) = self.unsealed() {
            let sealed = segment::seal(&self.directory, &segment);
            let mut disk = lock(&self.disk);
            match (sealed, disk.place(segment.number)) {
                (Ok(sealed), Some(at)) => disk.segments[at] = sealed,
                // Removed, or looked at anew, meanwhile.
                (Ok(sealed), None) if disk.is_loaded => {
                    let _ = segment::remove(&self.directory, sealed.number);
                }
                (Ok(_), None) => {}
                (Err(error), _) => {
                    let group = self.directory.display();
                    tracing::warn!(%error, %group, "compress old log lines");
                    return;
                }
            }
        }
        let mut disk = lock(&self.disk);
        if let Err(error) = disk.store_streams(&self.directory) {
            tracing::warn!(%error, group = %self.directory.display(), "store a log's streams");
        }
    }

    fn unsealed(&self) -> Option<Segment> {
        let disk = self.loaded().ok()?;
        let mut all = disk.segments.iter();
        all.find(|segment| segment.form != Form::Sealed).cloned()
    }

    /// Removes the segments whose events are all older than a time.
    pub fn expire(&self, before_ms: i64) -> io::Result<()> {
        let mut disk = self.loaded()?;
        let is_partly_old = |tail: &Tail| tail.segment.times.min_ms < before_ms;
        if disk.tail.as_ref().is_some_and(is_partly_old) {
            disk.rotate(&self.directory)?;
            self.has_unsealed.store(true, Ordering::Release);
        }
        let old = disk
            .segments
            .iter()
            .filter(|segment| segment.times.max_ms < before_ms);
        let old: Vec<u64> = old.map(|segment| segment.number).collect();
        disk.remove(&self.directory, &old)
    }

    /// Nothing is written any more; who holds it looks for another.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Ends the group and moves its files away.
    pub fn remove(&self, grave: &Path) -> io::Result<()> {
        // The lock lets those end who write.
        let mut disk = lock(&self.disk);
        self.is_gone.store(true, Ordering::Release);
        *disk = Disk::default();
        lock(&self.buffer).clear();
        self.written.send_modify(|_| {});
        match std::fs::rename(&self.directory, grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }
}

impl Disk {
    fn load(directory: &Path) -> io::Result<Self> {
        let streams = Streams::load(directory);
        let mut streams = streams.unwrap_or_else(|error| {
            tracing::error!(%error, group = %directory.display(), "read a log's streams");
            Streams::default()
        });
        let before = streams.before;
        let mut disk = Self::default();
        for (number, form) in segment::all(directory)? {
            disk.next_number = number + 1;
            let mut each = |index, frame: Frame<'_>| {
                let segment = number;
                if number >= before {
                    streams.take(Seq { segment, index }, &frame);
                }
            };
            let loaded = Segment::load(directory, number, form, &mut each);
            let loaded = loaded.and_then(|segment| {
                if form == Form::Sealed && number >= before {
                    segment.each(directory, each)?;
                }
                Ok(segment)
            });
            match loaded {
                Ok(segment) => disk.segments.push(segment),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let group = directory.display();
                    tracing::error!(%error, %group, number, "a part of a log cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        let is_tail = |segment: &mut Segment| segment.form == Form::Tail;
        if let Some(segment) = disk.segments.pop_if(is_tail) {
            let path = segment::path(directory, segment.number, Form::Tail);
            let file = File::options().append(true).open(path)?;
            file.set_len(segment.len)?;
            disk.tail = Some(Tail { file, segment });
        }
        disk.streams = streams;
        disk.is_loaded = true;
        Ok(disk)
    }

    fn end(&self) -> Seq {
        let newest = self.tail.as_ref().map(|tail| &tail.segment);
        let newest = newest.or(self.segments.last());
        newest.map_or_else(Seq::default, Segment::end)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.segments
            .iter()
            .position(|segment| segment.number == number)
    }

    fn is_full(&self, bounds: Bounds) -> bool {
        let len = |tail: &Tail| tail.segment.len;
        self.tail
            .as_ref()
            .is_some_and(|tail| len(tail) >= bounds.segment_bytes)
    }

    fn write(&mut self, directory: &Path, frames: &[u8]) -> io::Result<()> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)?;
                let number = self.next_number;
                let path = segment::path(directory, number, Form::Tail);
                let file = File::options().append(true).create(true).open(path)?;
                segment::sync_directory(directory)?;
                self.next_number += 1;
                let segment = Segment::new(number, Form::Tail);
                self.tail.insert(Tail { file, segment })
            }
        };
        let batch = frame::batch(frames);
        tail.file.write_all(&batch)?;
        let segment = tail.segment.number;
        for (index, frame) in (tail.segment.frames..).zip(frame::frames(frames)) {
            self.streams.take(Seq { segment, index }, &frame);
        }
        tail.segment.grow(batch.len(), frame::frames(frames));
        Ok(())
    }

    /// The tail is one of the others from now on.
    fn rotate(&mut self, directory: &Path) -> io::Result<()> {
        // What was put into it is acknowledged with a sync of the next one.
        if let Some(tail) = &self.tail {
            tail.file.sync_data()?;
        }
        let Some(tail) = self.tail.take() else {
            return Ok(());
        };
        self.segments.push(tail.segment);
        self.store_streams(directory)
    }

    /// Folding the tail in again comes to the same, so that it may be a part of what is stored.
    fn store_streams(&mut self, directory: &Path) -> io::Result<()> {
        let tail = self.tail.as_ref().map(|tail| tail.segment.number);
        let before = tail.unwrap_or(self.next_number);
        if !self.is_loaded || self.streams.before == before {
            return Ok(());
        }
        self.streams.store(directory, before)
    }

    /// Removes segments. What they said of streams is stored already.
    fn remove(&mut self, directory: &Path, numbers: &[u64]) -> io::Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.store_streams(directory)?;
        for segment in &self.segments {
            if numbers.contains(&segment.number) {
                segment::remove(directory, segment.number)?;
            }
        }
        self.segments
            .retain(|segment| !numbers.contains(&segment.number));
        let tail = self.tail.as_ref().map(|tail| &tail.segment);
        let left = || self.segments.iter().chain(tail);
        let oldest = left().map(|segment| segment.number).min();
        let first_ms = left().map(|segment| segment.times.min_ms).min();
        let oldest = oldest.unwrap_or(self.next_number);
        self.streams
            .removed_before(oldest, first_ms.unwrap_or(i64::MAX));
        let before = self.streams.before;
        self.streams.store(directory, before)
    }
}

/// A line in place of those that were lost, with the time and the stream of the one behind them.
fn gap(lines: &[u8], lost: u64) -> Vec<u8> {
    let mut line = Vec::new();
    if let Some(next) = frame::frames(lines).next() {
        let message = format!("[lambent: about {lost} lines could not be written here]\n");
        let gap = Frame {
            kind: Kind::Event,
            message: message.as_bytes(),
            ..next
        };
        gap.encode(&mut line);
    }
    line
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
