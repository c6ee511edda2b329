//! `/_lambent/logs?function=NAME[&since_ms=…][&limit=…][&follow=1]`: a function's log as lines of
//! JSON, and with `follow` what it says from now on as well, for as long as the client listens.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use platform::logs::{GroupKey, Line};
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use super::{Ask, error};
use crate::{limits, serve::Body};

/// Lines of one answer, unless another number is asked for.
const LINES_DEFAULT: usize = 10_000;

pub async fn respond(ask: Ask<'_>) -> Response<Body> {
    let Some(function) = ask.query.get("function").filter(|name| is_name(name)) else {
        return error(StatusCode::BAD_REQUEST, "which function?");
    };
    let number = |name: &str| {
        ask.query
            .get(name)
            .and_then(|text| text.parse::<i64>().ok())
    };
    let since_ms = number("since_ms").unwrap_or(0);
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok());
    let group = GroupKey {
        account_id: ask.caller.account_id,
        region: ask.caller.region,
        name: match ask.query.get("group") {
            Some(group) => group.clone(),
            None => format!("/aws/lambda/{function}"),
        },
    };
    let logs = ask.platform.logs().clone();
    // Before the past is read, so that nothing is between them; what is in both is sent once.
    let follows = ask.query.get("follow").is_some_and(|value| value == "1");
    let live = follows.then(|| logs.follow(group.clone()));
    let past = tokio::task::spawn_blocking(move || {
        logs.flush();
        logs.query(group, since_ms, limit.unwrap_or(LINES_DEFAULT))
    });
    let past = match past.await {
        Ok(Ok(past)) => past,
        Ok(Err(failed)) => {
            tracing::error!("read a log: {failed}");
            return error(StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read");
        }
        Err(failed) => {
            tracing::error!("read a log: {failed}");
            return error(StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read");
        }
    };
    let body = match live {
        None => Body::from(printed(past.iter())),
        Some(live) => {
            let (sender, pieces) = mpsc::channel(limits::STREAM_PIECES_MAX);
            tokio::spawn(follow(past, live, sender));
            Body::Stream(pieces)
        }
    };
    let mut response = Response::new(body);
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    response
}

async fn follow(
    past: Vec<Line>,
    mut live: broadcast::Receiver<Arc<Line>>,
    sender: mpsc::Sender<Bytes>,
) {
    // Lines that were said while the past was being read are in both.
    let mut doubled: Vec<Line> = Vec::new();
    while let Ok(line) = live.try_recv() {
        doubled.push(Line::clone(&line));
    }
    doubled.retain(|line| !past.contains(line));
    let first = printed(past.iter().chain(&doubled));
    if !first.is_empty() && sender.send(first).await.is_err() {
        return;
    }
    loop {
        let piece = tokio::select! {
            () = sender.closed() => return,
            line = live.recv() => match line {
                Ok(line) => printed([&*line]),
                Err(broadcast::error::RecvError::Lagged(count)) => missed(count),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}

fn missed(count: u64) -> Bytes {
    let line = json!({
        "timestamp_ms": Timestamp::now().as_millisecond(),
        "stream": "",
        "message": format!("[lambent: {count} lines were faster than this reader]"),
    });
    Bytes::from(format!("{line}\n"))
}

fn printed<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Bytes {
    let mut out = String::new();
    for line in lines {
        let message = String::from_utf8_lossy(&line.message);
        let line = json!({
            "timestamp_ms": line.timestamp_ms,
            "stream": line.stream,
            "message": message.trim_end_matches('\n'),
        });
        out.push_str(&line.to_string());
        out.push('\n');
    }
    Bytes::from(out)
}

fn is_name(text: &str) -> bool {
    (1..=140).contains(&text.len())
}
