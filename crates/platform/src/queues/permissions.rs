//! A queue's policy: reading the attribute Policy, and AddPermission and RemovePermission, which
//! put statements into it. What a policy allows is decided in `access.rs`.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    attributes::By,
    definition::QueueKey,
    error::{Error, Result},
    limits, url,
};
use crate::identity::policy::{Bounds, Kind, Policy, PolicyError};

const SQS_ACTIONS: &str = "SQS:";

/// What AddPermission can give away; the rest is its owner's.
const GIVEN_AWAY: [&str; 8] = [
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
];

/// Actions too, but ones that a queue's owner keeps.
const KEPT: [&str; 12] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// The attribute Policy, kept as it was given; empty is none.
pub fn read(text: &str, by: By) -> Result<Option<AccessPolicy>> {
    if text.is_empty() {
        return Ok(None);
    }
    match parse(text) {
        Ok(_) => Ok(Some(AccessPolicy::from(text.to_owned()))),
        Err(PolicyError::TooManyStatements { count, .. }) => {
            let message =
                format!("{count} statements were found in the submitted policy, max allowed is 20");
            Err(match by {
                By::Create => Error::Parameter(message),
                By::Set => Error::OverLimit(message),
            })
        }
        // SQS does not say what is wrong.
        Err(error) => {
            tracing::debug!("a queue's policy is refused: {error}");
            Err(Error::AttributeValue("Policy"))
        }
    }
}

fn parse(text: &str) -> Result<Policy, PolicyError> {
    let bounds = Bounds {
        bytes_max: limits::POLICY_BYTES_MAX,
        statements_max: limits::POLICY_STATEMENTS_MAX,
    };
    Policy::parse(text, Kind::Resource, bounds)
}

/// A queue's policy: its text, and what it says once somebody has asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct AccessPolicy {
    text: String,
    policy: OnceLock<Option<Arc<Policy>>>,
}

impl AccessPolicy {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// None if it cannot be read, and so allows nothing.
    pub fn policy(&self) -> Option<&Policy> {
        let read = || match parse(&self.text) {
            Ok(policy) => Some(Arc::new(policy)),
            Err(error) => {
                tracing::error!("a queue's policy that is stored cannot be read: {error}");
                None
            }
        };
        self.policy.get_or_init(read).as_deref()
    }
}

impl From<String> for AccessPolicy {
    fn from(text: String) -> Self {
        AccessPolicy {
            text,
            policy: OnceLock::new(),
        }
    }
}

impl From<AccessPolicy> for String {
    fn from(policy: AccessPolicy) -> Self {
        policy.text
    }
}

impl PartialEq for AccessPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The policy with a statement more, as SQS writes it.
pub fn add(
    key: &QueueKey,
    policy: Option<&AccessPolicy>,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<AccessPolicy> {
    check_label(label)?;
    check_actions(actions)?;
    check_accounts(accounts)?;
    let arn = key.arn();
    let partition = &arn.partition;
    let principals = accounts.iter();
    let principals = principals.map(|account| format!("arn:{partition}:iam::{account}:root"));
    let statement = json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(principals.collect()) },
        "Action": one_or_many(actions.iter().map(|a| format!("{SQS_ACTIONS}{a}")).collect()),
        "Resource": arn.to_string(),
    });
    let policy = document(key, policy);
    let mut statements = statements_of(&policy);
    if statements.iter().any(|held| sid(held) == Some(label)) {
        return Err(Error::value("Label", label, "Already exists."));
    }
    statements.push(statement);
    let count = statements.len();
    let text = with_statements(policy, statements);
    if count > limits::POLICY_STATEMENTS_MAX || text.len() > limits::POLICY_BYTES_MAX {
        return Err(Error::OverLimit(format!(
            "{count} Statements were found, maximum allowed is 20."
        )));
    }
    Ok(text.into())
}

/// The policy without a statement; none if that was the last.
pub fn remove(
    key: &QueueKey,
    policy: Option<&AccessPolicy>,
    label: &str,
) -> Result<Option<AccessPolicy>> {
    check_label(label)?;
    let policy = document(key, policy);
    let mut statements = statements_of(&policy);
    let before = statements.len();
    statements.retain(|held| sid(held) != Some(label));
    if statements.len() == before {
        return Err(Error::value("Label", label, "can't find label."));
    }
    let is_empty = statements.is_empty();
    Ok((!is_empty).then(|| with_statements(policy, statements).into()))
}

fn document(key: &QueueKey, policy: Option<&AccessPolicy>) -> Map<String, Value> {
    let held = policy.and_then(|policy| serde_json::from_str(policy.text()).ok());
    held.unwrap_or_else(|| {
        let mut fresh = Map::new();
        fresh.insert("Version".to_owned(), json!("2008-10-17"));
        let id = format!("{}/SQSDefaultPolicy", key.arn());
        fresh.insert("Id".to_owned(), Value::String(id));
        fresh.insert("Statement".to_owned(), json!([]));
        fresh
    })
}

/// The statements as a list, also where one stands alone.
fn statements_of(policy: &Map<String, Value>) -> Vec<Value> {
    match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

fn with_statements(mut policy: Map<String, Value>, statements: Vec<Value>) -> String {
    policy.insert("Statement".to_owned(), Value::Array(statements));
    Value::Object(policy).to_string()
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

fn check_label(label: &str) -> Result<()> {
    if label.is_empty() {
        return Err(Error::Missing("Label"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if label.len() > limits::LABEL_LENGTH_MAX || !label.bytes().all(allowed) {
        return Err(Error::value(
            "Label",
            label,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        ));
    }
    Ok(())
}

fn check_actions(actions: &[String]) -> Result<()> {
    if actions.is_empty() {
        return Err(Error::Missing("ActionName"));
    }
    let count = actions.len();
    if count > limits::PERMISSION_ACTIONS_MAX {
        return Err(Error::OverLimit(format!(
            "{count} Actions were found, maximum allowed is 7."
        )));
    }
    let Some(other) = actions.iter().find(|a| !GIVEN_AWAY.contains(&a.as_str())) else {
        return Ok(());
    };
    let reason = match KEPT.contains(&other.as_str()) {
        true => "Only the queue owner is allowed to invoke this action.",
        false => "Please refer to the appropriate WSDL for a list of valid actions.",
    };
    let shown = format!("{SQS_ACTIONS}{other}");
    Err(Error::value("ActionName", shown, reason))
}

fn check_accounts(accounts: &[String]) -> Result<()> {
    if accounts.is_empty() {
        return Err(Error::Missing("AWSAccountIds"));
    }
    let all = accounts.iter().all(|account| url::is_account(account));
    if !all || accounts.len() > limits::PERMISSION_ACCOUNTS_MAX {
        let shown = format!("[{}]", accounts.join(", "));
        return Err(Error::value("PrincipalId", shown, "Unable to verify."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> QueueKey {
        QueueKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "jobs".into(),
        }
    }

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn statements_come_and_go_in_sqss_form() {
        let accounts = strings(&["111122223333"]);
        let one = add(&key(), None, "a", &accounts, &strings(&["SendMessage"])).expect("added");
        assert_eq!(
            one.text(),
            "{\"Version\":\"2008-10-17\",\
             \"Id\":\"arn:aws:sqs:eu-west-1:123456789012:jobs/SQSDefaultPolicy\",\
             \"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Allow\",\
             \"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:root\"},\
             \"Action\":\"SQS:SendMessage\",\
             \"Resource\":\"arn:aws:sqs:eu-west-1:123456789012:jobs\"}]}"
        );
        let again = add(&key(), Some(&one), "a", &accounts, &strings(&["*"]));
        assert!(
            again
                .expect_err("taken")
                .to_string()
                .ends_with("Already exists.")
        );
        let two = add(&key(), Some(&one), "b", &accounts, &strings(&["*"])).expect("added");
        let left = remove(&key(), Some(&two), "a")
            .expect("there")
            .expect("one is left");
        assert!(left.text().contains("\"Sid\":\"b\"") && !left.text().contains("\"Sid\":\"a\""));
        assert_eq!(remove(&key(), Some(&left), "b").expect("there"), None);
        assert!(remove(&key(), None, "b").is_err());
    }

    #[test]
    fn only_some_actions_are_given_away() {
        let accounts = strings(&["111122223333"]);
        for (action, said) in [
            (
                "CreateQueue",
                "Only the queue owner is allowed to invoke this action.",
            ),
            ("SendMessageBatch", "Please refer to the appropriate WSDL"),
        ] {
            let refused = add(&key(), None, "a", &accounts, &strings(&[action]));
            assert!(refused.expect_err(action).to_string().contains(said));
        }
        let nobody = add(&key(), None, "a", &strings(&["me"]), &strings(&["*"]));
        assert!(nobody.is_err());
    }

    #[test]
    fn a_policy_has_statements() {
        let good = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*"}}"#;
        assert_eq!(
            read(good, By::Set).expect("read"),
            Some(good.to_owned().into())
        );
        assert_eq!(read("", By::Set).expect("read"), None);
        for text in ["7", "{}", r#"{"Statement":[{"Effect":"Maybe"}]}"#] {
            assert!(read(text, By::Set).is_err(), "{text}");
        }
    }
}
