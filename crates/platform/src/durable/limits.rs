//! Lambda's limits of durable executions, and ours where Lambda names none.

use std::time::Duration;

pub const DAY_MS: i64 = 86_400_000;

/// Operations of one execution, itself among them.
pub const OPERATIONS_MAX: usize = 3_000;
/// All payloads that one execution checkpoints, in bytes.
pub const STATE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// What a step or a context leaves.
pub const PAYLOAD_BYTES_MAX: usize = 262_144;
/// What goes into a chained invoke, and what comes out.
pub const CHAINED_BYTES_MAX: usize = 1_048_576;
pub const RESULT_BYTES_MAX: usize = 6_291_456;
/// An error object as JSON.
pub const ERROR_BYTES_MAX: usize = 32_768;

/// The input of an execution that nobody waits for.
pub const EVENT_BYTES_MAX: usize = 1_048_576;
/// An execution that somebody waits for has to end within this time, in seconds.
pub const SYNCHRONOUS_S_MAX: u32 = 900;

/// Operations that an invocation starts with, in bytes; the rest is for GetDurableExecutionState.
pub const STATE_PAGE_BYTES: usize = 5 * 1024 * 1024;
/// Pages of operations, of events and of executions.
pub const PAGE_DEFAULT: usize = 100;
pub const PAGE_MAX: usize = 1_000;
/// Events of a page of history, in bytes.
pub const HISTORY_PAGE_BYTES: usize = 5 * 1024 * 1024;

/// Invocations one after the other that may fail before their execution does, and how long after
/// each there is another, in milliseconds: doubled each time.
pub const FAILURES_MAX: u32 = 9;
pub const AGAIN_AFTER_MS: i64 = 1_000;
pub const AGAIN_AFTER_MAX_MS: i64 = 60_000;
/// The same for answers that say that they wait for what is not there.
pub const INVALID_PENDING_MAX: u32 = 3;
/// An invocation that was throttled or could not be run is made again after this time, and then
/// after ever longer ones.
pub const NOT_RUN_AGAIN: Duration = Duration::from_millis(500);
pub const NOT_RUN_AGAIN_MAX: Duration = Duration::from_secs(20);

/// Rows read from the store at once.
pub const LOAD_ROWS: u32 = 200;
/// Executions that one pass of the timers takes up at once.
pub const DUE_AT_ONCE: u32 = 500;
/// All executions with something to do are looked at from time to time.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(30);
pub const RESUME_AFTER_MS: i64 = 1_000;
