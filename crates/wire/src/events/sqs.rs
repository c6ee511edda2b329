//! The event that a function receives for messages of a queue: `{"Records": [...]}`.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A message in an event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<'a> {
    pub message_id: &'a str,
    pub receipt_handle: &'a str,
    pub body: &'a str,
    pub attributes: Attributes<'a>,
    pub message_attributes: MessageAttributes<'a>,
    /// Lambda leaves it out where there are none, but for messages that are gathered in a window or
    /// filtered, where it is null: hence the two levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5_of_message_attributes: Option<Option<&'a str>>,
    pub md5_of_body: &'a str,
    /// `aws:sqs`
    pub event_source: &'a str,
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: &'a str,
    pub aws_region: &'a str,
}

/// The system attributes, with SQS's own names. All are strings; times are in milliseconds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attributes<'a> {
    pub approximate_receive_count: &'a str,
    #[serde(rename = "AWSTraceHeader", skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<&'a str>,
    pub sent_timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_group_id: Option<&'a str>,
    pub sender_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_deduplication_id: Option<&'a str>,
    pub approximate_first_receive_timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_queue_source_arn: Option<&'a str>,
}

#[derive(Debug, Clone, Default)]
pub struct MessageAttributes<'a>(pub Vec<(&'a str, MessageAttribute<'a>)>);

#[derive(Debug, Clone, Copy)]
pub struct MessageAttribute<'a> {
    pub data_type: &'a str,
    pub value: AttributeValue<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum AttributeValue<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl Record<'_> {
    /// Writes the record behind what is there.
    pub fn write(&self, text: &mut Vec<u8>) {
        // Strings in a vector: neither can fail.
        let _ = serde_json::to_writer(text, self);
    }
}

impl Serialize for MessageAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, attribute) in &self.0 {
            map.serialize_entry(name, attribute)?;
        }
        map.end()
    }
}

impl Serialize for MessageAttribute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        match self.value {
            AttributeValue::Text(text) => map.serialize_entry("stringValue", text)?,
            AttributeValue::Binary(bytes) => {
                map.serialize_entry("binaryValue", &BASE64_STANDARD.encode(bytes))?;
            }
        }
        map.serialize_entry("stringListValues", &[(); 0])?;
        map.serialize_entry("binaryListValues", &[(); 0])?;
        map.serialize_entry("dataType", self.data_type)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(record: &Record<'_>) -> Value {
        let mut text = Vec::new();
        record.write(&mut text);
        serde_json::from_slice(&text).unwrap()
    }

    fn record<'a>() -> Record<'a> {
        Record {
            message_id: "id",
            receipt_handle: "handle",
            body: "a \"b\"\n",
            attributes: Attributes {
                approximate_receive_count: "1",
                trace_header: None,
                sent_timestamp: "1545082649183",
                sequence_number: None,
                message_group_id: None,
                sender_id: "AIDA",
                message_deduplication_id: None,
                approximate_first_receive_timestamp: "1545082649185",
                dead_letter_queue_source_arn: None,
            },
            message_attributes: MessageAttributes::default(),
            md5_of_message_attributes: None,
            md5_of_body: "md5",
            event_source: "aws:sqs",
            event_source_arn: "arn",
            aws_region: "us-east-1",
        }
    }

    #[test]
    fn a_plain_message_has_these_members_and_no_more() {
        let expected = json!({
            "messageId": "id",
            "receiptHandle": "handle",
            "body": "a \"b\"\n",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDA",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": "md5",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn",
            "awsRegion": "us-east-1",
        });
        assert_eq!(written(&record()), expected);
        let filtered = Record {
            md5_of_message_attributes: Some(None),
            ..record()
        };
        assert_eq!(written(&filtered)["md5OfMessageAttributes"], Value::Null);
        assert!(written(&filtered).get("md5OfMessageAttributes").is_some());
    }

    #[test]
    fn attributes_have_their_values_by_kind() {
        let attribute = |data_type, value| MessageAttribute { data_type, value };
        let full = Record {
            message_attributes: MessageAttributes(vec![
                ("text", attribute("String.x", AttributeValue::Text("t"))),
                ("bytes", attribute("Binary", AttributeValue::Binary(b"abc"))),
            ]),
            md5_of_message_attributes: Some(Some("digest")),
            ..record()
        };
        let written = written(&full);
        assert_eq!(
            written["messageAttributes"],
            json!({
                "text": {"stringValue": "t", "stringListValues": [], "binaryListValues": [], "dataType": "String.x"},
                "bytes": {"binaryValue": "YWJj", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            })
        );
        assert_eq!(written["md5OfMessageAttributes"], "digest");
    }
}
