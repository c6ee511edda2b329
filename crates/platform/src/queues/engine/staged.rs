//! Sending as part of somebody else's transaction: what another service does and the message that
//! tells of it are durable together, or neither is.

use std::sync::Arc;

use store::Tx;

use super::{
    Engine, EngineError, Queue,
    dedup::DedupKey,
    journal::Change,
    rows::{DedupRow, MessageRow, Rows},
    state::Entry,
    window::Place,
};
use crate::queues::message::{NewMessage, Sent};

/// A message that has its number and is to be written by [`Staged::insert`] in a transaction. Tell
/// it afterwards how that ended: [`Staged::committed`]. Dropped without, it reads the queue anew.
pub struct Staged {
    engine: Arc<Engine>,
    queue: Arc<Queue>,
    sent: Sent,
    /// Nothing if it is a duplicate.
    new: Option<New>,
    is_told: bool,
}

struct New {
    entry: Entry,
    rows: Arc<Rows>,
    dedup: Option<DedupKey>,
}

/// What [`Staged::insert`] needs, for the closure of a transaction.
#[derive(Clone)]
pub struct StagedRows(Option<Arc<Rows>>);

impl StagedRows {
    /// Writes the message; may be run again, as transactions are.
    pub fn insert(&self, tx: &mut Tx) -> store::Result<()> {
        self.0.as_ref().map_or(Ok(()), |rows| rows.write(tx))
    }
}

impl Engine {
    /// Gives a message its number without sending it yet.
    pub async fn stage(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        message: NewMessage,
    ) -> Result<Staged, EngineError> {
        loop {
            let prepared = self.prepare(queue, vec![message.clone()]).await?;
            {
                let mut state = queue.lock();
                if state.is_gone {
                    return Err(EngineError::Gone);
                }
                if !state.is_stale {
                    let (sent, changes) = self.decide_sends(queue, &mut state, prepared);
                    let sent = sent.into_iter().next().ok_or(EngineError::Gone)?;
                    let new = changes
                        .into_iter()
                        .next()
                        .and_then(|change| self.to_be_written(queue, change));
                    if new.is_some() {
                        state.window.stage(sent.sequence);
                    }
                    return Ok(Staged {
                        engine: self.clone(),
                        queue: queue.clone(),
                        sent,
                        new,
                        is_told: false,
                    });
                }
            }
            self.reload(queue).await?;
        }
    }

    fn to_be_written(&self, queue: &Queue, change: Change) -> Option<New> {
        let Change::Insert {
            sequence,
            entry,
            blob,
            dedup,
        } = change
        else {
            return None;
        };
        let rows = Rows {
            messages: vec![MessageRow::new(queue.id, sequence, &entry)],
            bodies: vec![(sequence, blob)],
            dedups: dedup
                .map(|(key, sent)| DedupRow {
                    queue: queue.id,
                    at_ms: entry.sent_at_ms,
                    key,
                    sent,
                })
                .into_iter()
                .collect(),
            floor_ms: self.sequence.floor_to_store(sequence),
            ..Rows::default()
        };
        Some(New {
            entry,
            rows: Arc::new(rows),
            dedup: dedup.map(|(key, _)| key),
        })
    }
}

impl Staged {
    pub fn sent(&self) -> Sent {
        self.sent
    }

    pub fn rows(&self) -> StagedRows {
        StagedRows(self.new.as_ref().map(|new| new.rows.clone()))
    }

    /// The transaction is durable, or was undone.
    pub fn committed(mut self, committed: bool) {
        self.is_told = true;
        let Some(new) = self.new.take() else { return };
        let now_ms = self.engine.clock.now_ms();
        let mut state = self.queue.lock();
        if !committed && let Some(key) = &new.dedup {
            state.dedups.withdraw(key);
        }
        if state.window.unstage(self.sent.sequence, committed) == Place::Memory {
            state.add(self.sent.sequence, new.entry, now_ms);
        }
        self.queue.told(&mut state);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_told && self.new.is_some() {
            let mut state = self.queue.lock();
            state.window.unstage(self.sent.sequence, false);
            state.is_stale = true;
        }
    }
}
