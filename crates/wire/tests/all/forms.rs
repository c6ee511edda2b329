//! Forms as SDKs write them are read as what was meant, for every input that SQS has.

use bytes::Bytes;
use http::Request;
use proptest::{prelude::*, sample::select};
use wire::{
    Members, Router, Value, decode_request,
    schema::{Kind, Operation, ShapeId},
    sqs::SERVICE,
};

use crate::{round_trip::any_value, support::comparable};

/// The parameters of a value, as botocore names them.
fn write(prefix: &str, id: ShapeId, is_flat: bool, value: &Value, out: &mut Vec<(String, String)>) {
    match (value, &SERVICE.shape(id).kind) {
        (Value::Structure(members), Kind::Structure(structure)) => {
            for (index, value) in members.iter() {
                let member = &structure.members[index];
                let own = match SERVICE.shape(member.shape).kind {
                    Kind::List(list) if list.flattened => list.member_name,
                    _ => None,
                };
                let dot = if prefix.is_empty() { "" } else { "." };
                let name = format!("{prefix}{dot}{}", own.unwrap_or(member.in_query()));
                write(&name, member.shape, member.flattened, value, out);
            }
        }
        (Value::List(items), Kind::List(list)) => {
            if items.is_empty() {
                out.push((prefix.to_owned(), String::new()));
            }
            let wrap = if list.flattened || is_flat {
                ""
            } else {
                ".member"
            };
            for (n, item) in items.iter().enumerate() {
                let name = format!("{prefix}{wrap}.{}", n + 1);
                write(&name, list.member, false, item, out);
            }
        }
        (Value::Map(entries), Kind::Map(map)) => {
            if entries.is_empty() {
                out.push((prefix.to_owned(), String::new()));
            }
            for (n, (key, value)) in entries.iter().enumerate() {
                let entry = format!("{prefix}.{}", n + 1);
                out.push((format!("{entry}.{}", map.key_name.unwrap()), key.clone()));
                let name = format!("{entry}.{}", map.value_name.unwrap());
                write(&name, map.value, false, value, out);
            }
        }
        (Value::Boolean(value), _) => out.push((prefix.to_owned(), value.to_string())),
        (Value::Integer(value), _) => out.push((prefix.to_owned(), value.to_string())),
        (Value::String(value), _) => out.push((prefix.to_owned(), value.clone())),
        (Value::Blob(value), _) => {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(value);
            out.push((prefix.to_owned(), text));
        }
        (value, _) => panic!("no input of SQS's has {value:?}"),
    }
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let bytes = text.bytes().map(|b| match b {
        b' ' => "+".to_owned(),
        b if plain(b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    bytes.collect()
}

/// A structure without members is nothing in a form: give it one.
fn filled(id: ShapeId, value: Value) -> Value {
    match (value, &SERVICE.shape(id).kind) {
        (Value::Structure(members), Kind::Structure(structure)) => {
            let mut out = Members::new(members.capacity());
            for (index, value) in members.iter() {
                out.set(index, filled(structure.members[index].shape, value.clone()));
            }
            if out.count() == 0 {
                out.set(0, Value::from("x"));
            }
            Value::Structure(out)
        }
        (Value::List(items), Kind::List(list)) => {
            let items = items.into_iter().map(|item| filled(list.member, item));
            Value::List(items.collect())
        }
        (Value::Map(entries), Kind::Map(map)) => {
            let entries = entries.into_iter().map(|(k, v)| (k, filled(map.value, v)));
            Value::Map(entries.collect())
        }
        (value, _) => value,
    }
}

fn read(operation: &Operation, body: String) -> Result<Value, wire::Error> {
    let request = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    let (parts, body) = request.body(Bytes::from(body)).unwrap().into_parts();
    let route = Router::new(&[&SERVICE]).route(&parts, &body).unwrap();
    assert_eq!(route.operation.name, operation.name);
    let labels = &route.labels;
    decode_request(
        route.protocol,
        &SERVICE,
        route.operation,
        labels,
        &parts,
        &body,
    )
}

fn any_input() -> impl Strategy<Value = (&'static Operation, Value)> {
    let operations: Vec<&Operation> = SERVICE.operations.iter().collect();
    select(operations).prop_flat_map(|operation| {
        let input = operation.input.unwrap();
        let value = any_value(&SERVICE, input, 2).prop_map(move |v| filled(input, v));
        (Just(operation), value)
    })
}

proptest! {
    #[test]
    fn what_is_meant_is_read((operation, value) in any_input(), reversed: bool) {
        let Value::Structure(mut members) = value else { unreachable!() };
        if operation.name == "ReceiveMessage" {
            // It goes by the name of the list before it.
            members.clear(2);
        }
        let value = Value::Structure(members);
        let mut pairs = vec![("Action".to_owned(), operation.name.to_owned())];
        write("", operation.input.unwrap(), false, &value, &mut pairs);
        if reversed {
            pairs.reverse();
        }
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let found = read(operation, pairs.collect::<Vec<_>>().join("&")).unwrap();
        prop_assert_eq!(comparable(&found), comparable(&value));
    }

    #[test]
    fn no_form_makes_us_panic(
        operation in select(SERVICE.operations.iter().collect::<Vec<_>>()),
        names in proptest::collection::vec(
            ("(QueueUrl|Entries|Attribute|MessageAttribute|Tag|SendMessageBatchRequestEntry)", "(\\.(|[0-9]{1,21}|Name|Value|Key|Id|StringValue|StringListValue|[!-~]{3})){0,5}"),
            0..12,
        ),
        raw in "[ -~]{0,12}",
    ) {
        let pairs = names.iter().map(|(stem, rest)| format!("&{stem}{rest}={raw}"));
        let _ = read(operation, format!("Action={}{}", operation.name, pairs.collect::<String>()));
    }
}
