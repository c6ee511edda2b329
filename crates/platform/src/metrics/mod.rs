//! Amazon CloudWatch: metrics, and alarms that act on them.
//!
//! What is put is in the store when that is answered: one task writes, in transactions that take in
//! all that waits (`writer.rs`). A period of a series is one row with what is kept of its values
//! (`distribution.rs`); older rows are rolled up into coarser ones. Which series there are is also in
//! memory (`index.rs`), so that nothing is searched for in the store.

mod alarms;
mod api;
mod dashboards;
mod data;
mod distribution;
mod embedded;
mod error;
mod index;
mod labels;
mod limits;
mod math;
mod roll_up;
mod series;
mod statistic;
mod tables;
#[cfg(test)]
mod tests;
mod window;
mod writer;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicU64, Ordering},
};

use store::Store;
use tokio::sync::{mpsc, oneshot};

pub use distribution::Distribution;
pub use error::Error;
pub use series::{Datum, Home, Metric};
pub use tables::{alarm_migrations, migration};

use crate::{
    background::{Background, Wake},
    deliveries::Deliveries,
};
use alarms::Alarms;
use error::Result;
use index::Index;

/// A cheap handle.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    store: Store,
    index: Arc<RwLock<Index>>,
    puts: mpsc::Sender<writer::Put>,
    alarms: Alarms,
    /// Data that nobody waits for and that found no room.
    dropped: AtomicU64,
}

impl Metrics {
    /// Reads which series there are, and starts what writes and rolls up.
    pub async fn open(
        store: Store,
        deliveries: Deliveries,
        background: &Background,
    ) -> Result<Self> {
        let index = store.read(tables::load).await?;
        let index = Arc::new(RwLock::new(index));
        let alarms = Alarms::open(&store, deliveries).await?;
        let (puts, waiting) = mpsc::channel(limits::PUTS_WAITING_MAX);
        tokio::spawn(writer::run(store.clone(), index.clone(), waiting));
        let metrics = Self(Arc::new(Inner {
            store,
            index,
            puts,
            alarms,
            dropped: AtomicU64::default(),
        }));
        let rolled = metrics.clone();
        background.keep(
            "metric-roll-up",
            limits::ROLL_UP_EVERY,
            Wake::default(),
            move || roll_up::pass(rolled.clone(), wire::Timestamp::now().as_second()),
        );
        metrics.keep_looking(background);
        Ok(metrics)
    }

    /// Adds data, all or nothing; it is durable when this answers.
    pub async fn put(&self, home: &Home, data: Vec<Datum>) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let put = writer::Put {
            home: home.clone(),
            data,
            done,
        };
        let gone = || Error::platform(store::Error::Closed);
        self.0.puts.send(put).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Adds data that nobody waits for: where too much waits to be written it is dropped, and
    /// counted.
    pub fn offer(&self, home: &Home, data: Vec<Datum>) {
        let count = data.len() as u64;
        let (done, _) = oneshot::channel();
        let put = writer::Put {
            home: home.clone(),
            data,
            done,
        };
        if self.0.puts.try_send(put).is_err() {
            self.0.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What [`Metrics::offer`] dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Series that are kept.
    pub fn series_count(&self) -> usize {
        self.index().len()
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}
