//! What subscribers are sent of a message: SNS's JSON around it, as SNS writes it, and Lambda's event.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{message::Message, shown::sequence_number};
use crate::deliveries;

/// What a message to one subscription has beside the message.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    pub topic_arn: &'a str,
    pub subscription_arn: &'a str,
    /// How clients reach the platform.
    pub base_url: &'a str,
    /// None for FIFO topics, whose messages SNS does not sign.
    pub signed: Option<&'a Signed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub version: &'static str,
    pub signature: String,
    pub certificate_url: String,
}

/// A message as HTTP endpoints and queues get it.
pub fn notification(message: &Message, body: &str, around: Around<'_>) -> String {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("Type", json!("Notification"));
    put("MessageId", json!(message.id));
    if let Some(sequence) = message.sequence {
        put("SequenceNumber", json!(sequence_number(sequence)));
    }
    put("TopicArn", json!(around.topic_arn));
    if let Some(subject) = &message.subject {
        put("Subject", json!(subject));
    }
    put("Message", json!(body));
    put("Timestamp", json!(timestamp(message.published_at_ms)));
    if let Some(signed) = around.signed {
        put("SignatureVersion", json!(signed.version));
        put("Signature", json!(signed.signature));
        put("SigningCertURL", json!(signed.certificate_url));
    }
    put("UnsubscribeURL", json!(unsubscribe_url(around)));
    if !message.attributes.is_empty() {
        put("MessageAttributes", attributes(message));
    }
    written(&Value::Object(members))
}

/// A message as functions get it.
pub fn event(message: &Message, body: &str, around: Around<'_>) -> String {
    let nothing = Signed {
        version: "1",
        signature: String::new(),
        certificate_url: String::new(),
    };
    let signed = around.signed.unwrap_or(&nothing);
    let mut sns = json!({
        "Type": "Notification",
        "MessageId": message.id,
        "TopicArn": around.topic_arn,
        "Subject": message.subject,
        "Message": body,
        "Timestamp": timestamp(message.published_at_ms),
        // Functions are told of version 1 whatever the topic's is, as with SNS.
        "SignatureVersion": "1",
        "Signature": signed.signature,
        "SigningCertUrl": signed.certificate_url,
        "UnsubscribeUrl": unsubscribe_url(around),
        "MessageAttributes": attributes(message),
    });
    if let Some(sequence) = message.sequence {
        sns["SequenceNumber"] = json!(sequence_number(sequence));
    }
    json!({"Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": around.subscription_arn,
        "Sns": sns,
    }]})
    .to_string()
}

/// What is signed of a message.
pub fn to_sign(message: &Message, body: &str, topic_arn: &str) -> String {
    let subject = message.subject.as_deref();
    lines(&[
        ("Message", Some(body)),
        ("MessageId", Some(&message.id)),
        ("Subject", subject),
        ("Timestamp", Some(&timestamp(message.published_at_ms))),
        ("TopicArn", Some(topic_arn)),
        ("Type", Some("Notification")),
    ])
}

/// What asks for a confirmation, of a subscription or of its end.
#[derive(Debug, Clone)]
pub struct Confirmation<'a> {
    /// `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
    pub kind: &'static str,
    pub id: &'a str,
    pub topic_arn: &'a str,
    pub subscription_arn: &'a str,
    pub token: &'a str,
    pub at_ms: i64,
    pub base_url: &'a str,
}

impl Confirmation<'_> {
    fn message(&self) -> String {
        let (topic, subscription) = (self.topic_arn, self.subscription_arn);
        match self.kind {
            "UnsubscribeConfirmation" => format!(
                "You have chosen to deactivate subscription {subscription}.\nTo cancel this \
                 operation and restore the subscription, visit the SubscribeURL included in this \
                 message."
            ),
            _ => format!(
                "You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, \
                 visit the SubscribeURL included in this message."
            ),
        }
    }

    fn subscribe_url(&self) -> String {
        let Self {
            base_url,
            topic_arn,
            token,
            ..
        } = self;
        format!("{base_url}/?Action=ConfirmSubscription&TopicArn={topic_arn}&Token={token}")
    }

    pub fn to_sign(&self) -> String {
        lines(&[
            ("Message", Some(&self.message())),
            ("MessageId", Some(self.id)),
            ("SubscribeURL", Some(&self.subscribe_url())),
            ("Timestamp", Some(&timestamp(self.at_ms))),
            ("Token", Some(self.token)),
            ("TopicArn", Some(self.topic_arn)),
            ("Type", Some(self.kind)),
        ])
    }

    pub fn written(&self, signed: &Signed) -> String {
        written(&json!({
            "Type": self.kind,
            "MessageId": self.id,
            "Token": self.token,
            "TopicArn": self.topic_arn,
            "Message": self.message(),
            "SubscribeURL": self.subscribe_url(),
            "Timestamp": timestamp(self.at_ms),
            "SignatureVersion": signed.version,
            "Signature": signed.signature,
            "SigningCertURL": signed.certificate_url,
        }))
    }
}

fn lines(fields: &[(&str, Option<&str>)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            out.push_str(name);
            out.push('\n');
            out.push_str(value);
            out.push('\n');
        }
    }
    out
}

fn unsubscribe_url(around: Around<'_>) -> String {
    let (base, arn) = (around.base_url, around.subscription_arn);
    format!("{base}/?Action=Unsubscribe&SubscriptionArn={arn}")
}

fn attributes(message: &Message) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut members = Map::new();
    for attribute in &message.attributes {
        let value = match &attribute.value {
            deliveries::Value::Text(text) => text.clone(),
            deliveries::Value::Binary(bytes) => BASE64_STANDARD.encode(bytes),
        };
        let held = json!({"Type": attribute.data_type, "Value": value});
        members.insert(attribute.name.clone(), held);
    }
    Value::Object(members)
}

/// Milliseconds in UTC, e.g. `2026-01-02T03:04:05.678Z`.
pub fn timestamp(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// JSON with the line breaks and spaces that SNS's has.
fn written(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let Value::Object(members) = value else {
        out.push_str(&value.to_string());
        return;
    };
    out.push('{');
    for (index, (name, member)) in members.iter().enumerate() {
        let flat = depth > 1;
        match (flat, index) {
            (true, 0) => {}
            (true, _) => out.push(','),
            (false, _) => {
                if index > 0 {
                    out.push(',');
                }
                out.push('\n');
                out.push_str(&"  ".repeat(depth + 1));
            }
        }
        out.push_str(&Value::String(name.clone()).to_string());
        out.push_str(if flat { ":" } else { " : " });
        write(member, depth + 1, out);
    }
    if depth <= 1 && !members.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliveries::Attribute;

    #[test]
    fn a_notification_is_written_as_sns_does() {
        let message = Message {
            id: "m".into(),
            subject: Some("s".into()),
            body: "b\n".into(),
            attributes: vec![Attribute::text("a", "v")],
            published_at_ms: 1_700_000_000_120,
            ..Message::default()
        };
        let signed = Signed {
            version: "1",
            signature: "sig".into(),
            certificate_url: "url".into(),
        };
        let around = Around {
            topic_arn: "arn:t",
            subscription_arn: "arn:t:s",
            base_url: "http://x",
            signed: Some(&signed),
        };
        let expected = r#"{
  "Type" : "Notification",
  "MessageId" : "m",
  "TopicArn" : "arn:t",
  "Subject" : "s",
  "Message" : "b\n",
  "Timestamp" : "2023-11-14T22:13:20.120Z",
  "SignatureVersion" : "1",
  "Signature" : "sig",
  "SigningCertURL" : "url",
  "UnsubscribeURL" : "http://x/?Action=Unsubscribe&SubscriptionArn=arn:t:s",
  "MessageAttributes" : {
    "a" : {"Type":"String","Value":"v"}
  }
}"#;
        assert_eq!(notification(&message, &message.body, around), expected);
        assert_eq!(
            to_sign(&message, "b\n", "arn:t"),
            "Message\nb\n\nMessageId\nm\nSubject\ns\nTimestamp\n2023-11-14T22:13:20.120Z\n\
             TopicArn\narn:t\nType\nNotification\n"
        );
        let event: Value = serde_json::from_str(&event(&message, "b", around)).expect("JSON");
        let record = &event["Records"][0];
        assert_eq!(record["EventSubscriptionArn"], "arn:t:s");
        assert_eq!(record["Sns"]["MessageAttributes"]["a"]["Value"], "v");
    }
}
