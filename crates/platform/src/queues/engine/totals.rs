//! What queues count, named as SQS's CloudWatch metrics, of all queues together, so that no queue's
//! name becomes a label.

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages since the start, and receives that found none.
#[derive(Debug, Default)]
pub struct Totals {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub empty_receives: AtomicU64,
    /// By receivers; what expired is counted for itself.
    pub deleted: AtomicU64,
    /// Moved to a dead-letter queue as they were received too often.
    pub dead_lettered: AtomicU64,
    /// Older than the retention period.
    pub expired: AtomicU64,
}

/// What a queue's totals were when they were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    pub sent: u64,
    pub received: u64,
    pub empty_receives: u64,
    pub deleted: u64,
}

impl Totals {
    /// Those that a queue has metrics of, from here on counted anew.
    pub(super) fn take(&self) -> Taken {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Taken {
            sent: take(&self.sent),
            received: take(&self.received),
            empty_receives: take(&self.empty_receives),
            deleted: take(&self.deleted),
        }
    }

    pub(super) fn received(&self, messages: usize) {
        match messages {
            0 => add(&self.empty_receives, 1),
            some => add(&self.received, some),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}
