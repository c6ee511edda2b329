//! Receiving: as much as there is room for, ahead of its turn only while that is soon.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    super::{
        Orders,
        batch::Batch,
        receive::{Got, Messages, receive},
    },
    Hold, Run,
};
use crate::{
    queues::{EngineError, Queue},
    triggers::{
        counts::add,
        create::{NO_QUEUE, not_permitted, reader},
        limits,
    },
};

/// Batches are fetched ahead of their turn only while invocations are shorter than this: no message
/// is to use up its visibility timeout waiting here.
const AHEAD_BELOW_MS: f64 = 100.0;
const RECURSIVE: &str = "A recursive loop was detected.";
/// How long a receive that waits is waited for at the end.
const STOP_GRACE: Duration = Duration::from_millis(50);

impl Run {
    pub(super) fn receive_more(&mut self) {
        if self.no_receive.is_on() {
            return;
        }
        if self.plan.criteria.is_none() {
            // What cannot be filtered stays in the queue.
            return self.unreadable("Invalid filter pattern definition.");
        }
        let queue = match self.readable() {
            Ok(queue) => queue,
            Err(problem) => return self.unreadable(&problem),
        };
        if std::mem::take(&mut self.is_unreadable) {
            self.mapping.set_problem(None);
        }
        self.queue = Some(queue.clone());
        // Deletions that are behind are waited for.
        if self.settling.len() > 16 + 4 * self.scale.allowed() {
            return;
        }
        if self.plan.queue.is_fifo() {
            // Each gives a batch whose groups nobody else is given meanwhile.
            while self.receiving.len() < self.width && self.room() > 0 {
                let asked = self.plan.record.settings.batch_size as usize;
                self.receive(&queue, asked);
            }
        } else if self.receiving.is_empty() && self.room() > 0 {
            let asked = self.room() * self.plan.record.settings.batch_size as usize;
            let fits = limits::RECEIVE_BYTES as f64 / self.message_bytes;
            let most = (fits as usize).clamp(10, limits::RECEIVE_MAX);
            let asked = asked.saturating_sub(self.assembly.waiting()).clamp(1, most);
            self.receive(&queue, asked);
        }
    }

    /// The queue, if it is there and lets the function's role read it; or what the problem is.
    fn readable(&self) -> Result<Arc<Queue>, String> {
        let queues = &self.deps.queues;
        let queue = queues.find(&self.plan.queue).ok_or(NO_QUEUE)?;
        let reader = reader(&self.deps.functions, self.plan.target());
        let now = Timestamp::from_millisecond(queues.clock().now_ms()).unwrap_or_default();
        match queue.refuses_reader(&reader, now) {
            Some(action) => Err(not_permitted(action)),
            None => Ok(queue),
        }
    }

    pub(super) fn receive(&mut self, queue: &Arc<Queue>, asked: usize) {
        // One waits for messages; the others take what is there.
        let wait = match self.receiving.is_empty() {
            true => limits::RECEIVE_WAIT,
            false => Duration::ZERO,
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
        let (deps, orders, plan) = (self.deps.clone(), self.orders.clone(), self.plan.clone());
        let receive = receive(deps.clone(), queue.clone(), asked, wait_ms);
        self.receiving.spawn(async move {
            let got = unless_stopped(orders.clone(), receive).await?;
            // What came is for the plan that holds when it came.
            let plan = match &*orders.borrow() {
                Orders::Run(newer) => newer.clone(),
                Orders::Stop => plan,
            };
            Some(got.sorted(&deps.functions, &deps.queues, &plan))
        });
    }

    /// How many batches may be fetched beyond those that are here.
    pub(super) fn room(&self) -> usize {
        let waiting: usize = self.ready.iter().map(Batch::bytes).sum();
        if waiting > limits::WAITING_BYTES_MAX {
            return 0;
        }
        let allowed = self.scale.allowed();
        let short = self.invoke_ms.is_some_and(|ms| ms < AHEAD_BELOW_MS);
        let may_be_here = if short { 2 * allowed } else { allowed };
        let receiving = if self.plan.queue.is_fifo() {
            self.receiving.len()
        } else {
            0
        };
        may_be_here.saturating_sub(self.invoking.len() + self.ready.len() + receiving)
    }

    pub(super) fn got(&mut self, got: Got) {
        let messages = match got.result {
            Ok(messages) => {
                self.no_receive = Hold::default();
                messages
            }
            Err(EngineError::Gone) => return self.unreadable(NO_QUEUE),
            // Time and deletions make room.
            Err(EngineError::OverLimit) => return self.no_receive.longer(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, queue = self.plan.queue.name, "receive for a mapping");
                return self.no_receive.longer();
            }
        };
        if messages.received == 0 {
            self.more = false;
            self.width = 1;
            if self.invoking.is_empty() && self.ready.is_empty() {
                self.scale.rested();
            }
            return;
        }
        self.width = (self.width * 2).min(limits::FIFO_RECEIVES_MAX);
        self.more = self.plan.queue.is_fifo() || messages.received >= got.asked;
        self.take(messages);
    }

    pub(super) fn take(&mut self, messages: Messages) {
        if !messages.left_out.is_empty() {
            add(&self.deps.counts.filtered_out, messages.left_out.len());
            self.delete(messages.left_out);
        }
        if messages.stopped > 0 {
            add(&self.deps.counts.recursive, messages.stopped);
            self.mapping.set_problem(Some(problem_of(RECURSIVE)));
        }
        let bytes: usize = messages.items.iter().map(|item| item.json.len()).sum();
        if let Some(mean) = bytes.checked_div(messages.items.len()) {
            self.message_bytes = self.message_bytes.midpoint(mean.max(1) as f64);
        }
        let now_ms = self.now_ms();
        let complete = self.assembly.add(messages.items, now_ms);
        self.ready.extend(complete);
    }

    /// The queue cannot be read until something is there again.
    pub(super) fn unreadable(&mut self, problem: &str) {
        self.is_unreadable = true;
        self.mapping.set_problem(Some(problem_of(problem)));
        self.more = false;
        self.no_receive.for_time(limits::LOOK_AGAIN);
    }
}

/// As LastProcessingResult has it.
pub fn problem_of(what: &str) -> String {
    format!("PROBLEM: {what}")
}

/// Waits for messages no longer than until the poller is told to stop. What is on its way out of the
/// queue by then is still taken, so that it can be given back.
async fn unless_stopped<T>(
    mut orders: watch::Receiver<Orders>,
    receive: impl Future<Output = T>,
) -> Option<T> {
    let mut receive = std::pin::pin!(receive);
    tokio::select! {
        biased;
        got = &mut receive => Some(got),
        () = stopped(&mut orders) => {
            tokio::time::timeout(STOP_GRACE, receive).await.ok()
        }
    }
}

async fn stopped(orders: &mut watch::Receiver<Orders>) {
    // That the poller is gone is as good.
    let _ = orders
        .wait_for(|orders| matches!(orders, Orders::Stop))
        .await;
}
