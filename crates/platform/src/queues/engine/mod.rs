//! Messages in and out of queues.
//!
//! Decisions are taken in memory, each under its queue's lock ([`state`]); what they change goes to
//! the store in batches, in their order ([`journal`]); what is sent is seen only when it is
//! durable. A message received from a standard queue is not waited for: should it be lost with the
//! machine, the message is received again, as SQS has it too. In a FIFO queue it is waited for, as
//! the group's order hangs on it.

mod alarm;
mod attempts;
mod cache;
pub mod dedup;
mod fair;
mod groups;
mod journal;
mod limits;
mod load;
mod queue;
mod receive;
mod replace;
mod rows;
mod send;
mod sequence;
mod settle;
mod staged;
mod state;
mod totals;
mod upkeep;
mod window;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::rand;
use store::Store;

use super::{
    definition::{Definition, QUEUES, QueueId, QueueKey},
    sealing::{Sealing, SealingError},
};
use crate::{clock::Clock, secrets::Secrets};

pub use queue::Queue;
pub use replace::ReplaceError;
pub use staged::{Staged, StagedRows};
pub use totals::{Taken, Totals};

use alarm::Alarm;
use cache::Budget;
use journal::Journal;
use sequence::Sequence;
use upkeep::Wiping;

/// Why an operation on messages failed as a whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// As many messages are in flight as a queue may have (OverLimit).
    #[error("too many messages are in flight")]
    OverLimit,
    #[error("there are as many queues as there may be")]
    TooManyQueues,
    #[error("the queue is gone")]
    Gone,
    #[error("the store could not")]
    Store(#[from] store::Error),
    #[error("seal or open a message")]
    Sealing(#[from] Arc<SealingError>),
}

impl From<SealingError> for EngineError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::Store(error) => Self::Store(error),
            other => Self::Sealing(Arc::new(other)),
        }
    }
}

/// What [`Engine::create`] found.
pub enum Created {
    New(Arc<Queue>),
    There(Arc<Queue>),
}

pub struct Engine {
    store: Store,
    clock: Arc<Clock>,
    alarm: Arc<Alarm>,
    sequence: Arc<Sequence>,
    journal: Arc<Journal>,
    sealing: Sealing,
    budget: Arc<Budget>,
    totals: Totals,
    by_key: RwLock<BTreeMap<QueueKey, Arc<Queue>>>,
    by_id: RwLock<HashMap<QueueId, Arc<Queue>>>,
    /// Held while a queue is made or deleted.
    naming: tokio::sync::Mutex<()>,
    wiping: Wiping,
    /// Nobody waits for messages any more.
    is_ending: AtomicBool,
}

impl Engine {
    /// Reads the queues and as much of their messages as is held in memory.
    pub async fn open(
        store: Store,
        secrets: Arc<Secrets>,
        clock: Arc<Clock>,
    ) -> Result<Arc<Self>, EngineError> {
        let sealing = Sealing::open(store.clone(), secrets).await?;
        let (floor_ms, definitions) = store
            .read(|tx| {
                let sql = "SELECT floor_ms FROM queue_floor WHERE id = 1";
                let floor_ms: i64 = tx.query_one(sql, store::params![])?.get(0)?;
                Ok((floor_ms, load::definitions(tx)?))
            })
            .await?;
        let sequence = Arc::new(Sequence::new(floor_ms));
        let engine = Arc::new(Self {
            journal: Journal::new(store.clone(), sequence.clone()),
            store,
            clock,
            alarm: Arc::default(),
            sequence,
            sealing,
            budget: Arc::default(),
            totals: Totals::default(),
            by_key: RwLock::default(),
            by_id: RwLock::default(),
            naming: tokio::sync::Mutex::default(),
            wiping: Wiping::default(),
            is_ending: AtomicBool::new(false),
        });
        for definition in definitions {
            let queue = engine.admit(definition);
            if queue.definition().purged_until > 0 {
                engine.wiping.purged(queue.id);
            }
            engine.load(&queue).await?;
        }
        Ok(engine)
    }

    /// Wakes receivers and cleans up, for ever.
    pub async fn keep(self: Arc<Self>) {
        let engine = self.clone();
        let ringing = self
            .alarm
            .clone()
            .keep_ringing(self.clock.clone(), move |id| {
                if let Some(queue) = engine.by_id(id) {
                    queue.rung();
                }
            });
        tokio::join!(ringing, self.keep_sweeping(), self.keep_wiping());
    }

    /// Those who wait for messages get none, now and from now on: the platform ends.
    pub fn let_waiters_go(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        for queue in self.every() {
            queue.wake.notify_waiters();
        }
    }

    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// What all queues together have done since the start.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    pub fn find(&self, key: &QueueKey) -> Option<Arc<Queue>> {
        let queues = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(key).cloned()
    }

    fn by_id(&self, id: QueueId) -> Option<Arc<Queue>> {
        let queues = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(&id).cloned()
    }

    /// All of an account's in a region, by name.
    pub fn list(&self, account_id: &str, region: &str) -> Vec<Arc<Queue>> {
        let from = QueueKey {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: String::new(),
        };
        let queues = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        let behind = queues.range(from..);
        behind
            .take_while(|(key, _)| key.account_id == account_id && key.region == region)
            .map(|(_, queue)| queue.clone())
            .collect()
    }

    fn count(&self) -> usize {
        let queues = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        queues.len()
    }

    /// All of SQS's clients, of every account.
    pub fn all(&self) -> Vec<Arc<Queue>> {
        let mut queues = self.every();
        queues.retain(|queue| !queue.key.is_internal());
        queues
    }

    /// Those that other services keep for themselves.
    pub fn internal(&self) -> Vec<Arc<Queue>> {
        let mut queues = self.every();
        queues.retain(|queue| queue.key.is_internal());
        queues
    }

    fn every(&self) -> Vec<Arc<Queue>> {
        let queues = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        queues.values().cloned().collect()
    }

    fn admit(&self, definition: Definition) -> Arc<Queue> {
        let queue = Queue::new(definition, self.clock.clone(), self.alarm.clone());
        let mut queues = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.key.clone(), queue.clone());
        drop(queues);
        let mut ids = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        ids.insert(queue.id, queue.clone());
        queue
    }

    /// A number for a queue that is to be made.
    pub fn new_id(key: &QueueKey) -> QueueId {
        let mut random = [0; 8];
        // Without randomness a number that is taken is refused by the store, and nothing worse.
        let _ = rand::fill(&mut random);
        QueueId::new(key, u64::from_le_bytes(random))
    }

    /// Stores a new queue. Gives the one that is there if the name is taken; whether it is the
    /// same is for the caller to say.
    pub async fn create(&self, definition: Definition) -> Result<Created, EngineError> {
        let _naming = self.naming.lock().await;
        if let Some(there) = self.find(&definition.key) {
            return Ok(Created::There(there));
        }
        if self.count() >= super::limits::QUEUES_MAX {
            return Err(EngineError::TooManyQueues);
        }
        let stored = definition.clone();
        self.store
            .write(move |tx| {
                let key = &stored.key;
                QUEUES.insert(tx, &[&key.account_id, &key.region, &key.name], &stored)
            })
            .await?;
        Ok(Created::New(self.admit(definition)))
    }

    /// Changes a definition and stores it, one change at a time.
    pub async fn change<E: From<EngineError>>(
        &self,
        queue: &Arc<Queue>,
        change: impl FnOnce(&mut Definition) -> Result<(), E>,
    ) -> Result<Arc<Definition>, E> {
        let _changing = queue.changing.lock().await;
        if queue.lock().is_gone {
            return Err(EngineError::Gone.into());
        }
        let mut definition = Definition::clone(&queue.definition());
        change(&mut definition)?;
        let definition = Arc::new(definition);
        self.put(&definition).await?;
        queue.redefine(definition.clone());
        Ok(definition)
    }

    async fn put(&self, definition: &Arc<Definition>) -> Result<(), EngineError> {
        let stored = definition.clone();
        let written = self.store.write(move |tx| {
            let key = &stored.key;
            let key = [key.account_id.as_str(), &key.region, &key.name];
            QUEUES.put(tx, &key, &stored).map(drop)
        });
        Ok(written.await?)
    }

    /// Forgets a queue; its messages are wiped afterwards.
    pub async fn delete_queue(&self, queue: &Arc<Queue>) -> Result<(), EngineError> {
        let _naming = self.naming.lock().await;
        let _changing = queue.changing.lock().await;
        let (key, id) = (queue.key.clone(), queue.id);
        self.store
            .write(move |tx| {
                QUEUES.delete(tx, &[&key.account_id, &key.region, &key.name])?;
                let sql = "INSERT INTO queue_graves (queue) VALUES ($1) ON CONFLICT DO NOTHING";
                tx.execute(sql, store::params![id.0]).map(drop)
            })
            .await?;
        self.dismiss(queue);
        // What was decided before is in the store by then, and nothing comes after.
        self.flush(queue).await;
        self.wiping.deleted();
        Ok(())
    }

    fn dismiss(&self, queue: &Queue) {
        let mut state = queue.lock();
        state.is_gone = true;
        state.clear();
        drop(state);
        queue.wake.notify_waiters();
        let mut queues = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        queues.remove(&queue.key);
        drop(queues);
        let mut ids = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&queue.id);
    }

    /// Empties a queue: what was sent before is not received any more, in flight or not.
    pub async fn purge(self: &Arc<Self>, queue: &Arc<Queue>) -> Result<(), EngineError> {
        let _changing = queue.changing.lock().await;
        let now_ms = self.clock.now_ms();
        let until = {
            let state = queue.lock();
            if state.is_gone {
                return Err(EngineError::Gone);
            }
            self.sequence.next(queue.id.shard(), now_ms)
        };
        let mut definition = Definition::clone(&queue.definition());
        definition.purged_until = until;
        definition.purged_at_ms = Some(now_ms);
        let definition = Arc::new(definition);
        self.put(&definition).await?;
        queue.redefine(definition);
        queue.lock().purge(until);
        self.flush(queue).await;
        self.wiping.purged(queue.id);
        if let Err(error) = self.reload(queue).await {
            // The purge is durable, and whoever needs the messages next reads them again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "read a purged queue"
            );
        }
        Ok(())
    }
}
