//! The store's handle: opens an engine, migrates its schema, and hands closures to its threads.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::engine::{Connector, Role, Session};
use crate::error::{Error, Result};
use crate::faults::{self, Faults};
use crate::job::Closure;
use crate::limits;
use crate::migrate::{Migration, migrate};
use crate::owner::{Owner, Tenure};
use crate::postgres::Postgres;
use crate::queue::{Entry, queue};
use crate::sqlite::Sqlite;
use crate::tx::{ReadTx, Tx};
use crate::writer::{Counters, Turn};
use crate::{reader, writer};

/// Where the store is and how much it may take.
#[derive(Clone)]
pub struct StoreConfig {
    /// A directory (SQLite), or `postgres://...`; may hold a password, so it is never printed.
    pub location: String,
    /// Who wants the store to itself; shared with whoever else opens it when not given.
    pub owner: Option<Owner>,
    /// Connections that read at once.
    pub readers: usize,
    /// Connections that write at once; SQLite has always one.
    pub postgres_writers: usize,
    /// How long a statement may take (in SQLite, those of one closure together).
    pub statement_time_max: Duration,
    /// How long transactions wait for a PostgreSQL server that has just gone away.
    pub postgres_outage_borne: Duration,
    /// How long a PostgreSQL server may take to see that the owner before has ended.
    pub postgres_owner_wait: Duration,
    /// The largest the SQLite file may become; unlimited when not given.
    pub sqlite_bytes_max: Option<u64>,
    /// Transactions that fail on purpose, for tests.
    pub faults: Option<Arc<dyn Faults>>,
}

impl StoreConfig {
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            owner: None,
            readers: 4,
            statement_time_max: Duration::from_secs(30),
            postgres_writers: 4,
            postgres_outage_borne: Duration::from_secs(10),
            postgres_owner_wait: limits::OWNER_WAIT,
            sqlite_bytes_max: None,
            faults: None,
        }
    }
}

/// What the store has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions of the database.
    pub commits: u64,
    /// Closures whose changes are in them.
    pub writes: u64,
    /// Batches run again, after a conflict with another writer or a lost connection.
    pub repeats: u64,
    pub reads: u64,
}

/// A cheap handle; the last one dropped lets the threads finish what is queued and end.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the store and brings its schema up to date.
    pub async fn open(config: StoreConfig, migrations: &[Migration]) -> Result<Self> {
        let connector = connector(&config)?;
        let migrations = migrations.to_vec();
        let (opened, result) = oneshot::channel();
        std::thread::Builder::new()
            .name("store-open".into())
            .spawn(move || {
                let _ = opened.send(Shared::start(&config, connector, &migrations));
            })
            .map_err(Error::io)?;
        let shared = result.await.map_err(|_| Error::Closed)??;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Runs a transaction and answers once it is durable.
    ///
    /// The closure may run several times and only its last run counts, so it must not act on
    /// anything but `tx`. Its error rolls its changes back. Transactions take effect one after
    /// the other. A caller that stops waiting does not stop the transaction.
    pub async fn write<T, F>(&self, act: F) -> Result<T>
    where
        F: Fn(&mut Tx) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.try_write(act).await
    }

    /// [`Store::write`] for a closure that fails with an error of its own.
    pub async fn try_write<T, E, F>(&self, act: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let written = submit(&self.shared.writes, act);
        match &self.shared.faults {
            Some(faults) => faults::meet(faults.write(), written).await,
            None => written.await,
        }
    }

    /// Runs a closure on one consistent snapshot that sees every write answered before.
    pub async fn read<T, F>(&self, act: F) -> Result<T>
    where
        F: Fn(&mut ReadTx) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.try_read(act).await
    }

    /// [`Store::read`] for a closure that fails with an error of its own.
    pub async fn try_read<T, E, F>(&self, act: F) -> Result<T, E>
    where
        F: Fn(&mut ReadTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let read = submit(&self.shared.reads, move |tx: &mut Tx| act(tx));
        match &self.shared.faults {
            Some(faults) => faults::meet(faults.read(), read).await,
            None => read.await,
        }
    }

    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            commits: counters.commits.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            repeats: counters.repeats.load(Ordering::Relaxed),
            reads: counters.reads.load(Ordering::Relaxed),
        }
    }

    /// Answers when another process has taken over the store that this one owned, with
    /// [`Error::NotOwner`], and never otherwise. By then no write of this process can succeed.
    pub async fn taken_over(&self) -> Error {
        let Some(mut lost) = self.shared.lost.clone() else {
            return std::future::pending().await;
        };
        match lost
            .wait_for(Option::is_some)
            .await
            .map(|lost| lost.clone())
        {
            Ok(Some(error)) => error,
            // Closed, or of a kind that cannot be lost.
            _ => std::future::pending().await,
        }
    }

    /// Finishes what is queued, closes the connections and answers when that is done. Later
    /// calls on any handle get [`Error::Closed`].
    pub async fn close(&self) {
        let shared = self.shared.clone();
        let (closed, done) = oneshot::channel();
        let waiter = std::thread::Builder::new()
            .name("store-close".into())
            .spawn(move || {
                shared.close();
                let _ = closed.send(());
            });
        if waiter.is_ok() {
            let _ = done.await;
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = match is_postgres(&self.location) {
            true => "postgres://...",
            false => &self.location,
        };
        f.debug_struct("StoreConfig")
            .field("location", &location)
            .finish_non_exhaustive()
    }
}

async fn submit<T, E, F>(queue: &Entry, act: F) -> Result<T, E>
where
    F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (closure, answer) = Closure::new(act, queue.place().await?);
    queue.send(Box::new(closure))?;
    answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
}

fn connector(config: &StoreConfig) -> Result<Arc<dyn Connector>> {
    let location = &config.location;
    if is_postgres(location) {
        return Ok(Arc::new(Postgres::at(location, config)?));
    }
    Ok(Arc::new(Sqlite::open(Path::new(location), config)?))
}

fn is_postgres(location: &str) -> bool {
    location.starts_with("postgres://") || location.starts_with("postgresql://")
}

struct Shared {
    writes: Entry,
    reads: Entry,
    counters: Arc<Counters>,
    lost: Option<watch::Receiver<Option<Error>>>,
    faults: Option<Arc<dyn Faults>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    fn start(
        config: &StoreConfig,
        connector: Arc<dyn Connector>,
        migrations: &[Migration],
    ) -> Result<Self> {
        // Before the schema changes: a living owner may be at work on the old one.
        let tenure = match &config.owner {
            Some(owner) => Some(Arc::new(connector.own(owner)?)),
            None => None,
        };
        migrate(connector.connect(Role::Writer)?.as_mut(), migrations)?;
        let (writes, to_write) = queue(limits::WAITING_MAX);
        let (reads, to_read) = queue(limits::WAITING_MAX);
        let counters = Arc::new(Counters::default());
        let turn = Arc::new(Turn::default());
        let mut threads = Vec::new();
        for _ in 0..connector.writers(config) {
            let session = Session::new(connector.clone(), Role::Writer);
            let (queue, counters, turn) = (to_write.clone(), counters.clone(), turn.clone());
            let tenure = tenure.clone();
            threads.push(thread("store-writer", move || {
                // To the end of the last writer, which may still have work when all handles are
                // gone.
                let _held: Option<Arc<Tenure>> = tenure;
                writer::run(session, &queue, &counters, &turn)
            })?);
        }
        for _ in 0..config.readers.max(1) {
            let session = Session::new(connector.clone(), Role::Reader);
            let (queue, counters) = (to_read.clone(), counters.clone());
            threads.push(thread("store-reader", move || {
                reader::run(session, &queue, &counters)
            })?);
        }
        Ok(Self {
            writes,
            reads,
            counters,
            lost: tenure.map(|tenure| tenure.lost.clone()),
            faults: config.faults.clone(),
            threads: Mutex::new(threads),
        })
    }

    fn close(&self) {
        self.writes.close();
        self.reads.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(Error::io)
}
