//! A queue of SQS's as a target.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Attribute, Delivery, Failure, Parameters, Plan, Target, ToQueue, Value};
use crate::{
    identity::id_of,
    queues::{Draft, DraftValue, MessageSender, Queue, Queues, definition::QueueKey},
};

pub struct QueueTarget(Queues);

impl QueueTarget {
    pub fn new(queues: Queues) -> Self {
        Self(queues)
    }
}

#[async_trait]
impl Target for QueueTarget {
    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure> {
        let key: Option<QueueKey> = delivery.target.parse().ok();
        let queue = key.and_then(|key| self.0.find(&key));
        let queue = queue.ok_or_else(|| {
            let message = "The specified queue does not exist.";
            Failure::last("NO_RESOURCE", message)
        })?;
        if !queue.admits_source(&delivery.asker(), Timestamp::now()) {
            return Err(delivery.not_allowed("sqs:SendMessage"));
        }
        let nothing = ToQueue::default();
        let given = match &delivery.parameters {
            Parameters::Sqs(given) => given,
            _ => &nothing,
        };
        let attributes = &queue.definition().attributes;
        let sender = MessageSender {
            id: &id_of("AIDA", &delivery.from.principal),
            trace_header: delivery.trace_header.as_deref(),
        };
        let message = draft(&queue, delivery, given).check(attributes, sender);
        let message =
            message.map_err(|error| Failure::last("INVALID_PARAMETER", error.to_string()))?;
        Ok(Plan::Message(queue, message))
    }
}

fn draft(queue: &Queue, delivery: &Delivery, given: &ToQueue) -> Draft {
    let attributes = &queue.definition().attributes;
    let needs_id = attributes
        .fifo
        .is_some_and(|fifo| !fifo.content_based_deduplication);
    let id = given.deduplication_id.clone();
    let id = id.or_else(|| needs_id.then(|| delivery.id.clone()));
    Draft {
        body: delivery.body.clone(),
        delay_s: given.delay_s.and_then(|delay| i32::try_from(delay).ok()),
        attributes: given.attributes.iter().map(attribute).collect(),
        system_attributes: Vec::new(),
        group: given.group.clone(),
        deduplication_id: id.filter(|_| queue.is_fifo()),
    }
}

fn attribute(attribute: &Attribute) -> (String, DraftValue) {
    let mut value = DraftValue {
        data_type: attribute.data_type.clone(),
        ..DraftValue::default()
    };
    match &attribute.value {
        Value::Text(text) => value.text = Some(text.clone()),
        Value::Binary(bytes) => value.binary = Some(bytes.clone().into()),
    }
    (attribute.name.clone(), value)
}
