//! What deliveries count, for the operator: of all senders and targets together.

use std::sync::atomic::{AtomicU64, Ordering};

/// Since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Deliveries asked for, with those that others spread to.
    pub accepted: AtomicU64,
    /// Made by a message in the very transaction that they were asked for in.
    pub placed: AtomicU64,
    /// Tries from lanes, and those that failed.
    pub tries: AtomicU64,
    pub failed_tries: AtomicU64,
    /// Made by a try.
    pub delivered: AtomicU64,
    /// Given up, by what became of them.
    pub dead_lettered: AtomicU64,
    pub dropped: AtomicU64,
    /// Dead letters that could not be sent.
    pub dead_letter_errors: AtomicU64,
    /// Tries that run now.
    pub running: AtomicU64,
}

/// Deliveries that are in their lanes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub lanes: usize,
    pub ready: u64,
    /// Being tried, or before their next try.
    pub held: u64,
}

pub fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

pub fn one(counter: &AtomicU64) {
    add(counter, 1);
}
