//! What is due at a time: the occurrences of schedules, and of rules that have one. The store holds
//! a small row for each, one alarm waits for the first of them, and nothing is kept in memory.
//!
//! Knows nothing of what a timer is for. Who owns it decides at each tick what is to be delivered and
//! when the next tick is; that the timer goes on, what it is for changes and the deliveries are stored
//! is one transaction. So each tick happens once, whenever the process ends.

mod limits;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use store::{ReadTx, Store, Tx};
use tokio::task::{JoinHandle, JoinSet};

pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    alarm::Alarm,
    background::{Background, Wake},
    clock::Clock,
    deliveries::{Deliveries, Delivery, DeliveryError},
};
use tables::Found;

/// The next tick of a timer, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Which occurrence it is.
    pub scheduled_ms: i64,
    /// When it ticks: not before, and usually just then.
    pub due_ms: i64,
}

/// A timer that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its owner's name for it.
    pub id: String,
    pub due_ms: i64,
    pub scheduled_ms: i64,
}

/// What a tick comes to.
#[derive(Default)]
pub struct Tick {
    pub deliveries: Vec<Delivery>,
    /// None: the timer is over.
    pub next: Option<Next>,
    /// What else belongs into the transaction. False: what was decided by is no longer so, and it is
    /// decided anew. May be run several times.
    pub also: Option<Also>,
}

type Also = Arc<dyn Fn(&mut Tx) -> store::Result<bool> + Send + Sync>;

/// Whom timers belong to.
#[async_trait]
pub trait Owner: Send + Sync {
    /// Decides what becomes of a timer that is due. Nothing has happened when this returns.
    async fn tick(&self, due: &Due, now_ms: i64) -> store::Result<Tick>;
}

/// The timers of this platform; a cheap handle.
#[derive(Clone)]
pub struct Timers(Arc<Inner>, #[expect(dead_code)] Arc<Ringing>);

struct Inner {
    store: Store,
    clock: Arc<Clock>,
    deliveries: Deliveries,
    owners: RwLock<HashMap<&'static str, Arc<dyn Owner>>>,
    alarm: Arc<Alarm>,
    wake: Wake,
}

/// The alarm's task, which ends with what it wakes.
struct Ringing(JoinHandle<()>);

impl Drop for Ringing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a tick did not happen. It will be tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TickError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("take its deliveries")]
    Deliveries(#[from] DeliveryError),
    #[error("nobody knows timers of {owner}")]
    NoOwner { owner: String },
    #[error("its tick panicked")]
    Panicked,
}

/// Within a transaction: what was decided by is no longer so, or the store has trouble.
enum Undone {
    Changed,
    Store(store::Error),
}

impl From<store::Error> for Undone {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Sets a timer, or removes it, within its owner's transaction. After that [`Timers::ring`].
pub fn set(tx: &mut Tx, owner: &str, id: &str, next: Option<Next>) -> store::Result<()> {
    tables::set(tx, owner, id, next)
}

pub fn get(tx: &mut ReadTx, owner: &str, id: &str) -> store::Result<Option<Next>> {
    tables::get(tx, owner, id)
}

impl Timers {
    /// Nothing ticks before [`Timers::begin`].
    pub fn open(store: Store, clock: Arc<Clock>, deliveries: Deliveries) -> Self {
        let inner = Inner {
            store,
            deliveries,
            owners: RwLock::default(),
            alarm: Arc::default(),
            wake: Wake::default(),
            clock: clock.clone(),
        };
        let (alarm, wake) = (inner.alarm.clone(), inner.wake.clone());
        let ringing = tokio::spawn(async move { alarm.keep_ringing(&clock, &wake).await });
        Self(Arc::new(inner), Arc::new(Ringing(ringing)))
    }

    /// Says who decides about the timers of that name.
    pub fn register(&self, name: &'static str, owner: Arc<dyn Owner>) {
        let owners = self.0.owners.write();
        let mut owners = owners.unwrap_or_else(PoisonError::into_inner);
        owners.insert(name, owner);
    }

    /// Lets timers tick, beginning with what fell due meanwhile. Once, after every owner is
    /// registered.
    pub fn begin(&self, background: &Background) {
        let inner = Arc::downgrade(&self.0);
        let wake = self.0.wake.clone();
        background.keep("timers", limits::LOOK_EVERY, wake, move || {
            let inner = inner.upgrade();
            async move {
                match inner {
                    Some(inner) => inner.pass().await,
                    None => Ok(()),
                }
            }
        });
    }

    /// After a transaction that set a timer.
    pub fn ring(&self, next: Option<Next>) {
        if let Some(next) = next {
            self.0.alarm.set(Some(next.due_ms));
        }
    }

    /// Looks at once, for tests that move the clock.
    #[cfg(test)]
    pub fn look(&self) {
        self.0.wake.wake();
    }

    /// How many are due, up to as many as are looked at once.
    #[cfg(test)]
    pub async fn due(&self, now_ms: i64) -> store::Result<usize> {
        let due = self.0.store.read(move |tx| tables::due(tx, now_ms, None));
        Ok(due.await?.len())
    }

    /// How many there are.
    pub async fn count(&self) -> store::Result<i64> {
        self.0.store.read(tables::count).await
    }
}

impl Inner {
    /// Ticks all that is due.
    async fn pass(self: &Arc<Self>) -> Result<(), TickError> {
        let now_ms = self.clock.now_ms();
        let mut ended = Ok(());
        let mut last: Option<Found> = None;
        loop {
            let after = last.clone();
            let due = self
                .store
                .read(move |tx| tables::due(tx, now_ms, after.as_ref()));
            let due = due.await?;
            let Some(found) = due.last() else { break };
            last = Some(found.clone());
            if let Err(error) = self.tick_all(due, now_ms).await {
                ended = Err(error);
            }
        }
        // Also when a tick failed, which the next pass repeats: others have their time.
        let next = self.store.read(move |tx| tables::next_due_ms(tx, now_ms));
        self.alarm.set(next.await?);
        ended
    }

    /// Ticks many beside each other, whose writes share commits.
    async fn tick_all(self: &Arc<Self>, due: Vec<Found>, now_ms: i64) -> Result<(), TickError> {
        let mut ticks = JoinSet::new();
        for found in due {
            let this = self.clone();
            ticks.spawn(async move { this.tick(&found, now_ms).await });
        }
        let mut ended = Ok(());
        while let Some(ticked) = ticks.join_next().await {
            if let Err(error) = ticked.unwrap_or(Err(TickError::Panicked)) {
                ended = Err(error);
            }
        }
        ended
    }

    async fn tick(&self, found: &Found, now_ms: i64) -> Result<(), TickError> {
        let owner = {
            let owners = self.owners.read();
            let owners = owners.unwrap_or_else(PoisonError::into_inner);
            owners.get(found.owner.as_str()).cloned()
        };
        let owner = owner.ok_or_else(|| TickError::NoOwner {
            owner: found.owner.clone(),
        })?;
        let tick = owner.tick(&found.due, now_ms).await?;
        self.commit(found, tick).await
    }

    async fn commit(&self, found: &Found, tick: Tick) -> Result<(), TickError> {
        let Tick {
            deliveries,
            next,
            also,
        } = tick;
        let staged = self.deliveries.stage(deliveries).await?;
        let (rows, found) = (staged.rows(), found.clone());
        let written = self.store.try_write(move |tx| {
            let goes_on = tables::advance(tx, &found.owner, &found.due, next)?;
            let as_it_was = goes_on && also.as_ref().map_or(Ok(true), |also| also(tx))?;
            if !as_it_was {
                return Err(Undone::Changed);
            }
            rows.insert(tx).map_err(Undone::Store)
        });
        match written.await {
            Ok(()) => {
                staged.committed(true);
                self.alarm.set(next.map(|next| next.due_ms));
                Ok(())
            }
            Err(Undone::Changed) => {
                staged.committed(false);
                // Still due, or set anew by who changed it.
                self.alarm.set(Some(self.clock.now_ms()));
                Ok(())
            }
            // What became of it is for the store to say: dropped, the queues are read anew.
            Err(Undone::Store(error)) => Err(error.into()),
        }
    }
}
