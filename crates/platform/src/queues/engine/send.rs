//! Sending: a message is answered when it is durable, and seen from then on.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Engine, EngineError, Queue,
    cache::Cached,
    dedup::{self, DedupKey},
    journal::{Change, Submission},
    state::{Entry, Phase, State},
    totals,
};
use crate::queues::{
    definition::{Attributes, DeduplicationScope},
    message::{NewMessage, Sent},
    stored::Stored,
};

/// A message that is ready to be given its number.
pub(super) struct Prepared {
    stored: Arc<Stored>,
    blob: Vec<u8>,
    delay_ms: i64,
    group: Option<Arc<str>>,
    dedup: Option<DedupKey>,
}

impl Engine {
    /// All or none are durable when this answers. In the order of `messages`.
    pub async fn send(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Sent>, EngineError> {
        let mut prepared = self.prepare(queue, messages).await?;
        let bytes = prepared.iter().map(|message| message.blob.len()).sum();
        let mut room = Some(self.journal.room(bytes).await);
        let (reply, written) = oneshot::channel();
        let mut reply = Some(reply);
        let (sent, new) = loop {
            let is_stale = {
                let mut state = queue.lock();
                if state.is_gone {
                    return Err(EngineError::Gone);
                }
                if !state.is_stale {
                    let prepared = std::mem::take(&mut prepared);
                    let (sent, changes) = self.decide_sends(queue, &mut state, prepared);
                    let new = changes.len();
                    self.journal.submit(Submission {
                        queue: queue.clone(),
                        changes,
                        reply: reply.take(),
                        room: room.take(),
                    });
                    break (sent, new);
                }
                state.is_stale
            };
            debug_assert!(is_stale);
            self.reload(queue).await?;
        };
        written.await.unwrap_or(Err(EngineError::Gone))?;
        if !queue.key.is_internal() {
            totals::add(&self.totals.sent, new);
            totals::add(&queue.totals.sent, new);
        }
        Ok(sent)
    }

    /// Makes of each message what is stored; that takes time with large ones, so before the lock.
    pub(super) async fn prepare(
        &self,
        queue: &Queue,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Prepared>, EngineError> {
        let definition = queue.definition();
        let attributes = &definition.attributes;
        let is_sealed = queue.is_sealed();
        if is_sealed {
            self.sealing.prepare().await?;
        }
        let prepare = |message| self.prepare_one(attributes, is_sealed, message);
        messages.into_iter().map(prepare).collect()
    }

    fn prepare_one(
        &self,
        attributes: &Attributes,
        is_sealed: bool,
        message: NewMessage,
    ) -> Result<Prepared, EngineError> {
        let dedup = attributes.fifo.and_then(|fifo| {
            let id = message.deduplication_id.as_deref()?;
            let group = match fifo.deduplication_scope {
                DeduplicationScope::MessageGroup => message.group.as_deref(),
                DeduplicationScope::Queue => None,
            };
            Some(dedup::key(group, id))
        });
        let stored = Arc::new(Stored {
            message_id: Uuid::new_v4(),
            content: Arc::new(message.content),
            deduplication_id: message.deduplication_id,
        });
        let delay_s = message.delay_s.unwrap_or(attributes.delay_s);
        Ok(Prepared {
            blob: self.sealing.seal(&stored, is_sealed)?,
            stored,
            delay_ms: i64::from(delay_s) * 1000,
            group: message.group.map(Arc::from),
            dedup,
        })
    }

    /// Gives each message its number, but for those that were sent before.
    pub(super) fn decide_sends(
        &self,
        queue: &Queue,
        state: &mut State,
        messages: Vec<Prepared>,
    ) -> (Vec<Sent>, Vec<Change>) {
        let now_ms = self.clock.now_ms();
        let mut sent = Vec::with_capacity(messages.len());
        let mut changes = Vec::with_capacity(messages.len());
        for message in messages {
            let dedup = message.dedup;
            if let Some(before) = dedup.and_then(|key| state.dedups.find(&key, now_ms)) {
                sent.push(before);
                continue;
            }
            let this = Sent {
                message_id: message.stored.message_id,
                sequence: self.sequence.next(queue.id.shard(), now_ms),
            };
            if let Some(key) = dedup {
                state.dedups.remember(key, this, now_ms);
            }
            sent.push(this);
            changes.push(Change::Insert {
                sequence: this.sequence,
                entry: self.entry(&message, now_ms),
                blob: message.blob,
                dedup: dedup.map(|key| (key, this)),
            });
        }
        (sent, changes)
    }

    fn entry(&self, message: &Prepared, now_ms: i64) -> Entry {
        Entry {
            phase: Phase::Ready,
            due_ms: now_ms + message.delay_ms,
            receives: 0,
            sent_at_ms: now_ms,
            first_received_ms: 0,
            received_ms: 0,
            group: message.group.clone(),
            source: None,
            stored: Cached::new(message.stored.clone(), &self.budget),
        }
    }
}
