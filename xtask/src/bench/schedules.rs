//! What very many schedules at rest cost: memory and processor of the server, with none of them due.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::{runtime::Runtime, task::JoinSet};

use super::{load::Client, platform::Platform, request::Template};

pub const COUNT: usize = 100_000;
const CLIENTS: usize = 64;
/// After the last was made: what the store has to tidy is done.
const SETTLE: Duration = Duration::from_secs(5);

/// Makes them, all months away.
pub fn fill(runtime: &Runtime, platform: &Platform) -> Result<()> {
    let address = platform.address;
    runtime.block_on(async move {
        let mut makers = JoinSet::new();
        for first in 0..CLIENTS {
            makers.spawn(make(address, first));
        }
        while let Some(made) = makers.join_next().await {
            made.context("join a client")??;
        }
        anyhow::Ok(())
    })?;
    thread::sleep(SETTLE);
    Ok(())
}

async fn make(address: SocketAddr, first: usize) -> Result<()> {
    let mut client = Client::connect(address).await?;
    for number in (first..COUNT).step_by(CLIENTS) {
        let body = json!({
            "ScheduleExpression": format!("cron({} {} 1 1 ? 2099)", number % 60, number % 24),
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": "arn:aws:sqs:us-east-1:000000000000:bench",
                "RoleArn": "arn:aws:iam::000000000000:role/bench",
                "Input": "{}",
            },
        });
        let path = format!("/schedules/s{number}");
        let authority = address.to_string();
        let body = body.to_string();
        let request = Template::signed_for("scheduler", Method::POST, &authority, &path, body)?;
        let (status, answer) = client.send(&request).await?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(status == StatusCode::OK, "{path} answered {status}: {text}");
    }
    Ok(())
}
