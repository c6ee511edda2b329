//! Bounds of deliveries.

use std::time::Duration;

/// Tries that run at once, in all and with one target.
pub const TRIES_MAX: usize = 512;
pub const TRIES_PER_TARGET_MAX: usize = 32;
/// One try, whatever its target does.
pub const TRY_WITHIN: Duration = Duration::from_secs(75);
/// A delivery that is being tried is nobody else's for that long.
pub const HELD_MS: i64 = 900_000;
/// The longest time between two tries.
pub const WAIT_MS_MAX: i64 = 3_600_000;
/// How long one receive waits before it is made anew.
pub const RECEIVE_WAIT: Duration = Duration::from_secs(20);
/// Longer than any delivery may take: what becomes of one, the lane says and not its queue.
pub const RETENTION_S: u32 = 2_592_000;

/// What cannot be taken out of a lane for now is asked for again after that, longer each time.
pub const HOLD: Duration = Duration::from_millis(100);
pub const HOLD_MAX: Duration = Duration::from_secs(5);
/// After a change at the target while a delivery was being stored.
pub const WAIT_FIRST_MS: i64 = 1_000;

/// The name of a lane's queue; the targets beyond have their digest's.
pub const LANE_NAME_BYTES_MAX: usize = 1_024;

/// How often a delivery may spread to others within one transaction; those beyond go on from the
/// store.
pub const SPREADS_MAX: usize = 3;
/// Messages of one transaction; beyond it there are several.
pub const MESSAGES_MAX: usize = 2_000;

/// Lanes without deliveries go after that.
pub const LANE_IDLE_MS: i64 = 300_000;
pub const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// The part of a failure's message that a dead letter has, in bytes.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;
