//! `lambent queues`: what is there, what waits in it and who takes it.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    client::Client,
    style::{self, Align, say},
};
use crate::args::QueuesArguments;

pub async fn run(client: Client, given: QueuesArguments) -> Result<()> {
    let answer = client.get("/_lambent/queues").await?.good()?.json()?;
    if given.json {
        say!("{}", json!({"queues": answer["queues"]}));
        return Ok(());
    }
    let queues = answer["queues"].as_array().map_or(&[][..], Vec::as_slice);
    if queues.is_empty() {
        say!("No queues yet. `aws sqs create-queue --queue-name NAME` makes one.");
        return Ok(());
    }
    let rows: Vec<_> = queues.iter().map(row).collect();
    let heading = [
        ("QUEUE", Align::Left),
        ("VISIBLE", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("DELAYED", Align::Right),
        ("FUNCTION", Align::Left),
        ("DEAD LETTERS", Align::Left),
    ];
    say!("{}", style::table(&heading, &rows));
    Ok(())
}

fn row(queue: &Value) -> Vec<String> {
    let text = |name: &str| queue[name].as_str().unwrap_or("-").to_owned();
    let number = |name: &str| queue[name].as_u64().unwrap_or_default().to_string();
    let functions = queue["functions"].as_array().into_iter().flatten();
    let functions: Vec<_> = functions.filter_map(Value::as_str).map(short).collect();
    vec![
        text("name"),
        number("visible"),
        number("in_flight"),
        number("delayed"),
        match functions.is_empty() {
            true => "-".to_owned(),
            false => functions.join(", "),
        },
        text("dead_letter_queue"),
    ]
}

/// A function's name, with its qualifier if it has one.
fn short(arn: &str) -> &str {
    arn.split_once(":function:").map_or(arn, |(_, name)| name)
}
