//! A pipe in memory: what is stored of it, and how far the platform is with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    tables::{PipeKey, PipeRecord, Wanted},
    worker::Worker,
};

/// Where a pipe is on the way to what its record says. Pipes' states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Creating,
    Starting,
    Running,
    Stopping,
    Stopped,
    Updating,
    Deleting,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }

    /// As a record that was just read is found.
    pub fn of(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Running => Self::Starting,
            Wanted::Stopped => Self::Stopped,
            Wanted::Deleted => Self::Deleting,
        }
    }
}

pub struct Pipe {
    record: RwLock<Arc<PipeRecord>>,
    phase: Mutex<Phase>,
    /// Why it cannot do its work now, for StateReason.
    problem: Mutex<Option<String>>,
    worker: Mutex<Option<Worker>>,
}

impl Pipe {
    pub fn new(record: PipeRecord, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            record: RwLock::new(Arc::new(record)),
            phase: Mutex::new(phase),
            problem: Mutex::default(),
            worker: Mutex::default(),
        })
    }

    pub fn record(&self) -> Arc<PipeRecord> {
        let record = self.record.read();
        record.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn change(&self, record: PipeRecord, phase: Phase) {
        let mut held = self.record.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(record);
        *lock(&self.phase) = phase;
    }

    /// Keeps a record that asks for nothing else.
    pub fn put(&self, record: PipeRecord) {
        let mut held = self.record.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(record);
    }

    pub fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// Sets the phase that a reconciliation came to, unless somebody has changed the record since.
    pub fn settle(&self, seen: &Arc<PipeRecord>, phase: Phase) {
        let held = self.record.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&held, seen) {
            *lock(&self.phase) = phase;
        }
    }

    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    pub fn set_problem(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    pub fn worker(&self) -> MutexGuard<'_, Option<Worker>> {
        lock(&self.worker)
    }
}

/// All pipes of this platform.
#[derive(Default)]
pub struct Held(RwLock<BTreeMap<PipeKey, Arc<Pipe>>>);

impl Held {
    pub fn get(&self, key: &PipeKey) -> Option<Arc<Pipe>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.get(key).cloned()
    }

    pub fn put(&self, pipe: Arc<Pipe>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.insert(pipe.record().key.clone(), pipe);
    }

    pub fn remove(&self, key: &PipeKey) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.remove(key);
    }

    pub fn all(&self) -> Vec<Arc<Pipe>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
    }

    /// Those of an account in a region, in the order of their names.
    pub fn under(&self, account_id: &str, region: &str) -> Vec<Arc<Pipe>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_of = |key: &PipeKey| key.account_id == account_id && key.region == region;
        let all = held.iter().filter(|(key, _)| is_of(key));
        all.map(|(_, pipe)| pipe.clone()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
