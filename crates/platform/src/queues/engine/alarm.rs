//! Wakes queues whose next message becomes visible while somebody waits for it. One task for all;
//! a queue has one alarm set at a time: an earlier one takes the place of a later.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{clock::Clock, queues::definition::QueueId};

#[derive(Default)]
pub struct Alarm {
    due: Mutex<BTreeSet<(i64, QueueId)>>,
    earlier: Notify,
}

/// The clock is looked at again at least so often, as it can jump.
const LOOK_EVERY_MS: i64 = 1000;

impl Alarm {
    /// Sets a queue's alarm in place of the one that was set for `former_ms`, if there is one.
    pub fn set(&self, queue: QueueId, due_ms: i64, former_ms: i64) {
        let mut due = self.due();
        due.remove(&(former_ms, queue));
        let is_first = due.first().is_none_or(|(first, _)| due_ms < *first);
        due.insert((due_ms, queue));
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
        let mut due = self.due();
        let is_due = due.first().is_some_and(|(first, _)| *first <= now_ms);
        let popped = is_due.then(|| due.pop_first()).flatten();
        popped.map(|(_, queue)| queue)
    }

    fn next_ms(&self) -> Option<i64> {
        self.due().first().map(|(first, _)| *first)
    }

    fn due(&self) -> MutexGuard<'_, BTreeSet<(i64, QueueId)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_alarm_takes_the_place_of_a_later_one() {
        let (a, b) = (QueueId(1), QueueId(2));
        let alarm = Alarm::default();
        alarm.set(a, 900, i64::MAX);
        alarm.set(b, 500, i64::MAX);
        // A far timer, and near ones that come and go.
        for due_ms in 0..100 {
            alarm.set(a, due_ms, 900);
            assert_eq!(alarm.pop_due(due_ms), Some(a));
            alarm.set(a, 900, i64::MAX);
        }
        assert_eq!(alarm.due().len(), 2);
        assert_eq!(alarm.pop_due(499), None);
        assert_eq!(alarm.pop_due(1000), Some(b));
        assert_eq!(alarm.pop_due(1000), Some(a));
    }
}
