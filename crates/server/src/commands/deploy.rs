//! `lambent deploy DIR`: a folder of code becomes a function with a URL; again after a change, only
//! what changed is updated.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    client::{Answer, Client},
    detect,
    style::{self, say},
    zipped,
};
use crate::{args::DeployArguments, percent::encode};

const FUNCTIONS: &str = "/2015-03-31/functions";
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ROLE: &str = "arn:aws:iam::000000000000:role/lambent";

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    /// In the order of preference: the first that the platform has an interpreter for.
    pub runtimes: Vec<String>,
    pub handler: String,
    pub description: Option<String>,
    pub memory_mb: Option<u32>,
    pub timeout_s: Option<u32>,
    pub environment: Option<BTreeMap<String, String>>,
    pub role: String,
    pub zip: Vec<u8>,
}

/// What it became.
#[derive(Debug)]
pub struct Deployed {
    pub runtime: String,
    pub url: String,
    pub action: &'static str,
    pub took: Duration,
}

pub async fn run(client: Client, given: DeployArguments) -> Result<()> {
    let function = function(&given)?;
    for missing in detect::missing(&given.folder) {
        eprintln!("lambent: {missing}");
    }
    let deployed = deploy(&client, &function).await?;
    if given.json {
        let shown = json!({
            "function": function.name,
            "runtime": deployed.runtime,
            "handler": function.handler,
            "code_bytes": function.zip.len(),
            "action": deployed.action,
            "took_ms": deployed.took.as_millis() as u64,
            "url": deployed.url,
        });
        say!("{shown}");
        return Ok(());
    }
    say!(
        "{} {} {} ({}, {}) in {:.2} s",
        style::good("✓"),
        deployed.action,
        style::bold(&function.name),
        deployed.runtime,
        style::bytes(function.zip.len() as u64),
        deployed.took.as_secs_f64()
    );
    say!("  {}", style::accent(&deployed.url));
    say!(
        "  {}",
        style::dim(&format!(
            "lambent invoke {0}   lambent logs {0} --follow",
            function.name
        ))
    );
    Ok(())
}

/// Creates or updates a function and waits until it answers; gives it a URL that anybody may call.
pub async fn deploy(client: &Client, function: &Function) -> Result<Deployed> {
    let begun = Instant::now();
    let path = format!("{FUNCTIONS}/{}", encode(&function.name));
    let found = client.get(&format!("{path}/configuration")).await?;
    let (action, runtime) = if found.status == StatusCode::NOT_FOUND {
        ("created", create(client, function).await?)
    } else {
        update(client, function, &path, found.good()?.json()?).await?
    };
    until_ready(client, function, &path).await?;
    let url = url(client, function, &path).await?;
    Ok(Deployed {
        runtime,
        url,
        action,
        took: begun.elapsed(),
    })
}

async fn create(client: &Client, function: &Function) -> Result<String> {
    let code = json!({"ZipFile": BASE64_STANDARD.encode(&function.zip)});
    first_possible(function, &function.runtimes, async |settings| {
        settings["FunctionName"] = json!(function.name);
        settings["Code"] = code.clone();
        client.post(FUNCTIONS, settings).await
    })
    .await
}

/// Asks with one runtime after the other until the platform has an interpreter for it.
async fn first_possible(
    function: &Function,
    runtimes: &[String],
    ask: impl AsyncFn(&mut Value) -> Result<Answer>,
) -> Result<String> {
    let mut refused = None;
    for runtime in runtimes {
        let answer = ask(&mut settings(function, runtime)).await?;
        if answer.status.is_success() {
            return Ok(runtime.clone());
        }
        let another = no_interpreter(&answer.body);
        let error = answer.good().err();
        match error {
            Some(error) if !another => return Err(error).context(function.name.clone()),
            error => refused = refused.or(error),
        }
    }
    Err(refused.unwrap_or_else(|| anyhow::anyhow!("no runtime to try")))
}

async fn update(
    client: &Client,
    function: &Function,
    path: &str,
    now: Value,
) -> Result<(&'static str, String)> {
    let mut runtime = now["Runtime"].as_str().unwrap_or_default().to_owned();
    let runtimes = match function.runtimes.contains(&runtime) {
        true => std::slice::from_ref(&runtime),
        false => &function.runtimes[..],
    };
    let mut action = "unchanged";
    if runtimes != [runtime.as_str()] || differs(function, &runtime, &now) {
        runtime = first_possible(function, runtimes, async |settings| {
            client.put(&format!("{path}/configuration"), settings).await
        })
        .await?;
        until_ready(client, function, path).await?;
        action = "updated";
    }
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &function.zip);
    if now["CodeSha256"].as_str() != Some(&BASE64_STANDARD.encode(hash)) {
        let body = json!({"ZipFile": BASE64_STANDARD.encode(&function.zip)});
        client.put(&format!("{path}/code"), &body).await?.good()?;
        action = "updated";
    }
    Ok((action, runtime))
}

/// What is given; the rest is Lambda's default, or stays as it is.
fn settings(function: &Function, runtime: &str) -> Value {
    let mut body = json!({
        "Runtime": runtime,
        "Handler": function.handler,
        "Role": function.role,
    });
    if let Some(description) = &function.description {
        body["Description"] = json!(description);
    }
    if let Some(memory_mb) = function.memory_mb {
        body["MemorySize"] = json!(memory_mb);
    }
    if let Some(timeout_s) = function.timeout_s {
        body["Timeout"] = json!(timeout_s);
    }
    if let Some(environment) = &function.environment {
        body["Environment"] = json!({"Variables": environment});
    }
    body
}

fn differs(function: &Function, runtime: &str, now: &Value) -> bool {
    let wanted = settings(function, runtime);
    let members = wanted.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| *name != "Role")
        .any(|(name, value)| now[name] != *value)
}

fn no_interpreter(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("There is no interpreter for the runtime")
        || text.contains("is not supported by this platform")
}

async fn until_ready(client: &Client, function: &Function, path: &str) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let now = client
            .get(&format!("{path}/configuration"))
            .await?
            .good()?
            .json()?;
        let text = |name: &str| now[name].as_str().unwrap_or_default().to_owned();
        match (text("State").as_str(), text("LastUpdateStatus").as_str()) {
            // Also of a function that could not be created: this may be its remedy.
            (_, "InProgress") => {}
            ("Failed", _) => bail!("{}: {}", function.name, text("StateReason")),
            (_, "Failed") => bail!("{}: {}", function.name, text("LastUpdateStatusReason")),
            ("Active" | "Inactive", "Successful" | "") => return Ok(()),
            _ => {}
        }
        ensure!(
            Instant::now() < deadline,
            "{} is not ready after {READY_WITHIN:?}",
            function.name
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn url(client: &Client, function: &Function, path: &str) -> Result<String> {
    let config = format!("/2021-10-31/functions/{}/url", encode(&function.name));
    let found = client.get(&config).await?;
    let shown = if found.status == StatusCode::NOT_FOUND {
        // First, so that there is no URL without it when this is interrupted.
        let permission = json!({
            "StatementId": "FunctionURLAllowPublicAccess",
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        });
        let allowed = client.post(&format!("{path}/policy"), &permission).await?;
        if allowed.status != StatusCode::CONFLICT {
            allowed.good().context("let everybody call the URL")?;
        }
        let made = client.post(&config, &json!({"AuthType": "NONE"})).await?;
        made.good()?.json()?
    } else {
        found.good()?.json()?
    };
    let url = shown["FunctionUrl"].as_str();
    Ok(url.context("the platform names no URL")?.to_owned())
}

/// From the command line, the folder's description and the look of its files, in this order.
pub fn function(given: &DeployArguments) -> Result<Function> {
    let folder = &given.folder;
    ensure!(
        !folder.is_file(),
        "{} is a file; deploy takes the folder that it lies in",
        folder.display()
    );
    ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    let described = detect::described(folder)?;
    let runtime = given.runtime.clone().or(described.runtime);
    let handler = given.handler.clone().or(described.handler);
    let (runtimes, handler) = match (runtime, handler) {
        (Some(runtime), Some(handler)) => (vec![runtime], handler),
        (runtime, handler) => {
            let found = detect::found(folder)?;
            let runtimes = match runtime {
                Some(runtime) => vec![runtime],
                None => found
                    .language
                    .runtimes()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            };
            (runtimes, handler.unwrap_or(found.handler))
        }
    };
    let environment = match given.env.is_empty() {
        true => described.environment,
        false => {
            let mut all = described.environment.unwrap_or_default();
            all.extend(given.env.iter().cloned());
            Some(all)
        }
    };
    detect::check(folder, &runtimes)?;
    Ok(Function {
        description: described.description,
        name: match &given.name {
            Some(name) => name.clone(),
            None => name_of(folder)?,
        },
        runtimes,
        handler,
        memory_mb: given.memory.or(described.memory_size),
        timeout_s: given.timeout.or(described.timeout),
        environment,
        role: given.role.clone().unwrap_or_else(|| ROLE.to_owned()),
        zip: zipped::package(folder)?,
    })
}

/// The folder's own name, as far as a function may be called so.
fn name_of(folder: &Path) -> Result<String> {
    let full = fs::canonicalize(folder).with_context(|| format!("find {}", folder.display()))?;
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(allowed).take(64).collect();
    ensure!(
        !name.is_empty(),
        "{} has no name; give one with --name",
        folder.display()
    );
    Ok(name)
}
