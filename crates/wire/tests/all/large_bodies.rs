//! Bodies that say the same twice, or a lot.

use serde_json::{Value, json};

use crate::lambda_api::{breaches, json_of, request, send};

/// `{"a":[{},{},...` of 70 MB would be gigabytes of empty structures.
#[test]
fn what_is_small_to_write_stays_small_to_hold() {
    let refused = |body: String| {
        let response = send(request("POST", "/2015-03-31/functions", body));
        assert_eq!(response.status(), 400);
        json_of(&response)["Message"].as_str().map(str::to_owned)
    };
    let many = |item: &str| vec![item; 260_000].join(",");
    let expect = Some("The request body holds too many values".to_owned());
    for body in [
        format!(r#"{{"FileSystemConfigs":[{}]}}"#, many("{}")),
        format!(r#"{{"Layers":[{}]}}"#, many(r#""""#)),
        format!(r#"{{"Tags":{{{}}}}}"#, many(r#""":"""#)),
    ] {
        assert_eq!(refused(body), expect);
    }
    let unknown = format!(r#"{{"Unknown":[{}],"Timeout":"1"}}"#, many("{}"));
    assert_ne!(refused(unknown), expect);
}

/// A value may be all of a request of 70 MB, and break three constraints.
#[test]
fn of_a_long_value_the_beginning_is_repeated() {
    let (_, list) = breaches(json!({"Description": "\u{e4}".repeat(100_000)}));
    assert!(list.starts_with("Value '\u{e4}\u{e4}") && list.len() < 10_000);
    assert!(
        list.contains("\u{e4}...' at 'description' failed"),
        "{list}"
    );
    let many = vec!["x86_64"; 10_000];
    let (_, list) = breaches(json!({"Architectures": many}));
    assert!(list.len() < 10_000);
}

#[test]
fn what_is_given_twice_counts_as_given_last() {
    let body = |members: &str| {
        format!(
            r#"{{"FunctionName": "f", "Role": "arn:aws:iam::123456789012:role/r",
                "Code": {{"ZipFile": "UEsFBg=="}}, {members}}}"#
        )
    };
    let create = |members: &str| {
        json_of(&send(request(
            "POST",
            "/2015-03-31/functions",
            body(members),
        )))
    };
    assert_eq!(
        create(r#""MemorySize": 1, "MemorySize": 512"#)["MemorySize"],
        512
    );
    assert_eq!(
        create(r#""MemorySize": 512, "MemorySize": null"#)["MemorySize"],
        Value::Null
    );
    let twice = r#""Environment": {"Variables": {"AB": "1", "BC": "2", "AB": "3"}}"#;
    assert_eq!(
        create(twice)["Environment"],
        json!({"Variables": {"AB": "3", "BC": "2"}})
    );
}
