//! A mapping in memory: what is stored of it, and how far the platform is with it.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    poller::Poller,
    tables::{MappingId, MappingRecord},
};

/// Where a mapping is on the way to what its record says. Lambda's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
}

impl Phase {
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Enabling,
        Self::Enabled,
        Self::Disabling,
        Self::Disabled,
        Self::Updating,
        Self::Deleting,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }

    /// As a record that was just read is found.
    pub fn of(record: &MappingRecord) -> Self {
        match (record.deleting, record.enabled) {
            (true, _) => Self::Deleting,
            (false, true) => Self::Enabled,
            (false, false) => Self::Disabled,
        }
    }
}

/// A record at a revision of the store's.
#[derive(Debug, Clone)]
pub struct Held {
    pub record: Arc<MappingRecord>,
    pub revision: i64,
}

pub struct Mapping {
    pub id: MappingId,
    held: RwLock<Held>,
    phase: Mutex<Phase>,
    /// Why it cannot do its work now, for LastProcessingResult.
    problem: Mutex<Option<String>>,
    poller: Mutex<Option<Poller>>,
    /// Held while the record is changed.
    pub changing: tokio::sync::Mutex<()>,
}

impl Mapping {
    pub fn new(record: MappingRecord, revision: i64, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            id: record.id.clone(),
            held: RwLock::new(Held {
                record: Arc::new(record),
                revision,
            }),
            phase: Mutex::new(phase),
            problem: Mutex::default(),
            poller: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    pub fn held(&self) -> Held {
        let held = self.held.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn record(&self) -> Arc<MappingRecord> {
        self.held().record
    }

    pub fn put(&self, record: MappingRecord, revision: i64) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held {
            record: Arc::new(record),
            revision,
        };
    }

    pub fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    pub fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Sets the phase that a reconciliation came to, unless somebody has changed the record since.
    pub fn settle(&self, seen: &Held, phase: Phase) {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.revision == seen.revision {
            *lock(&self.phase) = phase;
        }
    }

    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    pub fn set_problem(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    pub fn poller(&self) -> MutexGuard<'_, Option<Poller>> {
        lock(&self.poller)
    }
}

/// All mappings of this platform.
#[derive(Default)]
pub struct Mappings(RwLock<BTreeMap<MappingId, Arc<Mapping>>>);

impl Mappings {
    pub fn get(&self, id: &MappingId) -> Option<Arc<Mapping>> {
        self.read().get(id).cloned()
    }

    pub fn insert(&self, mapping: Arc<Mapping>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(mapping.id.clone(), mapping);
    }

    pub fn remove(&self, id: &MappingId) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(id);
    }

    pub fn all(&self) -> Vec<Arc<Mapping>> {
        self.read().values().cloned().collect()
    }

    /// Those of an account in a region that are wanted, by UUID, after one.
    pub fn list(
        &self,
        account_id: &str,
        region: &str,
        after: Option<&str>,
        wanted: impl Fn(&MappingRecord) -> bool,
        limit: usize,
    ) -> Vec<Arc<Mapping>> {
        let id = |uuid: &str| MappingId {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            uuid: uuid.to_owned(),
        };
        let start = match after {
            Some(uuid) => Bound::Excluded(id(uuid)),
            None => Bound::Included(id("")),
        };
        self.read()
            .range((start, Bound::Unbounded))
            .take_while(|(id, _)| id.account_id == account_id && id.region == region)
            .filter(|(_, mapping)| wanted(&mapping.record()))
            .take(limit)
            .map(|(_, mapping)| mapping.clone())
            .collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<MappingId, Arc<Mapping>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
