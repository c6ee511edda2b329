//! Amazon CloudWatch Logs: what functions say and what others put, by group and stream.
//!
//! The lines are files ([`lines`]), definitions are in the store ([`groups`]). What filters make of new
//! lines is done behind their back ([`watch`]); reading wakes nobody and waits for nobody.

mod api;
mod error;
mod groups;
mod ingest;
mod insights;
mod limits;
pub mod lines;
pub mod pattern;
mod policies;
mod queries;
mod tables;
mod target;
mod watch;

use std::{sync::Arc, time::Duration};

use store::Store;
use tokio::{
    sync::{Semaphore, watch as watch_channel},
    task::spawn_blocking,
};
use wire::Timestamp;

pub use error::Error;
use error::Result;
use groups::Groups;
pub use lines::{GroupKey, Line, Listener, LogStream, Logs, Reader};
use policies::Policies;
use queries::Queries;
pub use tables::migration;
use watch::Watching;

use crate::{
    background::{Background, Wake},
    deliveries::Deliveries,
    functions::Functions,
    metrics::Metrics,
};

/// How often groups are looked through for what they keep no longer.
const RETENTION_EVERY: Duration = Duration::from_secs(3600);
/// What is woken anyway is looked at this often as well.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// CloudWatch Logs; a cheap handle.
#[derive(Clone)]
pub struct LogService {
    groups: Arc<Groups>,
    policies: Arc<Policies>,
    functions: Functions,
    watching: Arc<Watching>,
    queries: Arc<Queries>,
    tails: Arc<Semaphore>,
    /// Ends what only waits.
    is_stopping: watch_channel::Sender<bool>,
    wake_retention: Wake,
    wake_watching: Wake,
}

impl LogService {
    /// Opens the service over the lines, and starts what goes on beside requests.
    pub async fn open(
        store: Store,
        logs: Logs,
        functions: Functions,
        deliveries: Deliveries,
        metrics: Metrics,
        background: &Background,
    ) -> Result<Self> {
        let groups = Arc::new(Groups::open(store.clone(), logs.clone()).await?);
        let service = Self {
            policies: Arc::new(Policies::open(store).await?),
            watching: Arc::new(Watching::new(
                groups.clone(),
                functions.clone(),
                deliveries,
                metrics,
            )),
            functions,
            groups: groups.clone(),
            queries: Arc::default(),
            tails: Arc::new(Semaphore::new(limits::TAILS_MAX)),
            is_stopping: watch_channel::Sender::default(),
            wake_retention: Wake::default(),
            wake_watching: Wake::default(),
        };
        let known = groups.clone();
        background.keep("log-groups", RECONCILE_EVERY, logs.wake(), move || {
            let groups = known.clone();
            async move { groups.settle().await }
        });
        let wake = service.wake_retention.clone();
        background.keep("log-retention", RETENTION_EVERY, wake, move || {
            let groups = groups.clone();
            async move { expire(&groups).await }
        });
        let (wake, watching) = (service.wake_watching.clone(), service.watching.clone());
        background.keep("log-filters", RECONCILE_EVERY, wake, move || {
            let watching = watching.clone();
            async move { watching.reconcile().await }
        });
        Ok(service)
    }

    /// Live tails end.
    pub fn begin_stop(&self) {
        self.is_stopping.send_replace(true);
    }

    pub fn lines(&self) -> &Logs {
        self.groups.logs()
    }
}

/// Removes what is older than its group keeps it.
async fn expire(groups: &Groups) -> Result<()> {
    let now_ms = Timestamp::now().as_millisecond();
    for group in groups.all() {
        if group.retention_days.is_none() {
            continue;
        }
        let (logs, before_ms) = (groups.logs().clone(), group.kept_since_ms(now_ms));
        let expired = spawn_blocking(move || logs.expire(&group.key(), before_ms));
        expired.await.map_err(Error::platform)??;
    }
    Ok(())
}
