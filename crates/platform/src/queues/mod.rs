//! Amazon SQS: queues whose messages are durable before they are acknowledged.
//!
//! [`Queues`] is the service: definitions and messages. `api/` is the only place that knows `wire`'s
//! shapes; `engine/` decides in memory and writes what it decides in batches that share one commit
//! of the store.

mod access;
mod api;
mod attributes;
mod batch;
pub mod definition;
pub(crate) mod digest;
mod engine;
mod error;
mod limits;
pub mod message;
pub mod move_task;
mod paging;
pub mod permissions;
pub mod receipt;
mod redrive;
mod sealing;
mod shown;
mod stored;
mod tables;
mod tags;
#[cfg(test)]
mod tests;
mod url;
mod validate;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use store::Store;
use tokio::{sync::mpsc, task::JoinHandle};

pub use engine::{
    Created, Engine, EngineError, Queue, ReplaceError, Staged, StagedRows, Taken, Totals,
};
pub use tables::{MIGRATION_COUNT, migrations};
pub(crate) use validate::{Draft, DraftValue, Sender as MessageSender};

use crate::{clock::Clock, secrets::Secrets};
use definition::{QueueId, QueueKey};
use move_task::{MoveTask, MoveTasks, Task};
use receipt::{Receipt, ReceiptError};
use url::TlsHost;

/// The queues of this platform; a cheap handle. Dereferences to the [`Engine`], whose methods
/// make, find, fill and empty queues.
#[derive(Clone)]
pub struct Queues(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    secrets: Arc<Secrets>,
    move_tasks: MoveTasks,
    /// Move tasks on their way to who works on them.
    begun: mpsc::Sender<Arc<Task>>,
    tls_host: TlsHost,
}

impl Queues {
    /// `base_url` is how clients reach the platform. Reads what is stored, and goes on with the move tasks that a restart interrupted. The
    /// handle of the task that wakes receivers, moves messages and cleans up is the caller's to end.
    pub async fn open(
        store: Store,
        secrets: Arc<Secrets>,
        clock: Arc<Clock>,
        base_url: &str,
    ) -> Result<(Self, JoinHandle<()>), EngineError> {
        let move_tasks = MoveTasks::open(store.clone()).await?;
        let interrupted = move_tasks.unended();
        let engine = Engine::open(store, secrets.clone(), clock).await?;
        let (begun, to_work_on) = mpsc::channel(limits::MOVE_TASKS_BEGUN_AT_ONCE);
        let queues = Self(Arc::new(Inner {
            engine,
            secrets,
            move_tasks,
            begun,
            tls_host: TlsHost::of(base_url),
        }));
        let this = queues.clone();
        let keeping = tokio::spawn(async move {
            let moving = this.keep_moving(interrupted, to_work_on);
            tokio::join!(this.0.engine.clone().keep(), moving);
        });
        Ok((queues, keeping))
    }

    /// Stores a move task and has it worked on.
    pub(crate) async fn begin_move(&self, record: MoveTask) -> error::Result<()> {
        let task = self.0.move_tasks.start(record).await?;
        // With nobody there to work on it, the platform is ending: it goes on after the next start.
        let _ = self.0.begun.send(task).await;
        Ok(())
    }

    /// A number for a queue that is to be made.
    pub fn new_id(&self, key: &QueueKey) -> QueueId {
        Engine::new_id(key)
    }

    fn tls_host(&self) -> &TlsHost {
        &self.0.tls_host
    }

    pub(crate) fn move_tasks(&self) -> &MoveTasks {
        &self.0.move_tasks
    }

    /// Moves up to `max` visible messages, each to where it came from if there is no destination;
    /// says how many it moved.
    pub(crate) async fn move_messages(
        &self,
        source: &Arc<Queue>,
        destination: Option<&Arc<Queue>>,
        max: usize,
    ) -> Result<usize, MoveError> {
        let refused = Mutex::new(None);
        let target = |came_from: Option<&str>| {
            let found = match (destination, came_from) {
                (Some(destination), _) => return Some(destination.clone()),
                (None, None) => Err(MoveError::NoSource),
                (None, Some(arn)) => {
                    let key = arn.parse::<QueueKey>().ok();
                    key.and_then(|key| self.find(&key))
                        .ok_or(MoveError::NoQueue)
                }
            };
            found
                .map_err(|error| {
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                })
                .ok()
        };
        let moved = self.0.engine.move_messages(source, max, target).await?;
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        match refused {
            Some(error) if moved == 0 => Err(error),
            _ => Ok(moved),
        }
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

/// Why messages could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The next message came to the queue by itself and is to be brought back.
    #[error("a message's source is not known")]
    NoSource,
    #[error("a queue is gone")]
    NoQueue,
    #[error(transparent)]
    Engine(#[from] EngineError),
}
