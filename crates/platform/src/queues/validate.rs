//! What a message may be: SQS's rules for its text, its attributes, its size and its ids.

use bytes::Bytes;

use super::{
    definition::Attributes,
    digest,
    error::{Error, Result},
    limits,
    message::{AttributeValue, Content, MessageAttribute, NewMessage},
};

/// The one system attribute that a sender can give.
pub const TRACE_HEADER: &str = "AWSTraceHeader";

/// A message as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub body: String,
    pub delay_s: Option<i32>,
    pub attributes: Vec<(String, DraftValue)>,
    pub system_attributes: Vec<(String, DraftValue)>,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
}

/// An attribute of a message as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct DraftValue {
    pub data_type: String,
    pub text: Option<String>,
    pub binary: Option<Bytes>,
    /// Lists are in the model, and SQS takes none.
    pub is_list: bool,
}

/// Who sends, and what of the request becomes part of the message.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub id: &'a str,
    /// The request's own trace, for messages that name none.
    pub trace_header: Option<&'a str>,
}

impl Draft {
    /// What counts against the limits: the body and the attributes' names, types and values.
    pub fn size(&self) -> usize {
        let attribute = |(name, value): &(String, DraftValue)| {
            let text = value.text.as_ref().map_or(0, String::len);
            let binary = value.binary.as_ref().map_or(0, Bytes::len);
            name.len() + value.data_type.len() + text + binary
        };
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// The message for a queue, if it is one that the queue takes.
    pub fn check(self, queue: &Attributes, sender: Sender<'_>) -> Result<NewMessage> {
        if self.body.is_empty() {
            return Err(Error::Missing("MessageBody"));
        }
        if !self.body.chars().all(is_allowed) {
            return Err(Error::Characters);
        }
        let max = (queue.message_bytes_max as usize).min(limits::MESSAGE_BYTES_MAX);
        if self.size() > max {
            return Err(Error::parameter(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {max} \
                 bytes."
            )));
        }
        let delay_s = check_delay(self.delay_s, queue)?;
        let deduplication_id = self.deduplication(queue)?;
        let attributes = user_attributes(self.attributes)?;
        let trace_header = trace_header(self.system_attributes)?;
        Ok(NewMessage {
            content: Content {
                body: self.body,
                attributes,
                trace_header: trace_header.or_else(|| sender.trace_header.map(str::to_owned)),
                sender_id: sender.id.to_owned(),
            },
            delay_s,
            group: self.group,
            deduplication_id,
        })
    }

    /// What FIFO queues ask for; SQS looks for it in all of a batch before it takes any.
    pub fn check_fifo(&self, queue: &Attributes) -> Result<()> {
        let Some(fifo) = &queue.fifo else {
            return Ok(());
        };
        if self.group.is_none() {
            return Err(Error::Missing("MessageGroupId"));
        }
        match &self.deduplication_id {
            None if !fifo.content_based_deduplication => Err(Error::parameter(
                "The queue should either have ContentBasedDeduplication enabled or \
                 MessageDeduplicationId provided explicitly",
            )),
            _ => Ok(()),
        }
    }

    fn deduplication(&self, queue: &Attributes) -> Result<Option<String>> {
        self.check_fifo(queue)?;
        check_id("MessageGroupId", self.group.as_deref())?;
        match (&self.deduplication_id, queue.fifo) {
            (Some(id), None) => Err(Error::value(
                "MessageDeduplicationId",
                id,
                "The request include parameter that is not valid for this queue type.",
            )),
            (None, None) => Ok(None),
            (Some(id), Some(_)) => {
                check_id("MessageDeduplicationId", Some(id))?;
                Ok(Some(id.clone()))
            }
            (None, Some(_)) => Ok(Some(digest::sha256_of_body(&self.body))),
        }
    }
}

/// The characters that XML 1.0 has.
pub fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// FIFO queues have a delay of their own only; zero is taken for none.
fn check_delay(delay_s: Option<i32>, queue: &Attributes) -> Result<Option<u32>> {
    let Some(given) = delay_s else {
        return Ok(None);
    };
    let delay = u32::try_from(given).ok();
    match delay.filter(|delay| *delay <= limits::DELAY_S_MAX) {
        None => Err(Error::value(
            "DelaySeconds",
            given,
            "DelaySeconds must be >= 0 and <= 900.",
        )),
        Some(0) if queue.fifo.is_some() => Ok(None),
        Some(_) if queue.fifo.is_some() => Err(Error::value(
            "DelaySeconds",
            given,
            "The request include parameter that is not valid for this queue type.",
        )),
        delay => Ok(delay),
    }
}

/// Of MessageGroupId, MessageDeduplicationId and ReceiveRequestAttemptId.
pub fn check_id(name: &str, id: Option<&str>) -> Result<()> {
    let Some(id) = id else {
        return Ok(());
    };
    let is_one = (1..=limits::ID_LENGTH_MAX).contains(&id.len());
    if is_one && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let reason = format!(
        "{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    );
    Err(Error::value(name, id, reason))
}

fn user_attributes(
    attributes: Vec<(String, DraftValue)>,
) -> Result<Vec<(String, MessageAttribute)>> {
    let count = attributes.len();
    if count > limits::MESSAGE_ATTRIBUTES_MAX {
        return Err(Error::parameter(format!(
            "Number of message attributes [{count}] exceeds the allowed maximum [10]."
        )));
    }
    let checked = attributes.into_iter().map(|(name, value)| {
        check_attribute_name(&name)?;
        let attribute = attribute(&name, value)?;
        Ok((name, attribute))
    });
    checked.collect()
}

fn check_attribute_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::parameter(
            "The request must contain non-empty message (user) attribute names.",
        ));
    }
    if name.len() > limits::ATTRIBUTE_NAME_BYTES {
        return Err(Error::parameter(
            "Message (user) attribute name must be shorter than 256 bytes.",
        ));
    }
    let start = name.to_ascii_lowercase();
    if start.starts_with("aws.") || start.starts_with("amazon.") {
        return Err(Error::parameter(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These \
             strings are reserved for internal use.",
        ));
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        return Err(Error::parameter(format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message (user) \
             attribute name. Can only include alphanumeric characters, hyphens, underscores, or \
             dots.",
            u32::from(other)
        )));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(Error::parameter(
            "Invalid message (user) attribute name: it must not start or end with a period, and \
             must not have periods in succession.",
        ));
    }
    Ok(())
}

fn attribute(name: &str, given: DraftValue) -> Result<MessageAttribute> {
    if given.is_list {
        return Err(Error::parameter(
            "Message attribute list values in SendMessage operation are not supported.",
        ));
    }
    let DraftValue {
        data_type,
        text,
        binary,
        ..
    } = given;
    if text.is_none() && binary.is_none() {
        return Err(Error::parameter(format!(
            "The message (user) attribute '{name}' must contain a non-empty message attribute \
             value."
        )));
    }
    if data_type.is_empty() {
        return Err(Error::parameter(format!(
            "The message (user) attribute '{name}' must contain a non-empty message attribute \
             type."
        )));
    }
    if data_type.len() > limits::ATTRIBUTE_NAME_BYTES {
        return Err(Error::parameter(
            "Message (user) attribute type must be shorter than 256 bytes.",
        ));
    }
    let kind = data_type.split('.').next().unwrap_or_default();
    let value = match (kind, text, binary) {
        ("String" | "Number", Some(text), None) if !text.is_empty() => {
            check_text(name, kind, &text)?;
            AttributeValue::Text(text)
        }
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => AttributeValue::Binary(bytes),
        ("String" | "Number" | "Binary", _, _) => {
            return Err(Error::parameter(format!(
                "Message (user) attribute '{name}' must contain a non-empty value of type \
                 '{kind}'."
            )));
        }
        _ => {
            return Err(Error::parameter(format!(
                "The type of message (user) attribute '{name}' is invalid. You must use only the \
                 following supported type prefixes: Binary, Number, String."
            )));
        }
    };
    Ok(MessageAttribute { data_type, value })
}

fn check_text(name: &str, kind: &str, text: &str) -> Result<()> {
    if !text.chars().all(is_allowed) {
        return Err(Error::parameter(format!(
            "Message (user) attribute '{name}' has an invalid value. Reason: {}",
            Error::Characters
        )));
    }
    if kind == "Number" && !is_number(text) {
        return Err(Error::parameter(format!(
            "Can't cast the value of message (user) attribute '{name}' to a number."
        )));
    }
    Ok(())
}

/// A decimal number, with an exponent or without.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction);
    has_digits
        && exponent.is_none_or(|exponent| {
            let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !power.is_empty() && digits(power)
        })
}

fn trace_header(attributes: Vec<(String, DraftValue)>) -> Result<Option<String>> {
    let mut header = None;
    for (name, value) in attributes {
        if name != TRACE_HEADER {
            return Err(Error::parameter(format!(
                "Message system attribute name '{name}' is invalid."
            )));
        }
        match (value.data_type.as_str(), value.text) {
            ("String", Some(text)) if !text.is_empty() && text.chars().all(is_allowed) => {
                header = Some(text);
            }
            _ => {
                return Err(Error::parameter(format!(
                    "Message system attribute '{name}' must contain a non-empty value of type \
                     'String'."
                )));
            }
        }
    }
    Ok(header)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
