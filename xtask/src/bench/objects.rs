//! `cargo xtask bench objects`: putting and getting objects of 1 KB, 1 MB and 1 GB, each beside the bare
//! disk: a file that is written, synced and given its name, with its directory synced too, and one that is
//! read.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    ObjectsArgs as Args,
    load::{Client, Expected, closed_loop},
    platform::{self, Platform},
    request::Template,
};

/// Of the right shape; what is measured takes any credentials.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
     Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000";
const SIZES: [(&str, usize); 3] = [("1 KB", 1 << 10), ("1 MB", 1 << 20), ("1 GB", 1 << 30)];
/// From here on one at a time, a few times.
const LARGE: usize = 1 << 28;
const TIMES_LARGE: usize = 3;

pub fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => platform::binary()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start tokio")?;
    let time = Duration::from_secs_f64(args.seconds.clamp(0.1, 60.0));
    runtime.block_on(measure(&binary, time))
}

async fn measure(binary: &Path, time: Duration) -> Result<()> {
    let platform = Platform::start_open(binary, &[])?;
    let disk = tempfile::tempdir().context("make a directory")?;
    let mut client = Client::connect(platform.address).await?;
    let authority = platform.address.to_string();
    let ask = |method: Method, path: &str, body: Bytes| {
        let request = Template::raw(method, &authority, path, body)?;
        anyhow::Ok(
            request
                .with("authorization", AUTHORIZATION)
                .with("x-amz-date", "20260101T000000Z")
                .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        )
    };
    let (status, _) = client
        .send(&ask(Method::PUT, "/bench", Bytes::new())?)
        .await?;
    ensure!(status == StatusCode::OK, "no bucket was made: {status}");
    let expected = Expected {
        status: StatusCode::OK,
        body: None,
    };
    for (name, bytes) in SIZES {
        let body = Bytes::from(vec![0x5a; bytes]);
        let put = ask(Method::PUT, "/bench/object", body.clone())?;
        let get = ask(Method::GET, "/bench/object", Bytes::new())?;
        let floors = (
            bare(bytes, time, || write(disk.path(), &body))?,
            bare(bytes, time, || read(disk.path()))?,
        );
        for (verb, request, floor) in [("put", &put, floors.0), ("get", &get, floors.1)] {
            if bytes >= LARGE {
                let mut took = Vec::with_capacity(TIMES_LARGE);
                for _ in 0..TIMES_LARGE {
                    let begun = Instant::now();
                    let mut answer = client.begin(request).await?;
                    ensure!(answer.status() == StatusCode::OK, "a wrong answer");
                    while client.frame(&mut answer).await? {}
                    took.push(begun.elapsed());
                }
                show(verb, name, bytes, 1, median(took), floor);
                continue;
            }
            for clients in [1, 16] {
                let samples =
                    closed_loop(platform.address, request, &expected, clients, time).await?;
                let p50 = Duration::from_secs_f64(samples.percentile_ms(50.0) / 1e3);
                show(verb, name, bytes, clients, p50, floor);
                println!(
                    "{:>12} {:>9.0} a second",
                    "",
                    samples.latencies.len() as f64 / samples.elapsed.as_secs_f64()
                );
            }
        }
    }
    Ok(())
}

fn show(verb: &str, name: &str, bytes: usize, clients: usize, took: Duration, floor: Duration) {
    let (ms, floor_ms) = (took.as_secs_f64() * 1e3, floor.as_secs_f64() * 1e3);
    let mb_per_s = bytes as f64 / took.as_secs_f64() / 1e6;
    println!(
        "{verb} {name} by {clients:>2}: {ms:>9.3} ms, {mb_per_s:>7.1} MB/s each; bare disk {floor_ms:>9.3} ms; {:.2}x",
        ms / floor_ms
    );
}

/// The median time of something that the disk does, one at a time.
fn bare(bytes: usize, time: Duration, mut once: impl FnMut() -> Result<()>) -> Result<Duration> {
    let (begun, mut took) = (Instant::now(), Vec::new());
    loop {
        let from = Instant::now();
        once()?;
        took.push(from.elapsed());
        let enough = match bytes >= LARGE {
            true => took.len() >= TIMES_LARGE,
            false => begun.elapsed() >= time,
        };
        if enough {
            return Ok(median(took));
        }
    }
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

fn write(directory: &Path, body: &[u8]) -> Result<()> {
    let (new, named) = (directory.join("new"), directory.join("object"));
    let mut file = File::create(&new).context("make a file")?;
    file.write_all(body).context("write")?;
    file.sync_all().context("sync")?;
    fs::rename(&new, &named).context("name")?;
    let directory = File::open(directory).context("open a directory")?;
    directory.sync_all().context("sync a directory")
}

fn read(directory: &Path) -> Result<()> {
    let mut file = File::open(directory.join("object")).context("open")?;
    let mut piece = vec![0; 1 << 17];
    while file.read(&mut piece).context("read")? > 0 {}
    Ok(())
}
