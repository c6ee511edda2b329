//! A message: what its sender gave, what its receiver gets.

use bytes::Bytes;
use uuid::Uuid;

/// What the sender gave, kept as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    pub body: String,
    /// In the order of arrival.
    pub attributes: Vec<(String, MessageAttribute)>,
    /// The system attribute AWSTraceHeader.
    pub trace_header: Option<String>,
    /// Who sent it, for the attribute SenderId: the account, or the role's id with its session.
    pub sender_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageAttribute {
    /// E.g. `String`, `Number.int`.
    pub data_type: String,
    pub value: AttributeValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Binary(Bytes),
}

/// A message on its way into a queue, checked against SQS's rules.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub content: Content,
    /// Overrides the queue's own delay.
    pub delay_s: Option<u32>,
    /// Required by FIFO queues; on standard queues it asks for fairness between groups.
    pub group: Option<String>,
    /// Of FIFO queues, also where it was made of the content.
    pub deduplication_id: Option<String>,
}

/// A message that is durable, or the one that it is a duplicate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub message_id: Uuid,
    /// Counts up within a queue, not without gaps; FIFO queues show it.
    pub sequence: i64,
}

/// What a receiver asks for.
#[derive(Debug, Clone)]
pub struct Receive {
    /// Up to 10 by SQS's API; event source mappings take up to 10,000.
    pub max: usize,
    /// The queue's own if not given.
    pub visibility_timeout_ms: Option<i64>,
    /// How long to wait for a first message, in milliseconds.
    pub wait_ms: u64,
    /// ReceiveRequestAttemptId of FIFO queues.
    pub attempt_id: Option<String>,
}

/// A message as it is handed out.
#[derive(Debug, Clone)]
pub struct Received {
    pub message_id: Uuid,
    pub receipt: super::receipt::Receipt,
    pub content: std::sync::Arc<Content>,
    pub sent_at_ms: i64,
    pub first_received_at_ms: i64,
    pub receive_count: u32,
    pub sequence: i64,
    pub group: Option<std::sync::Arc<str>>,
    pub deduplication_id: Option<String>,
    /// DeadLetterQueueSourceArn.
    pub dead_letter_source: Option<String>,
}

/// The approximate numbers of messages, which are exact here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
}
