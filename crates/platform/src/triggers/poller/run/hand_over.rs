//! Invoking: which batch is next, and what its end means.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    super::{
        batch::Batch,
        invoke::{Ended, Invoked, invoke},
        response::{Verdict, verdict},
    },
    Hold, Run,
    fetch::problem_of,
    visibility_ms,
};
use crate::{
    queues::receipt::Receipt,
    triggers::{
        counts::{add, one},
        limits,
    },
};

impl Run {
    pub(super) fn invoke_ready(&mut self) {
        if self.no_invoke.is_on() {
            return;
        }
        loop {
            if self.is_in_demand() {
                let now_ms = self.now_ms();
                self.scale.demanded(now_ms);
            }
            if self.invoking.len() >= self.scale.allowed() {
                return;
            }
            let Some(batch) = self.next_batch() else {
                return;
            };
            let Some(queue) = self.queue.clone() else {
                return;
            };
            self.busy
                .extend(batch.entries.iter().filter_map(|entry| entry.group.clone()));
            self.deps.counts.concurrent.fetch_add(1, Ordering::Relaxed);
            let (deps, plan) = (self.deps.clone(), self.plan.clone());
            self.invoking.spawn(invoke(deps, plan, queue, batch));
        }
    }

    /// The first batch that waits, but that none of a group goes while others of it are under way.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        if !self.plan.queue.is_fifo() {
            return self.ready.pop_front();
        }
        let mut busy: HashSet<&Arc<str>> = self.busy.iter().collect();
        let at = self.ready.iter().position(|batch| {
            let waits = batch.has_group(|group| busy.contains(group));
            // Nor does it overtake one that waits.
            busy.extend(
                batch
                    .entries
                    .iter()
                    .filter_map(|entry| entry.group.as_ref()),
            );
            !waits
        });
        self.ready.remove(at?)
    }

    pub(super) fn invoked(&mut self, ended: Result<Invoked, tokio::task::JoinError>) {
        self.deps.counts.concurrent.fetch_sub(1, Ordering::Relaxed);
        let Ok(Invoked { batch, ended }) = ended else {
            // It panicked: its messages come back by their visibility timeout.
            self.busy.clear();
            return;
        };
        if self.plan.queue.is_fifo() {
            for group in batch
                .entries
                .iter()
                .filter_map(|entry| entry.group.as_ref())
            {
                if let Some(at) = self.busy.iter().position(|busy| busy == group) {
                    self.busy.swap_remove(at);
                }
            }
        }
        match ended {
            Ended::Answered { answer, took_ms } => {
                self.goes_well(took_ms);
                self.answered(batch, &answer);
            }
            Ended::FunctionError { took_ms } => {
                self.goes_well(took_ms);
                if !self.plan.record.settings.reports_item_failures {
                    self.scale.failed();
                }
                self.failed(&batch);
            }
            Ended::Refused => self.refused(batch),
            Ended::NoFunction => {
                self.refused(batch);
                self.mapping
                    .set_problem(Some(problem_of("Function not found.")));
                self.no_invoke.for_time(limits::LOOK_AGAIN);
            }
            Ended::Nothing => {}
        }
    }

    /// The function runs, whatever it says.
    pub(super) fn goes_well(&mut self, took_ms: f64) {
        let before = self.invoke_ms.unwrap_or(took_ms);
        self.invoke_ms = Some(before * 0.9 + took_ms * 0.1);
        self.no_invoke = Hold::default();
        if self.mapping.problem().is_some() {
            self.mapping.set_problem(None);
        }
    }

    pub(super) fn answered(&mut self, batch: Batch, answer: &[u8]) {
        let counts = &self.deps.counts;
        let verdict = match self.plan.record.settings.reports_item_failures {
            true => verdict(answer, &batch.messages()),
            false => Verdict::Succeeded,
        };
        let failed = match verdict {
            Verdict::Succeeded => {
                one(&counts.batches.succeeded);
                return self.delete(batch.receipts());
            }
            Verdict::Failed => return self.failed(&batch),
            Verdict::Partial(failed) => failed,
        };
        one(&counts.batches.partial);
        add(&counts.failed_invoke, failed.len());
        let mut failed = failed.into_iter().peekable();
        let is_done = |(at, receipt)| failed.next_if_eq(&at).is_none().then_some(receipt);
        let done: Vec<Receipt> = batch
            .receipts()
            .into_iter()
            .enumerate()
            .filter_map(is_done)
            .collect();
        let groups = batch.groups();
        self.leave_followers(groups);
        self.delete(done);
    }

    /// The messages come back when their visibility timeout is over.
    pub(super) fn failed(&mut self, batch: &Batch) {
        one(&self.deps.counts.batches.failed);
        add(&self.deps.counts.failed_invoke, batch.entries.len());
        self.leave_followers(batch.groups());
    }

    /// What waits here of a group whose message failed, or went back, is not to overtake it.
    pub(super) fn leave_followers(&mut self, groups: HashSet<Arc<str>>) {
        if groups.is_empty() {
            return;
        }
        for batch in &mut self.ready {
            batch.retain(|entry| {
                entry
                    .group
                    .as_ref()
                    .is_none_or(|group| !groups.contains(group))
            });
        }
        self.ready.retain(|batch| !batch.entries.is_empty());
    }

    /// There is no room for it now: it waits here, and in the end in the queue.
    pub(super) fn refused(&mut self, batch: Batch) {
        one(&self.deps.counts.batches.refused);
        let now_ms = self.now_ms();
        self.scale.throttled(self.invoking.len(), now_ms);
        if self.invoking.is_empty() {
            self.no_invoke.longer();
        }
        let visibility_ms = self.queue.as_ref().map_or(0, |queue| visibility_ms(queue));
        if now_ms - batch.received_at_ms >= visibility_ms {
            add(&self.deps.counts.failed_invoke, batch.entries.len());
            self.leave_followers(batch.groups());
            return self.release(batch);
        }
        self.ready.push_front(batch);
    }
}
