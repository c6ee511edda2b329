//! `lambent functions`: what is there, and what of it runs.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    client::Client,
    style::{self, Align, say},
};
use crate::{args::FunctionsArguments, percent::encode};

/// A page is 50 functions; this many are shown at most.
const PAGES_MAX: usize = 200;

pub async fn run(client: Client, given: FunctionsArguments) -> Result<()> {
    let functions = list(&client).await?;
    if given.json {
        say!("{}", json!({"functions": functions}));
        return Ok(());
    }
    if functions.is_empty() {
        say!("No functions yet. `lambent deploy DIR` makes one of a folder of code.");
        return Ok(());
    }
    let rows: Vec<_> = functions.iter().map(row).collect();
    let heading = [
        ("FUNCTION", Align::Left),
        ("RUNTIME", Align::Left),
        ("MEMORY", Align::Right),
        ("CODE", Align::Right),
        ("STATE", Align::Left),
        ("BUSY", Align::Right),
        ("IDLE", Align::Right),
        ("CHANGED", Align::Left),
    ];
    say!("{}", style::table(&heading, &rows));
    Ok(())
}

fn row(function: &Value) -> Vec<String> {
    let text = |name: &str| function[name].as_str().unwrap_or("-").to_owned();
    let number = |name: &str| function[name].as_u64().unwrap_or_default();
    let changed = text("last_modified");
    vec![
        text("name"),
        text("runtime"),
        format!("{} MB", number("memory_mb")),
        style::bytes(number("code_bytes")),
        text("state"),
        number("busy").to_string(),
        number("idle").to_string(),
        changed.get(..16).unwrap_or(&changed).replace('T', " "),
    ]
}

async fn list(client: &Client) -> Result<Vec<Value>> {
    let environments = client.get("/_lambent/environments").await?.good()?.json()?;
    let count = |name: &str, busy: bool| {
        let all = environments["environments"]
            .as_array()
            .into_iter()
            .flatten();
        all.filter(|e| e["function"] == *name && e["region"] == *client.region())
            .filter(|e| (e["state"] == "busy") == busy)
            .count()
    };
    let mut functions = Vec::new();
    let mut marker = String::new();
    for _ in 0..PAGES_MAX {
        let target = format!("/2015-03-31/functions/?MaxItems=50{marker}");
        let page = client.get(&target).await?.good()?.json()?;
        for function in page["Functions"].as_array().into_iter().flatten() {
            let name = function["FunctionName"].as_str().unwrap_or_default();
            functions.push(json!({
                "name": name,
                "arn": function["FunctionArn"],
                "runtime": function["Runtime"],
                "handler": function["Handler"],
                "memory_mb": function["MemorySize"],
                "timeout_s": function["Timeout"],
                "code_bytes": function["CodeSize"],
                "state": state(client, name).await?,
                "last_modified": function["LastModified"],
                "busy": count(name, true),
                "idle": count(name, false),
            }));
        }
        match page["NextMarker"].as_str() {
            Some(next) if !next.is_empty() => marker = format!("&Marker={}", encode(next)),
            _ => break,
        }
    }
    Ok(functions)
}

/// Lambda's list has no states.
async fn state(client: &Client, name: &str) -> Result<Value> {
    let target = format!("/2015-03-31/functions/{}/configuration", encode(name));
    let answer = client.get(&target).await?;
    // Deleted in the meantime, most likely.
    if !answer.status.is_success() {
        return Ok(Value::Null);
    }
    Ok(answer.json()?["State"].clone())
}
