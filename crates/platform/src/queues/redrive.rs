//! RedrivePolicy and RedriveAllowPolicy: their JSON, and whether a queue may have another as its
//! dead-letter queue.

use serde_json::{Map, Value, json};
use wire::arn::Arn;

use super::{
    definition::{Attributes, QueueKey, Redrive, RedriveAllow},
    error::{Error, Result},
    limits,
};

const POLICY: &str = "RedrivePolicy";
const ALLOW_POLICY: &str = "RedriveAllowPolicy";

/// Reads a RedrivePolicy of a queue; empty is none. That its target is there is not looked at.
pub fn read(source: &QueueKey, text: &str) -> Result<Option<Redrive>> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |reason: String| Error::value(POLICY, text, reason);
    let policy = object(text).ok_or(Error::AttributeReason {
        name: POLICY,
        reason: "Redrive policy is not a valid JSON map.",
    })?;
    let mandatory = |name: &str| {
        let held = policy.get(name);
        held.ok_or_else(|| {
            let reason = "Redrive policy does not contain mandatory attribute";
            invalid(format!("{reason}: {name}."))
        })
    };
    let receives_max = mandatory("maxReceiveCount")?;
    let target = mandatory("deadLetterTargetArn")?;
    if policy.len() > 2 {
        return Err(invalid(
            "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount]."
                .to_owned(),
        ));
    }
    let receives_max = count(receives_max).ok_or_else(|| {
        let shown = shown(receives_max);
        invalid(format!(
            "Invalid value for maxReceiveCount: {shown}, valid values are from 1 to 1000 both \
             inclusive."
        ))
    })?;
    let dead_letter_queue = target_of(source, target).map_err(|s| invalid(s.to_owned()))?;
    Ok(Some(Redrive {
        dead_letter_queue,
        receives_max,
    }))
}

/// Whether the target, if it is there, takes the source's dead letters. `text` is the policy as it
/// was given.
pub fn check(source: &QueueKey, text: &str, target: Option<&Attributes>) -> Result<()> {
    let Some(target) = target else {
        let reason = "Dead letter target does not exist.";
        return Err(Error::value(POLICY, text, reason));
    };
    match allows(target, source) {
        true => Ok(()),
        false => Err(Error::value(
            POLICY,
            text,
            "The dead-letter queue's redrive allow policy does not allow this source queue.",
        )),
    }
}

/// Whether a queue may be the source's dead-letter queue by its redrive allow policy.
pub fn allows(target: &Attributes, source: &QueueKey) -> bool {
    match &target.redrive_allow {
        None | Some(RedriveAllow::All) => true,
        Some(RedriveAllow::None) => false,
        Some(RedriveAllow::ByQueue(sources)) => sources.contains(source),
    }
}

pub fn write(redrive: &Redrive) -> String {
    json!({
        "deadLetterTargetArn": redrive.dead_letter_queue.arn().to_string(),
        "maxReceiveCount": redrive.receives_max,
    })
    .to_string()
}

fn target_of(source: &QueueKey, target: &Value) -> Result<QueueKey, &'static str> {
    const NO_ARN: &str = "Dead-letter target ARN should be fully qualified ARN.";
    let arn: Arn = target
        .as_str()
        .unwrap_or_default()
        .parse()
        .map_err(|_| NO_ARN)?;
    if arn.service != "sqs" {
        return Err("Only SQS queues are valid resources for deadLetterTargetArn.");
    }
    let target = QueueKey::try_from(&arn).map_err(|_| NO_ARN)?;
    if target.account_id != source.account_id {
        return Err("Dead-letter target owner should be same as the source.");
    }
    if target.region != source.region {
        return Err("Dead-letter target should be in the same region as the source.");
    }
    if target.is_fifo() != source.is_fifo() {
        return Err("Dead-letter queue must be same type of queue as the source.");
    }
    Ok(target)
}

/// From 1 to 1000, as a number or in a string.
fn count(value: &Value) -> Option<u32> {
    let count = match value {
        Value::Number(number) => number.as_u64()?.try_into().ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (1..=limits::RECEIVES_MAX).contains(&count).then_some(count)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Reads a RedriveAllowPolicy; empty is none.
pub fn read_allow(text: &str) -> Result<Option<RedriveAllow>> {
    if text.is_empty() {
        return Ok(None);
    }
    const UNSUPPORTED: Error = Error::AttributeReason {
        name: ALLOW_POLICY,
        reason: "Amazon SQS can't create the redrive allow policy, as it\u{2019}s in an \
                 unsupported format.",
    };
    let refused = |reason: &str| {
        let reason = format!("Amazon SQS can't create the redrive allow policy. {reason}");
        Error::value(ALLOW_POLICY, text, reason)
    };
    let policy = object(text).ok_or(UNSUPPORTED)?;
    let known = |name: &String| name == "redrivePermission" || name == "sourceQueueArns";
    if !policy.keys().all(known) {
        return Err(UNSUPPORTED);
    }
    let sources = policy.get("sourceQueueArns");
    let permission = policy.get("redrivePermission").and_then(Value::as_str);
    let allow = match (permission, sources) {
        (Some("byQueue"), None) => return Err(refused(NO_SOURCES)),
        (Some("byQueue"), Some(sources)) => {
            RedriveAllow::ByQueue(source_queues(sources).ok_or(UNSUPPORTED)?)
        }
        (Some("allowAll" | "denyAll"), Some(_)) => {
            return Err(refused(
                "To specify one or more source queue ARNs, you must set redrivePermission to \
                 byQueue.",
            ));
        }
        (Some("allowAll"), None) => RedriveAllow::All,
        (Some("denyAll"), None) => RedriveAllow::None,
        _ => return Err(UNSUPPORTED),
    };
    if let RedriveAllow::ByQueue(sources) = &allow {
        if sources.is_empty() {
            return Err(refused(NO_SOURCES));
        }
        if sources.len() > limits::SOURCE_QUEUES_MAX {
            return Err(refused(
                "The maximum number of source queue ARNs you can specify is 10.",
            ));
        }
    }
    Ok(Some(allow))
}

const NO_SOURCES: &str = "When you specify the byQueue permission type, you must also specify one \
                          or more sourceQueueArns values.";

fn source_queues(value: &Value) -> Option<Vec<QueueKey>> {
    let arns = value.as_array()?.iter();
    arns.map(|arn| arn.as_str()?.parse().ok()).collect()
}

pub fn write_allow(allow: &RedriveAllow) -> String {
    match allow {
        RedriveAllow::All => json!({ "redrivePermission": "allowAll" }),
        RedriveAllow::None => json!({ "redrivePermission": "denyAll" }),
        RedriveAllow::ByQueue(sources) => {
            let arns = sources.iter().map(|source| source.arn().to_string());
            let arns: Vec<String> = arns.collect();
            json!({ "redrivePermission": "byQueue", "sourceQueueArns": arns })
        }
    }
    .to_string()
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueKey {
        QueueKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: name.into(),
        }
    }

    fn refusal<T: std::fmt::Debug>(read: Result<T>) -> String {
        read.expect_err("it is refused").to_string()
    }

    #[test]
    fn a_redrive_policy_is_read_and_written() {
        let text = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":"7"}"#;
        let redrive = read(&queue("jobs"), text)
            .expect("it is one")
            .expect("it is there");
        assert_eq!(redrive.receives_max, 7);
        assert_eq!(redrive.dead_letter_queue, queue("dead"));
        assert_eq!(
            write(&redrive),
            r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":7}"#
        );
        assert!(read(&queue("jobs"), "").expect("none").is_none());
    }

    #[test]
    fn what_is_wrong_with_a_redrive_policy_is_said() {
        let arn = "arn:aws:sqs:eu-west-1:123456789012:dead";
        for (text, said) in [
            (
                "{}".to_owned(),
                "does not contain mandatory attribute: maxReceiveCount.",
            ),
            (
                r#"{"maxReceiveCount":1}"#.to_owned(),
                "does not contain mandatory attribute: deadLetterTargetArn.",
            ),
            (
                "[]".to_owned(),
                "Reason: Redrive policy is not a valid JSON map.",
            ),
            (
                format!(r#"{{"maxReceiveCount":1001,"deadLetterTargetArn":"{arn}"}}"#),
                "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000",
            ),
            (
                format!(r#"{{"maxReceiveCount":1,"deadLetterTargetArn":"{arn}.fifo"}}"#),
                "Dead-letter queue must be same type of queue as the source.",
            ),
            (
                format!(
                    r#"{{"maxReceiveCount":1,"deadLetterTargetArn":"{}"}}"#,
                    arn.replace("123", "321")
                ),
                "Dead-letter target owner should be same as the source.",
            ),
        ] {
            let said_here = refusal(read(&queue("jobs"), &text));
            assert!(said_here.contains(said), "{text}: {said_here}");
        }
    }

    #[test]
    fn a_redrive_allow_policy_lets_in_whom_it_names() {
        let mut target = Attributes::new(false);
        assert!(allows(&target, &queue("jobs")));
        for (text, allowed) in [
            (r#"{"redrivePermission":"allowAll"}"#, true),
            (r#"{"redrivePermission":"denyAll"}"#, false),
            (
                r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-west-1:123456789012:jobs"]}"#,
                true,
            ),
            (
                r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-west-1:123456789012:mail"]}"#,
                false,
            ),
        ] {
            target.redrive_allow = read_allow(text).expect("it is one");
            assert_eq!(allows(&target, &queue("jobs")), allowed, "{text}");
            let written = target.redrive_allow.as_ref().map(write_allow);
            assert_eq!(written.as_deref(), Some(text));
        }
        for text in [
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            r#"{"redrivePermission":"allowAll","sourceQueueArns":["a"]}"#,
            r#"{"redrivePermission":"some"}"#,
            "7",
        ] {
            assert!(read_allow(text).is_err(), "{text}");
        }
    }
}
