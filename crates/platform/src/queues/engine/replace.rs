//! A message that was received and what comes of it: the one goes and the others are sent, all in
//! one transaction. So another service passes work on without losing or doubling it.

use std::sync::Arc;

use super::{
    Engine, EngineError, Queue,
    rows::Rows,
    staged::{Staged, StagedRows},
    totals,
};
use crate::queues::{
    message::{NewMessage, Sent},
    receipt::{Receipt, ReceiptError},
};

/// Why a message was not replaced. It is as it was, and nothing was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplaceError {
    /// It is gone, or somebody else has received it since.
    #[error("the message is not held any more")]
    NotHeld,
    /// A queue that something was to be sent to is gone.
    #[error("a target is gone")]
    NoTarget,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Deletes a message for the holder of its receipt and sends `new` ones, to any queues;
    /// durable together when this answers.
    pub async fn replace(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        receipt: Receipt,
        new: Vec<(Arc<Queue>, NewMessage)>,
    ) -> Result<Vec<Sent>, ReplaceError> {
        let (engine, source) = (self.clone(), source.clone());
        // To its end: what is out of memory by then has to be out of the store, too.
        let replacing = tokio::spawn(async move {
            let mut staged = Vec::with_capacity(new.len());
            for (target, message) in new {
                let is_source = target.id == source.id;
                match engine.stage(&target, message).await {
                    Ok(one) => staged.push(one),
                    Err(error) => {
                        told(staged, false);
                        return Err(match error {
                            EngineError::Gone if !is_source => ReplaceError::NoTarget,
                            other => other.into(),
                        });
                    }
                }
            }
            match engine.replace_by(&source, receipt, &staged).await {
                Ok(()) => Ok(told(staged, true)),
                // What became of a write is for the store to say: those queues are read anew.
                Err(error @ ReplaceError::Engine(_)) => Err(error),
                Err(error) => {
                    told(staged, false);
                    Err(error)
                }
            }
        });
        let ended = replacing.await;
        ended.unwrap_or(Err(ReplaceError::Engine(EngineError::Gone)))
    }

    async fn replace_by(
        self: &Arc<Self>,
        source: &Arc<Queue>,
        receipt: Receipt,
        staged: &[Staged],
    ) -> Result<(), ReplaceError> {
        loop {
            {
                let mut state = source.lock();
                if state.is_gone {
                    return Err(EngineError::Gone.into());
                }
                if !state.is_stale {
                    let now_ms = self.clock.now_ms();
                    match state.delete(&receipt, now_ms) {
                        Ok(Some(_)) => {}
                        Ok(None) | Err(ReceiptError::Expired) => return Err(ReplaceError::NotHeld),
                        Err(_) => return Err(EngineError::Gone.into()),
                    }
                    self.page_if_low(source, &mut state);
                    source.told(&mut state);
                    break;
                }
            }
            self.reload(source).await?;
        }
        let rows: Vec<StagedRows> = staged.iter().map(Staged::rows).collect();
        let gone = Rows {
            deletes: vec![(source.id, receipt.sequence)],
            ..Rows::default()
        };
        let written = self.store.write(move |tx| {
            for row in &rows {
                row.insert(tx)?;
            }
            gone.write(tx)
        });
        if let Err(error) = written.await {
            // It is in the store as it was, or that is not known.
            source.lock().is_stale = true;
            source.wake.notify_one();
            return Err(EngineError::from(error).into());
        }
        if !source.key.is_internal() {
            totals::add(&self.totals.deleted, 1);
            totals::add(&source.totals.deleted, 1);
        }
        Ok(())
    }

    /// Makes visible what is in flight: after a restart nobody holds it any more.
    pub async fn release_all(self: &Arc<Self>, queue: &Arc<Queue>) {
        let held = queue.lock().in_flight_unwritten();
        let held = held.into_values().map(|standing| Receipt {
            queue: queue.id,
            sequence: standing.sequence,
            receive: standing.receives,
        });
        let visible: Vec<_> = held.map(|receipt| (receipt, 0)).collect();
        if !visible.is_empty() {
            self.change_visibility(queue, &visible).await;
        }
    }
}

fn told(staged: Vec<Staged>, committed: bool) -> Vec<Sent> {
    let tell = |one: Staged| {
        let sent = one.sent();
        one.committed(committed);
        sent
    };
    staged.into_iter().map(tell).collect()
}
