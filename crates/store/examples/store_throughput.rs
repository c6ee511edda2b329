//! Durable writes a second at 1 and 128 writers, on both engines, beside the disk's own floor:
//! how often a second a file can be appended to and synced.
//!
//! `cargo run --release -p lambent-store --example store_throughput [seconds]`

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use lambent_store::{Migration, Owner, Store, StoreConfig, params};
use tokio::task::JoinSet;

const EVENTS: &[Migration] = &[Migration::new(
    1,
    "events",
    "CREATE TABLE event (id {int} PRIMARY KEY, body {text} NOT NULL) {strict}",
)];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(3.0), |given| given.parse::<f64>())?;
    let time = Duration::from_secs_f64(seconds);
    let directory = tempfile::tempdir()?;
    println!(
        "{:<12} {:>8} {:>10} {:>10} {:>9} {:>9}",
        "engine", "writers", "writes/s", "commits/s", "p50 ms", "p99 ms"
    );
    let floor = syncs_per_second(directory.path(), time)?;
    println!("{:<12} {:>8} {floor:>10.0}", "fdatasync", 1);
    let sqlite = Store::open(StoreConfig::new(directory.path().to_string_lossy()), EVENTS).await?;
    for writers in [1, 16, 128] {
        measure("SQLite", &sqlite, writers, time).await?;
    }
    let server = testkit::postgres::server();
    for (connections, owner) in [
        (1, true),
        (2, true),
        (4, true),
        // Without the look at who owns the store, to see what that costs.
        (4, false),
    ] {
        let database = server.database().await;
        let mut config = StoreConfig::new(&database.url);
        config.postgres_writers = connections;
        config.owner = owner.then(|| Owner::this_process("now"));
        let shared = if owner { "" } else { "s" };
        let postgres = Store::open(config, EVENTS).await?;
        for writers in [1, 16, 128] {
            measure(
                &format!("PostgreSQL/{connections}{shared}"),
                &postgres,
                writers,
                time,
            )
            .await?;
        }
        postgres.close().await;
    }
    Ok(())
}

fn syncs_per_second(directory: &std::path::Path, time: Duration) -> std::io::Result<f64> {
    let mut file = std::fs::File::create(directory.join("floor"))?;
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < time {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

async fn measure(
    engine: &str,
    store: &Store,
    writers: usize,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    static ID: AtomicI64 = AtomicI64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let before = store.stats();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let id = ID.fetch_add(1, Ordering::Relaxed);
                let body = "x".repeat(1024);
                let began = Instant::now();
                let insert = "INSERT INTO event (id, body) VALUES ($1, $2)";
                store
                    .write(move |tx| tx.execute(insert, params![id, &body]))
                    .await?;
                latencies.push(began.elapsed());
            }
            Ok::<_, lambent_store::Error>(latencies)
        });
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for answer in tasks.join_all().await {
        latencies.extend(answer?);
    }
    let elapsed = began.elapsed().as_secs_f64();
    let after = store.stats();
    latencies.sort_unstable();
    let percentile = |p: usize| latencies[latencies.len() * p / 100].as_secs_f64() * 1e3;
    println!(
        "{engine:<12} {writers:>8} {:>10.0} {:>10.0} {:>9.2} {:>9.2}  repeats {}",
        latencies.len() as f64 / elapsed,
        (after.commits - before.commits) as f64 / elapsed,
        percentile(50),
        percentile(99),
        after.repeats - before.repeats,
    );
    Ok(())
}
