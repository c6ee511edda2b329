//! A version of an object takes its place: the one transaction of every put, copy and completed
//! upload, and of a delete marker.

use std::sync::Arc;

use jiff::Timestamp;
use store::{Tx, params};

use super::{
    Buckets,
    conditions::WriteConditions,
    content::{Lies, intake::Held},
    error::{Error, Result},
    ids,
    notify::Happening,
    registry::{self, Bucket},
    rows::{self, NULL, Version},
    tables::{ObjectRecord, Versioning},
};

/// Writes the content of the version with this number, and says where it lies. May run again, as
/// transactions do.
pub type Content = Arc<dyn Fn(&mut Tx, i64) -> Result<Lies, Failure> + Send + Sync>;

/// A version that is to be.
#[derive(Clone)]
pub struct New {
    pub key: String,
    pub size: u64,
    pub modified: Timestamp,
    pub is_marker: bool,
    /// All but where the content lies.
    pub record: ObjectRecord,
    pub content: Content,
    pub conditions: WriteConditions,
    /// The multipart upload that this completes, whose row goes.
    pub upload: Option<i64>,
    /// What is told of it.
    pub happening: Option<Happening>,
}

/// Why a transaction did not take place.
#[derive(Debug)]
pub enum Failure {
    /// The bucket's configuration is not what it was decided by.
    Stale,
    Refused(Error),
    Store(store::Error),
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// Whether nothing of it was kept, for sure.
    pub fn is_certain(&self) -> bool {
        !matches!(
            self,
            Self::Store(
                store::Error::CommitUnknown { .. }
                    | store::Error::Closed
                    | store::Error::Panicked { .. }
            )
        )
    }

    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Store(error) => error.into(),
            // Whoever tries again has done so often enough.
            Self::Stale => Error::new(
                super::error::Code::OperationAborted,
                "A conflicting conditional operation is currently in progress against this \
                 resource. Please try again.",
            ),
        }
    }
}

/// How often a write is tried again because the bucket's configuration changed.
const TRIES: usize = 8;

impl Buckets {
    /// Puts a version in its place.
    pub(super) async fn place(&self, bucket: Arc<Bucket>, new: New) -> Result<Version, Failure> {
        let random = ids::random();
        let new = Arc::new(new);
        self.against(bucket, move |tx, this, bucket| {
            let seq = this.next_seq();
            put_in_place(tx, this, bucket, &new, seq, &random)
        })
        .await
    }

    /// A transaction against a bucket as it is configured, again if that changed meanwhile.
    pub(super) async fn against<T: Send + 'static>(
        &self,
        mut bucket: Arc<Bucket>,
        act: impl Fn(&mut Tx, &Buckets, &Bucket) -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<T, Failure> {
        let act = Arc::new(act);
        for _ in 0..TRIES {
            let (this, act, decided_by) = (self.clone(), act.clone(), bucket.clone());
            let done = self.store().try_write(move |tx| {
                if !registry::still(tx, &decided_by)? {
                    return Err(Failure::Stale);
                }
                act(tx, &this, &decided_by)
            });
            match done.await {
                Err(Failure::Stale) => {}
                done => return done,
            }
            self.registry().settled(&bucket.name).await;
            let now = self.registry().require(&bucket.name)?;
            if now.id() != bucket.id() {
                return Err(Error::no_bucket(&bucket.name).into());
            }
            bucket = now;
        }
        Err(Failure::Stale)
    }

    /// [`Buckets::place`] of what was taken in, whose file stays only if it is referred to.
    pub(super) async fn place_taken(
        &self,
        bucket: Arc<Bucket>,
        mut new: New,
        held: Held,
    ) -> Result<Version> {
        let (content, mut file) = match held {
            Held::Nothing => (Lies::Nowhere, None),
            Held::Bytes(bytes) => {
                new.content = Arc::new(move |tx, seq| {
                    rows::insert_body(tx, seq, &bytes)?;
                    Ok(Lies::Row(seq))
                });
                return self.place(bucket, new).await.map_err(Failure::into_error);
            }
            Held::File(file) => (Lies::File(file.hash), Some(file)),
        };
        new.content = Arc::new(move |tx, _| {
            if let Lies::File(hash) = &content {
                rows::refer_first(tx, *hash)?;
            }
            Ok(content.clone())
        });
        if let Some(file) = &mut file {
            file.keep();
        }
        let placed = self.place(bucket, new).await;
        if let (Err(failure), Some(file)) = (&placed, file)
            && failure.is_certain()
        {
            file.discard();
        }
        placed.map_err(Failure::into_error)
    }
}

/// No content.
pub fn nothing() -> Content {
    Arc::new(|_, _| Ok(Lies::Nowhere))
}

fn put_in_place(
    tx: &mut Tx,
    this: &Buckets,
    bucket: &Bucket,
    new: &New,
    seq: i64,
    random: &ids::Random,
) -> Result<Version, Failure> {
    let id = bucket.id();
    let current = rows::current(tx, id, &new.key)?;
    let crossed = match new.upload {
        Some(upload) if new.conditions != WriteConditions::None => {
            is_crossed(tx, id, &new.key, upload)?
        }
        _ => false,
    };
    new.conditions.check(&new.key, current.as_ref(), crossed)?;
    let lies = (new.content)(tx, seq)?;
    let version_id = match bucket.record.versioning {
        Versioning::Enabled => ids::version(random, seq),
        Versioning::Unset | Versioning::Suspended => NULL.to_owned(),
    };
    if version_id == NULL {
        remove_null(tx, this, bucket, &new.key, current, new.modified)?;
    } else if let Some(current) = current {
        rows::retire(tx, id, &current, new.modified)?;
    }
    if let Some(upload) = new.upload {
        tx.execute(
            "DELETE FROM object_uploads WHERE bucket = $1 AND key = $2 AND id = $3",
            params![id, new.key.as_bytes(), upload],
        )?;
    }
    cross(tx, id, &new.key)?;
    let version = Version {
        key: new.key.clone(),
        seq,
        version_id,
        is_marker: new.is_marker,
        modified: new.modified,
        size: new.size,
        is_current: true,
        noncurrent_since: None,
        record: ObjectRecord {
            lies,
            ..new.record.clone()
        },
    };
    rows::insert(tx, id, &version)?;
    if let Some(happening) = &new.happening {
        this.tell(tx, bucket, &version, happening)?;
    }
    Ok(version)
}

/// What has the version id `null` goes; what is current beside it becomes an older version.
fn remove_null(
    tx: &mut Tx,
    this: &Buckets,
    bucket: &Bucket,
    key: &str,
    current: Option<Version>,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = bucket.id();
    match current {
        Some(current) if current.version_id == NULL => {
            rows::remove_row(tx, id, &current)?;
            rows::release(tx, &current.record.lies)?;
            this.released(&current.record.lies);
            return Ok(());
        }
        Some(current) => rows::retire(tx, id, &current, now)?,
        None => {}
    }
    // Only where versioning was on there can be an older one.
    if bucket.has_versions()
        && let Some(old) = rows::find(tx, id, key, NULL)?
    {
        rows::remove_row(tx, id, &old)?;
        rows::release(tx, &old.record.lies)?;
        this.released(&old.record.lies);
    }
    Ok(())
}

/// Uploads of this key that are under way learn that the object was changed meanwhile.
pub fn cross(tx: &mut Tx, bucket: i64, key: &str) -> store::Result<()> {
    tx.execute(
        "UPDATE object_uploads SET is_crossed = 1 WHERE bucket = $1 AND key = $2",
        params![bucket, key.as_bytes()],
    )?;
    Ok(())
}

fn is_crossed(tx: &mut Tx, bucket: i64, key: &str, upload: i64) -> store::Result<bool> {
    let row = tx.query_opt(
        "SELECT is_crossed FROM object_uploads WHERE bucket = $1 AND key = $2 AND id = $3",
        params![bucket, key.as_bytes(), upload],
    )?;
    row.map_or(Ok(false), |row| Ok(row.get::<i64>("is_crossed")? != 0))
}
