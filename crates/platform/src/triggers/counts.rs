//! What mappings count: Lambda's event source mapping metrics, of all mappings together, so that no
//! mapping's name becomes a label.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub polled: AtomicU64,
    pub filtered_out: AtomicU64,
    pub invoked: AtomicU64,
    /// Events that an invocation was made for and that will be tried again.
    pub failed_invoke: AtomicU64,
    pub deleted: AtomicU64,
    /// Messages that were left in their queues as they would have gone on with a loop.
    pub recursive: AtomicU64,
    pub batches: Batches,
    /// Batches that are with functions now.
    pub concurrent: AtomicU64,
}

/// Batches by how they ended.
#[derive(Debug, Default)]
pub struct Batches {
    pub succeeded: AtomicU64,
    /// Some of its messages failed.
    pub partial: AtomicU64,
    pub failed: AtomicU64,
    /// Tries that found no room or no function, of which a batch may have several.
    pub refused: AtomicU64,
    /// Given back to the queue without an answer of the function's.
    pub released: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct MappingsView {
    pub by_state: [(&'static str, usize); 7],
    pub counts: Arc<Counts>,
}

pub fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

pub fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
