//! `cargo xtask bench logs`: how many events a second CloudWatch Logs takes: durably from clients, and
//! as lines of a function; and how fast it looks through what it has.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    LogsArgs as Args,
    function::Function,
    load::{Client, Expected, closed_loop},
    platform::{self, Platform},
    request::Template,
};

/// Of the right shape; what is measured takes any credentials.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
     Credential=test/20260101/us-east-1/logs/aws4_request, SignedHeaders=host, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000";
const MESSAGE_BYTES: usize = 100;
const LINES: usize = 100_000;
const LINES_WITHIN: Duration = Duration::from_secs(60);

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
    runtime.block_on(async {
        puts(&binary, time).await?;
        lines(&binary).await
    })
}

/// Events of clients, by how many come at once.
async fn puts(binary: &Path, time: Duration) -> Result<()> {
    let platform = Platform::start_open(binary, &[])?;
    let authority = platform.address.to_string();
    let mut client = Client::connect(platform.address).await?;
    let group = json!({"logGroupName": "bench", "logStreamName": "s"});
    for (operation, input) in [
        (
            "Logs_20140328.CreateLogGroup",
            json!({"logGroupName": "bench"}),
        ),
        ("Logs_20140328.CreateLogStream", group.clone()),
    ] {
        call(&mut client, &authority, operation, &input).await?;
    }
    let expected = Expected {
        status: StatusCode::OK,
        body: None,
    };
    let mut total = 0.0;
    for batch in [1, 100, 1000] {
        let events: Vec<Value> = (0..batch)
            .map(|_| json!({"timestamp": now_ms(), "message": "x".repeat(MESSAGE_BYTES)}))
            .collect();
        let mut input = group.clone();
        input["logEvents"] = events.into();
        let put = request(&authority, "Logs_20140328.PutLogEvents", &input)?;
        for clients in [1, 16] {
            let samples = closed_loop(platform.address, &put, &expected, clients, time).await?;
            let events = (samples.latencies.len() * batch) as f64;
            total += events;
            let rate = events / samples.elapsed.as_secs_f64();
            let p50 = samples.percentile_ms(50.0);
            println!(
                "{rate:>10.0} events/s  put durably, {batch} at once by {clients} clients, {p50:.2} ms"
            );
        }
    }
    let input = json!({"logGroupName": "bench", "filterPattern": "nothing"});
    let begun = Instant::now();
    let mut input_of_page = input.clone();
    loop {
        let page = call(
            &mut client,
            &authority,
            "Logs_20140328.FilterLogEvents",
            &input_of_page,
        )
        .await?;
        match page.get("nextToken") {
            Some(token) => {
                input_of_page = input.clone();
                input_of_page["nextToken"] = token.clone();
            }
            None => break,
        }
    }
    let rate = total / begun.elapsed().as_secs_f64();
    println!("{rate:>10.0} events/s  looked through by FilterLogEvents");
    Ok(())
}

/// Lines of a function that does nothing else.
async fn lines(binary: &Path) -> Result<()> {
    let platform = Platform::start_open(binary, &[])?;
    let authority = platform.address.to_string();
    let line = "x".repeat(MESSAGE_BYTES);
    let code = format!(
        "def handler(event, context):\n    for _ in range({LINES}):\n        print('{line}')\n    print('THE END')\n"
    );
    let files = [("index.py", code.into_bytes(), 0o644)];
    let created = platform::create_of(
        platform.address,
        "bench",
        Function::Python,
        &files,
        512,
        json!({}),
    );
    created.await?;
    let invoke = platform.invoke("bench", "{}".to_owned())?;
    let mut client = Client::connect(platform.address).await?;
    let begun = Instant::now();
    let (status, _) = client.send(&invoke).await?;
    ensure!(status == StatusCode::OK, "the function answered {status}");
    let input = json!({"logGroupName": "/aws/lambda/bench", "filterPattern": "\"THE END\""});
    loop {
        let mut token = Value::Null;
        let found = loop {
            let mut asked = input.clone();
            if !token.is_null() {
                asked["nextToken"] = token;
            }
            let page = call(
                &mut client,
                &authority,
                "Logs_20140328.FilterLogEvents",
                &asked,
            )
            .await?;
            if page["events"]
                .as_array()
                .is_some_and(|events| !events.is_empty())
            {
                break true;
            }
            token = page["nextToken"].clone();
            if token.is_null() {
                break false;
            }
        };
        if found {
            break;
        }
        ensure!(begun.elapsed() < LINES_WITHIN, "the lines did not come");
    }
    let rate = LINES as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:>10.0} lines/s   said by one function and found");
    Ok(())
}

fn request(authority: &str, operation: &'static str, input: &Value) -> Result<Template> {
    let request = Template::raw(Method::POST, authority, "/", input.to_string())?;
    Ok(request
        .with("content-type", "application/x-amz-json-1.1")
        .with("x-amz-target", operation)
        .with("authorization", AUTHORIZATION)
        .with("x-amz-date", "20260101T000000Z"))
}

async fn call(
    client: &mut Client,
    authority: &str,
    operation: &'static str,
    input: &Value,
) -> Result<Value> {
    let (status, answer) = client.send(&request(authority, operation, input)?).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(
        status == StatusCode::OK,
        "{operation} answered {status}: {text}"
    );
    if answer.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer).with_context(|| format!("read the answer to {operation}"))
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}
