//! Where an event goes when it is over: the messages for its destinations. They are sent together
//! with its removal, by `run.rs`.

use std::sync::Arc;

use jiff::Timestamp;
use wire::arn::Arn;

use super::{
    Shared,
    counts::one,
    event::Event,
    record::{Over, is_sendable},
};
use crate::{
    deliveries::{self, Attribute, DeliveryMessages, Parameters, Sender, ToBus, ToTopic},
    functions::{EventTerms, execution::FunctionKey, function_at},
    identity::Principal,
    queues::{
        Queue,
        definition::QueueKey,
        message::{Content, NewMessage},
    },
};

/// Why a record or dead letter cannot be sent; for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    #[error("there is no such queue or function")]
    NoTarget,
    #[error("the target is not supported")]
    NotSupported,
    #[error("the queue's policy does not allow it")]
    NotAllowed,
    #[error("it is larger than the target takes")]
    TooLarge,
    #[error("it has characters that SQS does not take")]
    Characters,
    #[error("the store could not")]
    Store,
}

pub type Message = (Arc<Queue>, NewMessage);

/// What is to be sent of an event's end.
#[derive(Default)]
pub struct Outgoing {
    /// What the record comes to: one message for a queue or function, one for each that listens to
    /// a topic.
    pub record: Option<DeliveryMessages>,
    pub dead_letter: Option<DeliveryMessages>,
}

/// What goes out with an event, and whom it is from.
pub struct Delivery<'a> {
    pub shared: &'a Shared,
    pub function: &'a FunctionKey,
    pub terms: &'a EventTerms,
    pub over: Over<'a>,
}

impl Delivery<'_> {
    /// The messages to send. What cannot be sent is counted and left out: as with Lambda, the event
    /// is gone then.
    pub async fn messages(&self, succeeded: bool) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let counts = &self.shared.counts;
        let destination = match succeeded {
            true => self.terms.on_success.as_deref(),
            false => self.terms.on_failure.as_deref(),
        };
        if let Some(arn) = destination {
            match self.record(arn).await {
                Ok(messages) => outgoing.record = Some(messages),
                Err(error) => {
                    one(&counts.destination_errors);
                    self.shared
                        .measure(self.function, |measured| measured.destination_errors += 1);
                    self.warn(arn, error);
                }
            }
        }
        let dead_letter = self.terms.dead_letter.as_deref().filter(|_| !succeeded);
        if let Some(arn) = dead_letter {
            match self.dead_letter(arn).await {
                Ok(messages) => outgoing.dead_letter = Some(messages),
                Err(error) => {
                    one(&counts.dead_letter_errors);
                    self.shared
                        .measure(self.function, |measured| measured.dead_letter_errors += 1);
                    self.warn(arn, error);
                }
            }
        }
        outgoing
    }

    fn warn(&self, arn: &str, error: Undeliverable) {
        let request_id = &self.over.event.request_id;
        tracing::warn!(request_id, arn, %error, "an event's end cannot be told");
    }

    async fn record(&self, arn: &str) -> Result<DeliveryMessages, Undeliverable> {
        let target: Arn = arn.parse().map_err(|_| Undeliverable::NoTarget)?;
        let record = self.over.record(Timestamp::now());
        match target.service.as_str() {
            "sqs" => {
                let content = Content {
                    body: record,
                    attributes: Vec::new(),
                    trace_header: self.trace_header(),
                    sender_id: self.sender_id(),
                };
                Ok(self.to_queue(&target, content)?.into())
            }
            "lambda" => Ok(self.to_function(arn, &target, record).await?.into()),
            "sns" => {
                self.to_another(arn, record, Parameters::Sns(ToTopic::default()))
                    .await
            }
            "events" => {
                let parameters = Parameters::Events(self.entry(arn));
                self.to_another(arn, record, parameters).await
            }
            _ => Err(Undeliverable::NotSupported),
        }
    }

    async fn dead_letter(&self, arn: &str) -> Result<DeliveryMessages, Undeliverable> {
        let target: Arn = arn.parse().map_err(|_| Undeliverable::NoTarget)?;
        let letter = self.over.dead_letter(self.sender_id());
        match target.service.as_str() {
            "sqs" => Ok(self.to_queue(&target, letter)?.into()),
            "sns" => {
                let parameters = Parameters::Sns(ToTopic {
                    attributes: letter.attributes.iter().map(Attribute::from).collect(),
                    ..ToTopic::default()
                });
                self.to_another(arn, letter.body, parameters).await
            }
            _ => Err(Undeliverable::NotSupported),
        }
    }

    /// The entry of an event bus beside the record.
    fn entry(&self, bus: &str) -> ToBus {
        let ended = match self.over.condition {
            "Success" => "Success",
            _ => "Failure",
        };
        ToBus {
            source: "lambda".to_owned(),
            detail_type: format!("Lambda Function Invocation Result - {ended}"),
            resources: vec![bus.to_owned(), self.over.function_arn.to_owned()],
            time_ms: None,
        }
    }

    /// To a target of another service, as the function's role.
    async fn to_another(
        &self,
        arn: &str,
        body: String,
        parameters: Parameters,
    ) -> Result<DeliveryMessages, Undeliverable> {
        let from = Sender {
            principal: "lambda.amazonaws.com".to_owned(),
            source_arn: self.over.function_arn.to_owned(),
            account_id: self.function.account_id.clone(),
            region: self.function.region.clone(),
        };
        let qualifier = self.over.event.qualifier.as_deref();
        let functions = &self.shared.functions;
        let mut delivery = deliveries::Delivery::new(from, arn, body);
        delivery.role = functions.role_arn(self.function, qualifier);
        delivery.parameters = parameters;
        delivery.trace_header = self.trace_header();
        let messages = self.shared.deliveries.messages(vec![delivery]).await;
        messages.map_err(|_| Undeliverable::Store)
    }

    fn to_queue(&self, target: &Arn, content: Content) -> Result<Message, Undeliverable> {
        let key = QueueKey::try_from(target).map_err(|_| Undeliverable::NoTarget)?;
        let queue = self
            .shared
            .queues
            .find(&key)
            .ok_or(Undeliverable::NoTarget)?;
        if queue.is_fifo() {
            return Err(Undeliverable::NotSupported);
        }
        let sender = self.principal();
        let allowed = sender.is_some_and(|sender| queue.admits_sender(&sender, Timestamp::now()));
        if !allowed {
            return Err(Undeliverable::NotAllowed);
        }
        let most = queue.definition().attributes.message_bytes_max as usize;
        if content.body.len() > most {
            return Err(Undeliverable::TooLarge);
        }
        if !content.body.chars().all(is_sendable) {
            return Err(Undeliverable::Characters);
        }
        let message = NewMessage {
            content,
            delay_s: None,
            group: None,
            deduplication_id: None,
        };
        Ok((queue, message))
    }

    /// The record is an event of its own for another function.
    async fn to_function(
        &self,
        arn: &str,
        target: &Arn,
        record: String,
    ) -> Result<Message, Undeliverable> {
        let (key, qualifier) = function_at(target).ok_or(Undeliverable::NoTarget)?;
        let functions = &self.shared.functions;
        let terms = functions.event_terms(&key, qualifier.as_deref());
        let terms = terms.ok_or(Undeliverable::NoTarget)?;
        if record.len() > crate::functions::EVENT_BYTES_MAX {
            return Err(Undeliverable::TooLarge);
        }
        let queue = self.shared.queue_of(&key, terms.born).await;
        let queue = queue.map_err(|_| Undeliverable::Store)?;
        let event = Event {
            request_id: uuid::Uuid::new_v4().to_string(),
            payload: record,
            client_context: None,
            invoked_function_arn: arn.to_owned(),
            qualifier,
            trace_header: self.trace_header(),
            accepted_at_ms: self.shared.queues.clock().now_ms(),
            runs: 0,
        };
        Ok((queue, event.message(None)))
    }

    /// What the function saw, so that a chain is known as one.
    fn trace_header(&self) -> Option<String> {
        let seen = self.over.outcome.map(|outcome| outcome.trace_id.clone());
        let seen = seen.filter(|seen| !seen.is_empty());
        seen.or_else(|| self.over.event.trace_header.clone())
    }

    fn principal(&self) -> Option<Principal> {
        let qualifier = self.over.event.qualifier.as_deref();
        self.shared.functions.principal(self.function, qualifier)
    }

    fn sender_id(&self) -> String {
        let partition = wire::arn::partition(&self.function.region);
        let id = self.principal().and_then(|it| it.user_id(partition));
        id.unwrap_or_default()
    }
}
