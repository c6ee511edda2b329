//! `lambent demo`: everything once, on a platform of its own in a fresh directory.
//!
//! Nothing is staged: what is shown is what the platform answered and what was measured, and what
//! cannot be shown here is said to be left out, and why.

mod caller;
mod examples;
mod page;

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    args::{DemoArguments, LogFormat, RuntimeOptions, UpArguments},
    commands::{client::Client, deploy, usage},
    config::Config,
    up::{self, End, Server},
};
use caller::Caller;
use examples::{Example, Kind};

/// Short, so that going back to zero can be watched.
const KEEP_ALIVE_S: f64 = 4.0;
const WARM_REQUESTS: usize = 50;
const BURST: usize = 50;
const REST_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub fn run(given: DemoArguments) -> Result<()> {
    let data = tempfile::Builder::new()
        .prefix("lambent-demo-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir();
    let data = data.context("make a fresh data directory")?;
    let config = config(&given, data.path())?;
    // What the page says itself it says better than the log.
    up::start_log("warn,lambent::up=error", LogFormat::Text)?;
    up::raise_descriptor_limit();
    up::runtime()?.block_on(demo(config, &given))
}

fn config(given: &DemoArguments, data: &std::path::Path) -> Result<Config> {
    let mut config = Config::checked(UpArguments {
        listen: given.listen.clone(),
        url: None,
        data: data.to_owned(),
        store: None,
        isolation: given.isolation,
        credentials: None,
        account_concurrency: 1000,
        scaling_rate: 1000,
        keep_alive: KEEP_ALIVE_S,
        host_services: Vec::new(),
        runtimes: RuntimeOptions::default(),
        images: None,
        registry_credentials: None,
        prices: None,
        drain: 5.0,
        log_format: LogFormat::Text,
        log: String::new(),
    })?;
    ensure!(
        config.listen.ip().is_loopback(),
        "the demo has no credentials, so it serves on loopback only"
    );
    config.credentials.clear();
    Ok(config)
}

async fn demo(config: Config, given: &DemoArguments) -> Result<()> {
    let mut end = End::new()?;
    let begun = Instant::now();
    let server = Server::start(free_port(config)).await?;
    page::opening(server.address, begun.elapsed(), given.isolation);
    page::missing(&server.guarantees().missing);
    let shown = tokio::select! {
        shown = show(server.address) => shown.map(|()| given.exit),
        () = end.asked() => Ok(true),
    };
    if matches!(shown, Ok(false)) {
        end.asked().await;
        page::gap();
    }
    server.stop().await;
    shown.map(|_| ())
}

/// The usual port may be somebody's already; the demo then takes another.
fn free_port(mut config: Config) -> Config {
    if std::net::TcpListener::bind(config.listen).is_err() {
        config.listen.set_port(0);
    }
    config
}

/// A function of the demo.
struct Shown {
    example: Example,
    url: String,
}

async fn show(address: SocketAddr) -> Result<()> {
    let client = Client::new(&format!("http://{address}"))?;
    page::heading(
        "Deploy",
        "each folder in examples/ becomes a function with a URL",
    );
    let mut functions = Vec::new();
    for kind in Kind::ALL {
        if kind == Kind::Rust {
            page::compiling(kind.name());
        }
        let prepared = tokio::task::spawn_blocking(move || Example::prepare(kind)).await;
        if kind == Kind::Rust {
            page::compiled();
        }
        let prepared = prepared?;
        let example = match prepared {
            Ok(example) => example,
            Err(why) => {
                page::left_out(kind.name(), &format!("{why:#}"));
                continue;
            }
        };
        match deploy::deploy(&client, &example.function).await {
            Ok(deployed) => {
                page::deployed(&example, &deployed);
                let url = deployed.url;
                functions.push(Shown { example, url });
            }
            Err(why) => page::left_out(kind.name(), &format!("{why:#}")),
        }
    }
    ensure!(
        !functions.is_empty(),
        "none of the functions could be deployed"
    );

    page::heading("Call", "HTTP and JSON in, HTTP and JSON out");
    let mut latencies = Vec::new();
    for (at, function) in functions.iter().enumerate() {
        if at > 0 {
            page::gap();
        }
        latencies.push(call(address, function).await?);
    }
    page::heading("Latency", "client to client, over HTTP");
    page::latencies(&functions_names(&functions), &latencies);

    let first = &functions[0];
    let name = &first.example.function.name;
    page::heading("Log", &format!("the last lines of {name}"));
    page::log(&log(&client, name).await?);

    page::heading("Scale", "an environment has one request at a time");
    scale(address, &client, first).await?;

    page::heading(
        "Bill",
        "at Lambda's list prices; nothing is billed while nothing runs",
    );
    page::bill(&usage::printed(&usage::fetch(&client, "").await?));
    page::next(address, &first.example, &first.url);
    Ok(())
}

fn functions_names(functions: &[Shown]) -> Vec<&str> {
    let names = functions
        .iter()
        .map(|shown| shown.example.function.name.as_str());
    names.collect()
}

/// Cold, and the median of some warm requests.
#[derive(Debug, Clone, Copy)]
struct Latency {
    cold: Duration,
    warm: Duration,
}

async fn call(address: SocketAddr, function: &Shown) -> Result<Latency> {
    let request = &function.example.request;
    let mut caller = Caller::connect(address, &function.url).await?;
    let begun = Instant::now();
    let answer = caller.post(request).await?;
    let cold = begun.elapsed();
    page::answer(&function.example, &answer, cold);
    let mut warm = Vec::with_capacity(WARM_REQUESTS);
    for _ in 0..WARM_REQUESTS {
        let begun = Instant::now();
        caller.post(request).await?;
        warm.push(begun.elapsed());
    }
    warm.sort_unstable();
    let warm = warm[warm.len() / 2];
    Ok(Latency { cold, warm })
}

async fn log(client: &Client, name: &str) -> Result<Vec<String>> {
    let target = format!(
        "/_lambent/logs?function={}&limit=6",
        crate::percent::encode(name)
    );
    let answer = client.get(&target).await?.good()?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let lines = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line["message"].as_str()?.to_owned())
    });
    Ok(lines.collect())
}

/// A burst, then rest, then nothing.
async fn scale(address: SocketAddr, client: &Client, function: &Shown) -> Result<()> {
    let name = &function.example.function.name;
    let begun = Instant::now();
    let mut requests = Vec::new();
    for _ in 0..BURST {
        let (url, request) = (function.url.clone(), function.example.request.clone());
        requests.push(tokio::spawn(async move {
            Caller::connect(address, &url).await?.post(&request).await
        }));
    }
    let mut good = 0;
    for request in requests {
        good += usize::from(
            request
                .await?
                .is_ok_and(|answer| answer.status.is_success()),
        );
    }
    let took = begun.elapsed();
    let most = environments(client, name).await?.len();
    page::burst(BURST, good, most, took);
    let ended = Instant::now();
    let all_frozen = |states: &[String]| states.iter().all(|state| state == "frozen");
    if let Some(states) = until(client, name, all_frozen).await? {
        page::frozen(states.len(), ended.elapsed());
    }
    if until(client, name, |states| states.is_empty())
        .await?
        .is_some()
    {
        page::zero(ended.elapsed());
    }
    Ok(())
}

/// Looks until the function's environments are as they should be; none if they do not become so.
async fn until(
    client: &Client,
    name: &str,
    done: impl Fn(&[String]) -> bool,
) -> Result<Option<Vec<String>>> {
    let deadline = Instant::now() + REST_WITHIN;
    while Instant::now() < deadline {
        let states = environments(client, name).await?;
        if done(&states) {
            return Ok(Some(states));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// What each of a function's environments is doing.
async fn environments(client: &Client, name: &str) -> Result<Vec<String>> {
    let all = client.get("/_lambent/environments").await?.good()?.json()?;
    let all = all["environments"].as_array().into_iter().flatten();
    let own = all.filter(|environment| environment["function"] == *name);
    let states =
        own.map(|environment| environment["state"].as_str().unwrap_or_default().to_owned());
    Ok(states.collect())
}
