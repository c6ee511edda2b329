//! From the queue to records: receives messages, leaves out what the filters do, and writes the
//! rest as the event will have it.

use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value};
use uuid::Uuid;
use wire::events::sqs::{
    AttributeValue as WireValue, Attributes, MessageAttribute, MessageAttributes, Record,
};

use super::{Deps, Plan, batch::Item};
use crate::{
    functions::Functions,
    queues::{
        EngineError, Queue, Queues,
        definition::QueueKey,
        digest,
        message::{AttributeValue, Receive, Received},
        receipt::Receipt,
    },
    triggers::{
        counts::add,
        filter::{Criteria, Subject},
    },
};

/// What a receive came to: messages as the queue gives them, and then as they are passed on.
pub struct Got<T = Messages> {
    /// How many messages were asked for.
    pub asked: usize,
    pub result: Result<T, EngineError>,
}

#[derive(Default)]
pub struct Messages {
    /// All that came, also those left out.
    pub received: usize,
    pub items: Vec<Item>,
    /// What the filters left out; it is to be deleted.
    pub left_out: Vec<Receipt>,
    /// How many were not taken as they would go on with a loop.
    pub stopped: usize,
}

/// Receives once. Whoever gives up waiting has received nothing.
pub async fn receive(
    deps: Deps,
    queue: Arc<Queue>,
    asked: usize,
    wait_ms: u64,
) -> Got<Vec<Received>> {
    let receive = Receive {
        max: asked,
        visibility_timeout_ms: None,
        wait_ms,
        attempt_id: None,
    };
    let result = deps.queues.receive(&queue, receive).await;
    if let Ok(received) = &result {
        add(&deps.counts.polled, received.len());
    }
    Got { asked, result }
}

impl Got<Vec<Received>> {
    pub fn sorted(self, functions: &Functions, queues: &Queues, plan: &Plan) -> Got {
        Got {
            asked: self.asked,
            result: self
                .result
                .map(|received| sorted(functions, queues, plan, received)),
        }
    }
}

fn sorted(
    functions: &Functions,
    queues: &Queues,
    plan: &Plan,
    received: Vec<Received>,
) -> Messages {
    let arn = plan.queue.arn().to_string();
    // Of a message without attributes Lambda says so where there is a window or a filter.
    let filters = plan.criteria.as_ref();
    let says_none =
        plan.record.settings.window_s > 0 || filters.is_some_and(|criteria| !criteria.is_empty());
    let mut messages = Messages {
        received: received.len(),
        ..Messages::default()
    };
    // What would go on with a loop stays in the queue, until its redrive policy takes it; and of a
    // FIFO queue what comes after it does, too.
    let mut stopped: HashSet<Option<Arc<str>>> = HashSet::new();
    for message in received {
        let trace_header = message.content.trace_header.as_deref();
        let is_behind = plan.queue.is_fifo() && stopped.contains(&message.group);
        if is_behind || functions.is_recursive(&plan.function, trace_header) {
            stopped.insert(message.group);
            messages.stopped += 1;
            continue;
        }
        let receipt = message.receipt;
        let written = Written::of(queues, &plan.queue, &message);
        let record = written.record(&message, (&arn, &plan.queue.region), says_none);
        if !passes(plan.criteria.as_ref(), &record) {
            messages.left_out.push(receipt);
            continue;
        }
        let mut json = Vec::with_capacity(record.body.len() + 1024);
        record.write(&mut json);
        messages.items.push(Item {
            json,
            receipt,
            message_id: message.message_id,
            lineage: trace_header
                .filter(|header| header.contains("Lineage="))
                .map(Arc::from),
            group: message.group.filter(|_| plan.queue.is_fifo()),
        });
    }
    messages
}

fn passes(criteria: Option<&Criteria>, record: &Record<'_>) -> bool {
    criteria.is_none_or(|criteria| criteria.is_empty() || criteria.let_through(record))
}

impl Subject for Record<'_> {
    fn body(&self) -> &str {
        self.body
    }

    fn rest(&self) -> Map<String, Value> {
        let without = Record {
            body: "",
            ..self.clone()
        };
        match serde_json::to_value(without) {
            Ok(Value::Object(record)) => record,
            _ => Map::new(),
        }
    }
}

/// What of a record is text that the message does not have as such.
pub struct Written {
    message_id: String,
    receipt_handle: String,
    receive_count: String,
    sent_at: String,
    first_received_at: String,
    sequence: Option<String>,
    md5_of_body: String,
    md5_of_attributes: Option<String>,
}

impl Written {
    pub fn of(queues: &Queues, queue: &QueueKey, message: &Received) -> Self {
        let content = &message.content;
        let attributes = content.attributes.iter();
        let attributes = attributes.map(|(name, attribute)| (name.as_str(), attribute));
        Self {
            message_id: hyphenated(message.message_id),
            receipt_handle: queues.receipt_handle(&message.receipt),
            receive_count: message.receive_count.to_string(),
            sent_at: message.sent_at_ms.to_string(),
            first_received_at: message.first_received_at_ms.to_string(),
            sequence: queue.is_fifo().then(|| format!("{:020}", message.sequence)),
            md5_of_body: digest::md5_of_body(&content.body),
            md5_of_attributes: digest::md5_of_attributes(attributes),
        }
    }

    /// `says_none`: a message without attributes has that said of it.
    pub fn record<'a>(
        &'a self,
        message: &'a Received,
        (arn, region): (&'a str, &'a str),
        says_none: bool,
    ) -> Record<'a> {
        let content = &message.content;
        let attribute =
            |(name, attribute): &'a (String, _)| (name.as_str(), wire_attribute(attribute));
        let digest = self.md5_of_attributes.as_deref();
        Record {
            message_id: &self.message_id,
            receipt_handle: &self.receipt_handle,
            body: &content.body,
            attributes: Attributes {
                approximate_receive_count: &self.receive_count,
                trace_header: content.trace_header.as_deref(),
                sent_timestamp: &self.sent_at,
                sequence_number: self.sequence.as_deref(),
                message_group_id: message.group.as_deref(),
                sender_id: &content.sender_id,
                message_deduplication_id: message.deduplication_id.as_deref(),
                approximate_first_receive_timestamp: &self.first_received_at,
                dead_letter_queue_source_arn: message.dead_letter_source.as_deref(),
            },
            message_attributes: MessageAttributes(
                content.attributes.iter().map(attribute).collect(),
            ),
            md5_of_message_attributes: (says_none || digest.is_some()).then_some(digest),
            md5_of_body: &self.md5_of_body,
            event_source: "aws:sqs",
            event_source_arn: arn,
            aws_region: region,
        }
    }
}

fn wire_attribute(attribute: &crate::queues::message::MessageAttribute) -> MessageAttribute<'_> {
    MessageAttribute {
        data_type: &attribute.data_type,
        value: match &attribute.value {
            AttributeValue::Text(text) => WireValue::Text(text),
            AttributeValue::Binary(bytes) => WireValue::Binary(bytes),
        },
    }
}

fn hyphenated(id: Uuid) -> String {
    id.hyphenated().to_string()
}
