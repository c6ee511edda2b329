//! Every bound of the platform's own, in one place. AWS's quotas stand where they are checked.

use std::time::Duration;

/// Lines that wait in memory for the disk, in bytes per log group; beyond it the writer waits.
pub const LOG_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// The file of a log group that is written to; full, it is compressed.
pub const LOG_SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A log group on disk, compressed; the oldest segments go first.
pub const LOG_GROUP_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Log groups kept open that nobody writes to or reads.
pub const LOG_GROUPS_OPEN_MAX: usize = 1024;

/// The part of an invocation's log that `LogType=Tail` gives, in bytes; Lambda's own figure.
pub const LOG_TAIL_BYTES: usize = 4096;

/// The usage journal is folded into the store when it is this large, in bytes.
pub const USAGE_JOURNAL_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Sums of usage that wait in memory while the disk takes nothing.
pub const USAGE_ROWS_KEPT_MAX: usize = 20_000;
/// Rows of one bill.
pub const USAGE_ROWS_ANSWERED_MAX: u32 = 50_000;

/// Connections that an environment may have to its Runtime API at once.
pub const RUNTIME_API_CONNECTIONS_MAX: usize = 16;

/// How long what an environment sent last is still read after its end.
pub const LAST_WORDS_WITHIN: Duration = Duration::from_millis(250);
/// Pieces of a streamed response that wait for a slow reader; one is what was read at once, some
/// hundred kilobytes at most.
pub const RESPONSE_PIECES_MAX: usize = 4;
/// What is held of a streamed response's head, which says status and headers, until it is whole.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Connections that an environment may have to the platform at once, far above what an SDK opens;
/// those that it always may have, and over all environments those beyond. So nobody can take
/// others' way in, and file descriptors stay bounded.
pub const FUNCTION_CONNECTIONS_MAX: usize = 512;
pub const FUNCTION_CONNECTIONS_ASSURED: usize = 8;
pub const FUNCTION_CONNECTIONS_EXTRA_MAX: usize = 8_192;

/// A package that is given back; Lambda's limit on what is taken.
pub const PACKAGE_BYTES_MAX: u64 = 52_428_800;
