//! A topic's policy: the one that each topic begins with, reading the attribute Policy, AddPermission
//! and RemovePermission. What a policy allows is decided in `access.rs`.

use serde_json::{Map, Value, json};

use super::{
    error::{Error, Result},
    limits,
    name::TopicKey,
};
use crate::identity::policy::{Bounds, Kind, Policy};

/// What a topic's policy can be about.
const ACTIONS: [&str; 11] = [
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
    "Receive",
    "GetDataProtectionPolicy",
    "PutDataProtectionPolicy",
];

/// The policy of a topic that was given none: its own account's.
pub fn default(key: &TopicKey) -> String {
    let actions: Vec<String> = ACTIONS[..8].iter().map(|it| format!("SNS:{it}")).collect();
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions,
            "Resource": key.arn(),
            "Condition": {"StringEquals": {"AWS:SourceOwner": key.account_id}},
        }],
    })
    .to_string()
}

pub fn parse(text: &str) -> Option<Policy> {
    let bounds = Bounds {
        bytes_max: limits::POLICY_BYTES_MAX,
        statements_max: limits::POLICY_STATEMENTS_MAX,
    };
    Policy::parse(text, Kind::Resource, bounds)
        .inspect_err(|error| tracing::debug!("a topic's policy: {error}"))
        .ok()
}

/// The attribute Policy, kept as it was given.
pub fn check(text: &str) -> Result<()> {
    match parse(text) {
        Some(_) => Ok(()),
        None => Err(Error::parameter("Policy Error: null")),
    }
}

/// The policy with a statement more.
pub fn add(
    key: &TopicKey,
    policy: &str,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<String> {
    if accounts.is_empty() || actions.is_empty() || label.is_empty() {
        return Err(Error::parameter(
            "Policy statement must have label, accounts and actions",
        ));
    }
    if actions.len() > limits::PERMISSION_ACTIONS_MAX
        || actions
            .iter()
            .any(|action| !ACTIONS.contains(&action.as_str()))
    {
        return Err(Error::parameter(
            "Policy statement action out of service scope!",
        ));
    }
    let is_account = |id: &String| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    if !accounts.iter().all(is_account) {
        return Err(Error::parameter("AWSAccountId"));
    }
    let mut document = document(policy);
    let mut statements = statements(&document);
    if statements.iter().any(|held| sid(held) == Some(label)) {
        return Err(Error::parameter("Statement already exists"));
    }
    let partition = wire::arn::partition(&key.region);
    let principals = accounts.iter();
    let principals = principals.map(|account| format!("arn:{partition}:iam::{account}:root"));
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_many(principals.collect())},
        "Action": one_or_many(actions.iter().map(|action| format!("SNS:{action}")).collect()),
        "Resource": key.arn(),
    }));
    document.insert("Statement".to_owned(), Value::Array(statements));
    let text = Value::Object(document).to_string();
    check(&text)?;
    Ok(text)
}

/// The policy without a statement; one that is not there is gone already.
pub fn remove(policy: &str, label: &str) -> String {
    let mut document = document(policy);
    let mut statements = statements(&document);
    statements.retain(|held| sid(held) != Some(label));
    document.insert("Statement".to_owned(), Value::Array(statements));
    Value::Object(document).to_string()
}

fn document(policy: &str) -> Map<String, Value> {
    // What is stored was checked.
    serde_json::from_str(policy).unwrap_or_default()
}

/// As a list, also where one stands alone.
fn statements(document: &Map<String, Value>) -> Vec<Value> {
    match document.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

fn sid(statement: &Value) -> Option<&str> {
    statement.get("Sid").and_then(Value::as_str)
}

fn one_or_many(mut items: Vec<String>) -> Value {
    match items.len() {
        1 => Value::String(items.remove(0)),
        _ => json!(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_and_go() {
        let key = TopicKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "news".into(),
        };
        let fresh = default(&key);
        assert!(check(&fresh).is_ok());
        let strings = |of: &[&str]| of.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let accounts = strings(&["111122223333"]);
        let one = add(&key, &fresh, "a", &accounts, &strings(&["Publish"])).expect("added");
        assert!(one.ends_with(
            r#"{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"SNS:Publish","Resource":"arn:aws:sns:eu-west-1:123456789012:news"}]}"#
        ));
        for (label, action, said) in [
            (
                "a",
                "Publish",
                "Invalid parameter: Statement already exists",
            ),
            (
                "b",
                "Own",
                "Invalid parameter: Policy statement action out of service scope!",
            ),
        ] {
            let refused = add(&key, &one, label, &accounts, &strings(&[action]));
            assert_eq!(refused.expect_err(label).to_string(), said);
        }
        assert_eq!(remove(&one, "a"), fresh);
        assert_eq!(remove(&fresh, "a"), fresh);
    }
}
