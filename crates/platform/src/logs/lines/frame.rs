//! Log events as bytes: a frame each, and batches of frames with a checksum.
//!
//! A batch is what was written at once: either all of it is read back or none. Numbers are
//! little-endian.

use super::Seq;

/// Begins every batch; also its format's version.
const MARK: [u8; 4] = *b"LmB2";
/// Mark, length of the frames, their CRC-32.
pub const BATCH_HEADER: usize = 12;
/// Kind, length of the stream's name (16 bits), of the message (32 bits), two times (64 bits).
const HEADER: usize = 23;

/// What a frame tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Event,
    /// The stream is there without an event.
    Created,
    /// The stream is gone, with all its events up to here.
    Deleted,
}

/// A frame as it lies in a file.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub timestamp_ms: i64,
    pub ingested_ms: i64,
    pub stream: &'a [u8],
    pub message: &'a [u8],
}

/// One log event, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Seq,
    pub timestamp_ms: i64,
    pub ingested_ms: i64,
    pub stream: String,
    /// With its end of line, if it had one; any bytes.
    pub message: Vec<u8>,
}

impl Event {
    /// What CloudWatch Logs counts: the message and 26 bytes.
    pub fn billed_bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }
}

/// What is counted of an event beside its message.
pub const EVENT_OVERHEAD_BYTES: usize = 26;

impl Frame<'_> {
    pub fn event(&self, at: Seq) -> Event {
        Event {
            at,
            timestamp_ms: self.timestamp_ms,
            ingested_ms: self.ingested_ms,
            stream: String::from_utf8_lossy(self.stream).into_owned(),
            message: self.message.to_vec(),
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        // Names and messages are bounded far below what the fields hold.
        let stream = &self.stream[..self.stream.len().min(u16::MAX.into())];
        let message = &self.message[..self.message.len().min(u32::MAX as usize)];
        out.push(match self.kind {
            Kind::Event => 0,
            Kind::Created => 1,
            Kind::Deleted => 2,
        });
        out.extend_from_slice(&(stream.len() as u16).to_le_bytes());
        out.extend_from_slice(&(message.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.extend_from_slice(&self.ingested_ms.to_le_bytes());
        out.extend_from_slice(stream);
        out.extend_from_slice(message);
    }
}

/// The frames in bytes that are frames and nothing else.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (frame, next) = decode(rest)?;
        rest = next;
        Some(frame)
    })
}

fn decode(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let number = |at: usize| {
        let eight = header[at..at + 8].first_chunk::<8>();
        eight.map_or(0, |eight| i64::from_le_bytes(*eight))
    };
    let kind = match header[0] {
        0 => Kind::Event,
        1 => Kind::Created,
        2 => Kind::Deleted,
        _ => return None,
    };
    let stream_len = usize::from(u16::from_le_bytes([header[1], header[2]]));
    let message_len = u32::from_le_bytes([header[3], header[4], header[5], header[6]]) as usize;
    let (stream, rest) = rest.split_at_checked(stream_len)?;
    let (message, rest) = rest.split_at_checked(message_len)?;
    let frame = Frame {
        kind,
        timestamp_ms: number(7),
        ingested_ms: number(15),
        stream,
        message,
    };
    Some((frame, rest))
}

/// Frames as what is written at once.
pub fn batch(frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BATCH_HEADER + frames.len());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(
        &u32::try_from(frames.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend_from_slice(&crc32fast::hash(frames).to_le_bytes());
    out.extend_from_slice(frames);
    out
}

/// The frames of each batch with how long the batch is, up to where the bytes are torn or damaged.
pub fn batches(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, after) = rest.split_first_chunk::<BATCH_HEADER>()?;
        let word = |at: usize| {
            let four = header[at..at + 4].first_chunk::<4>();
            four.map_or(0, |four| u32::from_le_bytes(*four))
        };
        let frames = after.get(..word(4) as usize)?;
        if header[..4] != MARK || crc32fast::hash(frames) != word(8) {
            return None;
        }
        rest = &after[frames.len()..];
        Some((BATCH_HEADER + frames.len(), frames))
    })
}
