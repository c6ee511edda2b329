//! SQS over a bare HTTP connection. It retries nothing, so that what came of each request is known.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::history::Outcome;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Without credentials the platform takes any; the shape must be right.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, \
     SignedHeaders=host, \
     Signature=0000000000000000000000000000000000000000000000000000000000000000";
const DATE: &str = "20260101T000000Z";

pub struct Sqs {
    address: watch::Receiver<Option<SocketAddr>>,
    connection: Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
}

impl Sqs {
    pub fn new(address: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// Waits until the platform can be reached; what comes after that is the caller's to judge.
    pub async fn until_there(&mut self) {
        loop {
            let ready = match &mut self.connection {
                Some((_, sender)) => sender.ready().await.is_ok(),
                None => false,
            };
            if ready {
                return;
            }
            self.connection = None;
            let address = self.address.wait_for(Option::is_some).await;
            let address = *address.expect("the platform outlives its clients");
            let address = address.expect("it was waited for");
            // Where that fails it was killed just now, and `address` says so in a moment.
            match connect(address).await {
                Some(sender) => self.connection = Some((address, sender)),
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// Asks once.
    pub async fn call(&mut self, operation: &str, input: &Value) -> Outcome<Value> {
        let Some((address, sender)) = &mut self.connection else {
            return Outcome::Unknown;
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", address.to_string())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("authorization", AUTHORIZATION)
            .header("x-amz-date", DATE)
            .body(Full::new(Bytes::from(input.to_string())))
            .expect("its parts are all right");
        let answer = async {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status();
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, body))
        };
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, answer).await;
        let Some((status, body)) = answer.expect("every request is answered") else {
            self.connection = None;
            return Outcome::Unknown;
        };
        if status.is_success() {
            let value = match body.as_ref() {
                b"" => Ok(Value::Null),
                body => serde_json::from_slice(body),
            };
            return Outcome::Done(value.expect("the answer is JSON"));
        }
        if status.is_client_error() {
            return Outcome::Refused;
        }
        Outcome::Unknown
    }
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}
