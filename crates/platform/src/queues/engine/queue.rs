//! A queue that is open: its definition, the state of its messages, and who waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use super::{
    alarm::Alarm,
    journal::Change,
    limits,
    state::{Entry, State},
    totals::{Taken, Totals},
    window::Place,
};
use crate::{
    clock::Clock,
    queues::{
        definition::{Definition, QueueId, QueueKey},
        message::Counts,
    },
};

pub struct Queue {
    pub id: QueueId,
    pub key: QueueKey,
    definition: RwLock<Arc<Definition>>,
    state: Mutex<State>,
    /// Told when a message can be received; each receiver that leaves some tells the next.
    pub(super) wake: Notify,
    /// Told when a page was read, or could not be.
    pub(super) paged: Notify,
    /// Held while the definition is changed.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// Held while the messages are read anew.
    pub(super) reloading: tokio::sync::Mutex<()>,
    /// What was done with its messages since that was taken last.
    pub(super) totals: Totals,
    clock: Arc<Clock>,
    alarm: Arc<Alarm>,
}

impl Queue {
    pub(super) fn new(definition: Definition, clock: Arc<Clock>, alarm: Arc<Alarm>) -> Arc<Self> {
        let mut state = State::new(definition.key.is_fifo());
        state.window.purged(definition.purged_until);
        Arc::new(Self {
            id: definition.id,
            key: definition.key.clone(),
            definition: RwLock::new(Arc::new(definition)),
            state: Mutex::new(state),
            wake: Notify::new(),
            paged: Notify::new(),
            changing: tokio::sync::Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            totals: Totals::default(),
            clock,
            alarm,
        })
    }

    /// The definition in force.
    pub fn definition(&self) -> Arc<Definition> {
        let definition = self.definition.read();
        definition.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn redefine(&self, definition: Arc<Definition>) {
        let mut held = self
            .definition
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = definition;
    }

    /// Whether messages are sealed at rest.
    pub fn is_sealed(&self) -> bool {
        let attributes = &self.definition().attributes;
        attributes.managed_sse || attributes.kms_key.is_some()
    }

    pub fn is_fifo(&self) -> bool {
        self.key.is_fifo()
    }

    /// What was done with its messages since this was asked last.
    pub fn take_totals(&self) -> Taken {
        self.totals.take()
    }

    /// The numbers of messages now.
    pub fn counts(&self) -> Counts {
        let mut state = self.lock();
        state.advance(self.clock.now_ms());
        state.counts()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another visible message is held in memory.
    pub(super) fn has_room(&self, state: &State) -> bool {
        match self.is_fifo() {
            true => state.held() < limits::FIFO_WINDOW_MAX,
            false => state.visible_held() < limits::WINDOW_MAX as u64,
        }
    }

    /// Whether so little is left in memory that more is to be read.
    pub(super) fn is_low(&self, state: &State) -> bool {
        match self.is_fifo() {
            true => state.held() < limits::FIFO_WINDOW_LOW,
            false => state.visible_held() < limits::WINDOW_LOW as u64,
        }
    }

    /// What was decided is durable.
    pub(super) fn committed(&self, changes: Vec<Change>) {
        let is_news =
            |change: &Change| matches!(change, Change::Insert { .. } | Change::Move { .. });
        if !changes.iter().any(is_news) {
            return;
        }
        let now_ms = self.clock.now_ms();
        let mut moved = Vec::new();
        let mut state = self.lock();
        for change in changes {
            match change {
                Change::Insert {
                    sequence, entry, ..
                } => self.arrived(&mut state, sequence, entry, now_ms),
                Change::Move {
                    from,
                    old,
                    sequence,
                    entry,
                    ..
                } => {
                    self.arrived(&mut state, sequence, entry, now_ms);
                    moved.push((from, old));
                }
                Change::Standing(_) | Change::Delete(_) => {}
            }
        }
        self.told(&mut state);
        drop(state);
        // If the queue it came from was read anew meanwhile, it may have come back there.
        for (from, old) in moved {
            from.lock().remove(old);
        }
    }

    fn arrived(&self, state: &mut State, sequence: i64, entry: Entry, now_ms: i64) {
        let has_room = self.has_room(state);
        if state.window.committed(sequence, has_room) == Place::Memory {
            state.add(sequence, entry, now_ms);
        }
    }

    /// Wakes a receiver if there is something for one, and sees to it that the next is woken when
    /// there will be. To be called whenever the state may have come to have either.
    pub(super) fn told(&self, state: &mut State) {
        if state.waiters == 0 {
            return;
        }
        if state.has_ready() || state.is_stale || state.is_gone {
            self.wake.notify_one();
        }
        if let Some(due_ms) = state
            .next_due_ms()
            .filter(|due_ms| *due_ms < state.alarm_ms)
        {
            let former_ms = std::mem::replace(&mut state.alarm_ms, due_ms);
            self.alarm.set(self.id, due_ms, former_ms);
        }
    }

    /// A timer has run out.
    pub(super) fn rung(&self) {
        let mut state = self.lock();
        state.alarm_ms = i64::MAX;
        state.advance(self.clock.now_ms());
        self.told(&mut state);
    }
}
