//! From a message to what a function does with it: how long it takes when nothing else happens, and
//! how fast a function that does nothing empties a long queue.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::{function::Function, platform, stats::Samples, table::thousands},
    Bench,
    client::{AUTHORIZATION, Client, DATE, Queue, handles},
    crowd,
    peers::Peer,
    target::{Kind, Target},
};

const SENDS: usize = 200;
/// So many are sent before it counts.
const WARM_SENDS: usize = 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MEMORY_MB: u32 = 1769;

/// Passes each message on to another queue, with no more than Python brings.
const FORWARD: &str = r#"
import http.client, json, os, urllib.parse
place = urllib.parse.urlsplit(os.environ.get("AWS_ENDPOINT_URL") or os.environ["ENDPOINT"])
connection = http.client.HTTPConnection(place.hostname, place.port)
headers = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.SendMessage",
    "Authorization": os.environ["AUTHORIZATION"],
    "X-Amz-Date": os.environ["DATE"],
}
def handler(event, context):
    for record in event["Records"]:
        body = json.dumps({"QueueUrl": os.environ["TO"], "MessageBody": record["body"]})
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
"#;

const NOTHING: &str = "def handler(event, context):\n    return None\n";

pub fn run(bench: &Bench) {
    println!(
        "\nfrom a send to the function's effect on an idle system, and how fast one is drained"
    );
    for kind in bench.kinds() {
        // Functions are beyond LocalStack here: its own need containers.
        if kind == Kind::Peer(Peer::LocalStack) {
            continue;
        }
        let name = kind.name();
        match effect(bench, kind) {
            Ok(samples) => println!(
                "{name}: effect after p50 {:.2} ms, p99 {:.2} ms",
                samples.percentile_ms(50.0),
                samples.percentile_ms(99.0)
            ),
            Err(why) => println!("{name}: effect not measured: {why:#}"),
        }
        match drain(bench, kind) {
            Ok((count, time)) => println!(
                "{name}: drained of {} messages at {}/s",
                thousands(count as f64),
                thousands(count as f64 / time.as_secs_f64())
            ),
            Err(why) => println!("{name}: drain not measured: {why:#}"),
        }
    }
}

fn effect(bench: &Bench, kind: Kind) -> Result<Samples> {
    let target = Target::start(bench, kind)?;
    bench.runtime.block_on(async {
        let (from, to) = (target.create("from").await?, target.create("to").await?);
        let variables = json!({
            "TO": to.url,
            "ENDPOINT": format!("http://{}", target.address),
            "AUTHORIZATION": AUTHORIZATION,
            "DATE": DATE,
        });
        function(&target, "forward", FORWARD, variables).await?;
        map(&target, "from", "forward", 1).await?;
        let mut sender = Client::connect(target.address).await?;
        let mut receiver = Client::connect(target.address).await?;
        let mut samples = Samples::default();
        for number in 0..WARM_SENDS + SENDS {
            let begun = Instant::now();
            let (operation, input) = from.send(1);
            sender.call(operation, input).await?;
            let found = next(&mut receiver, &to).await?;
            if number >= WARM_SENDS {
                samples.latencies.push(begun.elapsed());
            }
            let (operation, input) = to.delete(&found);
            receiver.call(operation, input).await?;
        }
        Ok(samples)
    })
}

/// Waits for a message; gives its handle.
async fn next(client: &mut Client, queue: &Queue) -> Result<Vec<String>> {
    let input = json!({"QueueUrl": queue.url, "WaitTimeSeconds": 20, "MaxNumberOfMessages": 1});
    let answer = client
        .call("AmazonSQS.ReceiveMessage", input.to_string().into())
        .await?;
    let found = handles(&answer);
    ensure!(found.len() == 1, "the function had no effect in 20 seconds");
    Ok(found)
}

fn drain(bench: &Bench, kind: Kind) -> Result<(usize, Duration)> {
    let target = Target::start(bench, kind)?;
    // Peers take so long that a tenth tells as much.
    let count = match kind.is_ours() {
        true => bench.args.drained,
        false => bench.args.drained / 10,
    };
    bench.runtime.block_on(async {
        let queue = target.create("full").await?;
        let filled = crowd::fill(&target, &queue, count).await?;
        function(&target, "nothing", NOTHING, json!({})).await?;
        let begun = Instant::now();
        map(&target, "full", "nothing", 10).await?;
        loop {
            let left = target.count(&queue).await?;
            if left == 0 {
                return Ok((filled.count, begun.elapsed()));
            }
            if begun.elapsed() > DRAIN_TIME_MAX {
                ensure!(left < filled.count, "nothing was drained");
                return Ok((filled.count - left, begun.elapsed()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

async fn function(target: &Target, name: &str, code: &str, variables: Value) -> Result<()> {
    let files = [("index.py", code.as_bytes().to_vec(), 0o644)];
    let python = Function::Python;
    platform::create_of(target.address, name, python, &files, MEMORY_MB, variables).await
}

async fn map(target: &Target, queue: &str, function: &str, batch: usize) -> Result<()> {
    let body = json!({
        "EventSourceArn": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"),
        "FunctionName": function,
        "BatchSize": batch,
    });
    let path = "/2015-03-31/event-source-mappings";
    platform::call(
        target.address,
        Method::POST,
        path,
        &body.to_string(),
        StatusCode::ACCEPTED,
    )
    .await
    .context("map the queue to the function")
    .map(drop)
}
