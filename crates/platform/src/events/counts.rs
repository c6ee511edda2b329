//! What asynchronous invocation counts, named as Lambda's CloudWatch metrics, of all functions
//! together, so that no function's name becomes a label.

use std::sync::atomic::{AtomicU64, Ordering};

/// Since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// AsyncEventsReceived.
    pub received: AtomicU64,
    /// Runs of functions, and those that failed.
    pub runs: AtomicU64,
    pub failed_runs: AtomicU64,
    /// Tries without a run: throttles and troubles of the platform.
    pub refused: AtomicU64,
    pub succeeded: AtomicU64,
    pub dropped: Dropped,
    /// Records and dead letters that were sent, and those that could not be:
    /// DestinationDeliveryFailures and DeadLetterErrors.
    pub destination_sent: AtomicU64,
    pub destination_errors: AtomicU64,
    pub dead_letter_sent: AtomicU64,
    pub dead_letter_errors: AtomicU64,
    /// AsyncEventAge: the sum over runs of how long their events had been waiting.
    pub age_ms: AtomicU64,
    /// Events that are with functions now.
    pub running: AtomicU64,
}

/// What is counted of each function's events, since it was taken last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// AsyncEventsReceived.
    pub received: u64,
    /// AsyncEventsDropped.
    pub dropped: u64,
    /// DestinationDeliveryFailures and DeadLetterErrors.
    pub destination_errors: u64,
    pub dead_letter_errors: u64,
    /// AsyncEventAge, in milliseconds, of each run.
    pub ages_ms: Vec<u64>,
}

/// Ages that are kept of a function in a minute; of more the first.
pub const AGES_MAX: usize = 1_000;

/// AsyncEventsDropped, by why.
#[derive(Debug, Default)]
pub struct Dropped {
    pub retries_exhausted: AtomicU64,
    pub age_exceeded: AtomicU64,
    /// RecursiveInvocationsDropped.
    pub recursive: AtomicU64,
    pub zero_reserved_concurrency: AtomicU64,
    /// Their function was deleted.
    pub deleted: AtomicU64,
}

/// Events that are in their queues now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub queues: usize,
    pub ready: u64,
    pub running: u64,
    pub delayed: u64,
}

pub fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

pub fn one(counter: &AtomicU64) {
    add(counter, 1);
}
