//! Prints what verifying a small request costs: `cargo run --release --example sigv4_speed`.

use std::{hint::black_box, time::Instant};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::{HeaderValue, Request};
use wire::sigv4::{KeyCache, Secret, verify};

fn main() {
    let uri = "http://localhost:4566/2015-03-31/functions/resize/invocations";
    let body = br#"{"width": 320, "height": 200}"#;
    let now = jiff::Timestamp::now();
    let identity = Credentials::new("AKIDEXAMPLE", "secret", None, None, "example").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("lambda")
        .time(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(now.as_second().unsigned_abs()),
        )
        .settings(SigningSettings::default())
        .build()
        .expect("all parameters are there")
        .into();
    let headers = [
        ("content-type", "application/json"),
        ("x-amz-invocation-type", "Event"),
    ];
    let mut request = Request::post(uri).body(()).expect("the address is one");
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let signable =
        SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(body));
    let signed = sign(signable.expect("the request is signable"), &params);
    signed
        .expect("signs")
        .into_parts()
        .0
        .apply_to_request_http1x(&mut request);
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("localhost:4566"));
    let (parts, ()) = request.into_parts();

    let secret = Secret {
        secret_access_key: "secret".into(),
        session_token: None,
    };
    let secrets = |_: &str| Some(secret.clone());
    let keys = KeyCache::new();
    let rounds = 200_000;
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(verify(&parts, body, &secrets, now, &keys).expect("the signature holds"));
    }
    println!("{} ns/op", start.elapsed().as_nanos() / rounds);
}
