//! Wakes background work when something of it is due. One time for all of it: which it is, the store
//! knows.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{background::Wake, clock::Clock};

/// The clock is looked at again at least so often, as it can jump.
const LOOK_EVERY_MS: i64 = 1_000;

pub struct Alarm {
    next_ms: AtomicI64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            next_ms: AtomicI64::new(i64::MAX),
            earlier: Notify::new(),
        }
    }
}

impl Alarm {
    /// Rings at a time too.
    pub fn set(&self, due_ms: Option<i64>) {
        let due_ms = due_ms.unwrap_or(i64::MAX);
        if self.next_ms.fetch_min(due_ms, Ordering::AcqRel) > due_ms {
            self.earlier.notify_one();
        }
    }

    /// Rings for ever.
    pub async fn keep_ringing(&self, clock: &Clock, wake: &Wake) {
        loop {
            let (now_ms, next_ms) = (clock.now_ms(), self.next_ms.load(Ordering::Acquire));
            if next_ms <= now_ms {
                // Whoever is woken sets what comes next.
                self.next_ms.store(i64::MAX, Ordering::Release);
                wake.wake();
                continue;
            }
            let wait_ms = next_ms.saturating_sub(now_ms).clamp(1, LOOK_EVERY_MS);
            let wait = Duration::from_millis(wait_ms.unsigned_abs());
            match next_ms {
                i64::MAX => self.earlier.notified().await,
                _ => drop(tokio::time::timeout(wait, self.earlier.notified()).await),
            }
        }
    }
}
