//! The writing process is killed at random points.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lambent_store::{BlobStore, Store, StoreConfig};

use crate::ledger::{self, Found};
use crate::{Random, rounds};

const LOAD_TIME_MAX: Duration = Duration::from_millis(45);
/// Within this the process is starting: opening, migrating or recovering.
const START_TIME_MAX: Duration = Duration::from_millis(12);
/// Within this a new store is made.
const MIGRATION_TIME_MAX: Duration = Duration::from_millis(80);
/// Ids of one round; rounds do not share any.
const IDS: i64 = 1_000_000;

/// The writing process, and what it has said so far.
struct Load {
    process: Child,
    began: Receiver<()>,
    acknowledged: JoinHandle<HashSet<i64>>,
}

impl Load {
    fn start(location: &str, blobs: &Path, first: i64) -> Self {
        Self::start_as("owner", location, blobs, first)
    }

    fn start_as(role: &str, location: &str, blobs: &Path, first: i64) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_store-load"))
            .args([
                location,
                blobs.to_str().expect("a path of text"),
                &first.to_string(),
                role,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the writing process");
        let output = BufReader::new(process.stdout.take().expect("it was piped"));
        let (begin, began) = channel();
        let acknowledged = std::thread::spawn(move || {
            let mut ids = HashSet::new();
            // Bytes behind the last line end were not acknowledged in full.
            for line in output.split(b'\n').map_while(Result::ok) {
                let id: Option<i64> = String::from_utf8(line)
                    .ok()
                    .and_then(|line| line.parse().ok());
                ids.extend(id);
                let _ = begin.send(());
            }
            ids
        });
        Self {
            process,
            began,
            acknowledged,
        }
    }

    /// Kills it at a random point, and gives what it had acknowledged.
    fn kill(self, random: &mut Random) -> HashSet<i64> {
        if random.below(4) == 0 {
            return self.kill_after(random.time_below(START_TIME_MAX));
        }
        self.began
            .recv_timeout(Duration::from_secs(60))
            .expect("it acknowledges something");
        self.kill_after(random.time_below(LOAD_TIME_MAX))
    }

    fn kill_after(mut self, time: Duration) -> HashSet<i64> {
        std::thread::sleep(time);
        self.process.kill().expect("kill the writing process");
        self.process.wait().expect("it is dead");
        self.acknowledged.join().expect("its output was read")
    }
}

/// What a whole run came to, so that a run without load does not pass for one.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    acknowledged: usize,
    unanswered: usize,
    blobs: usize,
}

impl Tally {
    fn check(&mut self, acknowledged: &HashSet<i64>, found: &Found) {
        let before = self.acknowledged + self.unanswered;
        // More where a database server finished a commit after its client was gone.
        assert!(
            found.earlier >= before,
            "round {}: {} entries of earlier rounds, there were {before}",
            self.rounds,
            found.earlier
        );
        self.unanswered += found.earlier - before;
        let missing: Vec<_> = acknowledged.difference(&found.ids).collect();
        assert!(
            missing.is_empty(),
            "round {}: acknowledged and missing: {missing:?}",
            self.rounds
        );
        self.rounds += 1;
        self.acknowledged += acknowledged.len();
        self.unanswered += found.ids.len() - acknowledged.len();
        self.blobs += found.blobs.len();
    }

    fn finish(self, engine: &str) {
        println!("{engine}: {self:?}");
        assert!(
            self.acknowledged as u64 > self.rounds,
            "{engine} had too little load"
        );
        assert!(self.blobs > 0, "no blob was put");
    }
}

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged() {
    let mut random = Random::seeded();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let location = directory.path().join("store");
    let location = location.to_str().expect("a path of text");
    let blobs = directory.path().join("blobs");
    let mut tally = Tally::default();
    for round in 0..rounds(220) as i64 {
        let first = round * IDS;
        let acknowledged = Load::start(location, &blobs, first).kill(&mut random);
        if round % 11 == 0 {
            a_torn_log_is_no_half_transaction(Path::new(location), &mut random).await;
        }
        let store = open(location).await;
        let found = store
            .read(move |tx| ledger::find(tx, first))
            .await
            .expect("read the ledger");
        store.close().await;
        tally.check(&acknowledged, &found);
        check_blobs(&blobs, &found).await;
    }
    tally.finish("SQLite");
}

/// As after a power failure: the end of the log did not reach the disk, or only as rubbish.
/// Transactions may be lost by that, but none in part.
async fn a_torn_log_is_no_half_transaction(store: &Path, random: &mut Random) {
    let copy = tempfile::tempdir().expect("a temporary directory");
    // Killed while it started, there may be no database yet, or no log.
    for name in ["lambent.db", "lambent.db-wal"] {
        let from = store.join(name);
        if from.exists() {
            std::fs::copy(from, copy.path().join(name)).expect("copy the store");
        }
    }
    let log = copy.path().join("lambent.db-wal");
    if let Ok(mut bytes) = std::fs::read(&log) {
        let at = random.below(bytes.len() as u64) as usize;
        if random.below(2) == 0 {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x55;
        }
        std::fs::write(&log, bytes).expect("tear the log");
    }
    let store = open(copy.path().to_str().expect("a path of text")).await;
    store
        .read(|tx| ledger::find(tx, 0).map(drop))
        .await
        .expect("read the ledger");
    store.close().await;
}

#[tokio::test]
async fn postgres_keeps_what_it_acknowledged() {
    let mut random = Random::seeded();
    let database = testkit::postgres::server().database().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut tally = Tally::default();
    let mut store = None;
    for round in 0..rounds(220) as i64 {
        let first = round * IDS;
        let acknowledged = Load::start(&database.url, directory.path(), first).kill(&mut random);
        // The first round's process makes the schema, or is killed over it.
        let store = match &store {
            Some(store) => store,
            None => store.insert(open(&database.url).await),
        };
        let found = store
            .read(move |tx| ledger::find(tx, first))
            .await
            .expect("read the ledger");
        tally.check(&acknowledged, &found);
        check_blobs(directory.path(), &found).await;
    }
    tally.finish("PostgreSQL");
}

/// Killed while it makes the schema, each time of a new store: the next start goes on with it.
#[tokio::test]
async fn a_migration_is_whole_or_not_there() {
    let mut random = Random::seeded();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut interrupted = 0;
    for round in 0..rounds(60) {
        let (database, location) = match round % 2 {
            0 => (
                None,
                directory
                    .path()
                    .join(round.to_string())
                    .display()
                    .to_string(),
            ),
            _ => {
                let database = testkit::postgres::server().database().await;
                let url = database.url.clone();
                (Some(database), url)
            }
        };
        let load = Load::start(&location, &directory.path().join("blobs"), 0);
        let acknowledged = load.kill_after(random.time_below(MIGRATION_TIME_MAX));
        interrupted += u32::from(acknowledged.is_empty());
        let store = open(&location).await;
        let found = store.read(|tx| ledger::find(tx, 0)).await;
        store.close().await;
        let found = found.expect("read the ledger");
        assert!(acknowledged.is_subset(&found.ids), "round {round}");
        drop(database);
    }
    println!("{interrupted} were killed before their first answer");
    assert!(interrupted > 0, "none was killed while it started");
}

/// Two processes on one SQLite file wait for each other; killing one leaves the other at work.
#[tokio::test]
async fn two_processes_share_a_sqlite_file() {
    let mut random = Random::seeded();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let location = directory.path().join("store");
    let location = location.to_str().expect("a path of text");
    let blobs = directory.path().join("blobs");
    for round in 0..10 {
        let first = Load::start_as("guest", location, &blobs, 2 * round * IDS);
        let second = Load::start_as("guest", location, &blobs, (2 * round + 1) * IDS);
        let mut acknowledged = first.kill(&mut random);
        acknowledged.extend(second.kill(&mut random));
        let store = open(location).await;
        let from = 2 * round * IDS;
        let found = store
            .read(move |tx| ledger::find(tx, from))
            .await
            .expect("read the ledger");
        store.close().await;
        assert!(acknowledged.is_subset(&found.ids));
    }
}

async fn open(location: &str) -> Store {
    let mut config = StoreConfig::new(location);
    config.readers = 1;
    Store::open(config, ledger::MIGRATIONS)
        .await
        .expect("the store opens after a crash")
}

/// Every blob that is referred to is there and whole, and no unfinished one is left.
async fn check_blobs(directory: &Path, found: &Found) {
    let blobs = BlobStore::open(directory)
        .await
        .expect("the blobs open after a crash");
    for &hash in &found.blobs {
        blobs
            .verify(hash)
            .await
            .expect("a blob referred to is there");
    }
    let drafts = std::fs::read_dir(directory.join("drafts")).expect("the directory of drafts");
    assert_eq!(drafts.count(), 0, "unfinished blobs are left");
}
