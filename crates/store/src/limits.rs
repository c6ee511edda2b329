//! The bounds of the store.

use std::time::Duration;

/// Transactions of one SQLite commit.
pub const SQLITE_BATCH_MAX: usize = 256;
/// Transactions of one PostgreSQL commit: past 64 subtransactions the server's shared cache of
/// them overflows and every other session's snapshot gets slower.
pub const POSTGRES_BATCH_MAX: usize = 60;
/// A batch takes no further transaction after this long, so that the first is answered soon.
pub const BATCH_TIME_MAX: Duration = Duration::from_millis(20);
/// Transactions waiting for a writer or a reader; further callers wait outside the queue.
pub const WAITING_MAX: usize = 4096;
/// Rows one query may return.
pub const ROWS_MAX: usize = 100_000;
/// Prepared statements kept per connection.
pub const STATEMENTS_MAX: usize = 256;
/// How long SQLite waits for another process's write.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// SQLite moves the write-ahead log into the database file when it has this many pages.
pub const WAL_PAGES_CHECKPOINT: i64 = 4000;
/// A writer without work for this long does its housekeeping, once.
pub const IDLE_AFTER: Duration = Duration::from_secs(1);
/// The write-ahead log is cut back to this size after a checkpoint.
pub const WAL_BYTES_KEPT: i64 = 64 << 20;
/// What SQLite keeps free for itself, for when the disk is full; enough for some hundred small
/// transactions.
pub const RESERVE_BYTES: usize = 1 << 20;
/// How often it is taken at most.
pub const RESERVE_EVERY: Duration = Duration::from_secs(60);
/// How long a connection to PostgreSQL may take, unless its URL says otherwise.
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// A PostgreSQL server that says nothing for this long after a statement's time is over is taken
/// for gone.
pub const SILENCE_BORNE: Duration = Duration::from_secs(5);
/// How long a new owner waits for the one before it, whose process may just have ended.
pub const OWNER_WAIT: Duration = Duration::from_secs(10);
/// The server takes an owner's machine for dead after this: seconds of silence, seconds between
/// questions, and questions without an answer. Within [`OWNER_WAIT`].
pub const OWNER_KEEPALIVE: (u32, u32, u32) = (3, 2, 3);
/// How long a new owner lets the last commits of the one before it run.
pub const OWNER_DRAIN: Duration = Duration::from_millis(200);
/// Between two attempts of an owner to hold the store again.
pub const OWNER_PAUSE: Duration = Duration::from_millis(500);
