//! Functions: closures that speak the Runtime API and do what the seed says of each event.

use std::{io, sync::Arc, time::Duration};

use sandbox::{
    Exit, ExitStatus,
    fake::{Fake, Start},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::model::{Act, Ending, Model};

/// In the function's environment: which of that name it is.
pub const INCARNATION: &str = "INCARNATION";

pub fn fake(model: Arc<Model>) -> Fake {
    Fake::new(move |start: Start| {
        let model = model.clone();
        async move {
            let code = i32::from(live(&model, &start).await.is_err());
            Exit {
                status: ExitStatus::Code(code),
                out_of_memory: false,
            }
        }
    })
}

async fn live(model: &Arc<Model>, start: &Start) -> io::Result<()> {
    let variable = |name: &str| {
        let found = start.env.iter().find(|(held, _)| held == name);
        found.map_or("", |(_, value)| value)
    };
    let name = variable("AWS_LAMBDA_FUNCTION_NAME");
    let incarnation = variable(INCARNATION).parse().unwrap_or_default();
    if model.init_fails(name) {
        return Err(io::ErrorKind::Other.into());
    }
    let mut client = Client(BufReader::new(TcpStream::connect(start.runtime_api).await?));
    loop {
        let (request_id, event) = client.next().await?;
        let run = model.begins(name, incarnation, event["n"].as_u64().unwrap_or_default());
        let act = run.act();
        let (after_ms, answer) = match act {
            Act::Answer { after_ms } => (after_ms, Some("response")),
            Act::Fail { after_ms } => (after_ms, Some("error")),
            Act::Crash { after_ms } => (after_ms, None),
            Act::Hang => (3_600_000, None),
        };
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let Some(answer) = answer else {
            return Err(io::ErrorKind::Other.into());
        };
        // Before it is told: from then on its place may be another's.
        run.ends(match answer {
            "response" => Ending::Answered,
            _ => Ending::Failed,
        });
        let path = format!("/2018-06-01/runtime/invocation/{request_id}/{answer}");
        client
            .ask("POST", &path, r#"{"errorMessage":"m","errorType":"t"}"#)
            .await?;
    }
}

/// A runtime's side of the Runtime API.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn next(&mut self) -> io::Result<(String, Value)> {
        let path = "/2018-06-01/runtime/invocation/next";
        let (id, body) = self.ask("GET", path, "").await?;
        Ok((id, serde_json::from_slice(&body).unwrap_or_default()))
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<(String, Vec<u8>)> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}");
        let request = format!("{head}\r\n\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes()).await?;
        let (mut length, mut request_id) = (0, String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap_or_default(),
                Some(("lambda-runtime-aws-request-id", value)) => request_id = value.into(),
                _ if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((request_id, body))
    }
}
