//! Contents kept in memory, so that a message that is received soon after it was sent is not read
//! from the store; of all queues together as much as the budget allows.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::limits;
use crate::queues::stored::Stored;

#[derive(Debug, Default)]
pub struct Budget(AtomicUsize);

/// A content that is kept; gives its room back with its last copy.
#[derive(Debug, Clone)]
pub struct Cached(Arc<Held>);

#[derive(Debug)]
struct Held {
    stored: Arc<Stored>,
    size: usize,
    budget: Arc<Budget>,
}

impl Cached {
    /// Nothing if there is no room.
    pub fn new(stored: Arc<Stored>, budget: &Arc<Budget>) -> Option<Self> {
        let size = stored.size();
        let before = budget.0.fetch_add(size, Ordering::Relaxed);
        if before + size > limits::CACHE_BYTES_MAX {
            budget.0.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        let budget = budget.clone();
        Some(Self(Arc::new(Held {
            stored,
            size,
            budget,
        })))
    }

    pub fn stored(&self) -> &Arc<Stored> {
        &self.0.stored
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.size, Ordering::Relaxed);
    }
}
