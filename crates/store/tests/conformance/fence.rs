//! An owner that lost its session to PostgreSQL: it stays the owner while nobody else wants to be,
//! and once somebody is, nothing more of it is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lambent_store::{Error, Owner, Store, params};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, NoTls};

use crate::bench::{Bench, TABLES};

const WRITERS: usize = 16;
/// Acknowledged writes before the next owner comes.
const WRITES: usize = 100;
const ROUNDS: i64 = 25;
/// Some are at work for so long that they end after the next owner has opened, if it lets them.
const SLOW_EVERY: i64 = 29;
const SLOW: &str = "SELECT pg_sleep(0.08)";

const INSERT: &str = "INSERT INTO item (id, n) VALUES ($1, $2)";
/// The owner's lock, as the operator finds it.
const OWNER_LOCKS: &str = "FROM pg_locks WHERE locktype = 'advisory' AND classid = 1870098034 \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn owner(epoch: i64) -> Owner {
    Owner {
        host: "a-host".into(),
        pid: 1000 + epoch as u32,
        since: "noon".into(),
    }
}

fn open(bench: &Bench, epoch: i64) -> JoinHandle<Store> {
    let mut config = bench.config.clone();
    config.owner = Some(owner(epoch));
    config.postgres_writers = 4;
    tokio::spawn(async move {
        let opened = Store::open(config, TABLES).await;
        opened.expect("the owner before is ended")
    })
}

/// Somebody who looks at the database from beside the stores.
struct Administrator {
    client: Client,
}

impl Administrator {
    async fn of(bench: &Bench) -> Self {
        let connected = tokio_postgres::connect(&bench.config.location, NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        Self { client }
    }

    async fn holder(&self) -> Option<i32> {
        let sql = format!("SELECT pid {OWNER_LOCKS} AND granted");
        let row = self.client.query_opt(&sql, &[]).await.unwrap();
        row.map(|row| row.get(0))
    }

    async fn until_somebody_waits(&self) {
        let sql = format!("SELECT pid {OWNER_LOCKS} AND NOT granted");
        while self.client.query(&sql, &[]).await.unwrap().is_empty() {}
    }

    /// Ends the session that says that the owner lives, and nothing else of it.
    async fn end_the_holder(&self) -> i32 {
        let pid = self.holder().await.expect("there is an owner");
        let sql = "SELECT pg_terminate_backend($1)";
        self.client.execute(sql, &[&pid]).await.unwrap();
        pid
    }

    /// The new session of an owner that was held by another one before.
    async fn until_held_anew(&self, before: i32) {
        while self.holder().await.is_none_or(|pid| pid == before) {}
    }
}

/// A next owner, from the moment when the lock of the one before is gone.
async fn take_over(bench: &Bench, administrator: &Administrator, epoch: i64) -> Store {
    let next = open(bench, epoch);
    administrator.until_somebody_waits().await;
    administrator.end_the_holder().await;
    next.await.unwrap()
}

fn was_lost_to(error: &Error, epoch: i64) -> bool {
    matches!(error, Error::NotOwner { by: Some(by) } if *by == owner(epoch))
}

/// Writes until it may no more; gives what was acknowledged.
async fn write_on(
    store: Store,
    epoch: i64,
    next: Arc<AtomicI64>,
    acknowledged: Arc<Notify>,
) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let write = store.write(move |tx| {
            if id % SLOW_EVERY == 0 {
                tx.query(SLOW, &[])?;
            }
            tx.execute(INSERT, params![id, epoch])
        });
        match write.await {
            Ok(_) => drop(ids.insert(id)),
            // Where the next owner ended a connection in the middle of something.
            Err(error) if error.is_transient() => {}
            Err(error) => {
                assert!(was_lost_to(&error, epoch + 1), "{error:?}");
                return ids;
            }
        }
        acknowledged.notify_one();
    }
}

async fn written(store: &Store, epoch: i64) -> BTreeSet<i64> {
    let sql = "SELECT id FROM item WHERE n = $1";
    let rows = store.read(move |tx| tx.query(sql, params![epoch])).await;
    let rows = rows.unwrap();
    rows.iter().map(|row| row.get("id").unwrap()).collect()
}

/// What the next owner finds when it opens is all there ever is of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_owner_is_written_after_the_next_has_opened() {
    let bench = Bench::postgres().await;
    let administrator = Administrator::of(&bench).await;
    let next = Arc::new(AtomicI64::new(0));
    let mut store = open(&bench, 0).await.unwrap();
    for epoch in 0..ROUNDS {
        let acknowledged = Arc::new(Notify::new());
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let (next, acknowledged) = (next.clone(), acknowledged.clone());
            writers.spawn(write_on(store.clone(), epoch, next, acknowledged));
        }
        for _ in 0..WRITES {
            acknowledged.notified().await;
        }
        let successor = take_over(&bench, &administrator, epoch + 1).await;
        let found = written(&successor, epoch).await;
        let acknowledged: BTreeSet<i64> = writers.join_all().await.into_iter().flatten().collect();
        assert!(acknowledged.is_subset(&found), "acknowledged and missing");
        assert!(was_lost_to(&store.taken_over().await, epoch + 1));
        store.close().await;
        let late = &written(&successor, epoch).await - &found;
        assert!(late.is_empty(), "of epoch {epoch}, written late: {late:?}");
        store = successor;
    }
    store.close().await;
}

/// Stopped in the middle of a transaction, as by SIGSTOP: the next owner does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stands_still_is_ended_by_the_next_owner() {
    let bench = Bench::postgres().await;
    let administrator = Administrator::of(&bench).await;
    let store = open(&bench, 0).await.unwrap();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let stopped = store.clone();
    let write = tokio::spawn(async move {
        let write = stopped.write(move |tx| {
            tx.execute(INSERT, params![1, 0])?;
            let _ = begun.send(());
            // Closed later, and then it does not stop a second run.
            let _ = may_go_on.lock().unwrap().recv();
            Ok(())
        });
        write.await
    });
    has_begun.recv().await.unwrap();
    let successor = take_over(&bench, &administrator, 1).await;
    assert_eq!(written(&successor, 0).await, BTreeSet::new());
    drop(go_on);
    let error = write.await.unwrap().unwrap_err();
    assert!(was_lost_to(&error, 1), "{error:?}");
    assert_eq!(written(&successor, 0).await, BTreeSet::new());
    successor.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_without_a_rival_takes_its_lock_again() {
    let bench = Bench::postgres().await;
    let administrator = Administrator::of(&bench).await;
    let store = open(&bench, 0).await.unwrap();
    for id in 0..3 {
        let before = administrator.end_the_holder().await;
        let write = store.write(move |tx| tx.execute(INSERT, params![id, 0]));
        write.await.unwrap();
        administrator.until_held_anew(before).await;
    }
    assert_eq!(written(&store, 0).await.len(), 3);
    let mut config = bench.config.clone();
    config.owner = Some(owner(1));
    config.postgres_owner_wait = std::time::Duration::ZERO;
    let refused = Store::open(config, TABLES).await.map(drop);
    assert!(matches!(refused, Err(Error::Owned { .. })), "{refused:?}");
    store.close().await;
}
