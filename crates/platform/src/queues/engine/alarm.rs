//! Wakes queues whose next message becomes visible while somebody waits for it. One task for all;
//! a queue has one alarm set at a time but for an earlier one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{clock::Clock, queues::definition::QueueId};

#[derive(Default)]
pub struct Alarm {
    due: Mutex<BinaryHeap<Reverse<(i64, QueueId)>>>,
    earlier: Notify,
}

/// The clock is looked at again at least so often, as it can jump.
const LOOK_EVERY_MS: i64 = 1000;

impl Alarm {
    pub fn set(&self, queue: QueueId, due_ms: i64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = due.peek().is_none_or(|Reverse((first, _))| due_ms < *first);
        due.push(Reverse((due_ms, queue)));
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Rings for ever.
    pub async fn keep_ringing(self: Arc<Self>, clock: Arc<Clock>, ring: impl Fn(QueueId)) {
        loop {
            let now_ms = clock.now_ms();
            while let Some(queue) = self.pop_due(now_ms) {
                ring(queue);
            }
            match self.next_ms() {
                None => self.earlier.notified().await,
                Some(next_ms) => {
                    let wait_ms = (next_ms - now_ms).clamp(1, LOOK_EVERY_MS);
                    let wait = Duration::from_millis(wait_ms.unsigned_abs());
                    let _ = tokio::time::timeout(wait, self.earlier.notified()).await;
                }
            }
        }
    }

    fn pop_due(&self, now_ms: i64) -> Option<QueueId> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = due
            .peek()
            .is_some_and(|Reverse((first, _))| *first <= now_ms);
        is_due
            .then(|| due.pop())
            .flatten()
            .map(|Reverse((_, queue))| queue)
    }

    fn next_ms(&self) -> Option<i64> {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.peek().map(|Reverse((first, _))| *first)
    }
}
