//! What patterns match: AWS's own examples of "Filter pattern syntax", and where it says nothing
//! what is wanted of them.

use super::*;

#[track_caller]
fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let made = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for message in matching {
        assert!(made.matches(message.as_bytes()), "{pattern} and {message}");
        assert!(made.extract(message).is_some(), "{pattern} and {message}");
    }
    for message in others {
        assert!(!made.matches(message.as_bytes()), "{pattern} but {message}");
        assert_eq!(made.extract(message), None, "{pattern} but {message}");
    }
}

#[test]
fn terms() {
    const LINES: [&str; 4] = [
        "[ERROR 400] BAD REQUEST",
        "[ERROR 401] UNAUTHORIZED REQUEST",
        "[ERROR 419] MISSING ARGUMENTS",
        "[WARN] slow",
    ];
    check("", &LINES, &[]);
    check("ERROR", &LINES[..3], &LINES[3..]);
    check("ERROR ARGUMENTS", &LINES[2..3], &LINES[..2]);
    check("?ARGUMENTS ?slow", &LINES[2..], &LINES[..2]);
    check("ERROR -ARGUMENTS", &LINES[..2], &LINES[2..]);
    check("-ERROR", &LINES[3..], &LINES[..3]);
    check(r#""BAD REQUEST""#, &LINES[..1], &LINES[1..]);
    check(r#"-"BAD REQUEST" ERROR"#, &LINES[1..3], &LINES[..1]);
    // Beside a term that has to be there those that may be say nothing.
    check("?slow REQUEST", &LINES[..2], &LINES[2..]);
    check("%40[01]%", &LINES[..2], &LINES[2..]);
    check("%^.WARN% slow", &LINES[3..], &LINES[..3]);
    check(r#""say \"hi\"""#, &[r#"they say "hi""#], &["say hi"]);
    // Case counts.
    check("error", &[], &LINES);
}

#[test]
fn json() {
    const EVENT: &str = r#"{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"], "objectList": [{"name": "a", "id": 1},
        {"name": "b", "id": 2}], "SomeObject": null, "ThisFlag": true, "latency": 50.5,
        "user-agent": "x/1", "status": "404"}"#;
    let yes = [
        r#"{ $.eventType = "UpdateTrail" }"#,
        r#"{$.eventType=UpdateTrail}"#,
        r#"{ $.eventType = "Update*" }"#,
        r#"{ $.sourceIPAddress != 123.123.* }"#,
        r#"{ $.arrayKey[0] = "value" }"#,
        r#"{ $.arrayKey[*] = "another*" }"#,
        r#"{ $.objectList[1].id = 2 }"#,
        r#"{ $.objectList[1].id >= 2 && $.latency < 51 }"#,
        r#"{ $.SomeObject IS NULL }"#,
        r#"{ $.SomeOtherObject NOT EXISTS }"#,
        r#"{ $.ThisFlag IS TRUE }"#,
        r#"{ ($.latency = 50.5 || $.latency = 1) && ($.eventType != "x") }"#,
        r#"{ $.eventType = "x" || $.eventType = "y" || $.eventType = %Upd[a-z]+% }"#,
        r#"{ $.['user-agent'] = "x/1" }"#,
        r#"{ $.user-agent = "*" }"#,
        r#"{ $.status = 404 }"#,
        r#"{ $.latency = 5.05e1 }"#,
    ];
    let no = [
        r#"{ $.eventType = "updatetrail" }"#,
        r#"{ $.sourceIPAddress != 111.111.* }"#,
        r#"{ $.arrayKey[2] = "*" }"#,
        r#"{ $.arrayKey = "*" }"#,
        r#"{ $.ThisFlag IS FALSE }"#,
        r#"{ $.ThisFlag IS NULL }"#,
        r#"{ $.SomeObject NOT EXISTS }"#,
        r#"{ $.missing != "x" }"#,
        r#"{ $.latency > 50.5 }"#,
        r#"{ $.eventType = "UpdateTrail" && $.latency = 1 }"#,
    ];
    for pattern in yes {
        check(pattern, &[EVENT], &["not json", ""]);
    }
    for pattern in no {
        check(pattern, &[], &[EVENT]);
    }
    let pattern = Pattern::parse(r#"{ $.eventType = "*" && $.latency > 1 }"#).unwrap();
    let extracted = pattern.extract(EVENT).unwrap();
    assert_eq!(extracted.get("$.eventType"), Some("UpdateTrail"));
    assert_eq!(extracted.get("$.latency"), Some("50.5"));
    assert_eq!(
        pattern.value("$.objectList[0].id", EVENT).as_deref(),
        Some("1")
    );
    assert_eq!(pattern.value("$.SomeObject", EVENT), None);
}

const ACCESS: &str =
    r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;

#[test]
fn fields_between_spaces() {
    for pattern in [
        "[]",
        "[ip, identity, user_id, timestamp, request, status_code, size]",
        "[ip, identity, user_id, timestamp, request = *.html*, status_code = 4*, size]",
        "[ip, identity, user_id, timestamp, request, status_code = 404 || status_code = 410, size]",
        "[ip = %127[.]0%, ..., size > 1000]",
        "[..., size]",
        "[ip, ...]",
        "[w1 != ERROR && w1 != WARN, w2]",
        "[..., status_code != 4*, last < 2000]",
    ] {
        let is_other = pattern.contains("last");
        match is_other {
            false => check(pattern, &[ACCESS], &[]),
            true => check(pattern, &[], &[ACCESS]),
        }
    }
    check("[a, b, c, d, e, f, g, h]", &[], &[ACCESS]);
    check(
        "[w1=ERROR, w2]",
        &["ERROR all the rest"],
        &["WARN ERROR x", "ERROR"],
    );
    // What Lambda's own lines are taken apart by.
    let pattern = Pattern::parse(r#"[timestamp=*Z, request_id="*-*", event]"#).unwrap();
    let extracted = pattern
        .extract("2026-01-01T00:00:00Z\ta-b\tall the rest\n")
        .unwrap();
    assert_eq!(extracted.get("$event"), Some("all the rest"));
    assert_eq!(extracted.get("$request_id"), Some("a-b"));
}

#[test]
fn fields_have_values() {
    let pattern = Pattern::parse("[..., size]").unwrap();
    let extracted = pattern.extract(ACCESS).unwrap();
    let expect = [
        ("$1", "127.0.0.1"),
        ("$2", "-"),
        ("$3", "frank"),
        ("$4", "10/Oct/2000:13:25:15 -0700"),
        ("$5", "GET /index.html HTTP/1.0"),
        ("$6", "404"),
        ("$size", "1534"),
    ];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(extracted.0, expect);
    assert_eq!(pattern.value("$size", ACCESS).as_deref(), Some("1534"));
}

#[test]
fn what_is_no_pattern() {
    for text in [
        "{",
        "{}",
        "{ $.a }",
        "{ $.a = }",
        "{ a = 1 }",
        "{ $ = 1 }",
        "{ $.a = 1 } x",
        "{ ($.a = 1 }",
        "{ $.a > text }",
        "{ $.a IS MAYBE }",
        "{ $.a NOT }",
        "{ $.a[x] = 1 }",
        "[",
        "[a",
        "[..., ...]",
        "[a = ]",
        "[a = 1 && b = 2]",
        "\"open",
        "-",
        "?",
        "%",
        "%a",
        "level=error",
        "foo:bar",
        "%(a)%",
        "%a!%",
        "%é%",
        "%[%",
        "%a% %b% %c%",
        "%\\%",
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(400), ")".repeat(400));
    assert!(Pattern::parse(&deep).is_err());
}

#[test]
fn hard_expressions_stay_linear() {
    let pattern = Pattern::parse("%a*a*a*a*a*a*a*a*a*b%").unwrap();
    assert!(!pattern.matches("a".repeat(100_000).as_bytes()));
    assert!(Pattern::parse("%[a-z]{1000}{1000}%").is_err());
    assert!(!pattern.matches(b"\xff\xfe"));
}
