//! What was used: requests, billed milliseconds and GB-seconds, per function version and day, as
//! Lambda bills them.
//!
//! Every invocation is one line in a journal before its answer is released, so a `kill -9` of the
//! platform loses none; there is no fsync on the way, so a power cut may lose the last minute's.
//! Journals are folded into the store in batches, each exactly once: that one was folded is written
//! in the same transaction, and forgotten when its file is gone for good.

mod journal;
mod price;
mod table;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use journal::{Closed, Journal, Sum};
pub use price::{Cost, Prices};
pub use table::{MIGRATION_SQL, PROVISIONED_MIGRATION_SQL};
use wire::Timestamp;

use crate::limits;

/// How long a line may stay in the journal before it is folded.
const FOLD_EVERY: Duration = Duration::from_secs(60);

/// One invocation, or one refusal of one.
#[derive(Debug, Clone)]
pub struct Usage<'a> {
    pub at: Timestamp,
    pub account_id: &'a str,
    pub region: &'a str,
    pub function: &'a str,
    pub version: &'a str,
    pub architecture: &'a str,
    pub memory_mb: u32,
    pub event: UsageEvent,
}

#[derive(Debug, Clone, Copy)]
pub enum UsageEvent {
    Invoked {
        /// Whole milliseconds, rounded up, with the init's where it was billed.
        billed_ms: u64,
        /// Zero but for the first request of an environment.
        init_ms: u64,
        max_memory_mb: u64,
        failed: bool,
        /// In an environment of provisioned concurrency, which has a price of its own.
        provisioned: bool,
    },
    Throttled,
    /// Environments were kept ready, so many milliseconds all together.
    Provisioned {
        kept_ms: u64,
    },
}

/// What one function version used on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRow {
    pub account_id: String,
    pub region: String,
    pub function: String,
    pub version: String,
    pub architecture: String,
    pub memory_mb: u32,
    /// `YYYY-MM-DD`, in UTC.
    pub day: String,
    pub requests: u64,
    pub errors: u64,
    pub throttles: u64,
    pub billed_ms: u64,
    pub init_ms: u64,
    pub max_memory_mb: u64,
    /// What of the billed time ran in environments of provisioned concurrency.
    pub provisioned_billed_ms: u64,
    /// How long such environments were kept, all together.
    pub provisioned_ms: u64,
}

impl UsageRow {
    /// Billed time by memory size, as Lambda counts it: 1,024 MB for a second is one.
    pub fn gb_s(&self) -> f64 {
        self.gb_s_of(self.billed_ms)
    }

    /// The part of it that ran in environments of provisioned concurrency.
    pub fn provisioned_billed_gb_s(&self) -> f64 {
        self.gb_s_of(self.provisioned_billed_ms)
    }

    /// What was kept ready.
    pub fn provisioned_gb_s(&self) -> f64 {
        self.gb_s_of(self.provisioned_ms)
    }

    fn gb_s_of(&self, ms: u64) -> f64 {
        ms as f64 / 1000.0 * f64::from(self.memory_mb) / 1024.0
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Metering {
    shared: Arc<Shared>,
}

struct Shared {
    store: store::Store,
    journal: Journal,
    node: String,
    /// The folded journals whose files are gone; held while folding.
    folded: tokio::sync::Mutex<Vec<String>>,
    /// Files are closed and not folded.
    behind: AtomicBool,
}

impl Metering {
    /// Opens the journal below a directory and folds what an earlier run left there. `node` names
    /// this machine among those that share the store.
    pub async fn open(
        store: store::Store,
        directory: impl AsRef<Path>,
        node: &str,
    ) -> Result<Self, MeteringError> {
        let directory: PathBuf = directory.as_ref().to_owned();
        let journal = Journal::open(&directory)?;
        let metering = Self {
            shared: Arc::new(Shared {
                store,
                journal,
                node: node.to_owned(),
                folded: tokio::sync::Mutex::default(),
                behind: AtomicBool::default(),
            }),
        };
        metering.fold().await?;
        // Of this node there is no file left that could be folded again.
        table::forget_all(&metering.shared.store, &metering.shared.node).await?;
        metering.shared.folded.lock().await.clear();
        Ok(metering)
    }

    /// Notes a use; returns when it would survive the end of this process.
    pub fn record(&self, usage: &Usage<'_>) {
        match self.shared.journal.append(usage) {
            Ok(len) if len > limits::USAGE_JOURNAL_BYTES_MAX => self.fold_soon(),
            Ok(_) => {}
            Err(not) if !not.kept => {
                tracing::error!(error = %not.error, ?usage, "usage lost: write usage journal");
            }
            Err(not) if not.first => {
                tracing::error!(error = %not.error, "usage waits in memory: write usage journal");
            }
            Err(_) => {}
        }
    }

    /// Folds what the journal holds into the store.
    pub async fn fold(&self) -> Result<(), MeteringError> {
        let mut folded = self.shared.folded.lock().await;
        self.shared.behind.store(true, Ordering::Relaxed);
        // On a full disk the closed ones can be folded all the same, which makes room.
        let rotated = self.shared.journal.rotate();
        for file in self.shared.journal.closed()? {
            let (file, sum) = self.blocking(file, |_, file| summed(file)).await?;
            let id = format!("{}/{}", self.shared.node, file.name);
            table::add(&self.shared.store, id.clone(), sum.rows, folded.clone()).await?;
            folded.clear();
            self.blocking(file, |journal, file| journal.remove(file))
                .await?;
            folded.push(id);
        }
        rotated?;
        self.shared.behind.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Reads and syncs files beside the threads that answer requests.
    async fn blocking<T: Send + 'static>(
        &self,
        file: Closed,
        act: fn(&Journal, &Closed) -> io::Result<T>,
    ) -> io::Result<(Closed, T)> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = act(&shared.journal, &file)?;
            Ok((file, result))
        });
        done.await.map_err(io::Error::other)?
    }

    /// Use by function version and day, both days included, `YYYY-MM-DD`; of all accounts when none
    /// is named. [`MeteringError::TooMany`] where that is more than one answer holds.
    pub async fn usage(
        &self,
        account_id: Option<&str>,
        from_day: &str,
        to_day: &str,
    ) -> Result<Vec<UsageRow>, MeteringError> {
        self.fold().await?;
        let rows = table::read(&self.shared.store, account_id, from_day, to_day).await?;
        if rows.len() > limits::USAGE_ROWS_ANSWERED_MAX as usize {
            return Err(MeteringError::TooMany);
        }
        Ok(rows)
    }

    /// Folds from time to time, until the handle's owner drops the future.
    pub async fn keep_folding(self) {
        let mut turn = tokio::time::interval(FOLD_EVERY);
        loop {
            turn.tick().await;
            if self.shared.journal.is_empty() && !self.shared.behind.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.fold().await {
                tracing::warn!(%error, "fold usage journal; will try again");
            }
        }
    }

    fn fold_soon(&self) {
        if self.shared.folded.try_lock().is_err() {
            return;
        }
        let metering = self.clone();
        tokio::spawn(async move {
            if let Err(error) = metering.fold().await {
                tracing::warn!(%error, "fold usage journal; will try again");
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MeteringError {
    #[error("usage journal: {0}")]
    Journal(#[from] io::Error),
    #[error("usage table: {0}")]
    Store(#[from] store::Error),
    #[error("the bill has too many rows for one answer")]
    TooMany,
}

impl MeteringError {
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Journal(error) => error.kind() == io::ErrorKind::StorageFull,
            Self::Store(error) => matches!(error, store::Error::DiskFull { .. }),
            Self::TooMany => false,
        }
    }
}

fn summed(file: &Closed) -> io::Result<Sum> {
    let sum = journal::sum(&std::fs::read(&file.path)?);
    if sum.damaged > 0 {
        let (lines, journal) = (sum.damaged, file.name.as_str());
        tracing::error!(
            lines,
            journal,
            "usage lost: damaged lines in a usage journal"
        );
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store(dir: &Path) -> store::Store {
        let migrations = [
            store::Migration::new(1, "usage", MIGRATION_SQL),
            store::Migration::new(2, "usage_provisioned", PROVISIONED_MIGRATION_SQL),
        ];
        let config = store::StoreConfig::new(dir.join("store").to_str().unwrap());
        store::Store::open(config, &migrations).await.unwrap()
    }

    pub(super) fn invoked(billed_ms: u64, failed: bool) -> Usage<'static> {
        Usage {
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            account_id: "000000000000",
            region: "us-east-1",
            function: "resize",
            version: "$LATEST",
            architecture: "x86_64",
            memory_mb: 512,
            event: UsageEvent::Invoked {
                billed_ms,
                init_ms: 7,
                max_memory_mb: billed_ms,
                failed,
                provisioned: failed,
            },
        }
    }

    #[tokio::test]
    async fn uses_add_up_by_day_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let metering = Metering::open(store(dir.path()).await, dir.path().join("usage"), "n")
            .await
            .unwrap();
        metering.record(&invoked(1500, false));
        metering.record(&invoked(500, true));
        metering.record(&Usage {
            event: UsageEvent::Throttled,
            ..invoked(0, false)
        });
        metering.record(&Usage {
            event: UsageEvent::Provisioned { kept_ms: 60_000 },
            ..invoked(0, false)
        });
        let rows = metering
            .usage(None, "2026-01-02", "2026-01-02")
            .await
            .unwrap();
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!((row.requests, row.errors, row.throttles), (2, 1, 1));
        assert_eq!(
            (row.provisioned_billed_ms, row.provisioned_ms),
            (500, 60_000)
        );
        assert_eq!(
            (row.billed_ms, row.max_memory_mb, row.init_ms),
            (2000, 1500, 14)
        );
        assert_eq!(row.gb_s(), 1.0);
        let other_day = metering
            .usage(None, "2026-01-03", "2026-01-09")
            .await
            .unwrap();
        assert_eq!(other_day, []);
        let other = metering
            .usage(Some("111111111111"), "2026-01-01", "2026-01-09")
            .await;
        assert_eq!(other.unwrap(), []);
    }

    #[tokio::test]
    async fn a_crash_loses_nothing_and_counts_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let usage_dir = dir.path().join("usage");
        let store = store(dir.path()).await;
        let metering = Metering::open(store.clone(), &usage_dir, "n")
            .await
            .unwrap();
        metering.record(&invoked(10, false));
        // Folded, but the process ends before the journal is removed.
        metering.shared.journal.rotate().unwrap();
        let file = metering.shared.journal.closed().unwrap().remove(0);
        let rows = summed(&file).unwrap().rows;
        table::add(&store, format!("n/{}", file.name), rows, Vec::new())
            .await
            .unwrap();
        metering.record(&invoked(20, false));
        drop(metering);

        let metering = Metering::open(store, &usage_dir, "n").await.unwrap();
        let rows = metering
            .usage(None, "2026-01-01", "2026-01-09")
            .await
            .unwrap();
        assert_eq!(rows[0].billed_ms, 30);
        assert_eq!(rows[0].requests, 2);
    }

    #[tokio::test]
    async fn what_was_folded_is_not_remembered_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let usage_dir = dir.path().join("usage");
        let store = store(dir.path()).await;
        let remembered = async || {
            let count = "SELECT count(*) AS n FROM usage_folded";
            let row = store
                .read(move |tx| tx.query_one(count, store::params![]))
                .await;
            row.unwrap().get::<i64>("n").unwrap()
        };
        let metering = Metering::open(store.clone(), &usage_dir, "n")
            .await
            .unwrap();
        for _ in 0..5 {
            metering.record(&invoked(1, false));
            metering.fold().await.unwrap();
        }
        assert_eq!(remembered().await, 1);
        drop(metering);
        let metering = Metering::open(store.clone(), &usage_dir, "n")
            .await
            .unwrap();
        assert_eq!(remembered().await, 0);
        let rows = metering.usage(None, "2026-01-01", "2026-01-09").await;
        assert_eq!(rows.unwrap()[0].requests, 5);
    }
}
