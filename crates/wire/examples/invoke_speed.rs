//! Prints what an invoke costs on the wire, from the parsed HTTP request to the answer and without
//! the signature: `cargo run --release --example invoke_speed`.

use std::{hint::black_box, pin::pin, task, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request};
use wire::{
    Call, Context, Error, Router,
    lambda::{self, InvocationRequest, InvocationResponse, Lambda},
};

struct Echo;

impl Lambda for Echo {
    async fn invoke(
        &self,
        _: &Context,
        input: InvocationRequest,
    ) -> Result<InvocationResponse, Error> {
        Ok(InvocationResponse {
            status_code: Some(200),
            executed_version: Some("$LATEST".to_owned()),
            payload: input.payload,
            ..Default::default()
        })
    }
}

fn main() {
    let router = Router::new(&[&lambda::SERVICE]);
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
    let mut request = Request::post("/2015-03-31/functions/resize/invocations")
        .body(Bytes::from_static(br#"{"width": 320, "height": 200}"#))
        .expect("the request is one");
    for (name, value) in [
        ("host", "localhost:4566"),
        ("user-agent", "aws-sdk"),
        ("x-amz-invocation-type", "RequestResponse"),
        ("x-amz-log-type", "None"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let (parts, body) = request.into_parts();
    let mut waker = task::Context::from_waker(task::Waker::noop());
    let rounds = 500_000;
    let start = Instant::now();
    for _ in 0..rounds {
        let route = router
            .route(&parts, &body)
            .expect("the path is an operation's");
        let call = Call {
            cx: &cx,
            route: &route,
            parts: &parts,
            body: &body,
        };
        black_box(
            pin!(lambda::dispatch(&Echo, call))
                .poll(&mut waker)
                .is_ready(),
        );
    }
    println!("{} ns/op", start.elapsed().as_nanos() / rounds);
}
