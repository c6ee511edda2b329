//! rpcv2Cbor: what clients may send for one and the same thing, what is refused, and how answers and
//! errors are written. The bytes are those of RFC 8949 and Smithy's description of the protocol.

use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use wire::{
    Error, FromValue, IntoValue, Protocol, Route, Router,
    cloudwatch::{GetMetricDataOutput, MetricDataResult, PutMetricDataInput, SERVICE, errors},
    decode_request, encode_error, encode_response, lambda, refuse,
};

fn head(operation: &str) -> Parts {
    let path = format!("/service/GraniteServiceVersion20100801/operation/{operation}");
    let request = Request::post(path).header("smithy-protocol", "rpc-v2-cbor");
    request.body(()).unwrap().into_parts().0
}

fn route(operation: &str) -> Route {
    let router = Router::new(&[&lambda::SERVICE, &SERVICE]);
    router.route(&head(operation), b"").unwrap()
}

fn put(body: &[u8]) -> Result<PutMetricDataInput, Error> {
    let route = route("PutMetricData");
    assert_eq!(route.protocol, Protocol::RpcV2Cbor);
    let (parts, body) = (head("PutMetricData"), Bytes::copy_from_slice(body));
    let value = decode_request(
        route.protocol,
        &SERVICE,
        route.operation,
        &route.labels,
        &parts,
        &body,
    )?;
    Ok(PutMetricDataInput::from_value(Some(value)))
}

fn text(text: &str) -> Vec<u8> {
    let mut out = vec![0x78, u8::try_from(text.len()).unwrap()];
    out.extend_from_slice(text.as_bytes());
    out
}

/// A request with one datum, whose members are given as they are on the wire.
fn datum(members: &[u8]) -> Vec<u8> {
    let mut body = vec![0xbf];
    body.extend(text("Namespace"));
    body.extend(text("shop"));
    body.extend(text("MetricData"));
    body.extend([0x9f, 0xbf]);
    body.extend(text("MetricName"));
    body.extend(text("time"));
    body.extend_from_slice(members);
    body.extend([0xff, 0xff, 0xff]);
    body
}

fn member(name: &str, value: &[u8]) -> Vec<u8> {
    [text(name), value.to_vec()].concat()
}

#[test]
fn numbers_come_in_all_their_sizes() {
    for (value, expected) in [
        (&[0x17][..], 23.0),
        (&[0x18, 0xff], 255.0),
        (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], 4_294_967_296.0),
        (&[0x20], -1.0),
        (&[0x39, 0x01, 0xf3], -500.0),
        (&[0xf9, 0x3e, 0x00], 1.5),
        (&[0xf9, 0x00, 0x01], 5.960_464_477_539_063e-8),
        (&[0xf9, 0xfc, 0x00], f64::NEG_INFINITY),
        (&[0xfa, 0x47, 0xc3, 0x50, 0x00], 100_000.0),
        (&[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a], 1.1),
    ] {
        let input = put(&datum(&member("Value", value))).unwrap();
        assert_eq!(
            input.metric_data.unwrap()[0].value,
            Some(expected),
            "{value:x?}"
        );
    }
}

#[test]
fn instants_are_tagged_seconds_whole_or_not() {
    for (value, expected) in [
        (&[0xc1, 0x1a, 0x69, 0x00, 0x00, 0x00][..], 1_761_607_680_000),
        (
            &[0xc1, 0xfb, 0x41, 0xda, 0x40, 0, 0, 0x20, 0, 0],
            1_761_607_680_500,
        ),
        (&[0x1a, 0x69, 0x00, 0x00, 0x00], 1_761_607_680_000),
    ] {
        let input = put(&datum(&member("Timestamp", value))).unwrap();
        let at = input.metric_data.unwrap()[0].timestamp.unwrap();
        assert_eq!(at.as_millisecond(), expected, "{value:x?}");
    }
}

#[test]
fn lengths_may_be_told_or_not_and_what_is_unknown_is_passed_over() {
    // A map of three, a text in two pieces, null for nothing, a member of tomorrow, a tag.
    let mut body = vec![0xa4];
    body.extend(text("Namespace"));
    body.extend([0x7f, 0x62, b's', b'h', 0x62, b'o', b'p', 0xff]);
    body.extend(text("Tomorrow"));
    body.extend([0x82, 0xa1, 0x01, 0xf7, 0xd8, 0x20, 0x41, 0x00]);
    body.extend(text("StrictEntityValidation"));
    body.push(0xf6);
    body.extend(text("MetricData"));
    body.extend([0x81, 0xa2]);
    body.extend(text("MetricName"));
    body.extend(text("time"));
    body.extend(text("Values"));
    body.extend([0x82, 0x01, 0xd8, 0x20, 0x02]);
    let input = put(&body).unwrap();
    assert_eq!(input.namespace, "shop");
    assert_eq!(input.strict_entity_validation, None);
    assert_eq!(
        input.metric_data.unwrap()[0].values.as_deref(),
        Some(&[1.0, 2.0][..])
    );
    assert_eq!(put(b"").unwrap().namespace, "");
}

#[test]
fn what_is_no_request_is_refused_and_nothing_breaks() {
    let whole = datum(&member("Value", &[0x01]));
    for end in 1..whole.len() {
        assert_eq!(
            put(&whole[..end]).unwrap_err().code,
            "SerializationException"
        );
    }
    let deep = [&[0xbf, 0x61, b'x'][..], &vec![0x9f; 200_000]].concat();
    let many = [&text("Values")[..], &[0x9f], &vec![0x01; 300_000], &[0xff]].concat();
    for wrong in [
        deep,
        datum(&many),
        // More elements, and a longer text, than there are bytes.
        datum(&member(
            "Values",
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        )),
        datum(&member(
            "Unit",
            &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        )),
        // Of another type.
        datum(&member("Value", &text("1"))),
        datum(&member("Unit", &[0x01])),
        datum(&member(
            "StorageResolution",
            &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
        )),
        datum(&member("Values", &[0x01])),
        datum(&member("Timestamp", &text("2026-01-01T00:00:00Z"))),
        // No UTF-8, a reserved byte, bytes behind the end.
        datum(&member("Unit", &[0x61, 0xff])),
        datum(&member("Value", &[0xfc])),
        [&whole[..], &[0x00]].concat(),
        vec![0x80],
        vec![0xff],
    ] {
        let shown = &wrong[..wrong.len().min(60)];
        assert_eq!(
            put(&wrong).unwrap_err().code,
            "SerializationException",
            "{shown:x?}"
        );
    }
}

#[test]
fn answers_are_written_as_aws_writes_them() {
    let route = route("GetMetricData");
    let output = GetMetricDataOutput {
        metric_data_results: Some(vec![MetricDataResult {
            timestamps: Some(vec!["2026-01-01T00:00:00Z".parse().unwrap()]),
            values: Some(vec![41.0]),
            ..MetricDataResult::default()
        }]),
        ..GetMetricDataOutput::default()
    };
    let answer = encode_response(
        route.protocol,
        &SERVICE,
        route.operation,
        output.into_value(),
        "id",
    );
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/cbor");
    assert_eq!(header("smithy-protocol"), "rpc-v2-cbor");
    let body = answer.body().as_ref();
    assert_eq!((body[0], body.last()), (0xbf, Some(&0xff)));
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    assert!(holds(b"Timestamps\x9f\xc1\xfbA"), "{body:x?}");
    assert!(
        holds(b"Values\x9f\xfb@D\x80\x00\x00\x00\x00\x00\xff"),
        "{body:x?}"
    );
    let put = encode_response(
        route.protocol,
        &SERVICE,
        SERVICE.operation("PutMetricData").unwrap(),
        None,
        "id",
    );
    assert!(put.body().is_empty() && !put.headers().contains_key("content-type"));
}

#[test]
fn errors_have_the_codes_of_both_protocols() {
    let error = errors::resource_not_found("");
    let told = |query_mode: bool| {
        let mut parts = head("SetAlarmState");
        if query_mode {
            parts
                .headers
                .insert("x-amzn-query-mode", "true".parse().unwrap());
        }
        refuse(&route("SetAlarmState"), &parts, &error, "id")
    };
    assert_eq!(told(false).status(), StatusCode::BAD_REQUEST);
    let answer = told(true);
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let code = answer.headers()["x-amzn-query-error"].to_str().unwrap();
    assert_eq!(code, "ResourceNotFound;Sender");
    let name = b"com.amazonaws.cloudwatch.v2010_08_01#ResourceNotFound";
    let mut body = [&[0xbf, 0x66][..], b"__type"].concat();
    body.extend([0x78, u8::try_from(name.len()).unwrap()]);
    body.extend_from_slice(name);
    body.push(0xff);
    assert_eq!(answer.body().as_ref(), body, "there is nothing more to say");
    let unknown = Error::validation("no");
    let answer = encode_error(Protocol::RpcV2Cbor, Some(&SERVICE), &unknown, "id");
    let said = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(
        said.contains("com.amazon.coral.validate#ValidationException"),
        "{said}"
    );
    assert_eq!(
        answer.headers()["x-amzn-query-error"],
        "ValidationError;Sender"
    );
}

#[test]
fn the_path_says_what_is_asked() {
    let router = Router::new(&[&lambda::SERVICE, &SERVICE]);
    let ask = |path: &str, protocol: &str| {
        let request = Request::post(path).header("smithy-protocol", protocol);
        let parts = request.body(()).unwrap().into_parts().0;
        router.route(&parts, b"").map(|route| route.operation.name)
    };
    let service = "service/GraniteServiceVersion20100801/operation";
    assert_eq!(
        ask(&format!("/{service}/ListMetrics"), "rpc-v2-cbor").unwrap(),
        "ListMetrics"
    );
    assert_eq!(
        ask(
            &format!("/behind/a/proxy/{service}/ListMetrics"),
            "rpc-v2-cbor"
        )
        .unwrap(),
        "ListMetrics"
    );
    let unknown = ask(&format!("/{service}/Dance"), "rpc-v2-cbor").unwrap_err();
    assert_eq!(unknown.protocol, Protocol::RpcV2Cbor);
    assert_eq!(unknown.error.code, "UnknownOperationException");
    assert!(ask(&format!("/{service}/ListMetrics"), "rpc-v3").is_err());
    assert!(ask("/service/Other/operation/ListMetrics", "rpc-v2-cbor").is_err());
}
