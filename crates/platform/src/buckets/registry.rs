//! The buckets there are, in memory as they are stored: a request never reads the store for one.
//!
//! A bucket's configuration changes by [`Registry::change`], one at a time. Whoever writes an object
//! does so against the configuration it was decided by: [`still`] refuses in the transaction itself
//! if that is no longer the one that is stored.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use store::{ReadTx, Store, params};
use tokio::sync::Mutex;

use super::{
    access,
    error::{Code, Error, Result},
    limits, rows,
    tables::{BucketRecord, RECORD_VERSION, Versioning},
};
use crate::identity::policy::Policy;

/// A bucket with its configuration at one time.
#[derive(Debug)]
pub struct Bucket {
    pub name: String,
    pub revision: i64,
    pub record: BucketRecord,
    pub policy: Option<Policy>,
}

impl Bucket {
    fn new(name: String, revision: i64, record: BucketRecord) -> Self {
        let read = |text: &String| match access::read_policy(text) {
            Ok(policy) => Some(policy),
            Err(error) => {
                tracing::error!(%error, bucket = name, "a bucket's policy cannot be read any more");
                // Nobody but the owner, then.
                None
            }
        };
        let policy = record.policy.as_ref().and_then(read);
        Self {
            name,
            revision,
            record,
            policy,
        }
    }

    /// One that is not made yet, to ask what may be in it.
    pub fn fleeting(name: &str, record: BucketRecord) -> Self {
        Self::new(name.to_owned(), 0, record)
    }

    pub fn id(&self) -> i64 {
        self.record.id
    }

    pub fn arn(&self) -> String {
        let partition = wire::arn::partition(&self.record.region);
        format!("arn:{partition}:s3:::{}", self.name)
    }

    /// Whether versions have ids that are shown.
    pub fn has_versions(&self) -> bool {
        self.record.versioning != Versioning::Unset
    }

    pub fn is_public_by_policy(&self) -> bool {
        self.policy.as_ref().is_some_and(Policy::is_public)
    }
}

struct Entry {
    bucket: RwLock<Arc<Bucket>>,
    changing: Mutex<()>,
}

pub struct Registry {
    store: Store,
    buckets: RwLock<BTreeMap<String, Arc<Entry>>>,
}

impl Registry {
    /// Reads what is stored.
    pub async fn open(store: Store) -> store::Result<Self> {
        let read = store.read(|tx| {
            let sql = "SELECT name, revision, version, body FROM buckets WHERE name > $1 \
                       ORDER BY name LIMIT $2";
            let mut found = Vec::new();
            loop {
                let after: String = found
                    .last()
                    .map_or(String::new(), |b: &Bucket| b.name.clone());
                let page = tx.query(sql, params![after, limits::SCAN_ROWS as i64])?;
                let is_last = page.len() < limits::SCAN_ROWS;
                for row in page {
                    let record = rows::decode(&row, "a bucket")?;
                    found.push(Bucket::new(row.get("name")?, row.get("revision")?, record));
                }
                if is_last {
                    return Ok(found);
                }
            }
        });
        let entries = read.await?.into_iter().map(|bucket| {
            let name = bucket.name.clone();
            (name, Arc::new(Entry::new(bucket)))
        });
        Ok(Self {
            store,
            buckets: RwLock::new(entries.collect()),
        })
    }

    /// The bucket of this name, whoever's it is.
    pub fn find(&self, name: &str) -> Option<Arc<Bucket>> {
        Some(self.entry(name)?.now())
    }

    pub fn require(&self, name: &str) -> Result<Arc<Bucket>> {
        self.find(name).ok_or_else(|| Error::no_bucket(name))
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Bucket>> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.values().map(|entry| entry.now()).collect()
    }

    /// Makes a bucket. If there is one of this name, that.
    pub async fn create(&self, name: &str, record: BucketRecord) -> Result<Option<Arc<Bucket>>> {
        let (new_name, new) = (name.to_owned(), record.clone());
        let created = self.store.write(move |tx| {
            let found = tx.query_opt("SELECT id FROM buckets WHERE name = $1", params![&new_name])?;
            if found.is_some() {
                return Ok(false);
            }
            tx.execute(
                "INSERT INTO buckets (name, id, revision, version, body) VALUES ($1, $2, 1, $3, $4)",
                params![&new_name, new.id, RECORD_VERSION, rows::encode(&new)?],
            )?;
            Ok(true)
        });
        if !created.await? {
            return Ok(Some(self.require(name)?));
        }
        let entry = Arc::new(Entry::new(Bucket::new(name.to_owned(), 1, record)));
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        buckets.insert(name.to_owned(), entry);
        Ok(None)
    }

    /// Changes a bucket's configuration: `decide` says what it becomes, or why not.
    pub async fn change(
        &self,
        bucket: &Bucket,
        decide: impl FnOnce(&mut BucketRecord) -> Result<()>,
    ) -> Result<Arc<Bucket>> {
        let entry = self.entry(&bucket.name);
        let entry = entry.ok_or_else(|| Error::no_bucket(&bucket.name))?;
        let _alone = entry.changing.lock().await;
        let old = entry.now();
        if old.id() != bucket.id() {
            return Err(Error::no_bucket(&bucket.name));
        }
        let mut record = old.record.clone();
        decide(&mut record)?;
        let revision = old.revision + 1;
        let (name, new) = (bucket.name.clone(), record.clone());
        let written = self.store.write(move |tx| {
            let sql = "UPDATE buckets SET revision = $1, version = $2, body = $3 \
                       WHERE name = $4 AND id = $5";
            let body = rows::encode(&new)?;
            tx.execute(sql, params![revision, RECORD_VERSION, body, &name, new.id])
        });
        if written.await? == 0 {
            return Err(Error::no_bucket(&bucket.name));
        }
        let new = Arc::new(Bucket::new(bucket.name.clone(), revision, record));
        *entry.bucket.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        Ok(new)
    }

    /// Removes a bucket that has nothing in it.
    pub async fn delete(&self, bucket: &Bucket) -> Result<()> {
        let entry = self.entry(&bucket.name);
        let entry = entry.ok_or_else(|| Error::no_bucket(&bucket.name))?;
        let _alone = entry.changing.lock().await;
        let (name, id) = (bucket.name.clone(), bucket.id());
        let has_versions = entry.now().has_versions();
        let deleted = self.store.try_write(move |tx| -> Result<()> {
            for table in ["objects", "object_versions"] {
                let sql = format!("SELECT seq FROM {table} WHERE bucket = $1 LIMIT 1");
                if tx.query_opt(&sql, params![id])?.is_some() {
                    return Err(not_empty(&name, has_versions));
                }
            }
            // Uploads under way end with it.
            tx.execute(
                "INSERT INTO object_ended (manifest) SELECT id FROM object_uploads WHERE bucket = $1",
                params![id],
            )?;
            tx.execute("DELETE FROM object_uploads WHERE bucket = $1", params![id])?;
            let sql = "DELETE FROM buckets WHERE name = $1 AND id = $2";
            match tx.execute(sql, params![&name, id])? {
                0 => Err(Error::no_bucket(&name)),
                _ => Ok(()),
            }
        });
        deleted.await?;
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        buckets.remove(&bucket.name);
        Ok(())
    }

    /// Waits until a change that is under way is seen in memory too.
    pub async fn settled(&self, name: &str) {
        if let Some(entry) = self.entry(name) {
            let _alone = entry.changing.lock().await;
        }
    }

    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned()
    }
}

impl Entry {
    fn new(bucket: Bucket) -> Self {
        Self {
            bucket: RwLock::new(Arc::new(bucket)),
            changing: Mutex::new(()),
        }
    }

    fn now(&self) -> Arc<Bucket> {
        let bucket = self.bucket.read().unwrap_or_else(PoisonError::into_inner);
        bucket.clone()
    }
}

fn not_empty(name: &str, has_versions: bool) -> Error {
    let message = match has_versions {
        false => "The bucket you tried to delete is not empty",
        true => {
            "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
        }
    };
    Error::new(Code::BucketNotEmpty, message).with("BucketName", name)
}

/// Whether this is how the bucket is stored now.
pub fn still(tx: &mut ReadTx, bucket: &Bucket) -> store::Result<bool> {
    let sql = "SELECT id, revision FROM buckets WHERE name = $1";
    let Some(row) = tx.query_opt(sql, params![&bucket.name])? else {
        return Ok(false);
    };
    let (id, revision): (i64, i64) = (row.get("id")?, row.get("revision")?);
    Ok(id == bucket.id() && revision == bucket.revision)
}
