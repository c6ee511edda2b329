//! The segments that Lambent wrote before it had CloudWatch Logs' API: lines with a length before
//! them, without checksums. They are read where they are until they are sealed like all others.

use super::frame::{Frame, Kind};

/// Begins every line; also the format's version.
const MARK: [u8; 2] = *b"L1";
/// Mark, length of the stream's name (16 bits), of the message (32 bits), milliseconds (64 bits),
/// all little-endian.
const HEADER: usize = 16;

/// The lines of a segment with how long each is, up to where it is torn or damaged.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (frame, next) = decode(rest)?;
        let len = rest.len() - next.len();
        rest = next;
        Some((len, frame))
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
    let timestamp_ms = i64::from_le_bytes(millis);
    let frame = Frame {
        kind: Kind::Event,
        timestamp_ms,
        // It was not kept.
        ingested_ms: timestamp_ms,
        stream,
        message,
    };
    Some((frame, rest))
}

#[cfg(test)]
pub fn encode(out: &mut Vec<u8>, timestamp_ms: i64, stream: &str, message: &[u8]) {
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&(stream.len() as u16).to_le_bytes());
    out.extend_from_slice(&(message.len() as u32).to_le_bytes());
    out.extend_from_slice(&timestamp_ms.to_le_bytes());
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(message);
}
