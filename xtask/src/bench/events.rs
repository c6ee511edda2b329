//! Asynchronous invocation: how many events a second are accepted, each durable before its answer,
//! and how many are run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};

use super::{
    function::{self, Function},
    load::{Client, Expected, closed_loop},
    measures::Bench,
    platform::Platform,
    request::Template,
    stats::Samples,
};

/// How long events are sent.
const SEND_TIME: Duration = Duration::from_secs(2);
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

impl Bench {
    /// Events a second that are answered with 202.
    pub(super) fn events_accepted(&self, clients: usize) -> Result<f64> {
        Ok(self.events(clients)?.0.per_second())
    }

    /// Events a second from the first that is sent to the last that has run.
    pub(super) fn events_run(&self, clients: usize) -> Result<f64> {
        let (accepted, took) = self.events(clients)?;
        Ok(accepted.latencies.len() as f64 / took.as_secs_f64())
    }

    fn events(&self, clients: usize) -> Result<(Samples, Duration)> {
        let platform = Platform::start(&self.binary)?;
        self.runtime.block_on(async {
            let name = self.fresh_name();
            platform.create(&name, Function::Rust, 1769).await?;
            let event = platform.invoke(&name, function::event())?;
            let event = event.with("x-amz-invocation-type", "Event");
            let expected = Expected {
                status: StatusCode::ACCEPTED,
                body: None,
            };
            let begun = Instant::now();
            let accepted =
                closed_loop(platform.address, &event, &expected, clients, SEND_TIME).await?;
            until_run(&platform, accepted.latencies.len()).await?;
            Ok((accepted, begun.elapsed()))
        })
    }
}

/// Waits until so many events have succeeded.
async fn until_run(platform: &Platform, events: usize) -> Result<()> {
    let authority = platform.address.to_string();
    let ask = Template::signed(Method::GET, &authority, "/_lambent/metrics", "")?;
    let mut client = Client::connect(platform.address).await?;
    let deadline = Instant::now() + DRAINED_WITHIN;
    loop {
        let (_, page) = client.send(&ask).await?;
        let page = String::from_utf8_lossy(&page);
        let name = "lambent_async_events_succeeded_total ";
        let run = page.lines().find_map(|line| line.strip_prefix(name));
        let run: f64 = run
            .context("the metrics do not count events")?
            .parse()
            .context("read a metric")?;
        if run >= events as f64 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{run} of {events} events have run"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
