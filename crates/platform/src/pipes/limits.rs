//! Pipes' quotas, and bounds of our own.

use std::time::Duration;

/// Pipes of an account in a region; AWS's own figure.
pub const PIPES_MAX: usize = 1_000;
pub const PAGE_MAX: usize = 100;
pub const TAGS_MAX: usize = 50;

/// Batches of a pipe that are under way at once; a FIFO queue has one.
pub const BATCHES_MAX: usize = 5;
/// How long one receive waits before it is made anew.
pub const RECEIVE_WAIT: Duration = Duration::from_secs(20);
/// After trouble nothing is tried for so long, longer each time in a row.
pub const HOLD: Duration = Duration::from_millis(200);
pub const HOLD_MAX: Duration = Duration::from_secs(10);
pub const RECONCILE_EVERY: Duration = Duration::from_secs(30);
