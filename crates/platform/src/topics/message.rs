//! A message as it is published: what may be one, and what each kind of subscriber is sent of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;

use super::{
    error::{Error, Result},
    limits,
};
use crate::deliveries::{Attribute, Value};

/// A message that was checked.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub id: String,
    pub subject: Option<String>,
    /// What is sent to whom nothing else is.
    pub body: String,
    /// What is sent instead, by protocol.
    pub by_protocol: BTreeMap<String, String>,
    pub attributes: Vec<Attribute>,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
    /// Of FIFO topics.
    pub sequence: Option<i64>,
    pub published_at_ms: i64,
    pub trace_header: Option<String>,
}

/// One as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub body: String,
    pub subject: Option<String>,
    pub structure: Option<String>,
    pub attributes: Vec<(String, DraftValue)>,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct DraftValue {
    pub data_type: String,
    pub text: Option<String>,
    pub binary: Option<Bytes>,
}

impl Draft {
    /// What counts against the limit.
    pub fn size(&self) -> usize {
        let attribute = |(name, value): &(String, DraftValue)| {
            let text = value.text.as_ref().map_or(0, String::len);
            let binary = value.binary.as_ref().map_or(0, Bytes::len);
            name.len() + value.data_type.len() + text + binary
        };
        let subject = self.subject.as_ref().map_or(0, String::len);
        self.body.len() + subject + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// The message, but for what its topic gives it. `fifo` says of a FIFO topic whether it makes
    /// ids of the content.
    pub fn check(self, fifo: Option<bool>) -> Result<Message> {
        if self.body.is_empty() {
            return Err(Error::parameter("Empty message"));
        }
        if self.size() > limits::MESSAGE_BYTES_MAX {
            return Err(Error::parameter("Message too long"));
        }
        if let Some(subject) = &self.subject {
            check_subject(subject)?;
        }
        let (body, by_protocol) = match self.structure.as_deref() {
            None => (self.body.clone(), BTreeMap::new()),
            Some("json") => structured(&self.body)?,
            Some(_) => return Err(Error::parameter("MessageStructure")),
        };
        let deduplication_id = self.deduplication(fifo)?;
        let attributes = self.attributes.into_iter();
        Ok(Message {
            subject: self.subject,
            body,
            by_protocol,
            attributes: attributes
                .map(|(name, value)| attribute(name, value))
                .collect::<Result<_>>()?,
            group: self.group,
            deduplication_id,
            ..Message::default()
        })
    }

    fn deduplication(&self, fifo: Option<bool>) -> Result<Option<String>> {
        check_id("MessageGroupId", self.group.as_deref())?;
        let id = &self.deduplication_id;
        let Some(content_based) = fifo else {
            return match id {
                Some(_) => Err(Error::parameter(
                    "MessageDeduplicationId Reason: The request includes MessageDeduplicationId \
                     parameter that is not valid for this topic type",
                )),
                None => Ok(None),
            };
        };
        if self.group.is_none() {
            return Err(Error::parameter(
                "The MessageGroupId parameter is required for FIFO topics",
            ));
        }
        check_id("MessageDeduplicationId", id.as_deref())?;
        match id {
            Some(id) => Ok(Some(id.clone())),
            None if content_based => Ok(Some(crate::queues::digest::sha256_of_body(&self.body))),
            None => Err(Error::parameter(
                "The topic should either have ContentBasedDeduplication enabled or \
                 MessageDeduplicationId provided explicitly",
            )),
        }
    }
}

impl Message {
    /// What a protocol's subscribers are sent.
    pub fn body_for(&self, protocol: &str) -> &str {
        self.by_protocol.get(protocol).unwrap_or(&self.body)
    }
}

fn check_subject(subject: &str) -> Result<()> {
    let starts = subject.chars().next();
    let printable = |c: char| !c.is_control();
    let good = starts.is_some_and(|c| !c.is_whitespace())
        && subject.chars().count() <= limits::SUBJECT_LENGTH_MAX
        && subject.chars().all(printable);
    match good {
        true => Ok(()),
        false => Err(Error::parameter("Subject")),
    }
}

/// The bodies by protocol: what is no text is as if it were not there.
fn structured(body: &str) -> Result<(String, BTreeMap<String, String>)> {
    let parsed: Json = serde_json::from_str(body)
        .map_err(|_| Error::parameter("Message Structure - JSON message body failed to parse"))?;
    let Json::Object(members) = parsed else {
        return Err(Error::parameter(
            "Message Structure - JSON message body failed to parse",
        ));
    };
    let texts = members.into_iter().filter_map(|(name, value)| match value {
        Json::String(text) => Some((name, text)),
        _ => None,
    });
    let mut texts: BTreeMap<String, String> = texts.collect();
    match texts.remove("default") {
        Some(default) => Ok((default, texts)),
        None => Err(Error::parameter(
            "Message Structure - No default entry in JSON message body",
        )),
    }
}

fn check_id(name: &str, id: Option<&str>) -> Result<()> {
    let good = |id: &str| {
        (1..=limits::ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match id {
        Some(id) if !good(id) => Err(Error::parameter(format!(
            "The {name} parameter can only include alphanumeric and punctuation characters. 1 to \
             {} in length",
            limits::ID_LENGTH_MAX
        ))),
        _ => Ok(()),
    }
}

fn attribute(name: String, value: DraftValue) -> Result<Attribute> {
    let invalid = |message: String| Err(Error::AttributeValue(message));
    if name.is_empty() || name.len() > limits::ATTRIBUTE_NAME_BYTES {
        return invalid(format!(
            "Length of message attribute name must be between 1 and {} bytes.",
            limits::ATTRIBUTE_NAME_BYTES
        ));
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !name.bytes().all(letters)
        || name.starts_with('.')
        || name.ends_with('.')
        || name.contains("..")
    {
        return invalid(format!(
            "Invalid non-alphanumeric character was found in the message attribute name '{name}'. \
             Can only include alphanumeric characters, hyphens, underscores, or dots."
        ));
    }
    let data_type = value.data_type;
    let (kind, custom) = match data_type.split_once('.') {
        Some((kind, custom)) => (kind, Some(custom)),
        None => (data_type.as_str(), None),
    };
    if !matches!(kind, "String" | "Number" | "Binary") || custom == Some("") {
        return invalid(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of \
             supported type prefixes is Binary, Number, and String."
        ));
    }
    let text = value.text.filter(|text| !text.is_empty());
    let binary = value.binary.filter(|bytes| !bytes.is_empty());
    let held = match (kind, text, binary) {
        ("Binary", None, Some(bytes)) => Value::Binary(bytes.to_vec()),
        ("String" | "Number", Some(text), None) => Value::Text(text),
        (_, None, None) => {
            return invalid(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for \
                 message attribute type '{data_type}'."
            ));
        }
        _ => {
            let field = if kind == "Binary" { "Binary" } else { "String" };
            return invalid(format!(
                "The message attribute '{name}' with type '{data_type}' must use field '{field}'."
            ));
        }
    };
    if let ("Number", Value::Text(text)) = (kind, &held)
        && text.trim().parse::<f64>().is_err()
    {
        return invalid(format!(
            "Could not cast message attribute '{name}' value to number."
        ));
    }
    Ok(Attribute {
        name,
        data_type,
        value: held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: &str) -> Draft {
        Draft {
            body: body.into(),
            ..Draft::default()
        }
    }

    fn said(draft: Draft, fifo: Option<bool>) -> String {
        draft.check(fifo).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(said(draft(""), None), "Invalid parameter: Empty message");
        let long = "x".repeat(limits::MESSAGE_BYTES_MAX + 1);
        assert_eq!(
            said(draft(&long), None),
            "Invalid parameter: Message too long"
        );
        for subject in ["", " x", "a\nb", &"x".repeat(101)] {
            let subject = Some(subject.to_owned());
            let draft = Draft {
                subject,
                ..draft("m")
            };
            assert_eq!(said(draft, None), "Invalid parameter: Subject");
        }
        for (body, end) in [
            ("x", "JSON message body failed to parse"),
            (r#"{"sqs": "x"}"#, "No default entry in JSON message body"),
            (r#"{"default": 1}"#, "No default entry in JSON message body"),
        ] {
            let structure = Some("json".to_owned());
            let said = said(
                Draft {
                    structure,
                    ..draft(body)
                },
                None,
            );
            assert!(said.ends_with(end), "{said}");
        }
    }

    #[test]
    fn protocols_have_bodies_of_their_own() {
        let structure = Some("json".to_owned());
        let body = r#"{"default": "d", "sqs": "q", "lambda": {"x": 1}}"#;
        let message = Draft {
            structure,
            ..draft(body)
        }
        .check(None)
        .expect("good");
        assert_eq!(message.body_for("sqs"), "q");
        assert_eq!(message.body_for("lambda"), "d");
    }

    #[test]
    fn fifo_topics_ask_for_a_group_and_an_id() {
        let grouped = || Draft {
            group: Some("g".into()),
            ..draft("m")
        };
        assert!(said(draft("m"), Some(true)).contains("MessageGroupId parameter is required"));
        assert!(said(grouped(), Some(false)).contains("ContentBasedDeduplication enabled or"));
        let message = grouped().check(Some(true)).expect("good");
        assert_eq!(message.deduplication_id.map(|id| id.len()), Some(64));
        let id = Some("d".to_owned());
        assert!(grouped().check(None).is_ok());
        let with_id = Draft {
            deduplication_id: id,
            ..grouped()
        };
        assert!(said(with_id, None).contains("not valid for this topic type"));
    }

    #[test]
    fn attributes_have_types_and_values_of_them() {
        let text = |data_type: &str, text: &str| DraftValue {
            data_type: data_type.into(),
            text: Some(text.into()),
            binary: None,
        };
        let check = |value| attribute("a".into(), value);
        for (data_type, value) in [
            ("String", "x"),
            ("String.  own.", "x"),
            ("Number", "-1.5e3"),
        ] {
            assert!(check(text(data_type, value)).is_ok(), "{data_type}");
        }
        for (data_type, value) in [
            ("String.", "x"),
            ("Stringy", "x"),
            ("Number", "x"),
            ("String", ""),
            ("Binary", "x"),
        ] {
            assert!(check(text(data_type, value)).is_err(), "{data_type}");
        }
    }
}
