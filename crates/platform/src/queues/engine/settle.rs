//! What becomes of messages that were received: they are deleted, become visible again, or go to
//! the dead-letter queue.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    Engine, EngineError, Queue,
    journal::{Change, Submission},
    state::{Entry, State},
};
use crate::queues::receipt::{Receipt, ReceiptError};

impl Engine {
    /// Deletes messages for the holders of their receipts; durable when this answers.
    pub async fn delete(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        receipts: &[Receipt],
    ) -> Vec<Result<(), ReceiptError>> {
        let decide = |state: &mut State, now_ms, receipt: &Receipt| {
            let deleted = state.delete(receipt, now_ms)?;
            Ok(deleted.map(|_| Change::Delete(receipt.sequence)))
        };
        self.settle(queue, receipts, decide).await
    }

    /// Each receipt with its new visibility timeout from now, in milliseconds; 0 makes it visible.
    pub async fn change_visibility(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        changes: &[(Receipt, i64)],
    ) -> Vec<Result<(), ReceiptError>> {
        let decide = |state: &mut State, now_ms, (receipt, timeout_ms): &(Receipt, i64)| {
            let standing = state.change_visibility(receipt, *timeout_ms, now_ms)?;
            Ok(Some(Change::Standing(standing)))
        };
        self.settle(queue, changes, decide).await
    }

    async fn settle<T>(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        items: &[T],
        decide: impl Fn(&mut State, i64, &T) -> Result<Option<Change>, ReceiptError>,
    ) -> Vec<Result<(), ReceiptError>> {
        let room = self.journal.room(items.len() * 64).await;
        let (reply, written) = oneshot::channel();
        let (mut room, mut reply) = (Some(room), Some(reply));
        let mut results = Vec::with_capacity(items.len());
        loop {
            {
                let mut state = queue.lock();
                if state.is_gone {
                    return items.iter().map(|_| Err(ReceiptError::Invalid)).collect();
                }
                if !state.is_stale {
                    let now_ms = self.clock.now_ms();
                    let mut changes = Vec::with_capacity(items.len());
                    for item in items {
                        let decided = decide(&mut state, now_ms, item);
                        results.push(decided.map(|change| changes.extend(change)));
                    }
                    self.journal.submit(Submission {
                        queue: queue.clone(),
                        changes,
                        reply: reply.take(),
                        room: room.take(),
                    });
                    self.page_if_low(queue, &mut state);
                    queue.told(&mut state);
                    break;
                }
            }
            if self.reload(queue).await.is_err() {
                return items.iter().map(|_| Err(ReceiptError::Platform)).collect();
            }
        }
        if !matches!(written.await, Ok(Ok(()))) {
            let failed = |result: Result<(), ReceiptError>| result.and(Err(ReceiptError::Platform));
            return results.into_iter().map(failed).collect();
        }
        results
    }

    /// Moves messages that were received too often to the dead-letter queue.
    pub(super) async fn bury(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        dead: Vec<(i64, Entry)>,
    ) -> Result<(), EngineError> {
        let redrive = source.definition().attributes.redrive.clone();
        let target = redrive.and_then(|redrive| self.find(&redrive.dead_letter_queue));
        let arn: Arc<str> = source.key.arn().to_string().into();
        let Some(target) = target else {
            return self.give_back(source, dead);
        };
        let now_ms = self.clock.now_ms();
        let to_dead_letter = |(old, mut entry): (i64, Entry)| {
            entry.source = Some(arn.clone());
            entry.due_ms = now_ms;
            // A FIFO queue takes it as sent now, a standard one as old as it is; as in SQS.
            if target.is_fifo() {
                entry.sent_at_ms = now_ms;
            }
            (old, entry)
        };
        let moved: Vec<_> = dead.iter().cloned().map(to_dead_letter).collect();
        match self.transfer(source, &target, moved).await {
            Err(EngineError::Gone) => self.give_back(source, dead),
            other => other,
        }
    }

    /// The queue that they were to go to is gone: they stay.
    fn give_back(&self, source: &Queue, dead: Vec<(i64, Entry)>) -> Result<(), EngineError> {
        let now_ms = self.clock.now_ms();
        let mut state = source.lock();
        for (sequence, entry) in dead {
            state.add(sequence, entry, now_ms);
        }
        source.told(&mut state);
        Ok(())
    }

    /// Moves messages that are out of their queue's memory to another queue; durable when this
    /// answers.
    pub(super) async fn transfer(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        target: &Arc<Queue>,
        messages: Vec<(i64, Entry)>,
    ) -> Result<(), EngineError> {
        let (reply, written) = oneshot::channel();
        let room = self.journal.room(messages.len() * 128).await;
        let mut reply = Some((reply, room));
        loop {
            {
                let state = target.lock();
                if state.is_gone {
                    return Err(EngineError::Gone);
                }
                if !state.is_stale {
                    let now_ms = self.clock.now_ms();
                    let changes = messages.into_iter().map(|(old, entry)| Change::Move {
                        from: source.clone(),
                        old,
                        sequence: self.sequence.next(target.id.shard(), now_ms),
                        entry,
                    });
                    let (reply, room) = reply.take().unzip();
                    self.journal.submit(Submission {
                        queue: target.clone(),
                        changes: changes.collect(),
                        reply,
                        room,
                    });
                    break;
                }
            }
            self.reload(target).await?;
        }
        written.await.unwrap_or(Err(EngineError::Gone))
    }
}
