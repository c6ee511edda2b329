//! What a server's memory comes to: after very many receives from an empty queue, and with very many
//! messages waiting. The database's own memory does not count; for SQLite it is the server's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Bench,
    client::{Client, Queue},
    crowd,
    target::{Kind, Target},
};

/// How many wait at once for a message that does not come.
const WAITERS: usize = 1_000;
const TIME_MAX: Duration = Duration::from_secs(400);

pub fn run(bench: &Bench) {
    println!("\nresident memory of the server, MB");
    for kind in bench.kinds().into_iter().filter(|kind| kind.is_ours()) {
        if let Err(why) = measure(bench, kind) {
            println!("{}: not measured: {why:#}", kind.name());
        }
    }
}

fn measure(bench: &Bench, kind: Kind) -> Result<()> {
    let target = Target::start(bench, kind)?;
    let tell = |when: &str| -> Result<()> {
        println!("{}: {:.1} {when}", kind.name(), target.resident_mb()?);
        Ok(())
    };
    tell("at the start")?;
    let queue = bench.runtime.block_on(target.create("empty"))?;
    for part in 1..=4 {
        let count = bench.args.receives / 4;
        let done = bench.runtime.block_on(receives(&target, &queue, count))?;
        tell(&format!(
            "after {} empty long polls, part {part} of 4",
            done
        ))?;
    }
    let count = bench.args.messages;
    let filled = bench
        .runtime
        .block_on(crowd::fill(&target, &queue, count))?;
    tell(&format!("with {} messages waiting", filled.count))
}

/// Long polls of an empty queue, each a second.
async fn receives(target: &Target, queue: &Queue, count: usize) -> Result<usize> {
    let input = json!({"QueueUrl": queue.url, "WaitTimeSeconds": 1}).to_string();
    let begun = Instant::now();
    let mut waiters = JoinSet::new();
    for _ in 0..WAITERS.min(count.max(1)) {
        let mut client = Client::connect(target.address).await?;
        let input = bytes::Bytes::from(input.clone());
        let share = count / WAITERS.min(count.max(1));
        waiters.spawn(async move {
            for _ in 0..share {
                client
                    .call("AmazonSQS.ReceiveMessage", input.clone())
                    .await?;
                if begun.elapsed() > TIME_MAX {
                    break;
                }
            }
            anyhow::Ok(share)
        });
    }
    let mut done = 0;
    while let Some(share) = waiters.join_next().await {
        done += share.context("join a waiter")??;
    }
    Ok(done)
}
