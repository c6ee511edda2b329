//! Smithy's tests of what a restJson1 server has to refuse, and as what.

use crate::support::service;
use bytes::Bytes;
use http::Request;
use serde_json::Value as Json;
use wire::{Error, Protocol, Router, Value, decode_request, validate};

const CASES: &str = include_str!("../vectors/smithy-rest-json-malformed.json");

/// Tests that we fail on purpose, by the start of their names, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "RestJsonMalformedUniqueItems",
        "botocore's models do not say which lists are sets",
    ),
    (
        "RestJsonBodyMalformedListNullItem",
        "Lambda reports it with the other constraints",
    ),
    (
        "RestJsonBodyMalformedMapNullValue",
        "Lambda reports it with the other constraints",
    ),
    (
        "RestJsonWithBodyExpectsApplicationJsonAccept",
        "Lambda answers whatever is accepted",
    ),
    (
        "RestJsonWithPayloadExpectsModeledAccept",
        "Lambda answers whatever is accepted",
    ),
    (
        "RestJsonWithPayloadExpectsImpliedAccept",
        "Lambda answers whatever is accepted",
    ),
    (
        "RestJsonWithBodyExpectsApplicationJsonContentType",
        "Lambda takes any media type",
    ),
    (
        "RestJsonWithPayloadExpectsImpliedContentType",
        "Lambda takes any media type",
    ),
    (
        "RestJsonWithoutBodyEmptyInputExpectsEmptyContentType",
        "Lambda takes any media type",
    ),
    (
        "RestJsonWithoutBodyExpectsEmptyContentType",
        "Lambda takes any media type",
    ),
];

#[test]
fn malformed_requests_are_refused_as_the_vectors_say() {
    let suites: Vec<Json> = serde_json::from_str(CASES).unwrap();
    let (mut ran, mut left_out, mut wrong) = (0, 0, Vec::new());
    for suite in &suites {
        for case in suite["cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            if LEFT_OUT.iter().any(|(prefix, _)| id.starts_with(prefix)) {
                left_out += 1;
                continue;
            }
            ran += 1;
            let found = send(suite, &case["request"]);
            let expected = case["error"].as_str();
            if found.as_ref().err().map(|e| e.code) != expected {
                let request = &case["request"];
                wrong.push(format!(
                    "{id}: {found:?}, expected {expected:?}\n    {request:.300}"
                ));
            }
        }
    }
    println!("{ran} malformed requests, {left_out} left out");
    assert!(
        wrong.is_empty(),
        "{} of {ran} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn send(suite: &Json, sent: &Json) -> Result<(), Error> {
    let service = service(&suite["shapes"], &suite["given"]);
    let operation = &service.operations[0];
    let mut uri = sent["uri"].as_str().unwrap().to_owned();
    let parameters = sent["queryParams"].as_array().into_iter().flatten();
    for (n, parameter) in parameters.enumerate() {
        uri.push(if n == 0 { '?' } else { '&' });
        uri.push_str(parameter.as_str().unwrap());
    }
    // What HTTP itself does not carry, such as a raw space, arrives percent-encoded.
    let uri = uri.replace(' ', "%20");
    let mut request = Request::builder()
        .method(sent["method"].as_str().unwrap())
        .uri(uri);
    for (name, text) in sent["headers"].as_object().into_iter().flatten() {
        request = request.header(name, text.as_str().unwrap());
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = Bytes::from(sent["body"].as_str().unwrap_or_default().to_owned());
    let route = Router::new(&[service])
        .route(&parts, &body)
        .map_err(|nowhere| nowhere.error)?;
    let (protocol, labels) = (Protocol::RestJson1, &route.labels);
    let input = decode_request(protocol, service, operation, labels, &parts, &body)?;
    match (operation.input, input) {
        (Some(shape), Value::Structure(members)) => validate(service, shape, &members),
        _ => Ok(()),
    }
}
