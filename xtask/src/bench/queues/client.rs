//! One client of SQS on one connection: requests as awsJson, answers read no further than is needed.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Of the right shape; what is measured takes any credentials.
pub const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
     Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000";
pub const DATE: &str = "20260101T000000Z";

pub struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let host = HeaderValue::from_str(&address.to_string()).context("name the host")?;
        let sender = connection(address).await?;
        Ok(Client {
            address,
            sender,
            host,
        })
    }

    /// Sends an operation's input and gives its output; anything but success is an error.
    pub async fn call(&mut self, operation: &'static str, input: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", self.host.clone())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", operation)
            .header("authorization", AUTHORIZATION)
            .header("x-amz-date", DATE)
            .body(Full::new(input))
            .context("build a request")?;
        // Some close a connection after so many requests.
        if self.sender.ready().await.is_err() {
            self.sender = connection(self.address).await?;
            self.sender.ready().await.context("wait for a connection")?;
        }
        let response = self.sender.send_request(request).await;
        let response = response.with_context(|| format!("send {operation}"))?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.context("read an answer")?.to_bytes();
        let shown = || String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        ensure!(
            status.is_success(),
            "{operation} answered {status}: {}",
            shown()
        );
        Ok(body)
    }

    pub async fn json(&mut self, operation: &'static str, input: &Value) -> Result<Value> {
        let body = self.call(operation, input.to_string().into()).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).with_context(|| format!("read the answer to {operation}"))
    }
}

async fn connection(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    ensure!(address.ip().is_loopback(), "load is for loopback only");
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .context("begin HTTP")?;
    // It ends with the sender; an error shows at the request that it spoils.
    tokio::spawn(connection);
    Ok(sender)
}

/// A queue as its requests name it, with the bodies of those that do not change.
#[derive(Clone)]
pub struct Queue {
    pub url: String,
}

pub const BODY_BYTES: usize = 1024;

impl Queue {
    pub fn send(&self, batch: usize) -> (&'static str, Bytes) {
        let body = "x".repeat(BODY_BYTES);
        let entry = |id: usize| json!({"Id": id.to_string(), "MessageBody": body});
        match batch {
            1 => (
                "AmazonSQS.SendMessage",
                json!({"QueueUrl": self.url, "MessageBody": body})
                    .to_string()
                    .into(),
            ),
            _ => self.batch(
                "AmazonSQS.SendMessageBatch",
                (0..batch).map(entry).collect(),
            ),
        }
    }

    /// For longer than any measure takes.
    pub fn receive(&self, batch: usize) -> (&'static str, Bytes) {
        let input = json!({
            "QueueUrl": self.url, "MaxNumberOfMessages": batch, "VisibilityTimeout": 3600,
        });
        ("AmazonSQS.ReceiveMessage", input.to_string().into())
    }

    pub fn delete(&self, handles: &[String]) -> (&'static str, Bytes) {
        match handles {
            [handle] => (
                "AmazonSQS.DeleteMessage",
                json!({"QueueUrl": self.url, "ReceiptHandle": handle})
                    .to_string()
                    .into(),
            ),
            _ => {
                let entry = |(id, handle): (usize, &String)| json!({"Id": id.to_string(), "ReceiptHandle": handle});
                let entries = handles.iter().enumerate().map(entry).collect();
                self.batch("AmazonSQS.DeleteMessageBatch", entries)
            }
        }
    }

    fn batch(&self, operation: &'static str, entries: Vec<Value>) -> (&'static str, Bytes) {
        let input = json!({"QueueUrl": self.url, "Entries": entries});
        (operation, input.to_string().into())
    }
}

/// The receipt handles in an answer, found without parsing the rest.
pub fn handles(answer: &[u8]) -> Vec<String> {
    const NAME: &[u8] = b"\"ReceiptHandle\"";
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some(at) = rest.windows(NAME.len()).position(|part| part == NAME) {
        rest = &rest[at + NAME.len()..];
        let Some(open) = rest.iter().position(|byte| *byte == b'"') else {
            break;
        };
        rest = &rest[open + 1..];
        let Some(close) = rest.iter().position(|byte| *byte == b'"') else {
            break;
        };
        found.push(String::from_utf8_lossy(&rest[..close]).into_owned());
        rest = &rest[close..];
    }
    found
}

/// How many entries of a batch, or the one message, an answer to a send or delete failed for.
pub fn failures(answer: &[u8]) -> usize {
    const NAME: &[u8] = b"\"SenderFault\"";
    answer
        .windows(NAME.len())
        .filter(|part| *part == NAME)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_handles_whatever_the_blanks() {
        let answer =
            br#"{"Messages": [{"Body":"x","ReceiptHandle": "a/b=="},{"ReceiptHandle":"c"}]}"#;
        assert_eq!(handles(answer), ["a/b==", "c"]);
        assert!(handles(b"{}").is_empty());
        assert!(handles(b"\"ReceiptHandle\":\"cut").is_empty());
    }

    #[test]
    fn one_is_no_batch() {
        let queue = Queue {
            url: "http://q/1/a".to_owned(),
        };
        assert_eq!(queue.send(1).0, "AmazonSQS.SendMessage");
        let (operation, input) = queue.send(10);
        assert_eq!(operation, "AmazonSQS.SendMessageBatch");
        let input: Value = serde_json::from_slice(&input).expect("it is JSON");
        assert_eq!(input["Entries"].as_array().map(Vec::len), Some(10));
        assert_eq!(queue.delete(&["h".to_owned()]).0, "AmazonSQS.DeleteMessage");
    }

    #[test]
    fn failed_entries_are_counted() {
        assert_eq!(
            failures(br#"{"Failed":[{"Id":"1","SenderFault":true}]}"#),
            1
        );
        assert_eq!(failures(br#"{"Successful":[]}"#), 0);
    }
}
