//! The files of a log group: numbered segments of lines, each line with its length before it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::GroupKey;

/// Begins every line on disk; also the format's version.
const MARK: [u8; 2] = *b"L1";
/// Mark, length of the stream's name (16 bits), of the message (32 bits), milliseconds (64 bits),
/// all little-endian.
const HEADER: usize = 16;

/// One log event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub timestamp_ms: i64,
    pub stream: String,
    /// With its end of line, if it had one; any bytes.
    pub message: Vec<u8>,
}

pub fn encode(out: &mut Vec<u8>, timestamp_ms: i64, stream: &str, message: &[u8]) {
    // Names and messages are bounded far below what the fields hold.
    let stream = &stream.as_bytes()[..stream.len().min(u16::MAX.into())];
    let message = &message[..message.len().min(u32::MAX as usize)];
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&(stream.len() as u16).to_le_bytes());
    out.extend_from_slice(&(message.len() as u32).to_le_bytes());
    out.extend_from_slice(&timestamp_ms.to_le_bytes());
    out.extend_from_slice(stream);
    out.extend_from_slice(message);
}

/// A line as it lies in a segment.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub timestamp_ms: i64,
    pub stream: &'a [u8],
    pub message: &'a [u8],
}

/// The lines of a segment with where each begins, up to where it is torn or damaged.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (u64, Frame<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let at = (bytes.len() - rest.len()) as u64;
        let (frame, next) = decode(rest)?;
        rest = next;
        Some((at, frame))
    })
}

/// How much of a segment is whole lines.
pub fn whole_len(bytes: &[u8]) -> u64 {
    frames(bytes).last().map_or(0, |(at, frame)| {
        at + (HEADER + frame.stream.len() + frame.message.len()) as u64
    })
}

fn decode(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [m0, m1, s0, s1, a, b, c, d, millis @ ..] = *header;
    if [m0, m1] != MARK {
        return None;
    }
    let stream_len = usize::from(u16::from_le_bytes([s0, s1]));
    let message_len = u32::from_le_bytes([a, b, c, d]) as usize;
    let (stream, rest) = rest.split_at_checked(stream_len)?;
    let (message, rest) = rest.split_at_checked(message_len)?;
    let frame = Frame {
        timestamp_ms: i64::from_le_bytes(millis),
        stream,
        message,
    };
    Some((frame, rest))
}

/// Group names may hold slashes and dots; the directory's name is one plain component.
pub fn directory(root: &Path, key: &GroupKey) -> PathBuf {
    let plain = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02x}"),
            })
            .collect::<String>()
    };
    root.join(plain(&key.account_id))
        .join(plain(&key.region))
        .join(short(plain(&key.name), &key.name))
}

/// Written out a name may be longer than a file system takes; then its hash stands for the rest.
fn short(plain: String, name: &str) -> String {
    const NAME_BYTES_MAX: usize = 200;
    match plain.get(..NAME_BYTES_MAX - 64) {
        Some(start) if plain.len() > NAME_BYTES_MAX => {
            format!("{start}{}", store::BlobHash::of(name.as_bytes()))
        }
        _ => plain,
    }
}

pub fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.log"))
}

/// The segments there are, oldest first.
pub fn segments(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|ext| ext == "log")) {
            segments.push((number, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Removes segments, oldest first, until the rest takes no more than `bytes_max`.
pub fn remove_oldest(directory: &Path, bytes_max: u64) -> io::Result<()> {
    let segments = segments(directory)?;
    let mut sizes = Vec::with_capacity(segments.len());
    for (_, path) in &segments {
        sizes.push(std::fs::metadata(path)?.len());
    }
    let mut used: u64 = sizes.iter().sum();
    for ((_, path), size) in segments.iter().zip(sizes) {
        if used <= bytes_max {
            break;
        }
        std::fs::remove_file(path)?;
        used -= size;
    }
    Ok(())
}
