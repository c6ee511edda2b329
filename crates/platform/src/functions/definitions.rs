//! All functions in memory: what every read and every invocation is answered from.
//!
//! The store is written first and this after it, one function at a time under its lock, so that
//! what is seen here is durable. One process owns its store's functions.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{Mutex, MutexGuard};

use super::{
    execution::FunctionKey,
    tables::{AliasRecord, FunctionRecord, VersionRecord},
};

const LOCKS: usize = 64;

/// A function as it is stored.
#[derive(Debug)]
pub struct Entry {
    pub key: FunctionKey,
    pub record: FunctionRecord,
    /// The store's, for the next change.
    pub revision: i64,
    pub published: Published,
}

/// A function's versions and aliases. Cheap to copy: an update of one leaves the others shared.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub versions: Arc<BTreeMap<u64, Arc<VersionRecord>>>,
    pub aliases: Arc<BTreeMap<String, Arc<AliasRecord>>>,
}

impl Published {
    pub fn put_version(&mut self, record: VersionRecord) {
        Arc::make_mut(&mut self.versions).insert(record.number, Arc::new(record));
    }

    pub fn put_alias(&mut self, record: AliasRecord) {
        Arc::make_mut(&mut self.aliases).insert(record.name.clone(), Arc::new(record));
    }

    /// A version or an alias has another revision.
    pub fn revise(&mut self, qualifier: &str, revision_id: &str) {
        if let Some(alias) = self.aliases.get(qualifier) {
            let mut alias = (**alias).clone();
            revision_id.clone_into(&mut alias.revision_id);
            self.put_alias(alias);
        } else if let Some(version) = self.version(qualifier) {
            let mut version = (**version).clone();
            revision_id.clone_into(&mut version.revision_id);
            self.put_version(version);
        }
    }

    /// The version of a number as Lambda writes it: `01` is none.
    pub fn version(&self, number: &str) -> Option<&Arc<VersionRecord>> {
        let parsed = number.parse().ok()?;
        let found = self.versions.get(&parsed)?;
        (parsed.to_string() == number).then_some(found)
    }
}

/// A copy of an entry to which a change is made.
pub struct Draft {
    pub record: FunctionRecord,
    pub published: Published,
}

#[derive(Default)]
pub struct Definitions {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    functions: BTreeMap<FunctionKey, Arc<Entry>>,
    urls: HashMap<String, FunctionKey>,
}

impl Definitions {
    pub fn get(&self, key: &FunctionKey) -> Option<Arc<Entry>> {
        self.read().functions.get(key).cloned()
    }

    pub fn by_url(&self, url_id: &str) -> Option<Arc<Entry>> {
        let known = self.read();
        known.functions.get(known.urls.get(url_id)?).cloned()
    }

    /// The functions of an account in a region, by name, after one.
    pub fn list(
        &self,
        account_id: &str,
        region: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Entry>> {
        let key = |name: &str| FunctionKey {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        };
        let start = match after {
            Some(name) => Bound::Excluded(key(name)),
            None => Bound::Included(key("")),
        };
        let known = self.read();
        let from = known.functions.range((start, Bound::Unbounded));
        from.take_while(|(key, _)| key.account_id == account_id && key.region == region)
            .take(limit)
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.read().functions.values().cloned().collect()
    }

    pub fn put(&self, record: FunctionRecord, published: Published, revision: i64) -> Arc<Entry> {
        let key = record.key();
        let entry = Arc::new(Entry {
            key: key.clone(),
            record,
            revision,
            published,
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        if let Some(before) = known.functions.insert(key, entry.clone()) {
            forget_urls(&mut known.urls, &before);
        }
        for url in &entry.record.urls {
            known.urls.insert(url.id.clone(), entry.key.clone());
        }
        entry
    }

    pub fn remove(&self, key: &FunctionKey) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.functions.remove(key) {
            forget_urls(&mut known.urls, &before);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_urls(urls: &mut HashMap<String, FunctionKey>, entry: &Entry) {
    for url in &entry.record.urls {
        urls.remove(&url.id);
    }
}

/// Locks by key; keys share them, which only costs waiting.
pub struct KeyLocks([Mutex<()>; LOCKS]);

impl Default for KeyLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl KeyLocks {
    pub async fn lock(&self, key: &FunctionKey) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let index = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        self.0[index].lock().await
    }
}
