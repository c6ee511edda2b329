//! How soon the first byte of a streamed response is at its caller, while the function still runs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::StatusCode;

use super::{
    floor,
    function::{self, Function},
    load::Client,
    measures::Bench,
    platform::Platform,
    request::Template,
    stats::Samples,
};

/// How long the function holds back the rest: longer than a first byte takes on any machine.
const HOLD: Duration = Duration::from_millis(20);
const RESPONSES: usize = 50;

/// Through InvokeWithResponseStream.
pub fn first_byte(bench: &Bench) -> Result<f64> {
    let platform = Platform::start(bench.binary())?;
    bench.runtime.block_on(async {
        let name = bench.fresh_name();
        platform.create(&name, Function::Rust, 1769).await?;
        let path = format!("/2021-11-15/functions/{name}/response-streaming-invocations");
        let authority = platform.address.to_string();
        let event = function::streaming_event(HOLD);
        let invoke = Template::signed(http::Method::POST, &authority, &path, event)?;
        first_bytes(&mut Client::connect(platform.address).await?, &invoke).await
    })
}

/// The same function over a Runtime API with nothing between.
pub fn bare_first_byte(bench: &Bench) -> Result<f64> {
    bench.runtime.block_on(async {
        let mut runtime = floor::runtime().await?;
        let process = Function::Rust.start_bare(&runtime.runtime_api.address.to_string())?;
        runtime.until_asked(1).await?;
        let address = runtime.invoke.address;
        let event = function::streaming_event(HOLD);
        let invoke = Template::raw(http::Method::POST, &address.to_string(), "/", event)?;
        let first = first_bytes(&mut Client::connect(address).await?, &invoke).await;
        drop(process);
        first
    })
}

/// The median, in milliseconds, once there is an environment.
async fn first_bytes(client: &mut Client, invoke: &Template) -> Result<f64> {
    first(client, invoke).await?;
    let mut samples = Samples::default();
    for _ in 0..RESPONSES {
        samples.latencies.push(first(client, invoke).await?);
    }
    Ok(samples.percentile_ms(50.0))
}

async fn first(client: &mut Client, invoke: &Template) -> Result<Duration> {
    let begun = Instant::now();
    let mut response = client.begin(invoke).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let first = client.frame(&mut response).await?;
    let took = begun.elapsed();
    ensure!(first, "the response is empty");
    while client.frame(&mut response).await? {}
    let all = begun.elapsed();
    ensure!(all >= HOLD, "the function held nothing back");
    Ok(took)
}
