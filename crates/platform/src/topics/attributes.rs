//! A topic's attributes: what may be set, and all that is shown.

use std::collections::BTreeMap;

use super::{
    delivery_policy::{self, Effective},
    error::{Error, Result},
    limits,
    name::TopicKey,
    policy,
    tables::TopicRecord,
};

pub const DISPLAY_NAME: &str = "DisplayName";
pub const POLICY: &str = "Policy";
pub const DELIVERY_POLICY: &str = "DeliveryPolicy";
pub const FIFO_TOPIC: &str = "FifoTopic";
pub const CONTENT_BASED_DEDUPLICATION: &str = "ContentBasedDeduplication";
pub const THROUGHPUT_SCOPE: &str = "FifoThroughputScope";
pub const SIGNATURE_VERSION: &str = "SignatureVersion";
const TRACING: &str = "TracingConfig";
const KMS_KEY: &str = "KmsMasterKeyId";
const ARCHIVE: &str = "ArchivePolicy";

pub const SUBSCRIPTIONS: [&str; 3] = [
    "SubscriptionsConfirmed",
    "SubscriptionsDeleted",
    "SubscriptionsPending",
];

/// Puts an attribute beside those that are held, if it may be there with this value. An empty value
/// takes it away where that can be.
pub fn set(
    held: &mut BTreeMap<String, String>,
    is_fifo: bool,
    name: &str,
    value: &str,
) -> Result<()> {
    let fifo_only = || match is_fifo {
        true => Ok(()),
        false => Err(Error::parameter(name)),
    };
    let one_of = |values: &[&str]| match values.contains(&value) {
        true => Ok(value.to_owned()),
        false => Err(Error::parameter(name)),
    };
    let kept = match name {
        DISPLAY_NAME => match value.chars().count() <= limits::DISPLAY_NAME_LENGTH_MAX {
            true => value.to_owned(),
            false => return Err(Error::parameter(name)),
        },
        DELIVERY_POLICY if value.is_empty() => {
            held.remove(name);
            return Ok(());
        }
        DELIVERY_POLICY => delivery_policy::topics(value)?,
        POLICY => {
            policy::check(value)?;
            value.to_owned()
        }
        CONTENT_BASED_DEDUPLICATION => {
            fifo_only()?;
            one_of(&["true", "false"])?
        }
        THROUGHPUT_SCOPE => {
            fifo_only()?;
            one_of(&["Topic", "MessageGroup"])?
        }
        SIGNATURE_VERSION => one_of(&["1", "2"])?,
        TRACING if value == "Active" => {
            return Err(Error::NotSupported(
                "trace messages itself (TracingConfig Active)".into(),
            ));
        }
        TRACING => one_of(&["PassThrough"])?,
        // What waits is sealed with the platform's own key, whatever is named.
        KMS_KEY if value.is_empty() => {
            held.remove(name);
            return Ok(());
        }
        KMS_KEY => value.to_owned(),
        ARCHIVE => {
            return Err(Error::NotSupported(
                "archive messages (ArchivePolicy)".into(),
            ));
        }
        feedback if is_feedback(feedback) => {
            return Err(Error::NotSupported(format!("log deliveries ({feedback})")));
        }
        _ => return Err(Error::parameter("AttributeName")),
    };
    held.insert(name.to_owned(), kept);
    Ok(())
}

fn is_feedback(name: &str) -> bool {
    const SENT: [&str; 5] = ["HTTP", "Firehose", "Lambda", "Application", "SQS"];
    const KINDS: [&str; 3] = [
        "SuccessFeedbackRoleArn",
        "SuccessFeedbackSampleRate",
        "FailureFeedbackRoleArn",
    ];
    let rest = SENT.iter().find_map(|sent| name.strip_prefix(sent));
    rest.is_some_and(|kind| KINDS.contains(&kind))
}

/// Those of CreateTopic: whether it is a FIFO topic, and the rest.
pub fn at_creation(given: &BTreeMap<String, String>) -> Result<(bool, BTreeMap<String, String>)> {
    let is_fifo = match given.get(FIFO_TOPIC).map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::parameter(FIFO_TOPIC)),
    };
    let mut held = BTreeMap::new();
    for (name, value) in given.iter().filter(|(name, _)| *name != FIFO_TOPIC) {
        set(&mut held, is_fifo, name, value).map_err(|error| match error {
            Error::Parameter(what) if what == "AttributeName" => {
                Error::parameter(format!("Attributes Reason: Unknown attribute {name}"))
            }
            Error::Parameter(what) => Error::parameter(format!("Attributes Reason: {what}")),
            other => other,
        })?;
    }
    Ok((is_fifo, held))
}

/// Whether a topic that is there is as CreateTopic asks for it once more.
pub fn is_same(record: &TopicRecord, asked: &BTreeMap<String, String>) -> bool {
    asked.iter().all(|(name, value)| {
        let held = record.attributes.get(name).map(String::as_str);
        held.unwrap_or_else(|| fallback(name)) == value
    })
}

fn fallback(name: &str) -> &'static str {
    match name {
        CONTENT_BASED_DEDUPLICATION => "false",
        THROUGHPUT_SCOPE => "Topic",
        SIGNATURE_VERSION => "1",
        TRACING => "PassThrough",
        _ => "",
    }
}

/// All as GetTopicAttributes shows them. `counts` are in the order of [`SUBSCRIPTIONS`].
pub fn shown(key: &TopicKey, record: &TopicRecord, counts: [u64; 3]) -> BTreeMap<String, String> {
    let mut shown = record.attributes.clone();
    let delivery = record.attributes.get(DELIVERY_POLICY).map(String::as_str);
    let effective = Effective::of(delivery, None);
    let mut put = |name: &str, value: String| {
        shown.entry(name.to_owned()).or_insert(value);
    };
    put("TopicArn", key.arn());
    put("Owner", key.account_id.clone());
    put(POLICY, policy::default(key));
    put(DISPLAY_NAME, String::new());
    put("EffectiveDeliveryPolicy", effective.of_topic_shown());
    for (name, count) in SUBSCRIPTIONS.iter().zip(counts) {
        put(name, count.to_string());
    }
    if record.is_fifo {
        put(FIFO_TOPIC, "true".to_owned());
        put(CONTENT_BASED_DEDUPLICATION, "false".to_owned());
    }
    shown
}
