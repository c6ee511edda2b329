//! The files of a log group: numbered segments, each of chunks that are read as a whole.
//!
//! The newest is the tail, which is written to: batches as they came. Full, it is sealed: its
//! chunks compressed, with an index at the end that says which times and streams each has. Chunks
//! of a tail are known to memory alone.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Seq,
    frame::{self, EVENT_OVERHEAD_BYTES, Frame, Kind},
    legacy,
};

/// What a chunk has before it is compressed, about.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Ends a sealed segment, behind the length of its index (32 bits) and the index's CRC-32.
const SEALED_MARK: [u8; 8] = *b"LmSEAL02";
const SEALED_END: usize = 16;
/// The largest index that is read, compressed and plain.
const INDEX_BYTES_MAX: usize = 64 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As before CloudWatch Logs' API.
    Legacy,
    Tail,
    Sealed,
}

impl Form {
    const ALL: [Self; 3] = [Self::Sealed, Self::Tail, Self::Legacy];

    fn extension(self) -> &'static str {
        match self {
            Self::Legacy => "log",
            Self::Tail => "tail",
            Self::Sealed => "seg",
        }
    }
}

/// A part of a segment that is read at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Chunk {
    pub offset: u64,
    /// On disk.
    pub len: u32,
    /// The place of its first frame in the segment.
    pub first: u32,
    pub frames: u32,
    pub times: Times,
    /// Of what is on disk; a tail's batches have their own.
    #[serde(default)]
    crc: u32,
    /// Uncompressed.
    #[serde(default)]
    raw_len: u32,
}

/// The earliest and the latest of some events, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl Default for Times {
    /// Of no event.
    fn default() -> Self {
        Self {
            min_ms: i64::MAX,
            max_ms: i64::MIN,
        }
    }
}

impl Times {
    pub fn take(&mut self, at_ms: i64) {
        self.min_ms = self.min_ms.min(at_ms);
        self.max_ms = self.max_ms.max(at_ms);
    }

    fn join(&mut self, other: Self) {
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
    }

    pub fn is_none(&self) -> bool {
        self.min_ms > self.max_ms
    }
}

/// What is known of a segment without reading it.
#[derive(Debug, Clone)]
pub struct Segment {
    pub number: u64,
    pub form: Form,
    pub frames: u32,
    pub times: Times,
    /// As CloudWatch Logs counts.
    pub stored_bytes: u64,
    /// In its file.
    pub len: u64,
    /// Of a sealed one they are in its file.
    pub chunks: Vec<Chunk>,
}

/// What a sealed segment's file says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    stored_bytes: u64,
    chunks: Vec<Chunk>,
    /// Which chunks have something of a stream.
    streams: HashMap<String, Vec<u32>>,
}

impl Segment {
    pub fn new(number: u64, form: Form) -> Self {
        Self {
            number,
            form,
            frames: 0,
            times: Times::default(),
            stored_bytes: 0,
            len: 0,
            chunks: Vec::new(),
        }
    }

    /// Behind its last frame.
    pub fn end(&self) -> Seq {
        Seq {
            segment: self.number,
            index: self.frames,
        }
    }

    /// Takes a batch of some frames in that has been written at the end.
    pub fn grow<'a>(&mut self, len: usize, frames: impl Iterator<Item = Frame<'a>>) {
        let mut chunk = Chunk {
            offset: self.len,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            first: self.frames,
            frames: 0,
            times: Times::default(),
            crc: 0,
            raw_len: 0,
        };
        for frame in frames {
            chunk.frames += 1;
            if frame.kind == Kind::Event {
                chunk.times.take(frame.timestamp_ms);
                self.stored_bytes += (frame.message.len() + EVENT_OVERHEAD_BYTES) as u64;
            }
        }
        self.len += len as u64;
        self.frames += chunk.frames;
        self.times.join(chunk.times);
        match self.chunks.last_mut() {
            Some(last) if (last.len as usize) < CHUNK_BYTES / 4 => {
                last.len += chunk.len;
                last.frames += chunk.frames;
                last.times.join(chunk.times);
            }
            _ => self.chunks.push(chunk),
        }
    }

    /// Finds out about one that is there, and tells of its frames.
    pub fn load(
        directory: &Path,
        number: u64,
        form: Form,
        mut each: impl FnMut(u32, Frame<'_>),
    ) -> io::Result<Self> {
        let path = path(directory, number, form);
        let mut segment = Self::new(number, form);
        if form == Form::Sealed {
            let file = File::open(path)?;
            let index = read_index(&file)?;
            segment.len = file.metadata()?.len();
            segment.stored_bytes = index.stored_bytes;
            for chunk in &index.chunks {
                segment.frames += chunk.frames;
                segment.times.join(chunk.times);
            }
            return Ok(segment);
        }
        let bytes = std::fs::read(path)?;
        if form == Form::Tail {
            for (len, frames) in frame::batches(&bytes) {
                let first = segment.frames;
                segment.grow(len, frame::frames(frames));
                (first..)
                    .zip(frame::frames(frames))
                    .for_each(|(index, frame)| each(index, frame));
            }
        } else {
            for (len, frame) in legacy::frames(&bytes) {
                each(segment.frames, frame);
                segment.grow(len, std::iter::once(frame));
            }
        }
        Ok(segment)
    }

    /// The same of one that is sealed, frame by frame.
    pub fn each(&self, directory: &Path, mut each: impl FnMut(u32, Frame<'_>)) -> io::Result<()> {
        let open = Open::new(directory, self)?;
        for chunk in &open.chunks {
            open.read(chunk)?.each(&mut each);
        }
        Ok(())
    }
}

/// A segment that is being read.
pub struct Open {
    pub number: u64,
    form: Form,
    file: File,
    pub chunks: Vec<Chunk>,
    streams: HashMap<String, Vec<u32>>,
}

impl Open {
    /// In whatever form it is by now. An error of kind `NotFound`: it has been removed.
    pub fn new(directory: &Path, segment: &Segment) -> io::Result<Self> {
        if segment.form != Form::Sealed {
            match File::open(path(directory, segment.number, segment.form)) {
                Ok(file) => {
                    return Ok(Self {
                        number: segment.number,
                        form: segment.form,
                        file,
                        chunks: segment.chunks.clone(),
                        streams: HashMap::new(),
                    });
                }
                // Sealed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let file = File::open(path(directory, segment.number, Form::Sealed))?;
        let index = read_index(&file)?;
        Ok(Self {
            number: segment.number,
            form: Form::Sealed,
            file,
            chunks: index.chunks,
            streams: index.streams,
        })
    }

    /// Leaves out the chunks that have nothing of the streams.
    pub fn keep_streams(&mut self, wanted: impl Fn(&str) -> bool) {
        if self.form != Form::Sealed {
            return;
        }
        let mut keep = vec![false; self.chunks.len()];
        for (_, chunks) in self.streams.iter().filter(|(name, _)| wanted(name)) {
            for chunk in chunks {
                if let Some(keep) = keep.get_mut(*chunk as usize) {
                    *keep = true;
                }
            }
        }
        let mut keep = keep.into_iter();
        self.chunks.retain(|_| keep.next().unwrap_or(true));
    }

    pub fn read(&self, chunk: &Chunk) -> io::Result<Content> {
        let mut bytes = vec![0; chunk.len as usize];
        let len = read_full(&self.file, &mut bytes, chunk.offset)?;
        bytes.truncate(len);
        if self.form == Form::Sealed {
            if crc32fast::hash(&bytes) != chunk.crc {
                return Err(damaged("a chunk's checksum"));
            }
            bytes = zstd::bulk::decompress(&bytes, chunk.raw_len as usize)?;
        }
        Ok(Content {
            form: self.form,
            first: chunk.first,
            bytes,
        })
    }
}

/// A chunk's frames.
pub struct Content {
    form: Form,
    first: u32,
    bytes: Vec<u8>,
}

impl Content {
    pub fn each<'a>(&'a self, mut each: impl FnMut(u32, Frame<'a>)) {
        let mut index = self.first;
        let mut next = |frame| {
            each(index, frame);
            index += 1;
        };
        match self.form {
            Form::Sealed => frame::frames(&self.bytes).for_each(next),
            Form::Tail => frame::batches(&self.bytes)
                .flat_map(|(_, frames)| frame::frames(frames))
                .for_each(next),
            Form::Legacy => legacy::frames(&self.bytes).for_each(|(_, frame)| next(frame)),
        }
    }
}

/// Writes a segment as a sealed one and removes what it was. Crashing in between is harmless: the
/// sealed one counts as soon as it is there.
pub fn seal(directory: &Path, segment: &Segment) -> io::Result<Segment> {
    let open = Open::new(directory, segment)?;
    let mut index = Index {
        version: 2,
        stored_bytes: segment.stored_bytes,
        chunks: Vec::new(),
        streams: HashMap::new(),
    };
    let mut out = Vec::new();
    let mut pending = Pending::default();
    for chunk in &open.chunks {
        let content = open.read(chunk)?;
        let mut result = Ok(());
        content.each(|_, frame| {
            pending.take(&frame);
            if pending.raw.len() >= CHUNK_BYTES && result.is_ok() {
                result = pending.write(&mut out, &mut index);
            }
        });
        result?;
    }
    pending.write(&mut out, &mut index)?;
    let frames = index.chunks.iter().map(|chunk| chunk.frames).sum();
    let plain = serde_json::to_vec(&index).map_err(io::Error::other)?;
    let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL)?;
    out.extend_from_slice(&packed);
    out.extend_from_slice(&u32::try_from(packed.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    out.extend_from_slice(&SEALED_MARK);
    write_whole(&path(directory, segment.number, Form::Sealed), &out)?;
    match std::fs::remove_file(path(directory, segment.number, segment.form)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(Segment {
        form: Form::Sealed,
        frames,
        len: out.len() as u64,
        chunks: Vec::new(),
        ..*segment
    })
}

/// The chunk of a sealed segment that is being made.
#[derive(Default)]
struct Pending {
    raw: Vec<u8>,
    first: u32,
    frames: u32,
    times: Times,
    streams: Vec<String>,
}

impl Pending {
    fn take(&mut self, frame: &Frame<'_>) {
        frame.encode(&mut self.raw);
        self.frames += 1;
        if frame.kind == Kind::Event {
            self.times.take(frame.timestamp_ms);
            let is_it = |name: &String| name.as_bytes() == frame.stream;
            // The last that were heard of; which are all is looked at when the chunk is whole.
            if !self.streams.iter().rev().take(8).any(is_it) {
                let name = String::from_utf8_lossy(frame.stream).into_owned();
                self.streams.push(name);
            }
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, index: &mut Index) -> io::Result<()> {
        let done = std::mem::take(self);
        self.first = done.first + done.frames;
        if done.frames == 0 {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&done.raw, ZSTD_LEVEL)?;
        let number = u32::try_from(index.chunks.len()).unwrap_or(u32::MAX);
        for name in done.streams {
            let chunks = index.streams.entry(name).or_default();
            if chunks.last() != Some(&number) {
                chunks.push(number);
            }
        }
        index.chunks.push(Chunk {
            offset: out.len() as u64,
            len: u32::try_from(packed.len()).map_err(io::Error::other)?,
            first: done.first,
            frames: done.frames,
            times: done.times,
            crc: crc32fast::hash(&packed),
            raw_len: u32::try_from(done.raw.len()).map_err(io::Error::other)?,
        });
        out.extend_from_slice(&packed);
        Ok(())
    }
}

fn read_index(file: &File) -> io::Result<Index> {
    let len = file.metadata()?.len();
    let mut end = [0; SEALED_END];
    let at = len.checked_sub(SEALED_END as u64);
    let at = at.ok_or_else(|| damaged("a segment that is too short"))?;
    file.read_exact_at(&mut end, at)?;
    let [a, b, c, d, e, f, g, h, mark @ ..] = end;
    let packed_len = u32::from_le_bytes([a, b, c, d]);
    let crc = u32::from_le_bytes([e, f, g, h]);
    if mark != SEALED_MARK || packed_len as usize > INDEX_BYTES_MAX {
        return Err(damaged("a segment without an end"));
    }
    let mut packed = vec![0; packed_len as usize];
    let at = at.checked_sub(packed_len.into());
    file.read_exact_at(&mut packed, at.ok_or_else(|| damaged("an index"))?)?;
    if crc32fast::hash(&packed) != crc {
        return Err(damaged("an index's checksum"));
    }
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed.as_slice())?;
    decoder
        .take(INDEX_BYTES_MAX as u64)
        .read_to_end(&mut plain)?;
    serde_json::from_slice(&plain).map_err(io::Error::other)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged: {what}"))
}

/// Removes one, in whatever form it is by now.
pub fn remove(directory: &Path, number: u64) -> io::Result<()> {
    for form in Form::ALL {
        match std::fs::remove_file(path(directory, number, form)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub fn path(directory: &Path, number: u64, form: Form) -> PathBuf {
    directory.join(format!("{number:012}.{}", form.extension()))
}

/// The segments there are, oldest first; of two forms of one, that which is whole.
pub fn all(directory: &Path) -> io::Result<Vec<(u64, Form)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let form = Form::ALL
            .into_iter()
            .find(|form| extension == Some(form.extension()));
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(form), Some(number)) = (form, number) {
            segments.push((number, form));
        }
    }
    // The sealed form sorts behind those that it was made from.
    segments.sort_unstable();
    segments.reverse();
    segments.dedup_by_key(|(number, _)| *number);
    segments.reverse();
    Ok(segments)
}

/// A file that is there in full or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("part");
    let written = std::fs::write(&partial, bytes)
        .and_then(|()| File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path))
        .and_then(|()| sync_directory(path.parent().unwrap_or(path)));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn read_full(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], at + len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
