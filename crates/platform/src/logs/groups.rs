//! The log groups there are: in the store, and all of them in memory.
//!
//! Changes are made one after the other, in the store first. A group that a function writes to is
//! there without having been asked for, and so are those that an older version left on disk.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use store::{Page, Store};
use tokio::{sync::Mutex, task::spawn_blocking};
use wire::{Timestamp, arn::Arn};

use super::{
    error::{Error, Result},
    limits,
    lines::{GroupKey, Logs},
    tables::{GROUPS, GroupRecord},
};

pub const STANDARD: &str = "STANDARD";

/// All definitions of groups.
pub struct Groups {
    store: Store,
    logs: Logs,
    known: RwLock<BTreeMap<GroupKey, Arc<GroupRecord>>>,
    /// Held by whoever changes one.
    changing: Mutex<()>,
}

impl GroupRecord {
    pub fn new(key: &GroupKey, created_ms: i64) -> Self {
        Self {
            account_id: key.account_id.clone(),
            region: key.region.clone(),
            name: key.name.clone(),
            created_ms,
            class: STANDARD.to_owned(),
            retention_days: None,
            tags: wire::Map::new(),
            deletion_protection: None,
            metric_filters: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            is_deleting: false,
        }
    }

    pub fn key(&self) -> GroupKey {
        GroupKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            name: self.name.clone(),
        }
    }

    /// Events before this are gone, or will be.
    pub fn kept_since_ms(&self, now_ms: i64) -> i64 {
        let days = self.retention_days.map(i64::from);
        days.map_or(0, |days| now_ms - days * 24 * 3600 * 1000)
    }
}

impl GroupKey {
    /// `arn:aws:logs:eu-west-1:123456789012:log-group:NAME`
    pub fn arn(&self) -> String {
        let resource = format!("log-group:{}", self.name);
        Arn::new("logs", &self.region, &self.account_id, resource).to_string()
    }

    pub fn stream_arn(&self, stream: &str) -> String {
        format!("{}:log-stream:{stream}", self.arn())
    }
}

impl Groups {
    /// Loads what is stored, ends what was being deleted, and takes over what is on disk.
    pub async fn open(store: Store, logs: Logs) -> Result<Self> {
        let mut known = BTreeMap::new();
        let mut deleting = Vec::new();
        let mut after: Option<Vec<String>> = None;
        loop {
            let from = after.clone();
            let page = store.read(move |tx| {
                let after: Option<Vec<&str>> = from
                    .as_ref()
                    .map(|parts| parts.iter().map(String::as_str).collect());
                GROUPS.list(
                    tx,
                    Page {
                        prefix: &[],
                        after: after.as_deref(),
                        limit: 1000,
                    },
                )
            });
            let page = page.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.parts().map(str::to_owned).collect());
            for stored in page {
                let key = stored.record.key();
                match stored.record.is_deleting {
                    true => deleting.push(key),
                    false => {
                        known.insert(key, Arc::new(stored.record));
                    }
                }
            }
        }
        let groups = Self {
            store,
            logs,
            known: RwLock::new(known),
            changing: Mutex::default(),
        };
        for key in deleting {
            groups.bury(&key).await?;
        }
        let logs = groups.logs.clone();
        let found = spawn_blocking(move || logs.found()).await;
        let found = found.map_err(Error::platform)??;
        groups.add_missing(found).await?;
        Ok(groups)
    }

    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the groups known that functions have begun to write to.
    pub async fn settle(&self) -> Result<()> {
        let written_to = self.logs.take_written_to();
        if written_to.is_empty() {
            return Ok(());
        }
        let now_ms = Timestamp::now().as_millisecond();
        let found = written_to.iter().map(|key| (key.clone(), now_ms)).collect();
        let added = self.add_missing(found).await;
        if added.is_err() {
            // For the next who asks.
            self.logs.put_back_written_to(written_to);
        }
        added
    }

    async fn add_missing(&self, found: Vec<(GroupKey, i64)>) -> Result<()> {
        let _changing = self.changing.lock().await;
        let is_missing = |(key, _): &(GroupKey, i64)| !self.read().contains_key(key);
        let missing: Vec<GroupRecord> = found
            .into_iter()
            .filter(is_missing)
            .map(|(key, created_ms)| GroupRecord::new(&key, created_ms))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let records = Arc::new(missing);
        let written = records.clone();
        self.store
            .write(move |tx| {
                for record in written.iter() {
                    let key = [&*record.account_id, &*record.region, &*record.name];
                    GROUPS.put(tx, &key, record)?;
                }
                Ok(())
            })
            .await?;
        let mut known = self.write();
        for record in records.iter() {
            known.insert(record.key(), Arc::new(record.clone()));
        }
        Ok(())
    }

    pub async fn create(&self, record: GroupRecord) -> Result<()> {
        self.settle().await?;
        let _changing = self.changing.lock().await;
        let key = record.key();
        if self.read().contains_key(&key) {
            return Err(Error::GroupExists);
        }
        if self.read().len() >= limits::GROUPS_MAX {
            return Err(Error::OverLimit);
        }
        self.put(record).await
    }

    /// Changes a group that is there.
    pub async fn change<T>(
        &self,
        key: &GroupKey,
        change: impl FnOnce(&mut GroupRecord) -> Result<T>,
    ) -> Result<T> {
        self.settle().await?;
        let _changing = self.changing.lock().await;
        let group = self.read().get(key).cloned();
        let mut record = (*group.ok_or(Error::NoGroup)?).clone();
        let result = change(&mut record)?;
        self.put(record).await?;
        Ok(result)
    }

    async fn put(&self, record: GroupRecord) -> Result<()> {
        let record = Arc::new(record);
        let written = record.clone();
        self.store
            .write(move |tx| {
                let key = [&*written.account_id, &*written.region, &*written.name];
                GROUPS.put(tx, &key, &written).map(|_| ())
            })
            .await?;
        self.write().insert(record.key(), record);
        Ok(())
    }

    /// Deletes a group with all it has.
    pub async fn delete(&self, key: &GroupKey) -> Result<()> {
        self.settle().await?;
        let _changing = self.changing.lock().await;
        let group = self.read().get(key).cloned();
        let mut record = (*group.ok_or(Error::NoGroup)?).clone();
        if record.deletion_protection == Some(true) {
            return Err(Error::Validation(
                "The log group has deletion protection enabled, so that it cannot be deleted."
                    .to_owned(),
            ));
        }
        // From here on it goes, whatever happens: a start after a crash ends it.
        record.is_deleting = true;
        self.put(record).await?;
        self.write().remove(key);
        self.bury(key).await
    }

    async fn bury(&self, key: &GroupKey) -> Result<()> {
        let (logs, gone) = (self.logs.clone(), key.clone());
        let removed = spawn_blocking(move || logs.remove(&gone)).await;
        removed.map_err(Error::platform)??;
        let key = key.clone();
        self.store
            .write(move |tx| {
                GROUPS
                    .delete(tx, &[&key.account_id, &key.region, &key.name])
                    .map(|_| ())
            })
            .await?;
        Ok(())
    }

    pub async fn get(&self, key: &GroupKey) -> Result<Arc<GroupRecord>> {
        let found = self.read().get(key).cloned();
        if let Some(group) = found {
            return Ok(group);
        }
        self.settle().await?;
        self.read().get(key).cloned().ok_or(Error::NoGroup)
    }

    /// Those of an account in a region, by name, behind one.
    pub fn list(
        &self,
        account_id: &str,
        region: &str,
        after: Option<&str>,
    ) -> Vec<Arc<GroupRecord>> {
        let key = |name: &str| GroupKey {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        };
        let from = Bound::Excluded(key(after.unwrap_or_default()));
        let known = self.read();
        let range = known.range((from, Bound::Unbounded));
        let is_of = |key: &GroupKey| key.account_id == account_id && key.region == region;
        range
            .take_while(|(key, _)| is_of(key))
            .map(|(_, group)| group.clone())
            .collect()
    }

    pub fn all(&self) -> Vec<Arc<GroupRecord>> {
        self.read().values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<GroupKey, Arc<GroupRecord>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<GroupKey, Arc<GroupRecord>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
