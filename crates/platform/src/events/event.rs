//! An event as it waits in its function's queue: the payload is the message's body as it came, the
//! rest its attributes.

use bytes::Bytes;

use crate::{
    functions::{AsyncEvent, Error, execution::Invocation},
    queues::message::{AttributeValue, Content, MessageAttribute, NewMessage},
};

/// An event that waits, or is being run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub request_id: String,
    pub payload: String,
    pub client_context: Option<String>,
    /// The ARN that the caller used.
    pub invoked_function_arn: String,
    pub qualifier: Option<String>,
    pub trace_header: Option<String>,
    /// By the queues' clock.
    pub accepted_at_ms: i64,
    /// How often the function has failed on it.
    pub runs: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored event is damaged")]
pub struct Damaged;

impl Event {
    pub fn new(asked: AsyncEvent, now_ms: i64) -> Result<Self, Error> {
        let Invocation {
            request_id,
            payload,
            client_context,
            invoked_function_arn,
            trace_id,
            ..
        } = asked.invocation;
        Ok(Self {
            request_id,
            // The check for JSON takes no other.
            payload: String::from_utf8(payload.into()).map_err(Error::platform)?,
            client_context,
            invoked_function_arn,
            qualifier: asked.qualifier,
            trace_header: trace_id,
            accepted_at_ms: now_ms,
            runs: 0,
        })
    }

    pub fn invocation(&self) -> Invocation {
        Invocation {
            request_id: self.request_id.clone(),
            payload: Bytes::from(self.payload.clone()),
            client_context: self.client_context.clone(),
            cognito_identity: None,
            invoked_function_arn: self.invoked_function_arn.clone(),
            trace_id: self.trace_header.clone(),
            log_tail: false,
        }
    }

    /// The event after another failed run, to be seen after a time.
    pub fn again(&self, after_s: u32) -> NewMessage {
        let again = Self {
            runs: self.runs + 1,
            ..self.clone()
        };
        again.message(Some(after_s))
    }

    pub fn message(self, delay_s: Option<u32>) -> NewMessage {
        let given = [
            (REQUEST_ID, Some(self.request_id)),
            (ARN, Some(self.invoked_function_arn)),
            (ACCEPTED, Some(self.accepted_at_ms.to_string())),
            (RUNS, Some(self.runs.to_string())),
            (QUALIFIER, self.qualifier),
            (CLIENT_CONTEXT, self.client_context),
        ];
        let attributes = given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), text(value?))));
        NewMessage {
            content: Content {
                body: self.payload,
                attributes: attributes.collect(),
                trace_header: self.trace_header,
                sender_id: String::new(),
            },
            delay_s,
            group: None,
            deduplication_id: None,
        }
    }

    pub fn read(content: &Content) -> Result<Self, Damaged> {
        let find = |name: &str| {
            let found = content.attributes.iter().find(|(held, _)| held == name);
            match &found?.1.value {
                AttributeValue::Text(text) => Some(text.clone()),
                AttributeValue::Binary(_) => None,
            }
        };
        let number = |name| find(name).ok_or(Damaged);
        Ok(Self {
            request_id: find(REQUEST_ID).ok_or(Damaged)?,
            payload: content.body.clone(),
            client_context: find(CLIENT_CONTEXT),
            invoked_function_arn: find(ARN).ok_or(Damaged)?,
            qualifier: find(QUALIFIER),
            trace_header: content.trace_header.clone(),
            accepted_at_ms: number(ACCEPTED)?.parse().map_err(|_| Damaged)?,
            runs: number(RUNS)?.parse().map_err(|_| Damaged)?,
        })
    }
}

const REQUEST_ID: &str = "request_id";
const ARN: &str = "arn";
const ACCEPTED: &str = "accepted_at_ms";
const RUNS: &str = "runs";
const QUALIFIER: &str = "qualifier";
const CLIENT_CONTEXT: &str = "client_context";

fn text(value: String) -> MessageAttribute {
    MessageAttribute {
        data_type: "String".to_owned(),
        value: AttributeValue::Text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = Event {
            request_id: "r".into(),
            payload: r#"{"a": "ü"}"#.into(),
            client_context: Some("{}".into()),
            invoked_function_arn: "arn:f".into(),
            qualifier: Some("live".into()),
            trace_header: Some("Root=1".into()),
            accepted_at_ms: 7,
            runs: 0,
        };
        let message = event.clone().message(None);
        assert_eq!(Event::read(&message.content), Ok(event.clone()));
        let again = event.again(60);
        assert_eq!(again.delay_s, Some(60));
        assert_eq!(Event::read(&again.content).unwrap().runs, 1);
        assert_eq!(Event::read(&Content::default()), Err(Damaged));
    }
}
