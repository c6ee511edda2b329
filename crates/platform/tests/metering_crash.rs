//! The process that meters is killed at random points, also between a fold and the removal of its
//! journal: every use that was noted is on the bill, once.
//!
//! `LAMBENT_CRASH_ROUNDS` asks for more rounds.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lambent_platform::metering::{MIGRATION_SQL, Metering, PROVISIONED_MIGRATION_SQL};
use store::{Migration, Store, StoreConfig, params};

const LOAD_TIME_MAX: Duration = Duration::from_millis(40);

/// Since when the time to a kill counts: a start is interrupted as well, and there is some load
/// however slow the machine is.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Start,
    FirstNote,
}

fn rounds() -> u64 {
    let asked = std::env::var("LAMBENT_CRASH_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(120)
}

/// Lets the process run for a random time, from its start or from its first note on; gives how many
/// uses it said to have noted.
fn run_and_kill(location: &str, directory: &Path, from: From) -> u64 {
    let mut process = Command::new(env!("CARGO_BIN_EXE_usage-load"))
        .arg(location)
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the metering process");
    let mut output = process.stdout.take().expect("it was piped");
    let (tell, noting) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let (mut said, mut chunk) = (0, [0; 4096]);
        while let Ok(count @ 1..) = output.read(&mut chunk) {
            said += count as u64;
            let _ = tell.send(());
        }
        said
    });
    if from == From::FirstNote {
        noting.recv().expect("it notes a use");
    }
    let micros = uuid::Uuid::new_v4().as_u128() % (3 * LOAD_TIME_MAX.as_micros());
    std::thread::sleep(Duration::from_micros(micros as u64));
    process.kill().expect("kill the metering process");
    process.wait().expect("it is dead");
    reading.join().expect("its output was read")
}

async fn every_use_is_billed_once(location: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let migrations = [
        Migration::new(1, "usage", MIGRATION_SQL),
        Migration::new(2, "usage_provisioned", PROVISIONED_MIGRATION_SQL),
    ];
    let (mut said, mut killed, mut billed) = (0, 0, 0);
    for _ in 0..rounds() {
        let from = [From::Start, From::FirstNote][killed as usize % 2];
        said += run_and_kill(location, directory.path(), from);
        killed += 1;
        let store = Store::open(StoreConfig::new(location), &migrations).await;
        let store = store.expect("the store opens after a crash");
        let metering = Metering::open(store.clone(), directory.path(), "node").await;
        let metering = metering.expect("the metering opens after a crash");
        let rows = metering.usage(None, "0000-01-01", "9999-12-31").await;
        let rows = rows.expect("the bill is read");
        billed = rows.iter().map(|row| row.requests).sum::<u64>();
        // One more per kill where it came between the note and the word of it.
        assert!(
            (said..=said + killed).contains(&billed),
            "{said} were noted, {billed} are billed after {killed} kills"
        );
        let billed_ms: u64 = rows.iter().map(|row| row.billed_ms).sum();
        assert_eq!(billed_ms, 7 * billed);
        let remembered = "SELECT count(*) AS n FROM usage_folded";
        let row = store
            .read(move |tx| tx.query_one(remembered, params![]))
            .await;
        let remembered: i64 = row.and_then(|row| row.get("n")).expect("it is counted");
        assert!(remembered <= 1, "{remembered} journals are remembered");
        store.close().await;
    }
    println!("{killed} kills, {said} noted, {billed} billed");
    assert!(said > killed, "there was too little load: {said}");
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let location = directory.path().to_str().expect("a path of text");
    every_use_is_billed_once(location).await;
}

#[tokio::test]
async fn on_postgres() {
    let database = testkit::postgres::server().database().await;
    every_use_is_billed_once(&database.url).await;
}
