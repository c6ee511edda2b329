//! The engine's bounds. SQS's own quotas name themselves.

/// Messages in flight per queue; SQS's quota for both kinds.
pub const IN_FLIGHT_MAX: u64 = 120_000;
/// SQS's longest visibility timeout, from the receive on: 12 hours.
pub const VISIBILITY_MS_MAX: i64 = 43_200_000;
/// SQS's longest delay: 15 minutes.
pub const DELAY_MS_MAX: i64 = 900_000;
/// How long a deduplication id is remembered; SQS's own figure.
pub const DEDUPLICATION_MS: i64 = 300_000;
/// How long a ReceiveRequestAttemptId is; SQS's own figure.
pub const ATTEMPT_MS: i64 = 300_000;
pub const ATTEMPTS_MAX: usize = 10_000;

/// Visible messages of a standard queue that are held in memory.
pub const WINDOW_MAX: usize = 20_000;
/// With fewer, more are read.
pub const WINDOW_LOW: usize = 10_000;
/// A FIFO queue looks through so many messages for groups to hand out; SQS's own figure.
pub const FIFO_WINDOW_MAX: usize = 120_000;
pub const FIFO_WINDOW_LOW: usize = 110_000;
/// Messages read at once.
pub const PAGE: usize = 10_000;
/// Deduplication ids read at once.
pub const DEDUPS_PAGE: usize = 50_000;
/// Expired messages deleted at once, and purged ones.
pub const SWEPT_AT_ONCE: usize = 1_000;
/// How often expired messages are looked for.
pub const SWEEP_EVERY_MS: u64 = 5_000;

/// Contents kept in memory, in bytes, of all queues together.
pub const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The room that a table of so many entries may keep: one that has been much larger gives it back.
pub const fn spare(entries: usize) -> usize {
    4 * entries + 1_024
}

/// Changes of one transaction.
pub const BATCH_CHANGES_MAX: usize = 1_000;
/// What a transaction may write, in bytes.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What waits to be written, in KiB; whoever comes later waits outside.
pub const WAITING_KIB_MAX: usize = 128 * 1024;
