//! What the queue is told of messages that are done, or are given back.

use super::{super::batch::Batch, Run};
use crate::{
    queues::receipt::Receipt,
    triggers::counts::{add, one},
};

impl Run {
    pub(super) fn delete(&mut self, receipts: Vec<Receipt>) {
        let Some(queue) = self.queue.clone() else {
            return;
        };
        let deps = self.deps.clone();
        self.settling.spawn(async move {
            let ended = deps.queues.delete(&queue, &receipts).await;
            add(
                &deps.counts.deleted,
                ended.iter().filter(|ended| ended.is_ok()).count(),
            );
        });
    }

    /// Makes messages visible at once that no function has seen.
    pub(super) fn release(&mut self, batch: Batch) {
        one(&self.deps.counts.batches.released);
        let Some(queue) = self.queue.clone() else {
            return;
        };
        let deps = self.deps.clone();
        self.settling.spawn(async move {
            let visible: Vec<_> = batch.receipts().into_iter().map(|it| (it, 0)).collect();
            deps.queues
                .change_visibility_if_held(&queue, &visible)
                .await;
        });
    }

    pub(super) fn give_all_back(&mut self) {
        let waiting = self.assembly.take().into_iter().chain(self.ready.drain(..));
        for batch in waiting.collect::<Vec<_>>() {
            self.release(batch);
        }
    }
}
