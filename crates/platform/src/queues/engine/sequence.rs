//! Sequence numbers: unique in the store, counting up within a queue, the time in their upper bits.
//!
//! `milliseconds << 20 | shard << 12 | counter`. The time makes retention a range of keys, and the
//! shard keeps numbers apart that different nodes will give. The persisted [`floor`](Sequence)
//! keeps them rising when the clock was set back over a restart.

use std::sync::atomic::{AtomicI64, Ordering};

const TIME_AT: u32 = 20;
const SHARD_AT: u32 = 12;
const COUNT: i64 = 1 << SHARD_AT;

/// How far ahead the floor is persisted: one row written in so much time.
const FLOOR_AHEAD_MS: i64 = 10_000;

#[derive(Debug)]
pub struct Sequence {
    /// Milliseconds and a count within them: `ms << 12 | count`.
    last: AtomicI64,
    /// All numbers below this time are covered by what is stored, in milliseconds.
    stored_floor_ms: AtomicI64,
}

impl Sequence {
    /// `floor_ms` is what the store has.
    pub fn new(floor_ms: i64) -> Self {
        Self {
            last: AtomicI64::new(floor_ms << SHARD_AT),
            stored_floor_ms: AtomicI64::new(floor_ms),
        }
    }

    /// The next number of a shard. Callers that hold a queue's lock get rising ones for it.
    pub fn next(&self, shard: u8, now_ms: i64) -> i64 {
        let now = now_ms << SHARD_AT;
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now.max(last + 1))
            });
        // The closure never refuses.
        let at = now.max(last.unwrap_or_else(|last| last) + 1);
        let (ms, count) = (at >> SHARD_AT, at & (COUNT - 1));
        ms << TIME_AT | i64::from(shard) << SHARD_AT | count
    }

    /// The floor to store with a batch whose highest number this is, if the stored one does not
    /// cover it.
    pub fn floor_to_store(&self, highest: i64) -> Option<i64> {
        let ms = time_of(highest);
        (ms >= self.stored_floor_ms.load(Ordering::Relaxed)).then_some(ms + FLOOR_AHEAD_MS)
    }

    pub fn floor_stored(&self, floor_ms: i64) {
        self.stored_floor_ms.fetch_max(floor_ms, Ordering::Relaxed);
    }
}

/// When a number was given, in milliseconds.
pub fn time_of(sequence: i64) -> i64 {
    sequence >> TIME_AT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_whatever_the_clock_does() {
        let sequence = Sequence::new(0);
        let mut last = 0;
        for now in [1_000, 1_000, 999, 1_000, 5_000, 10] {
            for _ in 0..3 {
                let next = sequence.next(7, now);
                assert!(next > last);
                assert_eq!(next >> SHARD_AT & 0xff, 7);
                last = next;
            }
        }
        assert_eq!(time_of(last), 5_000);
    }

    #[test]
    fn more_in_a_millisecond_than_fit_run_ahead_of_it() {
        let sequence = Sequence::new(0);
        let first = sequence.next(0, 1);
        let mut last = first;
        for _ in 0..3 * COUNT {
            let next = sequence.next(0, 1);
            assert!(next > last);
            last = next;
        }
        assert_eq!(time_of(last), 4);
    }

    #[test]
    fn after_a_restart_they_go_on_above_the_stored_floor() {
        let sequence = Sequence::new(0);
        let number = sequence.next(3, 50_000);
        let floor = sequence
            .floor_to_store(number)
            .expect("nothing is stored yet");
        sequence.floor_stored(floor);
        let soon = sequence.next(3, 51_000);
        assert_eq!(sequence.floor_to_store(soon), None);
        let restarted = Sequence::new(floor);
        assert!(restarted.next(3, 1_000) > soon);
    }
}
