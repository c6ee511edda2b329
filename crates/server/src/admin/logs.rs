//! `/_lambent/logs?function=NAME[&since_ms=…][&limit=…][&follow=1]`: a function's log as lines of
//! JSON, and with `follow` what it says from now on as well, for as long as the client listens.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use platform::logs::{GroupKey, Line, Reader};
use serde_json::json;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{Ask, error};
use crate::{limits, serve::Body};

/// Lines of the past, unless another number is asked for.
const LINES_DEFAULT: usize = 10_000;

pub async fn respond(ask: Ask<'_>) -> Response<Body> {
    let question = match Question::of(&ask) {
        Ok(question) => question,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, wrong),
    };
    let Question {
        group,
        since_ms,
        limit,
        follow,
    } = question;
    let logs = ask.platform.logs().clone();
    let opened = spawn_blocking(move || logs.reader(&group, since_ms, limit)).await;
    let reader = match opened.map_err(std::io::Error::other).flatten() {
        Ok(reader) => reader,
        Err(failed) => {
            tracing::error!("read a log: {failed}");
            return error(StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read");
        }
    };
    let (sender, pieces) = mpsc::channel(limits::STREAM_PIECES_MAX);
    tokio::spawn(async move {
        if let Err(failed) = send(reader, follow, sender).await {
            tracing::error!("read a log: {failed}");
        }
    });
    let mut response = Response::new(Body::Stream(pieces));
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    response
}

struct Question {
    group: GroupKey,
    since_ms: i64,
    limit: usize,
    follow: bool,
}

impl Question {
    fn of(ask: &Ask<'_>) -> Result<Self, &'static str> {
        let given = |name: &str| ask.query.get(name);
        let is_name = |text: &&String| (1..=512).contains(&text.len());
        let function = given("function").filter(is_name);
        let function = function.ok_or("which function?")?;
        let group = match given("group") {
            Some(group) => Some(group).filter(is_name).ok_or("which group?")?.clone(),
            None => format!("/aws/lambda/{function}"),
        };
        let since_ms = given("since_ms").map_or(Ok(0), |text| text.parse());
        let limit = given("limit").map_or(Ok(LINES_DEFAULT), |text| text.parse());
        Ok(Self {
            group: GroupKey {
                account_id: ask.caller.account_id.clone(),
                region: ask.caller.region.clone(),
                name: group,
            },
            since_ms: since_ms.map_err(|_| "since_ms is milliseconds since 1970")?,
            limit: limit.map_err(|_| "limit is a number of lines")?,
            follow: given("follow").is_some_and(|value| value == "1"),
        })
    }
}

/// Piece by piece, as the client takes them: a log is larger than what is held of it.
async fn send(
    mut reader: Reader,
    follow: bool,
    sender: mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    loop {
        let read = spawn_blocking(move || {
            let piece = reader.read().map(|lines| printed(&lines));
            (reader, piece)
        });
        let (back, piece) = read.await.map_err(std::io::Error::other)?;
        reader = back;
        let piece = piece?;
        if !piece.is_empty() {
            if sender.send(piece).await.is_err() {
                return Ok(());
            }
            continue;
        }
        if !follow {
            return Ok(());
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = reader.more() => (),
        }
    }
}

fn printed(lines: &[Line]) -> Bytes {
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
