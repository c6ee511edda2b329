//! An environment's output as log events: lines of text, and frames.
//!
//! A frame is how the managed runtimes' clients keep a multi-line entry one event: sixteen bytes
//! (magic, length of the message as 32 bits, microseconds since 1970 as 64 bits, all big-endian)
//! and the message, wherever a line could begin. Whatever else arrives is lines.

/// Begins a frame; no text that is UTF-8 begins so.
const MAGIC: [u8; 4] = 0xa55a_0003_u32.to_be_bytes();
const HEADER: usize = 16;
/// The longest event that is kept in one piece, as in CloudWatch Logs.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub struct LogFrames {
    pending: Vec<u8>,
}

/// One log event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvent<'a> {
    /// Milliseconds since 1970, where the runtime said when.
    pub timestamp_ms: Option<i64>,
    /// With its end of line, if it had one.
    pub message: &'a [u8],
}

impl LogFrames {
    /// Takes bytes in and gives the events that are whole.
    pub fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(LogEvent<'_>)) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((event, len)) = next_event(&self.pending[at..]) {
            emit(event);
            at += len;
        }
        self.pending.drain(..at);
    }

    /// Gives what is left when no more will come, or when an invocation has ended.
    pub fn finish(&mut self, mut emit: impl FnMut(LogEvent<'_>)) {
        if !self.pending.is_empty() {
            emit(LogEvent {
                timestamp_ms: None,
                message: &self.pending,
            });
            self.pending.clear();
        }
    }
}

fn next_event(bytes: &[u8]) -> Option<(LogEvent<'_>, usize)> {
    if bytes.starts_with(&MAGIC) {
        return framed(bytes);
    }
    let window = &bytes[..bytes.len().min(EVENT_BYTES_MAX)];
    let len = match window.iter().position(|&byte| byte == b'\n') {
        Some(end) => end + 1,
        None if window.len() == EVENT_BYTES_MAX => EVENT_BYTES_MAX,
        None => return None,
    };
    let event = LogEvent {
        timestamp_ms: None,
        message: &bytes[..len],
    };
    Some((event, len))
}

fn framed(bytes: &[u8]) -> Option<(LogEvent<'_>, usize)> {
    let header = bytes.first_chunk::<HEADER>()?;
    let [_, _, _, _, a, b, c, d, micros @ ..] = *header;
    // A length beyond what is kept is a forgery of the function's own; it is cut.
    let len = (u32::from_be_bytes([a, b, c, d]) as usize).min(EVENT_BYTES_MAX);
    let message = bytes.get(HEADER..HEADER + len)?;
    let event = LogEvent {
        timestamp_ms: Some(i64::from_be_bytes(micros) / 1000),
        message,
    };
    Some((event, HEADER + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(1_700_000_000_123_456_i64.to_be_bytes());
        bytes.extend(message.as_bytes());
        bytes
    }

    /// The same events come out however the bytes arrive.
    fn check(input: &[u8], expect: &[(Option<i64>, &str)], left: &str) {
        for step in [1, 3, 17, input.len().max(1)] {
            let mut frames = LogFrames::default();
            let mut got = Vec::new();
            let mut keep = |event: LogEvent<'_>| {
                got.push((
                    event.timestamp_ms,
                    String::from_utf8_lossy(event.message).into_owned(),
                ));
            };
            for chunk in input.chunks(step) {
                frames.feed(chunk, &mut keep);
            }
            let mut rest = String::new();
            frames.finish(|event| rest = String::from_utf8_lossy(event.message).into_owned());
            let expect: Vec<_> = expect
                .iter()
                .map(|(at, text)| (*at, (*text).to_owned()))
                .collect();
            assert_eq!(got, expect);
            assert_eq!(rest, left);
        }
    }

    #[test]
    fn lines_and_frames_mix() {
        let mut input = b"one\ntwo\n".to_vec();
        input.extend(frame("three\nfour"));
        input.extend(b"five");
        let at = Some(1_700_000_000_123);
        check(
            &input,
            &[(None, "one\n"), (None, "two\n"), (at, "three\nfour")],
            "five",
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut frames = LogFrames::default();
        let mut sizes = Vec::new();
        for _ in 0..5 {
            frames.feed(&[b'x'; 100 * 1024], |event| sizes.push(event.message.len()));
        }
        assert_eq!(sizes, [EVENT_BYTES_MAX]);
    }

    #[test]
    fn a_forged_length_is_bounded() {
        let mut input = MAGIC.to_vec();
        input.extend(u32::MAX.to_be_bytes());
        input.extend([0; 8]);
        input.extend(vec![b'y'; EVENT_BYTES_MAX + 5]);
        let mut frames = LogFrames::default();
        let mut sizes = Vec::new();
        frames.feed(&input, |event| sizes.push(event.message.len()));
        assert_eq!(sizes, [EVENT_BYTES_MAX]);
    }
}
