//! Amazon SQS: queues whose messages are durable before they are acknowledged.
//!
//! [`Queues`] holds the definitions and hands messages in and out. `api.rs` is the only file that
//! knows `wire`'s shapes; `engine/` decides in memory, and writes what it decides in batches that
//! share one commit of the store.

pub mod definition;
pub mod message;
pub mod receipt;

use std::sync::Arc;

use definition::{Definition, QueueKey};
use message::{Counts, NewMessage, Receive, Received, Sent};
use receipt::{Receipt, ReceiptError};

/// The queues of this platform; a cheap handle.
#[derive(Clone)]
pub struct Queues(#[allow(dead_code)] Arc<()>);

/// A queue that is open: its definition and the state of its messages.
pub struct Queue {
    definition: std::sync::RwLock<Arc<Definition>>,
}

impl Queue {
    /// The definition in force.
    pub fn definition(&self) -> Arc<Definition> {
        let definition = self.definition.read();
        definition
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// Why an operation on messages failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// More messages are in flight than a standard queue may have (OverLimit).
    #[error("too many messages are in flight")]
    OverLimit,
    #[error("the queue is gone")]
    Gone,
    #[error("the store could not")]
    Store(#[from] store::Error),
}

#[allow(unused_variables, clippy::unused_async)]
impl Queues {
    pub fn find(&self, key: &QueueKey) -> Option<Arc<Queue>> {
        None
    }

    /// All of an account's in a region, by name.
    pub fn list(&self, account_id: &str, region: &str) -> Vec<Arc<Queue>> {
        Vec::new()
    }

    /// Stores a new queue. Gives the one that is there if the name is taken; whether it is the
    /// same is for the caller to say.
    pub async fn create(&self, definition: Definition) -> Result<Created, EngineError> {
        Err(EngineError::Gone)
    }

    /// Changes a definition under a lock of the queue's own and stores it; `change` may run again.
    pub async fn change<E>(
        &self,
        queue: &Arc<Queue>,
        change: impl Fn(&mut Definition) -> Result<(), E> + Send,
    ) -> Result<Arc<Definition>, E>
    where
        E: From<EngineError>,
    {
        Err(EngineError::Gone.into())
    }

    /// Forgets the queue and its messages.
    pub async fn delete_queue(&self, queue: &Arc<Queue>) -> Result<(), EngineError> {
        Err(EngineError::Gone)
    }

    /// All or none are durable when this answers. In the order of `messages`.
    pub async fn send(
        &self,
        queue: &Arc<Queue>,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Sent>, EngineError> {
        Err(EngineError::Gone)
    }

    pub async fn receive(
        &self,
        queue: &Arc<Queue>,
        receive: Receive,
    ) -> Result<Vec<Received>, EngineError> {
        Err(EngineError::Gone)
    }

    pub async fn delete(
        &self,
        queue: &Arc<Queue>,
        receipts: &[Receipt],
    ) -> Vec<Result<(), ReceiptError>> {
        Vec::new()
    }

    /// Each receipt with its new visibility timeout from now, in milliseconds; 0 makes it visible.
    pub async fn change_visibility(
        &self,
        queue: &Arc<Queue>,
        changes: &[(Receipt, i64)],
    ) -> Vec<Result<(), ReceiptError>> {
        Vec::new()
    }

    /// Deletes what is in the queue now.
    pub async fn purge(&self, queue: &Arc<Queue>) -> Result<(), EngineError> {
        Err(EngineError::Gone)
    }

    pub fn counts(&self, queue: &Queue) -> Counts {
        Counts::default()
    }

    /// The handle that SQS's API shows.
    pub fn receipt_handle(&self, receipt: &Receipt) -> String {
        String::new()
    }

    pub fn read_receipt(&self, queue: &Queue, handle: &str) -> Result<Receipt, ReceiptError> {
        Err(ReceiptError::Invalid)
    }
}

/// What [`Queues::create`] found.
pub enum Created {
    New(Arc<Queue>),
    There(Arc<Queue>),
}
