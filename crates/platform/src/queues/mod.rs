//! Amazon SQS: queues whose messages are durable before they are acknowledged.
//!
//! [`Queues`] is the service: definitions and messages. `engine/` decides in memory and writes what
//! it decides in batches that share one commit of the store.

pub mod definition;
mod engine;
pub mod message;
pub mod receipt;
mod sealing;
mod stored;
mod tables;
#[cfg(test)]
mod tests;

use std::{ops::Deref, sync::Arc};

use store::Store;
use tokio::task::JoinHandle;

pub use engine::{Created, Engine, EngineError, Queue, Staged};
pub use tables::{MIGRATION_COUNT, migrations};

use crate::{clock::Clock, secrets::Secrets};
use definition::{QueueId, QueueKey};
use receipt::{Receipt, ReceiptError};

/// The queues of this platform; a cheap handle. Dereferences to the [`Engine`], whose methods
/// make, find, fill and empty queues.
#[derive(Clone)]
pub struct Queues(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    secrets: Arc<Secrets>,
}

impl Queues {
    /// Reads what is stored. The handle of the task that wakes receivers and cleans up is the
    /// caller's to end.
    pub async fn open(
        store: Store,
        secrets: Arc<Secrets>,
        clock: Arc<Clock>,
    ) -> Result<(Self, JoinHandle<()>), EngineError> {
        let engine = Engine::open(store, secrets.clone(), clock).await?;
        let keeping = tokio::spawn(engine.clone().keep());
        Ok((Self(Arc::new(Inner { engine, secrets })), keeping))
    }

    /// A number for a queue that is to be made.
    pub fn new_id(&self, key: &QueueKey) -> QueueId {
        Engine::new_id(key)
    }

    /// The handle that SQS's API shows.
    pub fn receipt_handle(&self, receipt: &Receipt) -> String {
        receipt.handle(&self.0.secrets)
    }

    /// What a handle says, if it is one of this queue's.
    pub fn read_receipt(&self, queue: &Queue, handle: &str) -> Result<Receipt, ReceiptError> {
        let receipt = Receipt::read(handle, &self.0.secrets)?;
        match receipt.queue == queue.id {
            true => Ok(receipt),
            false => Err(ReceiptError::Invalid),
        }
    }
}

impl Deref for Queues {
    type Target = Arc<Engine>;

    fn deref(&self) -> &Arc<Engine> {
        &self.0.engine
    }
}
