//! Prints what messages cost on the wire, from the parsed HTTP request to the answer and without the
//! signature, in both of SQS's protocols: `cargo run --release --example message_speed`.

use std::{hint::black_box, pin::pin, task, time::Instant};

use bytes::Bytes;
use http::{Request, Response};
use wire::{
    Call, Context, Error, Map, Router,
    lambda::SERVICE as LAMBDA,
    sqs::{
        self, Message, ReceiveMessageRequest, ReceiveMessageResult, SQS, SendMessageRequest,
        SendMessageResult,
    },
};

struct Queue {
    messages: Vec<Message>,
}

impl SQS for Queue {
    async fn send_message(
        &self,
        _: &Context,
        input: SendMessageRequest,
    ) -> Result<SendMessageResult, Error> {
        black_box(input);
        Ok(SendMessageResult {
            md5_of_message_body: Some("86a83f96652a1bfad3891e7d523750cb".to_owned()),
            message_id: Some("219f8380-5770-4cc2-8c3e-5c715e145f5e".to_owned()),
            ..Default::default()
        })
    }

    async fn receive_message(
        &self,
        _: &Context,
        input: ReceiveMessageRequest,
    ) -> Result<ReceiveMessageResult, Error> {
        black_box(input);
        Ok(ReceiveMessageResult {
            messages: Some(self.messages.clone()),
        })
    }
}

fn message() -> Message {
    let attributes = [
        ("SenderId", "AIDAEXAMPLE"),
        ("SentTimestamp", "1700000000000"),
    ];
    let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned()));
    Message {
        message_id: Some("219f8380-5770-4cc2-8c3e-5c715e145f5e".to_owned()),
        receipt_handle: Some("AQEB".repeat(50)),
        md5_of_body: Some("86a83f96652a1bfad3891e7d523750cb".to_owned()),
        body: Some("{\"order\": 1} ".repeat(80)),
        attributes: Some(Map::from_iter(attributes)),
        ..Default::default()
    }
}

const URL: &str = "http://localhost:4566/000000000000/orders";

fn main() {
    let body = "x".repeat(1024);
    let sent = format!(r#"{{"QueueUrl": "{URL}", "MessageBody": "{body}"}}"#);
    let received =
        format!(r#"{{"QueueUrl": "{URL}", "MaxNumberOfMessages": 10, "AttributeNames": ["All"]}}"#);
    measure("send 1 KiB, json", in_json("SendMessage", sent));
    measure("receive 10, json", in_json("ReceiveMessage", received));
    let url = URL.replace(':', "%3A").replace('/', "%2F");
    let query = format!("Version=2012-11-05&QueueUrl={url}");
    measure(
        "send 1 KiB, query",
        form(format!("Action=SendMessage&{query}&MessageBody={body}")),
    );
    measure(
        "receive 10, query",
        form(format!(
            "Action=ReceiveMessage&{query}&MaxNumberOfMessages=10&AttributeName.1=All"
        )),
    );
}

fn in_json(operation: &str, body: String) -> Request<Bytes> {
    Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{operation}"))
        .body(body.into())
        .expect("the request is one")
}

fn form(body: String) -> Request<Bytes> {
    Request::post("/000000000000/orders")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.into())
        .expect("the request is one")
}

fn measure(what: &str, request: Request<Bytes>) {
    let router = Router::new(&[&LAMBDA, &sqs::SERVICE]);
    let cx = Context {
        request_id: wire::request_id(),
        account_id: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: "test".to_owned(),
        role: None,
        host: "localhost:4566".to_owned(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: jiff::Timestamp::now(),
    };
    let queue = Queue {
        messages: vec![message(); 10],
    };
    let (parts, body) = request.into_parts();
    let rounds = 50_000;
    let start = Instant::now();
    for _ in 0..rounds {
        let route = router.route(&parts, &body).expect("it is an operation's");
        let call = Call {
            cx: &cx,
            route: &route,
            parts: &parts,
            body: &body,
        };
        black_box(ready(sqs::dispatch(&queue, call)));
    }
    let each = start.elapsed() / rounds;
    println!("{what}: {each:?}");
}

/// The implementation above never waits.
fn ready(answer: impl Future<Output = Response<Bytes>>) -> Response<Bytes> {
    let mut waker = task::Context::from_waker(task::Waker::noop());
    match pin!(answer).poll(&mut waker) {
        task::Poll::Ready(answer) => answer,
        task::Poll::Pending => unreachable!("nothing waits"),
    }
}
