//! The policy of a form: what whoever signed it lets the form say, and until when.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::form::Fields;
use crate::{error::Error, protocol::base64_decode};

/// Fields that no condition has to be about.
const FREE: &[&str] = &[
    "awsaccesskeyid",
    "signature",
    "file",
    "policy",
    "x-amz-signature",
];

/// What is left to be checked of a policy that a form keeps: the file's length, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

/// Checks a form against its policy, which is in base64.
pub fn check(
    policy: &str,
    bucket: &str,
    fields: &Fields,
    now: Timestamp,
) -> Result<Option<Range>, Error> {
    let bytes =
        base64_decode(policy.trim()).ok_or_else(|| invalid("Invalid Policy: Invalid Base64."))?;
    let policy: Json =
        serde_json::from_slice(&bytes).map_err(|_| invalid("Invalid Policy: Invalid JSON."))?;
    let expiration = policy["expiration"].as_str();
    let expiration =
        expiration.ok_or_else(|| invalid("Invalid Policy: Policy missing expiration."))?;
    let until: Timestamp = expiration.parse().map_err(|_| {
        invalid(&format!(
            "Invalid Policy: Invalid 'expiration' value: '{expiration:.100}'"
        ))
    })?;
    if until <= now {
        return Err(denied("Policy expired."));
    }
    let conditions = policy["conditions"].as_array();
    let conditions =
        conditions.ok_or_else(|| invalid("Invalid Policy: Policy missing conditions."))?;
    let mut range = None;
    let mut covered: Vec<String> = Vec::new();
    for condition in conditions {
        match Condition::read(condition)? {
            Condition::Length(given) => range = Some(given),
            Condition::Equal(name, value) => {
                let is = given(fields, bucket, &name) == Some(value.as_str());
                keep(is, condition)?;
                covered.push(name);
            }
            Condition::Begins(name, prefix) => {
                let given = given(fields, bucket, &name).unwrap_or_default();
                keep(given.starts_with(&prefix), condition)?;
                covered.push(name);
            }
        }
    }
    let is_extra = |name: &&String| {
        let name = name.as_str();
        !FREE.contains(&name)
            && !name.starts_with("x-ignore-")
            && !covered.iter().any(|c| c == name)
    };
    let extra: Vec<&str> = fields
        .all
        .iter()
        .map(|(name, _)| name)
        .filter(is_extra)
        .map(String::as_str)
        .collect();
    match extra.is_empty() {
        true => Ok(range),
        false => Err(denied(&format!("Extra input fields: {}", extra.join(", ")))),
    }
}

enum Condition {
    Equal(String, String),
    Begins(String, String),
    Length(Range),
}

impl Condition {
    fn read(json: &Json) -> Result<Self, Error> {
        let bad = || invalid("Invalid Policy: Invalid Condition.");
        if let Some(object) = json.as_object() {
            let (name, value) = object
                .iter()
                .next()
                .filter(|_| object.len() == 1)
                .ok_or_else(bad)?;
            return Ok(Self::Equal(
                name.to_ascii_lowercase(),
                text(value).ok_or_else(bad)?,
            ));
        }
        let [operator, first, second] = json.as_array().map(Vec::as_slice).ok_or_else(bad)? else {
            return Err(bad());
        };
        let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
        if operator == "content-length-range" {
            let (Some(min), Some(max)) = (number(first), number(second)) else {
                return Err(failed(json));
            };
            return Ok(Self::Length(Range { min, max }));
        }
        let name = first
            .as_str()
            .and_then(|name| name.strip_prefix('$'))
            .ok_or_else(bad)?;
        let (name, value) = (name.to_ascii_lowercase(), text(second).ok_or_else(bad)?);
        match operator.as_str() {
            "eq" => Ok(Self::Equal(name, value)),
            "starts-with" => Ok(Self::Begins(name, value)),
            _ => Err(bad()),
        }
    }
}

fn given<'a>(fields: &'a Fields, bucket: &'a str, name: &str) -> Option<&'a str> {
    match name {
        "bucket" => Some(bucket),
        name => fields.get(name),
    }
}

fn text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(json: &Json) -> Option<u64> {
    json.as_u64().or_else(|| json.as_str()?.parse().ok())
}

fn keep(holds: bool, condition: &Json) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(failed(condition))
    }
}

/// A condition is repeated as a list, however it was written.
fn failed(condition: &Json) -> Error {
    let shown = match condition
        .as_object()
        .and_then(|object| object.iter().next())
    {
        Some((name, value)) => format!("[\"eq\", \"${name}\", {value}]"),
        None => {
            let items = condition.as_array().into_iter().flatten();
            let items: Vec<String> = items
                .map(|item| match item {
                    Json::String(_) => item.to_string(),
                    item => format!("\"{item}\""),
                })
                .collect();
            format!("[{}]", items.join(", "))
        }
    };
    denied(&format!("Policy Condition failed: {shown}"))
}

fn denied(why: &str) -> Error {
    let message = format!("Invalid according to Policy: {why}");
    Error::new("AccessDenied", StatusCode::FORBIDDEN, message)
}

fn invalid(message: &str) -> Error {
    Error::new("InvalidPolicyDocument", StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::base64_encode;

    fn run(policy: &str, fields: &[(&str, &str)]) -> Result<Option<Range>, String> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        let fields = Fields {
            all: fields.iter().map(owned).collect(),
            filename: String::new(),
        };
        let policy = base64_encode(policy.as_bytes());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        check(&policy, "b", &fields, now).map_err(|error| error.message.clone())
    }

    fn policy(conditions: &str) -> String {
        format!(r#"{{"expiration": "2026-01-01T00:00:01.000Z", "conditions": [{conditions}]}}"#)
    }

    #[test]
    fn a_form_that_keeps_its_policy_passes() {
        let conditions = policy(
            r#"{"bucket": "b"}, ["starts-with", "$key", "user/"], {"ACL": "private"},
               ["content-length-range", "5", 10], ["starts-with", "$Content-Type", ""]"#,
        );
        let fields = [
            ("key", "user/x"),
            ("acl", "private"),
            ("policy", "p"),
            ("x-ignore-a", "b"),
        ];
        let range = Range { min: 5, max: 10 };
        assert_eq!(run(&conditions, &fields), Ok(Some(range)));
    }

    #[test]
    fn one_that_does_not_is_told_which_condition_fails() {
        let check = |conditions: &str, fields: &[(&str, &str)], expect: &str| {
            let expect = format!("Invalid according to Policy: {expect}");
            assert_eq!(run(&policy(conditions), fields), Err(expect));
        };
        check(
            r#"{"bucket": "c"}"#,
            &[],
            r#"Policy Condition failed: ["eq", "$bucket", "c"]"#,
        );
        check(
            r#"["starts-with", "$key", "a"]"#,
            &[("key", "b")],
            r#"Policy Condition failed: ["starts-with", "$key", "a"]"#,
        );
        check(
            r#"["content-length-range", "test", "10"]"#,
            &[],
            r#"Policy Condition failed: ["content-length-range", "test", "10"]"#,
        );
        check("", &[("acl", "x")], "Extra input fields: acl");
    }

    #[test]
    fn what_is_no_policy_is_none() {
        for text in [
            "",
            "{}",
            r#"{"expiration": "x"}"#,
            r#"{"expiration": "2027-01-01T00:00:00Z"}"#,
        ] {
            assert!(
                run(text, &[]).unwrap_err().starts_with("Invalid Policy: "),
                "{text}"
            );
        }
        let late = r#"{"expiration": "2025-01-01T00:00:00Z", "conditions": []}"#;
        assert_eq!(
            run(late, &[]).unwrap_err(),
            "Invalid according to Policy: Policy expired."
        );
    }
}
