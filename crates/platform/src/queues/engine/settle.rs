//! What becomes of messages that were received: they are deleted, become visible again, or go to
//! the dead-letter queue.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Engine, EngineError, Queue,
    cache::Cached,
    journal::{Change, Submission},
    state::{Entry, Phase, State},
    totals,
};
use crate::queues::{
    receipt::{Receipt, ReceiptError},
    stored::Stored,
};

/// Messages out of their queue's memory, by their numbers.
type Messages = Vec<(i64, Entry)>;

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
        let results = self.settle(queue, receipts, decide).await;
        if !queue.key.is_internal() {
            let deleted = results.iter().filter(|result| result.is_ok()).count();
            totals::add(&self.totals.deleted, deleted);
            totals::add(&queue.totals.deleted, deleted);
        }
        results
    }

    /// Each receipt with its new visibility timeout from now, in milliseconds; 0 makes it visible.
    /// What a standard queue takes is more than is its holder's, as in SQS.
    pub async fn change_visibility(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        changes: &[(Receipt, i64)],
    ) -> Vec<Result<(), ReceiptError>> {
        let decide = |state: &mut State, now_ms, (receipt, timeout_ms): &(Receipt, i64)| {
            let standing = state.change_visibility(receipt, *timeout_ms, now_ms)?;
            Ok(standing.map(Change::Standing))
        };
        self.settle(queue, changes, decide).await
    }

    /// The same for who wants to know whether they still have the messages.
    pub async fn change_visibility_if_held(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        changes: &[(Receipt, i64)],
    ) -> Vec<Result<(), ReceiptError>> {
        let decide = |state: &mut State, now_ms, (receipt, timeout_ms): &(Receipt, i64)| {
            let standing = state.change_visibility_if_held(receipt, *timeout_ms, now_ms)?;
            Ok(standing.map(Change::Standing))
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
                    return items.iter().map(|_| Err(ReceiptError::Gone)).collect();
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
            if let Err(error) = self.reload(queue).await {
                let error = ReceiptError::from(error);
                return items.iter().map(|_| Err(error)).collect();
            }
        }
        let closed = store::Error::Closed;
        let Err(error) = written.await.unwrap_or(Err(closed.into())) else {
            return results;
        };
        let error = ReceiptError::from(error);
        let failed = |result: Result<(), ReceiptError>| result.and(Err(error));
        results.into_iter().map(failed).collect()
    }

    /// Moves messages that were received too often to the dead-letter queue, even if the receiver
    /// that came upon them goes away: they are out of memory already.
    pub(super) async fn bury_to_the_end(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        dead: Vec<(i64, Entry)>,
    ) -> Result<(), EngineError> {
        let (engine, source) = (self.clone(), source.clone());
        let burying = tokio::spawn(async move {
            let buried = engine.bury(&source, dead).await;
            // They are in the store as they were.
            source.lock().is_stale |= buried.is_err();
            buried
        });
        burying.await.unwrap_or(Err(EngineError::Gone))
    }

    async fn bury(
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
            (old, entry, None)
        };
        let moved: Vec<_> = dead.iter().cloned().map(to_dead_letter).collect();
        let count = moved.len();
        match self.transfer(source, &target, moved).await {
            Ok(()) => {
                totals::add(&self.totals.dead_lettered, count);
                Ok(())
            }
            Err(EngineError::Gone) => self.give_back(source, dead),
            Err(other) => Err(other),
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

    /// Moves up to `max` visible messages to the queues that `target` names, as messages sent anew:
    /// with new ids, as SQS's redrive has it. Gives how many those were. Those without a target
    /// stay, and end this.
    pub async fn move_messages(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        max: usize,
        target: impl Fn(Option<&str>) -> Option<Arc<Queue>>,
    ) -> Result<usize, EngineError> {
        while source.lock().is_stale {
            self.reload(source).await?;
        }
        let taken = {
            let mut state = source.lock();
            if state.is_gone {
                return Err(EngineError::Gone);
            }
            let taken = state.take_out(self.clock.now_ms(), max);
            self.page_if_low(source, &mut state);
            taken
        };
        let mut by_target: Vec<(Arc<Queue>, Messages)> = Vec::new();
        let mut kept = Vec::new();
        for (sequence, entry) in taken.dead {
            match target(entry.source.as_deref()) {
                None => kept.push((sequence, entry)),
                Some(queue) => match by_target.iter_mut().find(|(q, _)| q.id == queue.id) {
                    Some((_, messages)) => messages.push((sequence, entry)),
                    None => by_target.push((queue, vec![(sequence, entry)])),
                },
            }
        }
        self.give_back(source, kept)?;
        let (engine, source) = (self.clone(), source.clone());
        let moving = tokio::spawn(async move {
            let mut moved = 0;
            for (target, messages) in by_target {
                let count = messages.len();
                let sent = engine.send_anew(&source, &target, messages).await;
                source.lock().is_stale |= sent.is_err();
                sent?;
                moved += count;
            }
            Ok(moved)
        });
        moving.await.unwrap_or(Err(EngineError::Gone))
    }

    async fn send_anew(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        target: &Arc<Queue>,
        messages: Vec<(i64, Entry)>,
    ) -> Result<(), EngineError> {
        let sequences = messages.iter().map(|(sequence, _)| *sequence).collect();
        let contents = self.contents(sequences).await?;
        let is_sealed = target.is_sealed();
        if is_sealed {
            self.sealing.prepare().await?;
        }
        let now_ms = self.clock.now_ms();
        let mut moved = Vec::with_capacity(messages.len());
        for (old, entry) in messages {
            let Some(stored) = contents.get(&old) else {
                continue;
            };
            let anew = Stored {
                message_id: Uuid::new_v4(),
                ..Stored::clone(stored)
            };
            let blob = self.sealing.seal(&anew, is_sealed)?;
            let entry = Entry {
                phase: Phase::Ready,
                due_ms: now_ms,
                receives: 0,
                sent_at_ms: now_ms,
                first_received_ms: 0,
                received_ms: 0,
                group: entry.group,
                source: None,
                stored: Cached::new(Arc::new(anew), &self.budget),
            };
            moved.push((old, entry, Some(blob)));
        }
        self.transfer(source, target, moved).await
    }

    /// Moves messages that are out of their queue's memory to another queue; durable when this
    /// answers.
    async fn transfer(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        target: &Arc<Queue>,
        messages: Vec<(i64, Entry, Option<Vec<u8>>)>,
    ) -> Result<(), EngineError> {
        let (reply, written) = oneshot::channel();
        let bytes = messages
            .iter()
            .map(|(_, _, blob)| 128 + blob.as_ref().map_or(0, Vec::len));
        let room = self.journal.room(bytes.sum()).await;
        let mut reply = Some((reply, room));
        loop {
            {
                let state = target.lock();
                if state.is_gone {
                    return Err(EngineError::Gone);
                }
                if !state.is_stale {
                    let now_ms = self.clock.now_ms();
                    let changes = messages.into_iter().map(|(old, entry, blob)| Change::Move {
                        from: source.clone(),
                        old,
                        sequence: self.sequence.next(target.id.shard(), now_ms),
                        entry,
                        blob,
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
