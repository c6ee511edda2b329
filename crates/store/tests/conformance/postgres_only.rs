//! What only a database server does: it conflicts, goes away, and is somewhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambent_store::{Error, Migration, Store, StoreConfig, params};
use testkit::postgres::Server;
use tokio::task::{JoinSet, spawn_blocking};

use crate::bench::{Bench, TABLES};

/// The server takes a table that it has never looked at for a small one.
#[tokio::test]
async fn rows_are_found_by_their_keys_also_before_the_table_is_known() {
    let bench = Bench::postgres().await;
    let store = bench.store().await;
    let plan = store.write(|tx| {
        for chunk in 0..20 {
            let rows = (chunk * 500..(chunk + 1) * 500).map(|id| format!("({id}, 0)"));
            let rows = rows.collect::<Vec<_>>().join(",");
            let sql = format!("INSERT INTO item (id, n) VALUES {rows}");
            tx.execute(&sql, params![])?;
        }
        let few = (0..64).map(|id| format!("({id})")).collect::<Vec<_>>();
        let few = few.join(",");
        let sql = format!(
            "EXPLAIN DELETE FROM item AS i USING (VALUES {few}) AS v (id) WHERE i.id = v.id"
        );
        tx.query(&sql, params![])
    });
    let lines = plan.await.unwrap().into_iter();
    let lines: Vec<String> = lines.map(|row| row.get(0).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line.contains("Index Scan")),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("Seq Scan")),
        "{lines:#?}"
    );
}

/// Several connections of one store and closures that all want the same few rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_run_again() {
    const ROWS: i64 = 5;
    const WRITES: i64 = 1000;
    let mut bench = Bench::postgres().await;
    bench.config.postgres_writers = 4;
    let store = bench.store().await;
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    let rows = store
        .write(move |tx| (0..ROWS).try_for_each(|id| tx.execute(insert, params![id, 0]).map(drop)));
    rows.await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..WRITES {
        let store = store.clone();
        tasks.spawn(async move {
            let write = store.write(move |tx| {
                // Both rows, in either order: without repeats this is a deadlock.
                for id in [number % ROWS, (number * 3 + 1) % ROWS] {
                    let sql = "SELECT n FROM item WHERE id = $1";
                    let n: i64 = tx.query_one(sql, params![id])?.get("n")?;
                    tx.execute("UPDATE item SET n = $1 WHERE id = $2", params![n + 1, id])?;
                }
                Ok(())
            });
            write.await
        });
    }
    let answers = tasks.join_all().await;
    assert!(
        answers.iter().all(Result::is_ok),
        "{:?}",
        answers.iter().find(|a| a.is_err())
    );
    let sum = store
        .read(|tx| tx.query_one("SELECT sum(n) AS n FROM item", params![]))
        .await;
    assert_eq!(sum.unwrap().get::<i64>("n").unwrap(), 2 * WRITES);
}

#[tokio::test]
async fn an_address_without_a_server_is_refused_at_once() {
    let began = Instant::now();
    // Port 1 is nobody's on the loopback interface.
    let config = StoreConfig::new("postgres://nobody@127.0.0.1:1/nothing");
    let refused = Store::open(config, TABLES).await.map(drop);
    assert!(
        matches!(refused, Err(Error::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_url_that_cannot_be_served_is_refused() {
    for url in [
        "postgres://host:port/x",
        "postgres://localhost/x?sslmode=require",
    ] {
        let refused = Store::open(StoreConfig::new(url), TABLES).await.map(drop);
        assert!(
            matches!(refused, Err(Error::Config { .. })),
            "{url}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_unavailable_until_it_is_back() {
    let server = Arc::new(spawn_blocking(Server::scratch).await.unwrap());
    let database = server.database().await;
    let mut config = StoreConfig::new(&database.url);
    config.postgres_outage_borne = Duration::from_secs(1);
    let store = Store::open(config, TABLES).await.unwrap();
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    store
        .write(move |tx| tx.execute(insert, params![1, 1]))
        .await
        .unwrap();
    let stopping = server.clone();
    spawn_blocking(move || stopping.stop()).await.unwrap();
    let write = store
        .write(move |tx| tx.execute(insert, params![2, 1]))
        .await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "{write:?}");
    assert!(write.unwrap_err().is_transient());
    let count = "SELECT count(*) AS n FROM item";
    let read = store.read(move |tx| tx.query_one(count, params![])).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    // By now it is known to be away, and nobody waits for it any more.
    let began = Instant::now();
    let write = store
        .write(move |tx| tx.execute(insert, params![3, 1]))
        .await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "{write:?}");
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}",
        began.elapsed()
    );
    let starting = server.clone();
    spawn_blocking(move || starting.start()).await.unwrap();
    store
        .write(move |tx| tx.execute(insert, params![4, 1]))
        .await
        .unwrap();
    let read = store.read(move |tx| tx.query_one(count, params![])).await;
    assert_eq!(read.unwrap().get::<i64>("n").unwrap(), 2);
    store.close().await;
    spawn_blocking(move || drop(server)).await.unwrap();
}

/// A store of one connection, and the proxy that it goes through.
async fn behind_a_proxy(bench: &Bench) -> (Proxy, Store) {
    let proxy = Proxy::before(&bench.config.location).await;
    let mut config = StoreConfig::new(&proxy.url);
    config.postgres_writers = 1;
    let store = Store::open(config, TABLES).await.unwrap();
    (proxy, store)
}

/// A commit that the server has done and could not tell is a success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_with_a_lost_answer_is_asked_for() {
    let bench = Bench::postgres().await;
    let (proxy, store) = behind_a_proxy(&bench).await;
    let direct = bench.store().await;
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    for id in 0..10 {
        proxy.swallow_the_next_commit();
        store
            .write(move |tx| tx.execute(insert, params![id, 1]))
            .await
            .unwrap();
    }
    assert!(
        proxy.swallowed() >= 10,
        "{} answers were lost",
        proxy.swallowed()
    );
    let sql = "SELECT count(*) AS n FROM item";
    let n = direct
        .read(move |tx| tx.query_one(sql, params![]))
        .await
        .unwrap();
    assert_eq!(n.get::<i64>("n").unwrap(), 10);
}

/// Whatever fails between two closures of a batch, as when an administrator cancels it: none is
/// answered with success whose change went with the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_savepoint_that_fails_takes_no_other_closure_with_it() {
    let bench = Bench::postgres().await;
    let (proxy, store) = behind_a_proxy(&bench).await;
    let direct = bench.store().await;
    for round in 0..10 {
        proxy.spoil_the_next_release();
        let mut writes = JoinSet::new();
        for id in round * 100..round * 100 + 40 {
            let store = store.clone();
            let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
            let write = async move {
                store
                    .write(move |tx| tx.execute(insert, params![id, 1]))
                    .await
            };
            writes.spawn(async move { (id, write.await.is_ok()) });
        }
        let answers = writes.join_all().await;
        let ids = direct
            .read(|tx| tx.query("SELECT id FROM item", params![]))
            .await;
        let ids: Vec<i64> = ids
            .unwrap()
            .iter()
            .map(|row| row.get("id").unwrap())
            .collect();
        for (id, kept) in answers {
            assert_eq!(ids.contains(&id), kept, "entry {id} of {ids:?}");
        }
    }
    assert!(proxy.spoiled() >= 10, "{} were spoiled", proxy.spoiled());
}

#[tokio::test]
async fn a_refused_connection_is_told_without_the_password() {
    let bench = Bench::postgres().await;
    let (server, _) = bench.config.location.rsplit_once('/').unwrap();
    let url = format!("{server}/there-is-no-such-database?password=hunter2");
    let config = StoreConfig::new(url);
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let refused = Store::open(config, TABLES).await.map(drop).unwrap_err();
    let said = format!("{refused}; {refused:?}");
    assert!(matches!(refused, Error::Config { .. }), "{said}");
    assert!(said.contains("there-is-no-such-database"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

/// A migration is no statement of a request's: it may take longer.
#[tokio::test]
async fn a_long_migration_is_not_ended() {
    let mut bench = Bench::postgres().await;
    bench.config.statement_time_max = Duration::from_millis(50);
    let slow = Migration::new(1, "slow", "SELECT pg_sleep(0.3)");
    let mut opening = JoinSet::new();
    // The second waits for the first for longer than a statement may take.
    for _ in 0..2 {
        let (config, slow) = (bench.config.clone(), slow.clone());
        opening.spawn(async move { Store::open(config, &[slow]).await.map(drop) });
    }
    for opened in opening.join_all().await {
        opened.unwrap();
    }
}

use proxy::Proxy;

/// Between the store and the server: drops a connection instead of passing on `COMMIT`'s answer.
mod proxy {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    pub struct Proxy {
        pub url: String,
        state: Arc<State>,
    }

    #[derive(Default)]
    struct State {
        armed: AtomicBool,
        swallowed: AtomicU32,
        spoiling: AtomicBool,
        spoiled: AtomicU32,
    }

    impl Proxy {
        pub async fn before(url: &str) -> Self {
            let config: tokio_postgres::Config = url.parse().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut user = config.get_user().unwrap().to_owned();
            if let Some(password) = config.get_password() {
                user = format!("{user}:{}", String::from_utf8_lossy(password));
            }
            let url = format!(
                "postgres://{user}@127.0.0.1:{port}/{}",
                config.get_dbname().unwrap()
            );
            let state = Arc::new(State::default());
            let accepting = state.clone();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(connect(config.clone(), client, accepting.clone()));
                }
            });
            Self { url, state }
        }

        pub fn swallow_the_next_commit(&self) {
            self.state.armed.store(true, Ordering::SeqCst);
        }

        /// The statement between two closures of one batch becomes one that the server refuses.
        pub fn spoil_the_next_release(&self) {
            self.state.spoiling.store(true, Ordering::SeqCst);
        }

        pub fn spoiled(&self) -> u32 {
            self.state.spoiled.load(Ordering::SeqCst)
        }

        pub fn swallowed(&self) -> u32 {
            self.state.swallowed.load(Ordering::SeqCst)
        }
    }

    impl State {
        fn spoil(&self, sent: &mut [u8]) {
            const BETWEEN: &[u8] = b"RELEASE closure;SAVEPOINT closure";
            let found = sent
                .windows(BETWEEN.len())
                .position(|bytes| bytes == BETWEEN);
            if let Some(at) = found.filter(|_| self.spoiling.swap(false, Ordering::SeqCst)) {
                sent[at] = b'X';
                self.spoiled.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    async fn connect(config: tokio_postgres::Config, client: TcpStream, state: Arc<State>) {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Tcp(host) => {
                let server = TcpStream::connect((host.as_str(), port)).await.unwrap();
                pass(client, server, state).await;
            }
            tokio_postgres::config::Host::Unix(directory) => {
                let socket = directory.join(format!(".s.PGSQL.{port}"));
                let server = UnixStream::connect(socket).await.unwrap();
                pass(client, server, state).await;
            }
        }
    }

    async fn pass<S: AsyncRead + AsyncWrite>(client: TcpStream, server: S, state: Arc<State>) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = split(server);
        let requests = async {
            let mut buffer = vec![0; 65536];
            loop {
                let count = from_client.read(&mut buffer).await.unwrap_or(0);
                state.spoil(&mut buffer[..count]);
                if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        };
        let answers = async {
            let mut buffer = vec![0; 65536];
            loop {
                let count = from_server.read(&mut buffer).await.unwrap_or(0);
                // The answer's command tag, with the NUL that ends it.
                let commit = buffer[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
                if count == 0 || (commit && state.armed.swap(false, Ordering::SeqCst)) {
                    state
                        .swallowed
                        .fetch_add(u32::from(commit), Ordering::SeqCst);
                    return;
                }
                if to_client.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = requests => {}, () = answers => {} }
    }
}
