//! What is told of an event that is over: the record that a destination gets, and the dead letter.
//! Both have payloads in them as they came. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{event::Event, limits};
use crate::{
    functions::{self, execution::Outcome},
    queues::message::{AttributeValue, Content, MessageAttribute},
};

/// An event that is over.
pub struct Over<'a> {
    pub event: &'a Event,
    /// The function's, with the qualifier.
    pub function_arn: &'a str,
    /// `Success`, or why it was given up.
    pub condition: &'a str,
    /// How often the function ran.
    pub runs: u32,
    /// What the last run came to, if this try was one.
    pub outcome: Option<&'a Outcome>,
}

impl Over<'_> {
    /// The record that a destination gets, as JSON.
    pub fn record(&self, now: Timestamp) -> String {
        let context = json!({
            "requestId": self.event.request_id,
            "functionArn": self.function_arn,
            "condition": self.condition,
            "approximateInvokeCount": self.runs,
        });
        let mut record = format!(
            "{{\"version\":\"1.0\",\"timestamp\":\"{}\",\"requestContext\":{context},\
             \"requestPayload\":{}",
            now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
            self.event.payload,
        );
        if let Some(outcome) = self.outcome {
            let mut response = json!({
                "statusCode": 200,
                "executedVersion": outcome.executed_version.to_string(),
            });
            if let Some(error) = outcome.error {
                response["functionError"] = Value::from(error.as_str());
            }
            record.push_str(&format!(
                ",\"responseContext\":{response},\"responsePayload\":{}",
                as_json(&outcome.payload)
            ));
        }
        record.push('}');
        record
    }

    /// The event for a dead-letter queue, with what went wrong.
    pub fn dead_letter(&self, sender_id: String) -> Content {
        let (code, message) = match self.outcome {
            Some(outcome) => ("200", error_message(&outcome.payload)),
            None => ("429", self.condition.to_owned()),
        };
        let attribute = |name: &str, data_type: &str, value: String| {
            let value = MessageAttribute {
                data_type: data_type.to_owned(),
                value: AttributeValue::Text(value),
            };
            (name.to_owned(), value)
        };
        Content {
            body: self.event.payload.clone(),
            attributes: vec![
                attribute("RequestID", "String", self.event.request_id.clone()),
                attribute("ErrorCode", "Number", code.to_owned()),
                attribute("ErrorMessage", "String", message),
            ],
            trace_header: self.event.trace_header.clone(),
            sender_id,
        }
    }
}

/// What a function answered as a member of a JSON object: as it is, or what is not JSON as a string.
fn as_json(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    match functions::check_json(payload) {
        Ok(()) => text.into_owned(),
        Err(_) => Value::from(text).to_string(),
    }
}

/// The `errorMessage` of an error, or all of what is no such.
fn error_message(payload: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(payload).ok();
    let named = parsed
        .as_ref()
        .and_then(|error| error["errorMessage"].as_str());
    let text = match named {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(payload).into_owned(),
    };
    let mut end = text.len().min(limits::ERROR_MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text: String = text[..end]
        .chars()
        .map(|c| if is_sendable(c) { c } else { '?' })
        .collect();
    match text.is_empty() {
        // SQS has no empty attributes.
        true => "Unknown".to_owned(),
        false => text,
    }
}

/// What SQS takes in a message.
pub fn is_sendable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::execution::{FunctionError, VersionId};

    fn event() -> Event {
        Event {
            request_id: "id".into(),
            payload: r#"{"n":  1}"#.into(),
            client_context: None,
            invoked_function_arn: "arn:f".into(),
            qualifier: None,
            trace_header: Some("Root=1".into()),
            accepted_at_ms: 0,
            runs: 2,
        }
    }

    fn outcome(payload: &str, error: Option<FunctionError>) -> Outcome {
        Outcome {
            payload: payload.to_owned().into(),
            error,
            executed_version: VersionId::latest(),
            log_tail: None,
            trace_id: String::new(),
        }
    }

    fn over<'a>(event: &'a Event, outcome: Option<&'a Outcome>) -> Over<'a> {
        Over {
            event,
            function_arn: "arn:f:$LATEST",
            condition: "RetriesExhausted",
            runs: 3,
            outcome,
        }
    }

    #[test]
    fn a_record_has_both_payloads_as_they_came() {
        let (event, failed) = (
            event(),
            outcome(r#"{"errorMessage": "no"}"#, Some(FunctionError::Unhandled)),
        );
        let at = Timestamp::from_millisecond(1_574_636_905_651).unwrap();
        assert_eq!(
            over(&event, Some(&failed)).record(at),
            concat!(
                r#"{"version":"1.0","timestamp":"2019-11-24T23:08:25.651Z","#,
                r#""requestContext":{"requestId":"id","functionArn":"arn:f:$LATEST","#,
                r#""condition":"RetriesExhausted","approximateInvokeCount":3},"#,
                r#""requestPayload":{"n":  1},"#,
                r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","#,
                r#""functionError":"Unhandled"},"responsePayload":{"errorMessage": "no"}}"#,
            )
        );
    }

    #[test]
    fn without_a_run_there_is_no_response_and_what_is_no_json_is_a_string() {
        let event = event();
        let record = over(&event, None).record(Timestamp::UNIX_EPOCH);
        assert!(
            record.ends_with(r#""requestPayload":{"n":  1}}"#),
            "{record}"
        );
        let plain = outcome("plain \"text\"", None);
        let record = over(&event, Some(&plain)).record(Timestamp::UNIX_EPOCH);
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["responsePayload"], "plain \"text\"");
    }

    #[test]
    fn a_dead_letter_is_the_event_with_what_went_wrong() {
        let event = event();
        let long = format!(r#"{{"errorMessage": "{}"}}"#, "ü\\u0001".repeat(1000));
        let failed = outcome(&long, Some(FunctionError::Unhandled));
        let letter = over(&event, Some(&failed)).dead_letter("sender".into());
        assert_eq!(letter.body, event.payload);
        let said: Vec<_> = letter
            .attributes
            .iter()
            .map(|(name, held)| match &held.value {
                AttributeValue::Text(text) => {
                    (name.as_str(), held.data_type.as_str(), text.as_str())
                }
                AttributeValue::Binary(_) => panic!("they are text"),
            })
            .collect();
        assert_eq!(said[0], ("RequestID", "String", "id"));
        assert_eq!(said[1], ("ErrorCode", "Number", "200"));
        assert!(said[2].2.starts_with("ü?ü?"), "{}", said[2].2);
        assert!((1000..=1024).contains(&said[2].2.len()));
        let throttled = over(&event, None).dead_letter("sender".into());
        let (_, code) = &throttled.attributes[1];
        assert_eq!(code.value, AttributeValue::Text("429".into()));
    }
}
