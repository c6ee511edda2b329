//! What goes on beside requests: messages past their retention are deleted, what was purged or
//! belonged to a deleted queue is wiped off the store, and deduplication ids are forgotten.
//!
//! Each may be interrupted and begun again at any point.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Engine, Queue,
    journal::{Change, Submission},
    limits, rows, totals,
};
use crate::queues::definition::QueueId;

/// Pauses after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How many sweeps lie between two looks for old deduplication ids: once a minute.
const SWEEPS_PER_DEDUP: u64 = 60_000 / limits::SWEEP_EVERY_MS;

/// What is to be wiped off the store. Deleted queues are known by their graves there.
#[derive(Default)]
pub struct Wiping {
    purged: Mutex<BTreeSet<QueueId>>,
    told: Notify,
}

impl Wiping {
    /// A queue has messages up to its purge that are to go, and nothing more of them is written.
    pub fn purged(&self, id: QueueId) {
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        purged.insert(id);
        drop(purged);
        self.told.notify_one();
    }

    /// A queue has a grave, and nothing more of it is written.
    pub fn deleted(&self) {
        self.told.notify_one();
    }

    fn next_purged(&self) -> Option<QueueId> {
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        purged.pop_first()
    }
}

impl Engine {
    pub(super) async fn keep_sweeping(self: &Arc<Self>) {
        let mut every = tokio::time::interval(Duration::from_millis(limits::SWEEP_EVERY_MS));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for turn in 0_u64.. {
            every.tick().await;
            for queue in self.every() {
                self.sweep(&queue).await;
                if queue.is_fifo() && turn % SWEEPS_PER_DEDUP == 0 {
                    self.forget_dedups(&queue).await;
                }
            }
        }
    }

    /// Deletes what is older than the retention period.
    pub(super) async fn sweep(self: &Arc<Self>, queue: &Arc<Queue>) {
        let retention_ms = i64::from(queue.definition().attributes.retention_s) * 1000;
        loop {
            let room = self.journal.room(0).await;
            let mut state = queue.lock();
            if state.is_stale || state.is_gone {
                return;
            }
            let expired = state.sweep(self.clock.now_ms(), retention_ms);
            self.page_if_low(queue, &mut state);
            if expired.is_empty() {
                return;
            }
            totals::add(&self.totals.expired, expired.len());
            self.journal.submit(Submission {
                queue: queue.clone(),
                changes: expired.into_iter().map(Change::Delete).collect(),
                reply: None,
                room: Some(room),
            });
        }
    }

    async fn forget_dedups(&self, queue: &Queue) {
        let id = queue.id;
        let now_ms = self.clock.now_ms();
        if !queue.lock().dedups.tidy(now_ms) {
            return;
        }
        let before_ms = now_ms - limits::DEDUPLICATION_MS;
        let forgotten = self.store.write(move |tx| {
            let sql = "DELETE FROM queue_dedups WHERE queue = $1 AND at < $2";
            tx.execute(sql, store::params![id.0, before_ms])
        });
        if let Err(error) = forgotten.await {
            queue.lock().dedups.suspect();
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "forget deduplication ids"
            );
        }
    }

    pub(super) async fn keep_wiping(self: &Arc<Self>) {
        loop {
            if let Err(error) = self.wipe_all().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "wipe messages");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
            self.wiping.told.notified().await;
        }
    }

    async fn wipe_all(self: &Arc<Self>) -> store::Result<()> {
        while let Some(id) = self.wiping.next_purged() {
            // One that was deleted since has a grave.
            let Some(queue) = self.by_id(id) else {
                continue;
            };
            let wiped = self.wipe(id, queue.definition().purged_until).await;
            if wiped.is_err() {
                self.wiping.purged(id);
            }
            wiped?;
        }
        let graves = self.store.read(|tx| {
            let rows = tx.query("SELECT queue FROM queue_graves", store::params![])?;
            rows.iter()
                .map(|row| Ok(QueueId(row.get(0)?)))
                .collect::<store::Result<Vec<_>>>()
        });
        for id in graves.await? {
            self.wipe(id, i64::MAX).await?;
            let emptied = self.store.write(move |tx| {
                let sql = "DELETE FROM queue_dedups WHERE queue = $1";
                tx.execute(sql, store::params![id.0])?;
                let sql = "DELETE FROM queue_graves WHERE queue = $1";
                tx.execute(sql, store::params![id.0])
            });
            emptied.await?;
        }
        Ok(())
    }

    async fn wipe(&self, id: QueueId, until: i64) -> store::Result<()> {
        loop {
            let page = limits::SWEPT_AT_ONCE;
            let wiped = self
                .store
                .write(move |tx| rows::wipe(tx, id, until, page))
                .await?;
            if wiped < page as u64 {
                return Ok(());
            }
        }
    }
}
