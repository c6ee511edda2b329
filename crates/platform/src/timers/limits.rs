//! Bounds of timers.

use std::time::Duration;

/// Timers that are read from the store, and ticked beside each other, at once.
pub const DUE_AT_ONCE: u32 = 256;
/// All that are due are looked at from time to time: also those whose tick failed.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);
