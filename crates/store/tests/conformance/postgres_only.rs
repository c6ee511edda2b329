//! What only a database server does: it conflicts, goes away, and is somewhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambent_store::{Error, Store, StoreConfig, params};
use testkit::postgres::Server;
use tokio::task::{JoinSet, spawn_blocking};

use crate::bench::{Bench, TABLES};

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

/// A commit that the server has done and could not tell is a success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_with_a_lost_answer_is_asked_for() {
    let bench = Bench::postgres().await;
    let proxy = Proxy::before(&bench.config.location).await;
    let direct = bench.store().await;
    let mut config = StoreConfig::new(&proxy.url);
    config.postgres_writers = 1;
    let store = Store::open(config, TABLES).await.unwrap();
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

use proxy::Proxy;

/// Between the store and the server: drops a connection instead of passing on `COMMIT`'s answer.
mod proxy {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    pub struct Proxy {
        pub url: String,
        state: Arc<State>,
    }

    #[derive(Default)]
    struct State {
        armed: AtomicBool,
        swallowed: AtomicU32,
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

        pub fn swallowed(&self) -> u32 {
            self.state.swallowed.load(Ordering::SeqCst)
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
        let requests = copy(&mut from_client, &mut to_server);
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
        tokio::select! { _ = requests => {}, () = answers => {} }
    }
}
