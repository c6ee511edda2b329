//! A queue's attributes as they are on the wire, a map of strings, to and from what they are here.

use super::{
    definition::{Attributes, DeduplicationScope, Definition, Fifo, QueueKey, ThroughputLimit},
    error::{Error, Result},
    limits,
    message::Counts,
    permissions, redrive,
};

/// What asks for a change: making a queue is given other words in places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Create,
    Set,
}

/// Those of FIFO queues only.
const CONTENT_BASED: &str = "ContentBasedDeduplication";
const SCOPE: &str = "DeduplicationScope";
const THROUGHPUT: &str = "FifoThroughputLimit";
const FIFO_QUEUE: &str = "FifoQueue";

/// Every attribute's name, in the order in which they are shown.
const ALL: [&str; 21] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    FIFO_QUEUE,
    SCOPE,
    THROUGHPUT,
    CONTENT_BASED,
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

/// Whether there is an attribute of the name, `All` among them.
pub fn is_known(name: &str) -> bool {
    name == "All" || ALL.contains(&name)
}

/// The attributes of a queue that is to be made.
pub fn of_new<'a>(
    key: &QueueKey,
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<Attributes> {
    check_name(key, given.clone())?;
    let mut attributes = Attributes::new(key.is_fifo());
    apply(&mut attributes, key, By::Create, given)?;
    Ok(attributes)
}

/// Puts what is given in force. That a dead-letter queue is there is for the caller to check.
pub fn apply<'a>(
    attributes: &mut Attributes,
    key: &QueueKey,
    by: By,
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<()> {
    for (name, value) in given.clone() {
        set(attributes, key, by, name, value)?;
    }
    check_encryption(given)?;
    match attributes.fifo {
        Some(fifo) if is_beyond_its_scope(&fifo) => Err(Error::AttributeReason {
            name: THROUGHPUT,
            reason: "The perMessageGroupId value is allowed only when the value for \
                     DeduplicationScope is messageGroup.",
        }),
        _ => Ok(()),
    }
}

/// The first of what is given that the queue has otherwise.
pub fn difference<'a>(
    there: &Attributes,
    wanted: &Attributes,
    given: impl Iterator<Item = &'a str>,
) -> Option<&'static str> {
    let mut known = given.filter_map(|name| ALL.into_iter().find(|known| *known == name));
    known.find(|name| show(there, name) != show(wanted, name))
}

/// What GetQueueAttributes answers: in one order, whatever the order of the names.
pub fn read(
    definition: &Definition,
    counts: Counts,
    names: &[String],
) -> Result<Vec<(&'static str, String)>> {
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(Error::UnknownAttribute(name.clone()));
    }
    let asked = |name: &str| names.iter().any(|asked| asked == "All" || asked == name);
    let shown = ALL.into_iter().filter(|name| asked(name));
    let value = |name| show_all(definition, counts, name);
    Ok(shown
        .filter_map(|name| Some((name, value(name)?)))
        .collect())
}

fn show_all(definition: &Definition, counts: Counts, name: &str) -> Option<String> {
    Some(match name {
        "QueueArn" => definition.key.arn().to_string(),
        "ApproximateNumberOfMessages" => counts.visible.to_string(),
        "ApproximateNumberOfMessagesNotVisible" => counts.in_flight.to_string(),
        "ApproximateNumberOfMessagesDelayed" => counts.delayed.to_string(),
        "CreatedTimestamp" => definition.created_s.to_string(),
        "LastModifiedTimestamp" => definition.modified_s.to_string(),
        other => return show(&definition.attributes, other),
    })
}

/// An attribute that can be set, if the queue has it.
fn show(attributes: &Attributes, name: &str) -> Option<String> {
    let fifo = attributes.fifo.as_ref();
    let of_kms = |value: u32| attributes.kms_key.as_ref().map(|_| value.to_string());
    match name {
        "VisibilityTimeout" => Some(attributes.visibility_timeout_s.to_string()),
        "MaximumMessageSize" => Some(attributes.message_bytes_max.to_string()),
        "MessageRetentionPeriod" => Some(attributes.retention_s.to_string()),
        "DelaySeconds" => Some(attributes.delay_s.to_string()),
        "ReceiveMessageWaitTimeSeconds" => Some(attributes.receive_wait_s.to_string()),
        "Policy" => attributes
            .policy
            .as_ref()
            .map(|policy| policy.text().to_owned()),
        "RedrivePolicy" => attributes.redrive.as_ref().map(redrive::write),
        "RedriveAllowPolicy" => attributes.redrive_allow.as_ref().map(redrive::write_allow),
        "SqsManagedSseEnabled" => Some(attributes.managed_sse.to_string()),
        "KmsMasterKeyId" => attributes.kms_key.clone(),
        "KmsDataKeyReusePeriodSeconds" => of_kms(attributes.kms_reuse_s),
        FIFO_QUEUE => fifo.map(|_| "true".to_owned()),
        CONTENT_BASED => fifo.map(|fifo| fifo.content_based_deduplication.to_string()),
        SCOPE => fifo.map(|fifo| scope_name(fifo.deduplication_scope).to_owned()),
        THROUGHPUT => fifo.map(|fifo| throughput_name(fifo.throughput_limit).to_owned()),
        _ => None,
    }
}

fn set(attributes: &mut Attributes, key: &QueueKey, by: By, name: &str, value: &str) -> Result<()> {
    match name {
        "VisibilityTimeout" => {
            attributes.visibility_timeout_s =
                number("VisibilityTimeout", value, 0, limits::VISIBILITY_S_MAX)?;
        }
        "DelaySeconds" => {
            attributes.delay_s = number("DelaySeconds", value, 0, limits::DELAY_S_MAX)?;
        }
        "ReceiveMessageWaitTimeSeconds" => {
            attributes.receive_wait_s = number(
                "ReceiveMessageWaitTimeSeconds",
                value,
                0,
                limits::WAIT_S_MAX,
            )?;
        }
        "MessageRetentionPeriod" => {
            let (min, max) = (limits::RETENTION_S_MIN, limits::RETENTION_S_MAX);
            attributes.retention_s = number("MessageRetentionPeriod", value, min, max)?;
        }
        "MaximumMessageSize" => {
            let (min, max) = (limits::MESSAGE_BYTES_MIN, limits::MESSAGE_BYTES_MAX as u32);
            attributes.message_bytes_max = number("MaximumMessageSize", value, min, max)?;
        }
        "KmsDataKeyReusePeriodSeconds" => {
            let (min, max) = (limits::KMS_REUSE_S_MIN, limits::KMS_REUSE_S_MAX);
            attributes.kms_reuse_s = number("KmsDataKeyReusePeriodSeconds", value, min, max)?;
        }
        "Policy" => attributes.policy = permissions::read(value, by)?,
        "RedrivePolicy" => attributes.redrive = redrive::read(key, value)?,
        "RedriveAllowPolicy" => attributes.redrive_allow = redrive::read_allow(value)?,
        "KmsMasterKeyId" => set_kms_key(attributes, value)?,
        "SqsManagedSseEnabled" => {
            attributes.managed_sse = boolean("SqsManagedSseEnabled", value)?;
            if attributes.managed_sse {
                attributes.kms_key = None;
            }
        }
        FIFO_QUEUE | CONTENT_BASED | SCOPE | THROUGHPUT => {
            set_of_fifo(attributes.fifo.as_mut(), name, value)?;
        }
        other => return Err(Error::UnknownAttribute(other.to_owned())),
    }
    Ok(())
}

fn set_kms_key(attributes: &mut Attributes, value: &str) -> Result<()> {
    if value.len() > limits::KMS_KEY_LENGTH_MAX {
        return Err(Error::AttributeValue("KmsMasterKeyId"));
    }
    attributes.kms_key = Some(value.to_owned()).filter(|value| !value.is_empty());
    // What has a key of its own is not sealed with the service's; without the key it stays so.
    if attributes.kms_key.is_some() {
        attributes.managed_sse = false;
    }
    Ok(())
}

fn set_of_fifo(fifo: Option<&mut Fifo>, name: &str, value: &str) -> Result<()> {
    let Some(fifo) = fifo else {
        return Err(match name {
            SCOPE => Error::AttributeName(
                "You can specify the DeduplicationScope only when FifoQueue is set to true.",
            ),
            THROUGHPUT => Error::AttributeName(
                "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
            ),
            other => Error::UnknownAttribute(other.to_owned()),
        });
    };
    match (name, value) {
        (SCOPE, "queue") => fifo.deduplication_scope = DeduplicationScope::Queue,
        (SCOPE, "messageGroup") => fifo.deduplication_scope = DeduplicationScope::MessageGroup,
        (SCOPE, _) => return Err(Error::AttributeValue(SCOPE)),
        (THROUGHPUT, "perQueue") => fifo.throughput_limit = ThroughputLimit::PerQueue,
        (THROUGHPUT, "perMessageGroupId") => {
            fifo.throughput_limit = ThroughputLimit::PerMessageGroupId;
        }
        (THROUGHPUT, _) => return Err(Error::AttributeValue(THROUGHPUT)),
        (CONTENT_BASED, value) => {
            fifo.content_based_deduplication = boolean(CONTENT_BASED, value)?;
        }
        (_, value) if !boolean(FIFO_QUEUE, value)? => {
            return Err(Error::AttributeReason {
                name: FIFO_QUEUE,
                reason: "Modifying queue type is not supported.",
            });
        }
        _ => {}
    }
    Ok(())
}

fn is_beyond_its_scope(fifo: &Fifo) -> bool {
    fifo.throughput_limit == ThroughputLimit::PerMessageGroupId
        && fifo.deduplication_scope == DeduplicationScope::Queue
}

fn check_encryption<'a>(mut given: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<()> {
    let managed = |(name, value): (&str, &str)| {
        name == "SqsManagedSseEnabled" && value.eq_ignore_ascii_case("true")
    };
    let kms = |(name, value): (&str, &str)| name == "KmsMasterKeyId" && !value.is_empty();
    match given.clone().any(managed) && given.any(kms) {
        true => Err(Error::AttributeName(
            "You can use one type of server-side encryption (SSE) at one time. You can either \
             enable KMS SSE or SQS SSE.",
        )),
        false => Ok(()),
    }
}

/// A new queue's name: its suffix and the attribute FifoQueue have to agree.
fn check_name<'a>(
    key: &QueueKey,
    mut given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let fifo = given.find(|(name, _)| *name == FIFO_QUEUE);
    let fifo = fifo
        .map(|(_, value)| boolean(FIFO_QUEUE, value))
        .transpose()?;
    let stem = key.name.strip_suffix(".fifo");
    match (stem, fifo) {
        (_, Some(true)) if stem.is_none_or(|stem| !is_name(&key.name, stem)) => {
            Err(Error::parameter(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
                 underscores, must end with .fifo suffix and be 1 to 80 in length.",
            ))
        }
        (Some(_), Some(true)) => Ok(()),
        // Without the attribute the dot in the suffix is a character too many.
        _ if !is_name(&key.name, &key.name) => Err(Error::parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )),
        (None, Some(false)) => Err(Error::UnknownAttribute(FIFO_QUEUE.to_owned())),
        _ => Ok(()),
    }
}

fn is_name(name: &str, stem: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !stem.is_empty() && name.len() <= limits::NAME_LENGTH_MAX && stem.bytes().all(allowed)
}

fn number(name: &'static str, value: &str, min: u32, max: u32) -> Result<u32> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits);
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or(Error::AttributeValue(name))
}

fn boolean(name: &'static str, value: &str) -> Result<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Error::AttributeValue(name)),
    }
}

fn scope_name(scope: DeduplicationScope) -> &'static str {
    match scope {
        DeduplicationScope::Queue => "queue",
        DeduplicationScope::MessageGroup => "messageGroup",
    }
}

fn throughput_name(limit: ThroughputLimit) -> &'static str {
    match limit {
        ThroughputLimit::PerQueue => "perQueue",
        ThroughputLimit::PerMessageGroupId => "perMessageGroupId",
    }
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
