//! `lambent logs NAME`: what a function said, and with `--follow` what it says.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    client::Client,
    style::{self, say},
};
use crate::{args::LogsArguments, percent::encode};

/// The longest line that is waited for.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub async fn run(client: Client, given: LogsArguments) -> Result<()> {
    let name = &given.name;
    let function = format!("/2015-03-31/functions/{}/configuration", encode(name));
    let found = client.get(&function).await?;
    if found.status == StatusCode::NOT_FOUND {
        bail!("there is no function {name}");
    }
    let found = found
        .good()
        .with_context(|| format!("find {name}"))?
        .json()?;
    let name = found["FunctionName"].as_str().unwrap_or(name);
    let since = Timestamp::now().as_millisecond() - i64::try_from(given.since.as_millis())?;
    let mut target = format!("/_lambent/logs?function={}&since_ms={since}", encode(name));
    if let Some(group) = found["LoggingConfig"]["LogGroup"].as_str() {
        target.push_str(&format!("&group={}", encode(group)));
    }
    if given.follow {
        target.push_str("&follow=1");
    }
    let answer = client.open(Method::GET, &target, Bytes::new(), &[]).await?;
    ensure!(
        answer.status().is_success(),
        "the log cannot be read (HTTP {})",
        answer.status()
    );
    print_lines(answer.into_body(), given.json).await
}

async fn print_lines(mut body: hyper::body::Incoming, as_json: bool) -> Result<()> {
    let mut waiting = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the platform has gone")?.into_data() else {
            continue;
        };
        waiting.extend_from_slice(&data);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            print_line(&line, as_json)?;
        }
        ensure!(
            waiting.len() <= LINE_BYTES_MAX,
            "the platform sends a line without an end"
        );
    }
    Ok(())
}

fn print_line(line: &[u8], as_json: bool) -> Result<()> {
    let line: Value = serde_json::from_slice(line).context("read a line of the log")?;
    let ms = line["timestamp_ms"].as_i64().unwrap_or_default();
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    let at = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let message = line["message"].as_str().unwrap_or_default();
    let shown = match as_json {
        true => json!({"timestamp": at, "stream": line["stream"], "message": message}).to_string(),
        false => format!("{} {}", style::dim(&at), toned(message)),
    };
    say!("{shown}");
    Ok(())
}

/// Lambda's own lines step back behind the function's, which do nothing to the terminal.
pub fn toned(message: &str) -> String {
    let message = &*style::shown(message);
    let ours = [
        "START RequestId",
        "END RequestId",
        "REPORT RequestId",
        "INIT_",
    ];
    match ours.iter().any(|start| message.starts_with(start)) {
        true => style::dim(message),
        false => message.to_owned(),
    }
}

/// `90s`, `10m`, `2h`, `3d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(format!("{text:?} is no time such as 30s, 10m, 2h or 1d")),
    };
    let number = text[..text.len() - 1].parse::<u32>();
    let number = number.map_err(|_| format!("{text:?} is no time such as 30s, 10m, 2h or 1d"))?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "10", "m", "-1m", "1w", "é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
