//! `lambent runtimes list`: each runtime, the interpreter it runs on, and the SDK beside it.

use std::{fs, path::Path};

use anyhow::Result;
use platform::functions::installed::Installed;
use sandbox::{Interpreter, Launch};
use serde_json::{Value, json};

use super::found;
use crate::{
    args::RuntimesListArguments,
    commands::style::{self, Align, say},
};

pub async fn run(given: RuntimesListArguments) -> Result<()> {
    let data = given.data.canonicalize().unwrap_or(given.data);
    let installed = Installed::of(&data);
    let (runtimes, configured) = found(given.options, &installed).await?;
    let all: Vec<Value> = runtimes
        .told()
        .map(|(name, launch)| {
            let source = |interpreter: &Interpreter| match configured.contains_key(name) {
                true => "configured",
                false if interpreter.path.starts_with(installed.root()) => "installed",
                false => "this machine",
            };
            match launch {
                Ok(Launch::Bootstrap | Launch::Image(_)) => {
                    json!({"runtime": name, "available": true, "source": "its functions"})
                }
                Ok(Launch::Python(found) | Launch::Node(found)) => json!({
                    "runtime": name,
                    "available": true,
                    "version": found.version,
                    "path": found.path,
                    "source": source(found),
                    "sdk": sdk(found),
                }),
                Err(why) => json!({"runtime": name, "available": false, "why": why}),
            }
        })
        .collect();
    if given.json {
        say!("{}", json!({"runtimes": all}));
        return Ok(());
    }
    let heading = [
        ("RUNTIME", Align::Left),
        ("VERSION", Align::Left),
        ("FROM", Align::Left),
        ("INTERPRETER", Align::Left),
        ("SDK", Align::Left),
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    say!("{}", style::table(&heading, &rows));
    if all.iter().any(|one| one["available"] == false) {
        say!("\n`lambent runtimes install NAME` brings what is missing, where a registry has it.");
    }
    Ok(())
}

fn row(one: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let sdk = match &one["sdk"] {
        Value::Object(sdk) => format!("{} {}", text(&sdk["name"]), text(&sdk["version"])),
        _ if one["version"].is_string() => "none".to_owned(),
        _ => "-".to_owned(),
    };
    let source = match one["available"] == true {
        true => text(&one["source"]),
        false => "not here".to_owned(),
    };
    vec![
        text(&one["runtime"]),
        text(&one["version"]),
        source,
        text(&one["path"]),
        sdk,
    ]
}

/// AWS's SDK among an interpreter's packages: boto3, or any client of the one for JavaScript.
pub fn sdk(interpreter: &Interpreter) -> Option<Value> {
    let packages = interpreter.packages.as_deref()?;
    let (name, version) = of_python(packages).or_else(|| of_node(packages))?;
    Some(json!({"name": name, "version": version, "path": packages}))
}

fn of_python(packages: &Path) -> Option<(String, String)> {
    names(packages).into_iter().find_map(|name| {
        let version = name.strip_prefix("boto3-")?.strip_suffix(".dist-info")?;
        Some(("boto3".to_owned(), version.to_owned()))
    })
}

fn of_node(packages: &Path) -> Option<(String, String)> {
    let clients = names(&packages.join("@aws-sdk"));
    // They differ a little from each other; this one `install` brings always.
    let usual = clients.iter().find(|name| *name == "client-sqs");
    let client = usual.or_else(|| clients.iter().find(|name| name.starts_with("client-")))?;
    let described = packages.join("@aws-sdk").join(client).join("package.json");
    let described: Value = serde_json::from_str(&fs::read_to_string(described).ok()?).ok()?;
    Some((
        "@aws-sdk".to_owned(),
        described["version"].as_str()?.to_owned(),
    ))
}

/// What is in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
