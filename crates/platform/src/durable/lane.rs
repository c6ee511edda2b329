//! An execution in memory, while something happens to it: everything that does takes its lock, and
//! what it changes is stored before the lock is given back. Nobody needs it, nobody keeps it.

use std::{
    collections::{HashMap, HashSet},
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{MutexGuard, watch};

use super::{
    Inner,
    core::{Operation, State},
    error::{Error, Result},
    limits,
    tables::{Sealed, Tables},
    token::CheckpointToken,
};
use wire::lambda::CheckpointDurableExecutionResponse;

/// All that are in memory.
#[derive(Default)]
pub struct Lanes(Mutex<HashMap<String, Weak<Lane>>>);

pub struct Lane {
    pub id: String,
    /// None until it is loaded, and after a write whose end is not known.
    held: tokio::sync::Mutex<Option<Held>>,
    pub closed: watch::Sender<bool>,
    /// Somebody invokes the function as long as that is owed.
    pub driven: AtomicBool,
    /// Somebody tells the parent.
    pub telling: AtomicBool,
    /// Chained invokes of functions that are not durable, which somebody runs.
    pub invokes: Mutex<HashSet<String>>,
    all: Arc<Lanes>,
}

pub struct Held {
    pub state: State,
    /// The invocation that may checkpoint.
    pub session: Option<Session>,
    /// As it stands in the store.
    due_ms: i64,
}

/// An invocation of the function, as far as checkpoints go.
#[derive(Debug)]
pub struct Session {
    pub token: CheckpointToken,
    /// Up to which of [`State::touches`] it knows everything.
    pub seen: u64,
    pub last: Option<LastCheckpoint>,
}

/// A request that is repeated gets its answer once more.
#[derive(Debug)]
pub struct LastCheckpoint {
    pub client_token: String,
    pub token: String,
    pub answer: CheckpointDurableExecutionResponse,
}

impl Lanes {
    pub fn get(self: &Arc<Self>, id: &str) -> Arc<Lane> {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get(id).and_then(Weak::upgrade) {
            return lane;
        }
        let lane = Arc::new(Lane {
            id: id.to_owned(),
            held: tokio::sync::Mutex::new(None),
            closed: watch::channel(false).0,
            driven: AtomicBool::new(false),
            telling: AtomicBool::new(false),
            invokes: Mutex::default(),
            all: self.clone(),
        });
        lanes.insert(id.to_owned(), Arc::downgrade(&lane));
        lane
    }

    /// How many are in memory.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Lane>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut lanes = self.all.lock();
        // Another may have taken its place.
        if lanes
            .get(&self.id)
            .is_some_and(|lane| lane.strong_count() == 0)
        {
            lanes.remove(&self.id);
        }
    }
}

impl Lane {
    /// Whether the caller is to do it: nobody does yet.
    pub fn claims(flag: &AtomicBool) -> bool {
        !flag.swap(true, Ordering::AcqRel)
    }

    pub fn gives_up(flag: &AtomicBool) {
        flag.store(false, Ordering::Release);
    }

    pub fn invokes(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.invokes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An execution that is locked and loaded.
pub struct Guard<'a>(MutexGuard<'a, Option<Held>>);

const LOADED: &str = "a guard is made of what is loaded";

impl Deref for Guard<'_> {
    type Target = Held;

    fn deref(&self) -> &Held {
        self.0.as_ref().expect(LOADED)
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Held {
        self.0.as_mut().expect(LOADED)
    }
}

impl Inner {
    /// Locks an execution; none if there is no such.
    pub(super) async fn lock<'a>(&self, lane: &'a Lane) -> Result<Option<Guard<'a>>> {
        let mut held = lane.held.lock().await;
        if held.is_none() {
            *held = self.load(&lane.id).await?;
            if held.as_ref().is_some_and(|it| it.state.head.is_closed()) {
                lane.closed.send_replace(true);
            }
        }
        Ok(held.is_some().then_some(Guard(held)))
    }

    /// Stores what is new, with executions that begin with it, and sees to it that what follows
    /// from it is done.
    pub(super) async fn commit(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        held: &mut Guard<'_>,
        children: Vec<State>,
    ) -> Result<()> {
        let written = self.write(held, children).await;
        if let Err(error) = written {
            // What is stored now is found out when it is needed next.
            *held.0 = None;
            self.resume_soon();
            return Err(error);
        }
        self.go_on(lane, held);
        Ok(())
    }

    async fn write(&self, held: &mut Held, children: Vec<State>) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let changes = held.state.take(now_ms);
        let own = self.tables.seal(&changes)?;
        let begun = children.into_iter().map(|mut child| {
            let changes = child.take(now_ms);
            self.alarm.set(changes.due_ms);
            self.tables.seal(&changes)
        });
        let begun: Vec<Sealed> = begun.collect::<store::Result<_>>()?;
        let written = self.store.write(move |tx| {
            own.update(tx)?;
            begun.iter().try_for_each(|child| child.insert(tx))
        });
        written.await?;
        held.due_ms = changes.due_ms.unwrap_or(i64::MAX);
        self.alarm.set(changes.due_ms);
        Ok(())
    }

    /// Stores what is new, or that what was due was looked at.
    pub(super) async fn commit_if_due(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        held: &mut Guard<'_>,
    ) -> Result<()> {
        let is_due = held.due_ms <= self.clock.now_ms();
        match is_due || held.state.has_changes() {
            true => self.commit(lane, held, Vec::new()).await,
            false => {
                self.go_on(lane, held);
                Ok(())
            }
        }
    }

    /// Removes a closed execution.
    pub(super) async fn remove(&self, mut held: Guard<'_>) -> Result<()> {
        let id = held.state.head.id.clone();
        let removed = self.store.write(move |tx| Tables::remove(tx, &id)).await;
        *held.0 = None;
        Ok(removed?)
    }

    /// Begins what an execution needs and nobody does yet. Its lock is held, so that nothing comes
    /// in between.
    pub(super) fn go_on(self: &Arc<Self>, lane: &Arc<Lane>, held: &Held) {
        if held.state.head.is_closed() {
            lane.closed.send_replace(true);
        }
        if self.is_stopping() {
            return;
        }
        let head = &held.state.head;
        let now_ms = self.clock.now_ms();
        if head.owed_ms.is_some_and(|owed_ms| owed_ms <= now_ms) && Lane::claims(&lane.driven) {
            let (this, lane) = (self.clone(), lane.clone());
            self.work(async move { this.drive(&lane).await });
        }
        if head.owes_parent() && Lane::claims(&lane.telling) {
            let (this, lane) = (self.clone(), lane.clone());
            self.work(async move { this.tell_parent(&lane).await });
        }
        if head.is_closed() {
            return;
        }
        for operation in held.state.plain_invokes() {
            if !lane.invokes().insert(operation.to_owned()) {
                continue;
            }
            let (this, lane, operation) = (self.clone(), lane.clone(), operation.to_owned());
            self.work(async move { this.invoke_plain(&lane, &operation).await });
        }
    }

    async fn load(&self, id: &str) -> Result<Option<Held>> {
        let wanted = id.to_owned();
        let head = self.store.read(move |tx| Tables::head(tx, &wanted)).await?;
        let Some((head, due_ms)) = head else {
            return Ok(None);
        };
        let mut operations: Vec<Operation> = Vec::with_capacity(head.operations as usize);
        loop {
            let from = u32::try_from(operations.len()).unwrap_or(u32::MAX);
            let (id, tables) = (id.to_owned(), self.tables.clone());
            let page = self.store.read(move |tx| tables.operations(tx, &id, from));
            let page = page.await?;
            let is_last = page.len() < limits::LOAD_ROWS as usize;
            for mut operation in page {
                // What is done is of use to the function only, which gets it from the store.
                if operation.status.is_final() && !operations.is_empty() {
                    operation.forget_payloads();
                }
                operations.push(operation);
            }
            if is_last {
                break;
            }
        }
        if operations.is_empty() {
            let lost = format!("the durable execution {id} has no operations");
            return Err(Error::platform(store::Error::Statement { reason: lost }));
        }
        Ok(Some(Held {
            state: State::of(head, operations),
            session: None,
            due_ms,
        }))
    }
}
