//! Event buses: how many events a second are taken while a thousand rules ask for theirs.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    load::{Client, Expected, closed_loop},
    measures::Bench,
    platform::Platform,
    request::Template,
};

const RULES: usize = 1_000;
/// What PutEvents takes at once.
const ENTRIES: usize = 10;
const SEND_TIME: Duration = Duration::from_secs(2);

impl Bench {
    /// Events a second, each of which one rule of a thousand matches. The rules have no targets, so
    /// that matching is what is measured.
    pub(super) fn events_matched(&self, clients: usize) -> Result<f64> {
        let platform = Platform::start(&self.binary)?;
        self.runtime.block_on(async {
            let address = platform.address;
            let mut client = Client::connect(address).await?;
            create_rules(&mut client, address).await?;
            let put = call(address, "AWSEvents.PutEvents", &entries())?;
            let expected = Expected {
                status: StatusCode::OK,
                body: None,
            };
            let sent = closed_loop(address, &put, &expected, clients, SEND_TIME).await?;
            Ok(sent.per_second() * ENTRIES as f64)
        })
    }
}

async fn create_rules(client: &mut Client, address: SocketAddr) -> Result<()> {
    let bus = json!({"Name": "bench"});
    let mut calls = vec![call(address, "AWSEvents.CreateEventBus", &bus)?];
    for number in 0..RULES {
        let pattern = json!({
            "source": ["bench"],
            "detail-type": [format!("kind-{number}")],
            "detail": {"amount": [{"numeric": [">", 0]}]},
        });
        let rule = json!({
            "Name": format!("rule-{number}"),
            "EventBusName": "bench",
            "EventPattern": pattern.to_string(),
        });
        calls.push(call(address, "AWSEvents.PutRule", &rule)?);
    }
    for call in calls {
        let (status, answer) = client.send(&call).await?;
        ensure!(
            status == StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(())
}

fn entries() -> Value {
    let entry = |number: usize| {
        json!({
            "EventBusName": "bench",
            "Source": "bench",
            "DetailType": format!("kind-{}", number * RULES / ENTRIES),
            "Detail": json!({"amount": 7, "customer": {"id": "c-1", "tier": "gold"}}).to_string(),
        })
    };
    let entries: Vec<Value> = (0..ENTRIES).map(entry).collect();
    json!({ "Entries": entries })
}

fn call(address: SocketAddr, target: &'static str, body: &Value) -> Result<Template> {
    let authority = address.to_string();
    let template = Template::signed_for("events", Method::POST, &authority, "/", body.to_string())?;
    let template = template.with("content-type", "application/x-amz-json-1.1");
    Ok(template.with("x-amz-target", target))
}
