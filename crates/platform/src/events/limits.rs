//! Lambda's quotas of asynchronous invocation, and what a worker may hold.

use std::time::Duration;

/// After a failed run the next waits so long, and the one after that twice as long.
pub const RETRY_AFTER_S: u32 = 60;
/// What could not run at all waits so long, twice as long each time, at most this.
pub const WAIT_FIRST_MS: i64 = 1_000;
pub const WAIT_MAX_MS: i64 = 300_000;

/// Longer than any event may wait: what becomes of it, the worker says and not the queue.
pub const RETENTION_S: u32 = 1_209_600;
/// An event that a worker has is nobody else's for the function's timeout and this.
pub const HELD_BEYOND_TIMEOUT_MS: i64 = 900_000;

/// A function's events that run at once, at first and at most: half of what an account has by
/// default, so that one backlog leaves room for others.
pub const RUNNING_START: f64 = 20.0;
pub const RUNNING_MAX: f64 = 500.0;
/// How many more a second while events wait; Lambda's rate of scaling.
pub const RUNNING_MORE_PER_S: f64 = 100.0;
/// The bytes of those events.
pub const RUNNING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one receive takes.
pub const RECEIVE_MAX: usize = 50;
/// How long one receive waits before it is made anew.
pub const RECEIVE_WAIT: Duration = Duration::from_secs(20);

/// After a throttle nothing is tried for so long, longer each time in a row.
pub const HOLD: Duration = Duration::from_millis(100);
pub const HOLD_MAX: Duration = Duration::from_secs(5);

/// Queues are looked at when something changed, and from time to time.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(30);

/// The part of an error's message that a dead letter has; Lambda's own figure.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1024;
