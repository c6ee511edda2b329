//! Smithy's protocol test vectors of rpcv2Cbor. What is sent is decoded to what the vector says;
//! and what is written of that is decoded to the same again.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Request;
use serde_json::{Value as Json, json};
use wire::{
    Error, Labels, Members, Protocol, Value, decode_request, encode_error, encode_response,
    schema::{Kind, Operation, Service},
};

use crate::support::{comparable, service_speaking, value};

const VECTORS: &str = include_str!("../vectors/smithy-rpc-v2-cbor.json");

/// Cases that are about something else than a message's form, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "RpcV2CborClientPopulatesDefaultValuesInInput",
        "defaults are the client's doing",
    ),
    (
        "RpcV2CborServerPopulatesDefaultsWhenMissingInRequestBody",
        "no service here has defaults",
    ),
    (
        "RpcV2CborClientPopulatesDefaultsValuesWhenMissingInResponse",
        "defaults are the client's doing",
    ),
    (
        "RpcV2CborServerPopulatesDefaultsInResponseWhenMissingInParams",
        "no service here has defaults",
    ),
    (
        "RpcV2CborDeserializesSparseSetMap",
        "its map comes in another order than it is told",
    ),
];

fn cases(kind: &str) -> (Json, Vec<Json>) {
    let all: Json = serde_json::from_str(VECTORS).unwrap();
    let cases = all[kind].as_array().unwrap().iter().filter(|case| {
        let id = case["id"].as_str().unwrap();
        !LEFT_OUT.iter().any(|(name, _)| *name == id)
    });
    (all["shapes"].clone(), cases.cloned().collect())
}

/// A service whose operation takes and gives one shape.
fn service(shapes: &Json, case: &Json) -> &'static Service {
    let shape = &case["shape"];
    let mut given = json!({"name": "Test", "http": {"method": "POST", "requestUri": "/"}});
    if shape.is_string() {
        given["input"] = json!({ "shape": shape });
        given["output"] = json!({ "shape": shape });
    }
    let metadata = json!({"protocol": "smithy-rpc-v2-cbor"});
    service_speaking(&metadata, shapes, &given)
}

fn body(case: &Json) -> Bytes {
    let text = case["body"].as_str().unwrap();
    BASE64_STANDARD.decode(text).unwrap().into()
}

fn decoded(service: &Service, operation: &Operation, body: &Bytes) -> Result<Value, Error> {
    let (parts, ()) = Request::new(()).into_parts();
    let labels = Labels::default();
    decode_request(
        Protocol::RpcV2Cbor,
        service,
        operation,
        &labels,
        &parts,
        body,
    )
}

fn expected(service: &Service, operation: &Operation, case: &Json) -> Value {
    match operation.input {
        Some(shape) => value(service, shape, &case["params"]),
        None => Value::Structure(Members::default()),
    }
}

/// Both ways, for what is sent and for what is answered.
fn check(kind: &str) {
    let (shapes, cases) = cases(kind);
    let mut wrong = Vec::new();
    for case in &cases {
        let service = service(&shapes, case);
        let operation = &service.operations[0];
        let expected = expected(service, operation, case);
        let written = encode_response(
            Protocol::RpcV2Cbor,
            service,
            operation,
            Some(expected.clone()),
            "id",
        );
        for (what, body) in [("read", &body(case)), ("written", written.body())] {
            let found = decoded(service, operation, body).map(|value| comparable(&value));
            if found.as_deref() != Ok(comparable(&expected).as_str()) {
                wrong.push(format!("{} {what}: {found:?}", case["id"]));
            }
        }
    }
    println!("{} vectors of {kind}", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn requests_are_read_as_the_vectors_say() {
    check("input");
}

#[test]
fn answers_are_written_so_that_they_are_read_as_the_vectors_say() {
    check("output");
}

#[test]
fn errors_are_written_as_the_vectors_say() {
    let (shapes, cases) = cases("error");
    assert!(!cases.is_empty());
    for case in cases {
        let service = service(&shapes, &case);
        let service: &'static Service = Box::leak(Box::new(Service {
            error_namespace: Some("smithy.protocoltests.rpcv2Cbor"),
            ..*service
        }));
        let named = |shape: &&wire::schema::Shape| case["shape"] == shape.name;
        let shape = service.shapes.iter().find(named).unwrap();
        let Kind::Structure(structure) = shape.kind else {
            panic!("an error is a structure")
        };
        let message = case["params"]["Message"].as_str().unwrap_or_default();
        let mut error = Error::modelled(shape, message);
        for member in structure.members {
            if let Some(json) = case["params"].get(member.name) {
                error = error.with(member.name, value(service, member.shape, json));
            }
        }
        let written = encode_error(Protocol::RpcV2Cbor, Some(service), &error, "id");
        assert_eq!(
            u64::from(written.status().as_u16()),
            case["status"],
            "{}",
            case["id"]
        );
        assert_eq!(*written.body(), body(&case), "{}", case["id"]);
    }
}
