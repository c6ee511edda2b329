//! ReceiveMessage, and what its receiver does to a message by its receipt handle.

use std::sync::Arc;

use wire::{Context, Map, sqs as api};

use super::{all_failed, failed};
use crate::queues::{
    Queue, Queues, attributes, batch, digest,
    error::{Error, Result},
    limits,
    message::{AttributeValue, MessageAttribute, Receive, Received},
    receipt::{Receipt, ReceiptError},
    shown::Shown,
    validate,
};

const DELETE_ENTRY: &str = "DeleteMessageBatchRequestEntry";
const CHANGE_ENTRY: &str = "ChangeMessageVisibilityBatchRequestEntry";

/// An entry of a batch, or a request of one.
struct Entry {
    id: String,
    handle: String,
    /// In seconds; of a change of visibility.
    timeout_s: i32,
}

impl Queues {
    pub(super) async fn receive_of(
        &self,
        cx: &Context,
        input: api::ReceiveMessageRequest,
    ) -> Result<api::ReceiveMessageResult> {
        let queue = self.named(cx, &input.queue_url, "ReceiveMessage")?;
        let definition = queue.definition();
        let receive = receive(&input, definition.attributes.receive_wait_s)?;
        let is_fifo = definition.attributes.fifo.is_some();
        let shown = shown(input)?;
        let received = self.receive(&queue, receive).await?;
        let messages = received.into_iter();
        let messages = messages.map(|message| self.shown(&message, &shown, is_fifo));
        let messages: Vec<api::Message> = messages.collect();
        Ok(api::ReceiveMessageResult {
            messages: Some(messages).filter(|messages| !messages.is_empty()),
        })
    }

    fn shown(&self, message: &Received, shown: &Shown, is_fifo: bool) -> api::Message {
        let system = shown.system(message, is_fifo).into_iter();
        let system: Map<String> = system.map(|(name, v)| (name.to_owned(), v)).collect();
        let user = shown.user(message);
        let md5_of_message_attributes = digest::md5_of_attributes(user.iter().copied());
        let user = user.into_iter();
        let user: Map<api::MessageAttributeValue> = user
            .map(|(name, held)| (name.to_owned(), value(held)))
            .collect();
        api::Message {
            message_id: Some(message.message_id.to_string()),
            receipt_handle: Some(self.receipt_handle(&message.receipt)),
            md5_of_body: Some(digest::md5_of_body(&message.content.body)),
            body: Some(message.content.body.clone()),
            attributes: Some(system).filter(|map| !map.is_empty()),
            md5_of_message_attributes,
            message_attributes: Some(user).filter(|map| !map.is_empty()),
        }
    }

    pub(super) async fn delete_one(
        &self,
        cx: &Context,
        input: api::DeleteMessageRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "DeleteMessage")?;
        let entry = Entry {
            id: String::new(),
            handle: input.receipt_handle,
            timeout_s: 0,
        };
        let (_, result) = one(self.delete_all(&queue, vec![entry]).await)?;
        result
    }

    pub(super) async fn delete_batch(
        &self,
        cx: &Context,
        input: api::DeleteMessageBatchRequest,
    ) -> Result<api::DeleteMessageBatchResult> {
        let queue = self.named(cx, &input.queue_url, "DeleteMessage")?;
        let ids = input.entries.iter().map(|entry| entry.id.as_str());
        batch::check(DELETE_ENTRY, ids)?;
        let entries = input.entries.into_iter().map(|entry| Entry {
            id: entry.id,
            handle: entry.receipt_handle,
            timeout_s: 0,
        });
        let mut result = api::DeleteMessageBatchResult::default();
        let mut errors = Vec::new();
        for (id, deleted) in self.delete_all(&queue, entries.collect()).await {
            match deleted {
                Ok(()) => result
                    .successful
                    .push(api::DeleteMessageBatchResultEntry { id }),
                Err(error) => errors.push(failed(id, error)),
            }
        }
        result.failed = all_failed(errors);
        Ok(result)
    }

    /// In the order of the entries.
    async fn delete_all(
        &self,
        queue: &Arc<Queue>,
        entries: Vec<Entry>,
    ) -> Vec<(String, Result<()>)> {
        let receipts = self.receipts(queue, &entries);
        let good: Vec<Receipt> = receipts.iter().filter_map(|read| read.ok()).collect();
        let mut deleted = self.delete(queue, &good).await.into_iter();
        let outcome = |read: Result<Receipt, ReceiptError>| match read {
            Ok(_) => deleted.next().unwrap_or(Err(ReceiptError::Platform)),
            Err(error) => Err(error),
        };
        of_receipts(entries, receipts.into_iter().map(outcome))
    }

    pub(super) async fn change_one(
        &self,
        cx: &Context,
        input: api::ChangeMessageVisibilityRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "ChangeMessageVisibility")?;
        check_timeout(input.visibility_timeout)?;
        let entry = Entry {
            id: String::new(),
            handle: input.receipt_handle,
            timeout_s: input.visibility_timeout,
        };
        let (_, result) = one(self.change_all(&queue, vec![entry]).await)?;
        result
    }

    pub(super) async fn change_batch(
        &self,
        cx: &Context,
        input: api::ChangeMessageVisibilityBatchRequest,
    ) -> Result<api::ChangeMessageVisibilityBatchResult> {
        let queue = self.named(cx, &input.queue_url, "ChangeMessageVisibility")?;
        let ids = input.entries.iter().map(|entry| entry.id.as_str());
        batch::check(CHANGE_ENTRY, ids)?;
        let mut result = api::ChangeMessageVisibilityBatchResult::default();
        let mut errors = Vec::new();
        let mut entries = Vec::with_capacity(input.entries.len());
        for entry in input.entries {
            let timeout_s = entry.visibility_timeout.unwrap_or_default();
            match check_timeout(timeout_s) {
                Ok(()) => entries.push(Entry {
                    id: entry.id,
                    handle: entry.receipt_handle,
                    timeout_s,
                }),
                Err(error) => errors.push(failed(entry.id, error)),
            }
        }
        for (id, changed) in self.change_all(&queue, entries).await {
            match changed {
                Ok(()) => result
                    .successful
                    .push(api::ChangeMessageVisibilityBatchResultEntry { id }),
                Err(error) => errors.push(failed(id, error)),
            }
        }
        result.failed = all_failed(errors);
        Ok(result)
    }

    async fn change_all(
        &self,
        queue: &Arc<Queue>,
        entries: Vec<Entry>,
    ) -> Vec<(String, Result<()>)> {
        let receipts = self.receipts(queue, &entries);
        let timeouts = entries
            .iter()
            .map(|entry| i64::from(entry.timeout_s) * 1000);
        let read = receipts.iter().zip(timeouts);
        let good: Vec<(Receipt, i64)> = read
            .filter_map(|(read, timeout_ms)| Some((read.ok()?, timeout_ms)))
            .collect();
        let mut changed = self.change_visibility(queue, &good).await.into_iter();
        let outcome = |read: Result<Receipt, ReceiptError>| match read {
            Ok(_) => changed.next().unwrap_or(Err(ReceiptError::Platform)),
            Err(error) => Err(error),
        };
        of_receipts(entries, receipts.into_iter().map(outcome))
    }

    fn receipts(&self, queue: &Queue, entries: &[Entry]) -> Vec<Result<Receipt, ReceiptError>> {
        let handles = entries.iter().map(|entry| entry.handle.as_str());
        handles
            .map(|handle| self.read_receipt(queue, handle))
            .collect()
    }
}

fn of_receipts(
    entries: Vec<Entry>,
    outcomes: impl Iterator<Item = Result<(), ReceiptError>>,
) -> Vec<(String, Result<()>)> {
    let outcomes = entries.into_iter().zip(outcomes);
    let said = |(entry, outcome): (Entry, Result<(), ReceiptError>)| {
        let outcome =
            outcome.map_err(|error| Error::of_receipt(error, &entry.handle, entry.timeout_s));
        (entry.id, outcome)
    };
    outcomes.map(said).collect()
}

fn one<T>(outcomes: Vec<T>) -> Result<T> {
    let missing = || Error::platform(ReceiptError::Platform);
    outcomes.into_iter().next().ok_or_else(missing)
}

fn check_timeout(timeout_s: i32) -> Result<()> {
    match (0..=limits::VISIBILITY_S_MAX.cast_signed()).contains(&timeout_s) {
        true => Ok(()),
        false => Err(Error::value(
            "VisibilityTimeout",
            timeout_s,
            "Must be between 0 and 43200, if provided.",
        )),
    }
}

fn receive(input: &api::ReceiveMessageRequest, queue_wait_s: u32) -> Result<Receive> {
    let max = input.max_number_of_messages.unwrap_or(1);
    if !(1..=limits::RECEIVED_MAX).contains(&max) {
        let reason = "Must be between 1 and 10, if provided.";
        return Err(Error::value("MaxNumberOfMessages", max, reason));
    }
    let wait_s = match input.wait_time_seconds {
        None => queue_wait_s,
        Some(given) => within("WaitTimeSeconds", given, limits::WAIT_S_MAX)?,
    };
    let timeout = input.visibility_timeout;
    let timeout_s = timeout
        .map(|given| within("VisibilityTimeout", given, limits::VISIBILITY_S_MAX))
        .transpose()?;
    let attempt_id = input.receive_request_attempt_id.clone();
    validate::check_id("ReceiveRequestAttemptId", attempt_id.as_deref())?;
    Ok(Receive {
        max: max.unsigned_abs() as usize,
        visibility_timeout_ms: timeout_s.map(|timeout_s| i64::from(timeout_s) * 1000),
        wait_ms: u64::from(wait_s) * 1000,
        attempt_id,
    })
}

fn within(name: &str, given: i32, max: u32) -> Result<u32> {
    let number = u32::try_from(given).ok().filter(|number| *number <= max);
    number.ok_or_else(|| {
        let reason = format!("Must be >= 0 and <= {max}, if provided.");
        Error::value(name, given, reason)
    })
}

fn shown(input: api::ReceiveMessageRequest) -> Result<Shown> {
    let (older, newer) = (input.attribute_names, input.message_system_attribute_names);
    let names: Vec<String> = [older, newer].into_iter().flatten().flatten().collect();
    let user = input.message_attribute_names.unwrap_or_default();
    // The older list takes the names of queues' attributes as well, and nothing comes of them.
    Shown::new(names.iter().map(String::as_str), attributes::is_known, user)
}

fn value(attribute: &MessageAttribute) -> api::MessageAttributeValue {
    let (string_value, binary_value) = match &attribute.value {
        AttributeValue::Text(text) => (Some(text.clone()), None),
        AttributeValue::Binary(bytes) => (None, Some(bytes.clone())),
    };
    api::MessageAttributeValue {
        string_value,
        binary_value,
        data_type: attribute.data_type.clone(),
        ..api::MessageAttributeValue::default()
    }
}
