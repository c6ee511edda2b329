//! The time that queues run by, in milliseconds since 1970.
//!
//! Goes with the machine's monotonic clock, so that a wall clock set back lengthens no timeout,
//! and jumps ahead with the wall clock, as after a suspend.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

// The same as the standard library's, and in a test whose time is paused that one's.
use tokio::time::Instant;

/// The wall clock is followed ahead when it is this far away.
const AHEAD_MS: i64 = 1000;

#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    base_ms: AtomicI64,
    wall_ms: fn() -> i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            base_ms: AtomicI64::new(wall_ms()),
            wall_ms,
        }
    }

    /// One that knows of no wall clock and goes on from `ms`, for tests.
    #[cfg(test)]
    pub fn from(ms: i64) -> Self {
        Self {
            origin: Instant::now(),
            base_ms: AtomicI64::new(ms),
            wall_ms: || 0,
        }
    }

    pub fn now_ms(&self) -> i64 {
        let since = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX / 2);
        let ours = self.base_ms.load(Ordering::Relaxed) + since;
        let ahead = (self.wall_ms)() - ours;
        if ahead <= AHEAD_MS {
            return ours;
        }
        // Of two that see the jump at once both may add it; the next look finds us ahead, which
        // is harmless.
        self.base_ms
            .fetch_max(ours - since + ahead, Ordering::Relaxed);
        ours + ahead
    }

    /// Lets time pass at once, for tests.
    pub fn advance(&self, ms: i64) {
        self.base_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_from_the_wall_clock_and_never_back() {
        let clock = Clock::new();
        let first = clock.now_ms();
        assert!((first - wall_ms()).abs() < 1000);
        clock.advance(60_000);
        // The wall clock is behind now, as if it had been set back.
        assert!(clock.now_ms() >= first + 60_000);
        clock.advance(-120_000);
        // Behind the wall clock: caught up with.
        assert!(clock.now_ms() >= first);
    }
}
