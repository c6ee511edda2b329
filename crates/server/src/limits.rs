//! The server's bounds.

use std::time::Duration;

/// Connections at once; more wait to be accepted. Receivers that wait for messages have one each.
pub const CONNECTIONS_MAX: usize = 16_384;
/// For a request's head, which also bounds how long a connection may be idle.
pub const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// The same for connections of functions: a frozen one cannot see that its connection was closed,
/// and would try to send on it, so they are kept for longer than most functions rest.
pub const FUNCTION_HEAD_WITHIN: Duration = Duration::from_secs(900);
/// The buffer that a request's head has to fit in.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
pub const HEADERS_MAX: usize = 100;
/// What is still read of a head that was refused, so that its sender reads why.
pub const HEAD_SPILL_BYTES: u64 = 1024 * 1024;
pub const HEAD_SPILL_WITHIN: Duration = Duration::from_secs(1);
/// For the next piece of a body to arrive.
pub const BODY_PIECE_WITHIN: Duration = Duration::from_secs(30);
/// For all of a body, whatever its length; and the pace that a long one has to keep beyond that.
pub const BODY_WITHIN: Duration = Duration::from_secs(60);
pub const BODY_BYTES_PER_S_MIN: usize = 64 * 1024;
/// For an answer to be read, whatever its length; and the pace beyond that.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);
pub const ANSWER_BYTES_PER_S_MIN: usize = 16 * 1024;
/// Bodies beyond this size are held a bounded number of at once.
pub const BODY_SMALL_BYTES: usize = 256 * 1024;
pub const BODIES_LARGE_MAX: usize = 32;
/// As many again for functions, who cannot keep others from sending theirs.
pub const FUNCTION_BODIES_LARGE_MAX: usize = 32;
/// What is read and thrown away of a body that is too large, so that its sender reads the answer.
pub const BODY_SPILL_BYTES: usize = 64 * 1024 * 1024;
pub const BODY_SPILL_WITHIN: Duration = Duration::from_secs(10);
/// For bytes already on their way when the server stops.
pub const LAST_WORDS_WITHIN: Duration = Duration::from_millis(250);
/// Pieces of a streamed answer that wait for a slow reader.
pub const STREAM_PIECES_MAX: usize = 4;
