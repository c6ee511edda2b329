//! Whatever is written is read back the same, and nothing that arrives makes us panic.

use crate::support::{comparable, service};
use bytes::Bytes;
use http::Request;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value as Json, json};
use wire::{
    Call, Context, Labels, Members, Protocol, Router, Value, decode_request, encode_response,
    events::url,
    lambda::{self, Lambda},
    schema::{Kind, Service, ShapeId},
    sigv4::{self, KeyCache, Secret},
};

/// A structure of every kind of shape, in the body and in headers, the same for input and output.
fn shapes() -> Json {
    json!({
        "All": {"type": "structure", "members": {
            "Boolean": {"shape": "Boolean"},
            "Byte": {"shape": "Byte"},
            "Short": {"shape": "Short"},
            "Integer": {"shape": "Integer", "locationName": "renamed"},
            "Long": {"shape": "Long"},
            "Double": {"shape": "Double"},
            "String": {"shape": "String"},
            "Blob": {"shape": "Blob"},
            "Time": {"shape": "Time"},
            "TimeIso": {"shape": "Time", "timestampFormat": "iso8601"},
            "TimeHttp": {"shape": "TimeHttp"},
            "List": {"shape": "List"},
            "Sparse": {"shape": "Sparse"},
            "Map": {"shape": "Map"},
            "Choice": {"shape": "Choice"},
            "Again": {"shape": "Again"},
            "HeaderInteger": {"shape": "Integer", "location": "header", "locationName": "X-Integer"},
            "HeaderText": {"shape": "Token", "location": "header", "locationName": "X-Text"},
            "HeaderList": {"shape": "List", "location": "header", "locationName": "X-List"},
            "HeaderBlob": {"shape": "Blob", "location": "header", "locationName": "X-Blob"},
            "HeaderTime": {"shape": "Time", "location": "header", "locationName": "X-Time"},
        }},
        "Boolean": {"type": "boolean"},
        "Byte": {"type": "byte"},
        "Short": {"type": "short"},
        "Integer": {"type": "integer"},
        "Long": {"type": "long"},
        "Double": {"type": "double"},
        "String": {"type": "string"},
        "Token": {"type": "string"},
        "Blob": {"type": "blob"},
        "Time": {"type": "timestamp"},
        "TimeHttp": {"type": "timestamp", "timestampFormat": "rfc822"},
        "List": {"type": "list", "member": {"shape": "Token"}},
        "Sparse": {"type": "list", "member": {"shape": "Integer"}, "sparse": true},
        "Map": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "Blob"}},
        "Choice": {"type": "structure", "union": true, "members": {
            "Left": {"shape": "String"}, "Right": {"shape": "Again"},
        }},
        "Again": {"type": "structure", "members": {
            "Text": {"shape": "String"}, "Again": {"shape": "Again"},
        }},
    })
}

fn all() -> &'static Service {
    let given = json!({
        "name": "All",
        "http": {"method": "POST", "requestUri": "/"},
        "input": {"shape": "All"},
        "output": {"shape": "All"},
    });
    service(&shapes(), &given)
}

/// Any value of a shape; structures to some depth.
pub fn any_value(service: &'static Service, id: ShapeId, depth: u32) -> BoxedStrategy<Value> {
    let seconds = -62_000_000_000_i64..250_000_000_000;
    match service.shape(id).kind {
        Kind::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Kind::Byte => any::<i8>().prop_map(|n| Value::Integer(n.into())).boxed(),
        Kind::Short => any::<i16>().prop_map(|n| Value::Integer(n.into())).boxed(),
        Kind::Integer => any::<i32>().prop_map(|n| Value::Integer(n.into())).boxed(),
        Kind::Long => any::<i64>().prop_map(Value::Integer).boxed(),
        Kind::Float | Kind::Double => any::<f64>().prop_map(Value::Float).boxed(),
        // Tokens travel in headers, which trim spaces.
        Kind::String if service.shape(id).name == "Token" => {
            "[!-~]([ -~]{0,8}[!-~])?".prop_map(Value::String).boxed()
        }
        Kind::String => any::<String>().prop_map(Value::String).boxed(),
        Kind::Blob => vec(any::<u8>(), 0..40)
            .prop_map(|b| Value::Blob(b.into()))
            .boxed(),
        Kind::Timestamp => seconds
            .prop_map(|s| Value::Timestamp(wire::Timestamp::from_second(s).unwrap()))
            .boxed(),
        Kind::Document => Just(Value::Document(json!({"a": [1, null]}))).boxed(),
        Kind::List(list) => {
            let item = any_value(service, list.member, depth);
            let item = if list.sparse {
                prop_oneof![Just(Value::Null), item].boxed()
            } else {
                item
            };
            vec(item, 0..5).prop_map(Value::List).boxed()
        }
        Kind::Map(map) => proptest::collection::btree_map(
            any::<String>(),
            any_value(service, map.value, depth),
            0..4,
        )
        .prop_map(|entries| Value::Map(entries.into_iter().collect()))
        .boxed(),
        Kind::Structure(structure) => any_structure(service, structure, depth),
    }
}

fn any_structure(
    service: &'static Service,
    structure: wire::schema::Structure,
    depth: u32,
) -> BoxedStrategy<Value> {
    let count = structure.members.len();
    let member = move |index: usize| -> BoxedStrategy<Option<Value>> {
        let id = structure.members[index].shape;
        let nested = matches!(service.shape(id).kind, Kind::Structure(_));
        if nested && depth == 0 {
            return Just(None).boxed();
        }
        proptest::option::of(any_value(
            service,
            id,
            depth.saturating_sub(u32::from(nested)),
        ))
        .boxed()
    };
    let build = move |values: Vec<Option<Value>>| {
        let mut members = Members::new(count);
        for (index, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                members.set(index, value);
            }
        }
        Value::Structure(members)
    };
    if structure.union {
        return any_value(service, structure.members[0].shape, depth)
            .prop_map(move |value| build(vec![Some(value), None]))
            .boxed();
    }
    (0..count)
        .map(member)
        .collect::<Vec<_>>()
        .prop_map(build)
        .boxed()
}

struct Nothing;

impl Lambda for Nothing {}

fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(value in any_value(all(), all().operations[0].input.unwrap(), 3)) {
        let service = all();
        let operation = &service.operations[0];
        let written =
            encode_response(Protocol::RestJson1, service, operation, Some(value.clone()), "id");
        let (answer, body) = written.into_parts();
        let mut request = Request::post("/").body(()).unwrap();
        *request.headers_mut() = answer.headers;
        let (parts, ()) = request.into_parts();
        let labels = Labels::default();
        let read =
            decode_request(Protocol::RestJson1, service, operation, &labels, &parts, &body).unwrap();
        prop_assert_eq!(comparable(&read), comparable(&value));
    }

    #[test]
    fn no_body_makes_an_operation_panic(index in 0..lambda::SERVICE.operations.len(), body in any_json()) {
        let operation = &lambda::SERVICE.operations[index];
        let uri: String = operation.uri.replace(['{', '}'], "x");
        let router = Router::new(&[&lambda::SERVICE]);
        let request = Request::builder().method(operation.method).uri(uri).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let route = router.route(&parts, b"").unwrap();
        let cx = Context {
            request_id: "id".to_owned(),
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: String::new(),
            role: None,
            host: String::new(),
            origin: wire::Origin::default(),
            trace_header: None,
            now: wire::Timestamp::UNIX_EPOCH,
        };
        let body = Bytes::from(body);
        let call = Call { cx: &cx, route: &route, parts: &parts, body: &body };
        let answer = ready(lambda::dispatch(&Nothing, call));
        prop_assert!(matches!(answer.status().as_u16(), 400 | 501));
    }

    #[test]
    fn no_path_makes_the_router_panic(path in "(/[ -~]{0,20}){0,6}") {
        if let Ok(request) = Request::get(path.replace([' ', '#'], "%")).body(()) {
            let _ = Router::new(&[&lambda::SERVICE]).route(&request.into_parts().0, b"");
        }
    }

    #[test]
    fn no_signature_makes_us_panic(
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=[!-~]{0,30},? ?)?(SignedHeaders=[a-z;]{0,20},? ?)?(Signature=[0-9a-f]{0,70})?",
        date in "[0-9TZ]{0,17}",
        query in "(X-Amz-[A-Za-z]{1,14}=[!-~]{0,20}&){0,6}",
    ) {
        let query = query.replace('#', "");
        let Ok(request) = Request::get(format!("/?{query}"))
            .header("authorization", authorization)
            .header("x-amz-date", date)
            .body(())
        else {
            return Ok(());
        };
        let (mut parts, ()) = request.into_parts();
        let secrets =
            |_: &str| Some(Secret { secret_access_key: "s".into(), session_token: None });
        let now = "2024-05-01T09:30:00Z".parse().unwrap();
        let keys = KeyCache::new();
        let _ = sigv4::parse(&parts);
        prop_assert!(sigv4::verify(&parts, b"", &secrets, now, &keys).is_err());
        parts.headers.remove("authorization");
        prop_assert!(sigv4::verify(&parts, b"", &secrets, now, &keys).is_err());
    }

    #[test]
    fn every_answer_of_a_function_becomes_a_response(payload in any_json()) {
        let response = url::response(&payload, "id");
        prop_assert!(response.status().as_u16() >= 100);
    }
}

/// JSON that may hold what these interfaces look for, and bytes that are none at all.
fn any_json() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        Just("FunctionName".to_owned()),
        Just("Code".to_owned()),
        Just("Environment".to_owned()),
        Just("Variables".to_owned()),
        Just("Tags".to_owned()),
        Just("statusCode".to_owned()),
        Just("headers".to_owned()),
        Just("body".to_owned()),
        Just("cookies".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (100..600).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    let json = leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec((key.clone(), inner), 0..5)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    });
    prop_oneof![
        4 => json.prop_map(|json| json.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..40),
    ]
}
