//! AWS Lambda: functions, their definitions and their execution.
//!
//! [`Functions`] holds the definitions: it stores them, shows them, keeps their packages, and
//! hands what is to run to an [`Executor`]. What Lambda has and this platform has not yet is
//! refused by name, never stored and ignored.

mod account;
mod aliases;
mod api;
mod code;
mod code_store;
mod create;
mod definitions;
mod delete;
mod deployment;
mod discovery;
pub mod durable;
pub(crate) mod error;
mod event_invoke;
pub mod execution;
mod executor;
mod get;
pub mod images;
pub mod installed;
mod invoke;
pub(crate) mod json_text;
mod layers;
mod limits;
pub mod lineage;
mod list;
pub mod network;
mod package;
mod permissions;
mod provisioned;
mod publish;
mod qualifier;
mod recursion;
mod requested;
mod reserved;
mod response_stream;
mod runtime_management;
pub mod runtimes;
mod signing;
mod snapstart;
mod source_access;
mod tables;
mod tags;
mod update;
mod url;
mod url_access;
mod view;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::SystemTime,
};

use store::{BlobHash, BlobStore, Page, Record, Store, Stored, Table, Tx};
use tokio::sync::Semaphore;
use wire::Context;

use crate::secrets::Secrets;

pub(crate) use api::{refusal, to_its_end};
pub use code::LINK_PATH;
pub use code_store::{CodeFailure, CodePlace, CodeStore};
pub use error::{Error, Result};
pub use event_invoke::{AskedEventInvoke, EventTerms, function_at};
pub use executor::{DeployError, DeployFault, Executor};
pub use invoke::AsyncEvent;
pub use json_text::check as check_json;
pub use layers::migrations as layer_migrations;
pub use limits::EVENT_BYTES_MAX;
pub use qualifier::LATEST;
pub use signing::migration as signing_migration;
pub use tables::{MIGRATION_COUNT, migrations, version_migrations};
pub use url::{InvokeMode, URL_PATH, UrlTarget, is_url_id};
pub use url_access::{AuthType, url_allowed};

use code::Packages;
use definitions::{Definitions, Draft, Entry, KeyLocks, Published};
use execution::{FunctionKey, VersionKey};
use images::{Images, ImagesConfig};
use runtimes::Runtimes;
use tables::{ALIASES, FUNCTION_URLS, FUNCTIONS, FunctionRecord, Spec, UrlOwner, VERSIONS};

pub struct FunctionsConfig {
    /// For the unpacked packages.
    pub data_dir: PathBuf,
    pub secrets: Arc<Secrets>,
    pub store: Store,
    pub blobs: BlobStore,
    pub executor: Arc<dyn Executor>,
    pub runtimes: Runtimes,
    /// The platform's own address as clients reach it, e.g. `http://localhost:4566`.
    pub base_url: String,
    /// Invocations at once per account and region; 1,000 in Lambda.
    pub account_concurrency: u32,
    pub images: ImagesConfig,
}

/// The functions of this platform; a cheap handle.
#[derive(Clone)]
pub struct Functions(Arc<Inner>);

struct Inner {
    store: Store,
    executor: Arc<dyn Executor>,
    runtimes: Runtimes,
    base_url: String,
    account_concurrency: u32,
    secrets: Arc<Secrets>,
    packages: Packages,
    images: Images,
    definitions: Definitions,
    /// Held while a function's record is changed.
    changes: KeyLocks,
    /// Held while what a function can reserve is decided.
    reservations: tokio::sync::Mutex<()>,
    /// Held while a function is being deployed.
    deployments: KeyLocks,
    deploying: Semaphore,
    /// Held while snapshots of a function's versions are made.
    snapshots: KeyLocks,
    snapshotting: Semaphore,
    /// Which generation the executor has.
    deployed: Mutex<HashMap<VersionKey, i64>>,
    durable: OnceLock<Arc<dyn durable::DurableRuns>>,
    code_store: OnceLock<Arc<dyn CodeStore>>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("open the unpacked packages")]
    Packages(#[from] std::io::Error),
    #[error("read the functions")]
    Store(#[from] store::Error),
}

const LOAD_PAGE: u32 = 500;

impl Functions {
    /// Loads what is stored and goes on with what a crash interrupted. Functions that are active
    /// are deployed when they are first called.
    pub async fn open(config: FunctionsConfig) -> Result<Self, OpenError> {
        tokio::fs::create_dir_all(&config.data_dir).await?;
        let (data, blobs) = (&config.data_dir, config.blobs);
        let packages = Packages::open(data.join("code"), blobs.clone()).await?;
        let images = Images::open(data.join("images"), blobs, &packages, config.images).await?;
        let functions = Self(Arc::new(Inner {
            store: config.store,
            executor: config.executor,
            runtimes: config.runtimes,
            base_url: config.base_url,
            account_concurrency: config.account_concurrency,
            secrets: config.secrets,
            packages,
            images,
            definitions: Definitions::default(),
            changes: KeyLocks::default(),
            reservations: tokio::sync::Mutex::default(),
            deployments: KeyLocks::default(),
            deploying: Semaphore::new(limits::DEPLOYMENTS_AT_ONCE),
            snapshots: KeyLocks::default(),
            snapshotting: Semaphore::new(limits::SNAPSHOTS_AT_ONCE),
            deployed: Mutex::default(),
            durable: OnceLock::new(),
            code_store: OnceLock::new(),
        }));
        functions.load().await?;
        Ok(functions)
    }

    async fn load(&self) -> Result<(), OpenError> {
        let mut published: HashMap<FunctionKey, Published> = HashMap::new();
        let mut after = None;
        while let Some(page) = self.load_page(VERSIONS, &mut after).await? {
            for stored in page {
                let of = published.entry(owning(&stored.key)).or_default();
                of.put_version(stored.record);
            }
        }
        let mut after = None;
        while let Some(page) = self.load_page(ALIASES, &mut after).await? {
            for stored in page {
                let of = published.entry(owning(&stored.key)).or_default();
                of.put_alias(stored.record);
            }
        }
        let mut after = None;
        while let Some(page) = self.load_page(FUNCTIONS, &mut after).await? {
            for stored in page {
                let of = published.remove(&stored.record.key()).unwrap_or_default();
                self.0.definitions.put(stored.record, of, stored.revision);
            }
        }
        let all = self.0.definitions.all();
        for entry in all {
            if let Some(reserved) = entry.record.reserved_concurrency {
                self.0
                    .executor
                    .set_reserved_concurrency(&entry.key, Some(reserved));
            }
            if !entry.record.provisioned.is_empty() {
                self.provision(&entry);
            }
            let versions = &entry.published.versions;
            if entry.record.is_unsettled() || versions.values().any(|it| snapstart::is_pending(it))
            {
                self.settle_later(entry.key.clone());
            }
            if versions.values().any(|version| version.spec.snap_start) {
                self.remake_snapshots(entry.key.clone());
            }
        }
        Ok(())
    }

    /// The next records of a table, after a key that it moves on; none at the end.
    async fn load_page<R: Record + Send + 'static>(
        &self,
        table: Table<R>,
        after: &mut Option<Vec<String>>,
    ) -> Result<Option<Vec<Stored<R>>>, OpenError> {
        let from = after.take();
        let page = self.0.store.read(move |tx| {
            let from: Option<Vec<&str>> = from
                .as_ref()
                .map(|parts| parts.iter().map(String::as_str).collect());
            let page = Page {
                prefix: &[],
                after: from.as_deref(),
                limit: LOAD_PAGE,
            };
            table.list(tx, page)
        });
        let page = page.await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        *after = Some(last.key.parts().map(str::to_owned).collect());
        Ok(Some(page))
    }

    /// Gives the disk back what functions that are gone or changed left on it, from time to time
    /// until the future is dropped.
    pub async fn keep_collecting(self) {
        let mut turn = tokio::time::interval(limits::COLLECT_EVERY);
        loop {
            turn.tick().await;
            if let Err(error) = self.collect(SystemTime::now()).await {
                tracing::warn!(?error, "collect unused packages; will try again");
            }
        }
    }

    async fn collect(&self, now: SystemTime) -> Result<()> {
        // Layers first: what a function takes over from one later, it takes from one seen here.
        let mut used: BTreeSet<String> = self.layer_blobs().await?;
        let all = self.0.definitions.all();
        let of_functions = all.iter().flat_map(|entry| blobs_of(entry));
        used.extend(of_functions.map(|blob| blob.to_string()));
        let grace = limits::COLLECT_GRACE;
        let unpacked = self.0.images.unpacked();
        let collected = unpacked.collect(used.clone(), now, grace).await;
        collected.map_err(Error::disk)?;
        self.0.packages.collect(used, now, grace).await
    }

    /// The package that a link (what follows [`LINK_PATH`]) is to, if it is good now.
    pub fn linked_package(&self, token: &str, now: wire::Timestamp) -> Option<BlobHash> {
        code::linked(&self.0.secrets, token, now)
    }

    /// The function of a key, or Lambda's word that there is none.
    fn find(&self, key: &FunctionKey) -> Result<Arc<Entry>> {
        self.0
            .definitions
            .get(key)
            .ok_or_else(|| not_found(key, None))
    }

    /// Changes a record: the change is decided on a copy, stored, and then seen by all.
    async fn change<T>(
        &self,
        key: &FunctionKey,
        act: impl FnOnce(&mut FunctionRecord) -> Result<T>,
    ) -> Result<(Arc<Entry>, T)> {
        self.change_all(key, |draft| act(&mut draft.record)).await
    }

    /// The same with the function's versions and aliases.
    async fn change_all<T>(
        &self,
        key: &FunctionKey,
        act: impl FnOnce(&mut Draft) -> Result<T>,
    ) -> Result<(Arc<Entry>, T)> {
        let _changing = self.0.changes.lock(key).await;
        let entry = self.find(key)?;
        let mut draft = Draft {
            record: entry.record.clone(),
            published: entry.published.clone(),
        };
        let answer = act(&mut draft)?;
        let Draft { record, published } = draft;
        let (before, after, expected) = (entry.clone(), record.clone(), entry.revision);
        let published_after = published.clone();
        let written = self
            .0
            .store
            .write(move |tx| {
                for url in added(&after, &before.record) {
                    FUNCTION_URLS.insert(tx, &[url], &owner(&after))?;
                }
                for url in added(&before.record, &after) {
                    FUNCTION_URLS.delete(tx, &[url])?;
                }
                write_published(tx, &before, &published_after)?;
                let key = [&*after.account_id, &*after.region, &*after.name];
                FUNCTIONS.update(tx, &key, expected, &after)
            })
            .await;
        match written {
            Ok(revision) => {
                let provisioned = !entry.record.provisioned.is_empty();
                let entry = self.0.definitions.put(record, published, revision);
                if provisioned || !entry.record.provisioned.is_empty() {
                    self.provision(&entry);
                }
                Ok((entry, answer))
            }
            Err(error) => {
                self.reload(key).await;
                self.go_on_from(&entry);
                Err(error.into())
            }
        }
    }

    /// After a change that failed, and may have been made all the same: what follows from it comes.
    fn go_on_from(&self, before: &Entry) {
        let Some(entry) = self.0.definitions.get(&before.key) else {
            return;
        };
        if !before.record.provisioned.is_empty() || !entry.record.provisioned.is_empty() {
            self.provision(&entry);
        }
        if entry.record.is_unsettled() {
            self.settle_after(entry.key.clone(), limits::SETTLE_AGAIN_AFTER);
        }
    }

    /// After a write whose end is not known: takes over what is stored.
    async fn reload(&self, key: &FunctionKey) {
        let wanted = key.clone();
        let stored = self.0.store.read(move |tx| {
            let key = [&*wanted.account_id, &*wanted.region, &*wanted.name];
            let page = Page {
                prefix: &key,
                after: None,
                limit: u32::MAX,
            };
            let mut published = Published::default();
            for stored in VERSIONS.list(tx, page)? {
                published.put_version(stored.record);
            }
            for stored in ALIASES.list(tx, page)? {
                published.put_alias(stored.record);
            }
            Ok((FUNCTIONS.get(tx, &key)?, published))
        });
        match stored.await {
            Ok((Some(stored), published)) => {
                let Stored {
                    record, revision, ..
                } = stored;
                self.0.definitions.put(record, published, revision);
            }
            Ok((None, _)) => self.0.definitions.remove(key),
            Err(error) => {
                tracing::error!(%error, function = key.name, "a function could not be read again");
            }
        }
    }
}

/// Stores what of a function's versions and aliases is not as it was.
fn write_published(tx: &mut Tx, before: &Entry, after: &Published) -> store::Result<()> {
    let FunctionKey {
        account_id,
        region,
        name,
    } = &before.key;
    let held = &before.published;
    for (number, record) in after.versions.iter() {
        let same = held
            .versions
            .get(number)
            .is_some_and(|held| Arc::ptr_eq(held, record));
        if !same {
            let number = number.to_string();
            VERSIONS.put(tx, &[account_id, region, name, &number], record)?;
        }
    }
    for number in held.versions.keys() {
        if !after.versions.contains_key(number) {
            let number = number.to_string();
            VERSIONS.delete(tx, &[account_id, region, name, &number])?;
        }
    }
    for (alias, record) in after.aliases.iter() {
        let same = held
            .aliases
            .get(alias)
            .is_some_and(|held| Arc::ptr_eq(held, record));
        if !same {
            ALIASES.put(tx, &[account_id, region, name, alias], record)?;
        }
    }
    for alias in held.aliases.keys() {
        if !after.aliases.contains_key(alias) {
            ALIASES.delete(tx, &[account_id, region, name, alias])?;
        }
    }
    Ok(())
}

/// The function that a version or an alias is of, from its key.
fn owning(key: &store::Key) -> FunctionKey {
    let mut parts = key.parts().map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    FunctionKey {
        account_id: next(),
        region: next(),
        name: next(),
    }
}

fn key_of(cx: &Context, name: &str) -> FunctionKey {
    FunctionKey {
        account_id: cx.account_id.clone(),
        region: cx.region.clone(),
        name: name.to_owned(),
    }
}

fn arn_of(key: &FunctionKey, qualifier: Option<&str>) -> String {
    wire::lambda::function_arn(&key.region, &key.account_id, &key.name, qualifier)
}

fn not_found(key: &FunctionKey, qualifier: Option<&str>) -> Error {
    Error::FunctionNotFound {
        arn: arn_of(key, qualifier),
    }
}

/// Whether a qualifier could be an alias's name: not a number, and nothing but word characters.
fn is_alias(qualifier: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    qualifier.bytes().all(word) && !qualifier.bytes().all(|b| b.is_ascii_digit())
}

fn new_revision_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn blobs_of(entry: &Entry) -> impl Iterator<Item = BlobHash> + '_ {
    let record = &entry.record;
    let versions = entry.published.versions.values();
    let specs = std::iter::once(&record.spec)
        .chain(record.serving.as_deref())
        .chain(versions.map(|version| &version.spec));
    specs.flat_map(Spec::blobs)
}

/// The URLs of one record that another does not have.
fn added<'a>(record: &'a FunctionRecord, other: &'a FunctionRecord) -> Vec<&'a str> {
    let ids = record.urls.iter().map(|url| url.id.as_str());
    ids.filter(|id| other.urls.iter().all(|url| url.id != *id))
        .collect()
}

fn owner(record: &FunctionRecord) -> UrlOwner {
    UrlOwner {
        account_id: record.account_id.clone(),
        region: record.region.clone(),
        name: record.name.clone(),
    }
}
