use serde_json::json;

use super::*;
use crate::deliveries::{Attribute, Value as Held};

fn said(policy: Value, scope: Scope) -> String {
    let refused = Filter::compile(&policy.to_string(), scope, "");
    let said = refused.expect_err("it is refused").to_string();
    said.strip_prefix("Invalid parameter: ")
        .expect("so SNS begins")
        .to_owned()
}

#[test]
fn what_is_wrong_is_said_in_snss_words() {
    use Scope::{MessageAttributes, MessageBody};
    for (value, expected) in [
        (json!({"numeric": []}), "Invalid member in numeric match: ]"),
        (
            json!({"numeric": [1, "<="]}),
            "Invalid member in numeric match: 1",
        ),
        (json!({"numeric": ["="]}), "Value of equals must be numeric"),
        (
            json!({"numeric": ["<", 1, ">", 0]}),
            "Too many elements in numeric expression",
        ),
        (
            json!({"numeric": [">", 1, 2]}),
            "Bad value in numeric range: 2",
        ),
        (
            json!({"numeric": [">", 1, "=", 2]}),
            "Bad numeric range operator: =",
        ),
        (
            json!({"numeric": [">", 2, "<", 2]}),
            "Bottom must be less than top",
        ),
        (
            json!({"numeric": [">", 1, "<", 2, "<", 3]}),
            "Too many terms in numeric range expression",
        ),
        (
            json!({"anything-but": {"suffix": "x"}}),
            "Unsupported anything-but pattern: suffix",
        ),
        (
            json!({"prefix": 1}),
            "prefix match pattern must be a string",
        ),
        (json!({"regex": "x"}), "Unrecognized match type regex"),
    ] {
        let policy = json!({"key": [value]});
        assert_eq!(
            said(policy, MessageAttributes),
            format!("FilterPolicy: {expected}")
        );
    }
    assert_eq!(
        said(json!([]), MessageBody),
        "FilterPolicy: Filter is not an object"
    );
    assert_eq!(
        said(json!({"a": {"b": ["c"]}}), MessageAttributes),
        "Filter policy scope MessageAttributes does not support nested filter policy"
    );
    let many = |count| json!((0..count).collect::<Vec<_>>());
    let complex = "FilterPolicy: Filter policy is too complex";
    assert_eq!(
        said(json!({"a": many(12), "b": many(13)}), MessageAttributes),
        complex
    );
    assert_eq!(
        said(json!({"a": {"b": many(9), "c": many(5)}}), MessageBody),
        complex
    );
    let either = json!({"a": many(15), "$or": [{"b": many(5)}, {"c": many(5)}]});
    assert!(Filter::compile(&either.to_string(), MessageAttributes, "").is_ok());
}

fn message(attributes: &[(&str, &str, &str)], body: &str) -> Message {
    let attribute = |(name, data_type, value): &(&str, &str, &str)| Attribute {
        name: (*name).into(),
        data_type: (*data_type).into(),
        value: Held::Text((*value).into()),
    };
    Message {
        attributes: attributes.iter().map(attribute).collect(),
        body: body.into(),
        ..Message::default()
    }
}

#[test]
fn messages_are_told_apart_by_attributes_or_body() {
    let by = |policy: Value, scope| Filter::compile(&policy.to_string(), scope, "").expect("good");
    let takes = |filter: &Filter, message: &Message| filter.takes(&Asked::of(message, true));
    let numbers = by(
        json!({"price": [{"numeric": [">", 0, "<=", 100]}]}),
        Scope::MessageAttributes,
    );
    assert!(takes(
        &numbers,
        &message(&[("price", "Number", "99.12")], "")
    ));
    assert!(!takes(
        &numbers,
        &message(&[("price", "Number", "111")], "")
    ));
    assert!(!takes(&numbers, &message(&[("price", "String", "99")], "")));
    assert!(!takes(&numbers, &message(&[], r#"{"price": 50}"#)));
    let listed = by(json!({"store": ["a"]}), Scope::MessageAttributes);
    assert!(takes(
        &listed,
        &message(&[("store", "String.Array", r#"["b", "a"]"#)], "")
    ));
    assert!(!takes(
        &listed,
        &message(&[("store", "String.Array", r#"["b"]"#)], "")
    ));
    let body = by(json!({"a": {"b": [{"prefix": "x"}]}}), Scope::MessageBody);
    assert!(takes(&body, &message(&[], r#"{"a": {"b": "xy"}}"#)));
    for other in [r#"{"a": {"b": "yx"}}"#, "\"xy\"", "xy", ""] {
        assert!(
            !takes(&body, &message(&[("a", "String", "xy")], other)),
            "{other}"
        );
    }
}
