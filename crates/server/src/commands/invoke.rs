//! `lambent invoke NAME [PAYLOAD]`: one invocation, its answer on stdout.

use std::io::Read;

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    client::Client,
    style::{self, say},
};
use crate::{args::InvokeArguments, percent::encode};

pub async fn run(client: Client, given: InvokeArguments) -> Result<()> {
    let payload = payload(given.payload())?;
    let target = format!("/2015-03-31/functions/{}/invocations", encode(&given.name));
    let wants_log = given.log || given.json;
    let headers: &[_] = if wants_log {
        &[("x-amz-log-type", "Tail")]
    } else {
        &[]
    };
    let answer = client
        .patient()
        .send_with(Method::POST, &target, payload, headers)
        .await?;
    if answer.status == StatusCode::NOT_FOUND {
        let error = answer.good().err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        bail!("there is no function {}: {error}", given.name);
    }
    let answer = answer
        .good()
        .with_context(|| format!("invoke {}", given.name))?;
    let error = answer.header("x-amz-function-error").map(str::to_owned);
    let log = answer
        .header("x-amz-log-result")
        .and_then(|log| BASE64_STANDARD.decode(log).ok());
    let log = log.map(|log| String::from_utf8_lossy(&log).into_owned());
    if given.json {
        let payload: Value = match serde_json::from_slice(&answer.body) {
            Ok(payload) => payload,
            Err(_) => json!(String::from_utf8_lossy(&answer.body)),
        };
        let shown = json!({
            "function": given.name,
            "status": answer.status.as_u16(),
            "version": answer.header("x-amz-executed-version"),
            "request_id": answer.header("x-amzn-requestid"),
            "error": error,
            "payload": payload,
            "log": log,
        });
        say!("{shown}");
    } else {
        say!("{}", style::shown(&String::from_utf8_lossy(&answer.body)));
        if given.log {
            eprint!("{}", style::dim(&style::shown(&log.unwrap_or_default())));
        }
    }
    match error {
        Some(_) => bail!("the function {} failed", given.name),
        None => Ok(()),
    }
}

/// Text, `@file`, or `-` for stdin.
fn payload(given: Option<&str>) -> Result<Bytes> {
    match given {
        None => Ok(Bytes::from_static(b"{}")),
        Some("-") => {
            let mut all = Vec::new();
            std::io::stdin()
                .read_to_end(&mut all)
                .context("read stdin")?;
            Ok(all.into())
        }
        Some(text) => match text.strip_prefix('@') {
            Some(file) => {
                let read = std::fs::read(file).with_context(|| format!("read {file}"))?;
                Ok(read.into())
            }
            None => Ok(Bytes::from(text.to_owned())),
        },
    }
}
