//! Amazon S3: buckets and the objects in them.
//!
//! [`Buckets`] is the service. `api/` is the only place that knows `wire`'s shapes, `front/` what is
//! peculiar to S3 between a request and its operation. Buckets and their configuration are kept in
//! memory ([`registry`]); objects are rows of the store ([`rows`]) whose contents lie in the row or in
//! files ([`content`]). Every change of objects is one transaction, most of them in [`place`].

mod access;
mod acl;
mod api;
mod change;
mod code;
mod collect;
mod conditions;
mod content;
mod copy;
mod error;
pub mod front;
mod ids;
mod lifecycle;
mod limits;
mod list;
mod lock;
mod name;
mod notify;
mod place;
mod range;
mod read;
mod registry;
mod remove;
mod rows;
mod tables;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod uploads;
mod versions;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use store::{BlobStore, Store, params};

pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    background::{Background, Wake},
    deliveries::Deliveries,
    secrets::Secrets,
};
use content::{Intake, Lies, Pins, cipher::CustomerKey};
use registry::Registry;

/// A cheap handle.
#[derive(Clone)]
pub struct Buckets(Arc<Inner>);

struct Inner {
    store: Store,
    blobs: BlobStore,
    pins: Pins,
    secrets: Arc<Secrets>,
    deliveries: Deliveries,
    /// Something is to be told.
    telling: Wake,
    registry: Registry,
    /// The number of the next version.
    next_seq: AtomicI64,
    garbage: Wake,
    lifecycles: Wake,
    /// A transaction released a file.
    has_released: AtomicBool,
}

/// Numbers that a process takes for itself at its start: more than it can use.
const NUMBERS_TAKEN: i64 = 1 << 40;

impl Buckets {
    /// Reads what is stored. Files of objects lie in `files`.
    pub async fn open(
        store: Store,
        secrets: Arc<Secrets>,
        deliveries: Deliveries,
        files: &Path,
        background: &Background,
    ) -> store::Result<Self> {
        let blobs = BlobStore::open(files).await?;
        let next = store.write(|tx| {
            let sql = "UPDATE object_sequence SET next = next + $1 WHERE id = 1 RETURNING next";
            let row = tx.query_one(sql, params![NUMBERS_TAKEN])?;
            row.get::<i64>("next")
        });
        let next_seq = AtomicI64::new(next.await? - NUMBERS_TAKEN);
        let buckets = Self(Arc::new(Inner {
            registry: Registry::open(store.clone()).await?,
            store,
            blobs,
            pins: Pins::default(),
            secrets,
            deliveries,
            telling: Wake::default(),
            next_seq,
            garbage: Wake::default(),
            lifecycles: Wake::default(),
            has_released: AtomicBool::new(false),
        }));
        buckets.keep_collecting(background);
        buckets.keep_lifecycles(background, buckets.0.lifecycles.clone());
        Ok(buckets)
    }

    /// Tells what there is to tell from now on: once every kind of target is known to the deliveries.
    pub fn begin(&self, background: &Background) {
        self.keep_telling(background, self.0.telling.clone());
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }

    fn pins(&self) -> &Pins {
        &self.0.pins
    }

    fn secrets(&self) -> &Arc<Secrets> {
        &self.0.secrets
    }

    fn deliveries(&self) -> &Deliveries {
        &self.0.deliveries
    }

    fn telling(&self) -> &Wake {
        &self.0.telling
    }

    /// A content that is to come in.
    fn intake(&self, customer: Option<&CustomerKey>) -> error::Result<Intake> {
        let (blobs, pins) = (self.blobs().clone(), self.pins().clone());
        Ok(Intake::new(blobs, pins, self.secrets(), customer)?)
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Counts up with every version, upload and bucket. Taken in a transaction it has that one's
    /// place in the order.
    fn next_seq(&self) -> i64 {
        self.0.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Objects of a bucket were changed: what is told of it is sent, and files that were released go.
    fn changed(&self, bucket: &registry::Bucket) {
        self.events_came(bucket);
        if self.0.has_released.swap(false, Ordering::Relaxed) {
            self.garbage_came();
        }
    }

    fn lifecycles_changed(&self) {
        self.0.lifecycles.wake();
    }

    fn garbage_came(&self) {
        self.0.garbage.wake();
    }

    /// To be said of what a transaction releases.
    fn released(&self, lies: &Lies) {
        if matches!(lies, Lies::File(_) | Lies::Parts(_)) {
            self.0.has_released.store(true, Ordering::Relaxed);
        }
    }
}
