//! The database server is killed, or restarted, while this process writes to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use lambent_store::{Error, Owner, Store, StoreConfig};
use testkit::postgres::Server;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use crate::{ledger, rounds};

const WRITERS: i64 = 16;
const WRITES_BETWEEN: u64 = 200;

/// What became of the writes.
#[derive(Default)]
struct Fates {
    acknowledged: HashSet<i64>,
    refused: HashSet<i64>,
    unknown: HashSet<i64>,
}

#[derive(Default)]
struct Progress {
    next: AtomicI64,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    moved: Notify,
}

impl Progress {
    async fn more(&self, count: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        while self.acknowledged.load(Ordering::Relaxed) < goal {
            self.moved.notified().await;
        }
    }
}

async fn load(store: Store, progress: Arc<Progress>, writer: i64) -> Fates {
    let mut fates = Fates::default();
    while !progress.stop.load(Ordering::Relaxed) {
        let id = progress.next.fetch_add(1, Ordering::Relaxed);
        match store
            .write(move |tx| ledger::enter(tx, id, writer, None))
            .await
        {
            Ok(()) => {
                fates.acknowledged.insert(id);
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
                progress.moved.notify_one();
            }
            Err(Error::CommitUnknown { .. }) => drop(fates.unknown.insert(id)),
            Err(Error::Unavailable { .. } | Error::Busy { .. } | Error::TimedOut { .. }) => {
                fates.refused.insert(id);
            }
            Err(error) => panic!("entry {id}: {error:?}"),
        }
    }
    fates
}

/// Interrupts a server again and again under load and checks every write's fate.
async fn survive<Interruption: Future<Output = ()>>(
    rounds: u64,
    interrupt: impl Fn(Arc<Server>, String) -> Interruption,
) {
    let server = Arc::new(spawn_blocking(Server::scratch).await.expect("a server"));
    let database = server.database().await;
    let mut config = StoreConfig::new(&database.url);
    // Whatever happens to its connections: it stays the owner, as there is no other.
    config.owner = Some(Owner::this_process("the test began"));
    let store = Store::open(config, ledger::MIGRATIONS)
        .await
        .expect("the store opens");
    let progress = Arc::new(Progress::default());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(load(store.clone(), progress.clone(), writer));
    }
    for _ in 0..rounds {
        progress.more(WRITES_BETWEEN).await;
        interrupt(server.clone(), database.url.clone()).await;
    }
    progress.more(WRITES_BETWEEN).await;
    progress.stop.store(true, Ordering::Relaxed);
    let mut all = Fates::default();
    for fates in writers.join_all().await {
        all.acknowledged.extend(fates.acknowledged);
        all.refused.extend(fates.refused);
        all.unknown.extend(fates.unknown);
    }
    let found = store
        .read(|tx| ledger::find(tx, 0))
        .await
        .expect("read the ledger")
        .ids;
    println!(
        "{rounds} interruptions: {} acknowledged, {} refused, {} unknown, {:?}",
        all.acknowledged.len(),
        all.refused.len(),
        all.unknown.len(),
        store.stats()
    );
    assert!(
        all.acknowledged.is_subset(&found),
        "acknowledged and missing"
    );
    assert!(
        all.refused.is_disjoint(&found),
        "refused and there all the same"
    );
    let said: HashSet<_> = all.acknowledged.union(&all.unknown).copied().collect();
    assert!(
        found.is_subset(&said),
        "there without anybody having been told"
    );
    store.close().await;
    spawn_blocking(move || drop(server))
        .await
        .expect("the server stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_keeps_what_it_acknowledged() {
    survive(rounds(10).min(50), |server, _| again(server, Server::crash)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_postgres_is_waited_for() {
    survive(3, |server, _| again(server, Server::stop)).await;
}

async fn again(server: Arc<Server>, end: fn(&Server)) {
    let restarted = spawn_blocking(move || {
        end(&server);
        server.start();
    });
    restarted.await.expect("the server starts again");
}

/// An administrator's `pg_terminate_backend`, in the middle of commits too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_lose_nothing() {
    survive(rounds(40), |_, url| strike(url, "pg_terminate_backend", 1)).await;
}

/// An administrator's `pg_cancel_backend`: statements fail between others of the same batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_statements_take_no_others_with_them() {
    survive(rounds(40), |_, url| strike(url, "pg_cancel_backend", 20)).await;
}

/// Does something to all connections of the store, a few times in a row.
async fn strike(url: String, function: &str, times: u32) {
    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("connect as the administrator");
    let connection = tokio::spawn(connection);
    let sql = format!(
        "SELECT {function}(pid) FROM pg_stat_activity \
         WHERE application_name = 'lambent' AND datname = current_database()"
    );
    for _ in 0..times {
        client.batch_execute(&sql).await.expect("strike");
    }
    drop(client);
    let _ = connection.await;
}
