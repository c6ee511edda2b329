//! Brings up what is due: timers, deadlines, what a process before left, what has been kept long
//! enough.

use std::sync::{Arc, atomic::Ordering};

use tokio::task::JoinSet;

use super::{
    Inner,
    error::{Error, Result},
    lane::Lane,
    limits,
    tables::Tables,
};

impl Inner {
    /// A pass over everything that is due.
    pub(super) async fn reconcile(self: &Arc<Self>) -> Result<()> {
        if self.is_stopping() {
            return Ok(());
        }
        let mut ended = Ok(());
        loop {
            let now_ms = self.clock.now_ms();
            let due = self.store.read(move |tx| Tables::due(tx, now_ms)).await?;
            let are_all = due.len() < limits::DUE_AT_ONCE as usize;
            if let Err(error) = self.tick_all(due).await {
                ended = Err(error);
            }
            // What failed would come again at once.
            if are_all || ended.is_err() {
                break;
            }
        }
        let now_ms = self.clock.now_ms();
        if self.resume_ms.load(Ordering::Acquire) <= now_ms {
            let every_ms = i64::try_from(limits::RECONCILE_EVERY.as_millis()).unwrap_or(i64::MAX);
            self.resume_ms.store(now_ms + every_ms, Ordering::Release);
            if let Err(error) = self.resume().await {
                self.resume_soon();
                ended = Err(error);
            }
        }
        if ended.is_ok() {
            self.alarm.set(self.store.read(Tables::next_due_ms).await?);
        }
        ended
    }

    /// What is busy is what somebody does; after a start nobody does it yet. Looked at from time to
    /// time, as what failed is left undone too.
    async fn resume(self: &Arc<Self>) -> Result<()> {
        let mut after = String::new();
        let mut ended = Ok(());
        loop {
            let from = after.clone();
            let busy = self.store.read(move |tx| Tables::busy(tx, &from)).await?;
            let Some(last) = busy.last() else { break };
            after.clone_from(last);
            if let Err(error) = self.tick_all(busy).await {
                ended = Err(error);
            }
        }
        ended
    }

    /// Something failed: what is busy is looked at again, but not at once, as it might fail again.
    pub(super) fn resume_soon(&self) {
        let at_ms = self.clock.now_ms() + limits::RESUME_AFTER_MS;
        self.resume_ms.store(at_ms, Ordering::Release);
        self.alarm.set(Some(at_ms));
    }

    /// Does what is due of many, whose writes share commits.
    async fn tick_all(self: &Arc<Self>, ids: Vec<String>) -> Result<()> {
        let mut ticks = JoinSet::new();
        for id in ids {
            let (this, lane) = (self.clone(), self.lanes.get(&id));
            ticks.spawn(async move { this.tick(&lane).await });
        }
        let mut ended = Ok(());
        while let Some(ticked) = ticks.join_next().await {
            let ticked = ticked.map_err(Error::platform);
            if let Err(error) = ticked.and_then(|ticked| ticked) {
                ended = Err(error);
            }
        }
        ended
    }

    /// Does what is due of one execution.
    pub(super) async fn tick(self: &Arc<Self>, lane: &Arc<Lane>) -> Result<()> {
        let Some(mut held) = self.lock(lane).await? else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        let head = &held.state.head;
        let is_over = head.expiry_ms().is_some_and(|at_ms| at_ms <= now_ms);
        if is_over && !head.owes_parent() {
            return self.remove(held).await;
        }
        held.state.pass_time(now_ms);
        self.commit_if_due(lane, &mut held).await
    }
}
