//! SendMessage and SendMessageBatch.

use wire::{Context, Map, sqs as api};

use super::{all_failed, failed};
use crate::queues::{
    Queues, access, batch,
    definition::Attributes,
    digest,
    error::{Error, Result},
    message::{NewMessage, Sent},
    shown::sequence_number,
    validate::{Draft, DraftValue, Sender},
};

const ENTRY: &str = "SendMessageBatchRequestEntry";

/// The digests of a message, by which its sender knows that it came over whole.
struct Digests {
    body: String,
    attributes: Option<String>,
    system_attributes: Option<String>,
}

impl Digests {
    /// `gave_trace`: a trace that is the request's is not digested.
    fn of(message: &NewMessage, gave_trace: bool) -> Self {
        let content = &message.content;
        let attributes = content
            .attributes
            .iter()
            .map(|(name, held)| (name.as_str(), held));
        let header = content.trace_header.as_deref().filter(|_| gave_trace);
        Self {
            body: digest::md5_of_body(&content.body),
            attributes: digest::md5_of_attributes(attributes),
            system_attributes: header.and_then(digest::md5_of_trace_header),
        }
    }
}

impl Queues {
    pub(super) async fn send_one(
        &self,
        cx: &Context,
        input: api::SendMessageRequest,
    ) -> Result<api::SendMessageResult> {
        let queue = self.named(cx, &input.queue_url, "SendMessage")?;
        let definition = queue.definition();
        let draft = Draft {
            body: input.message_body,
            delay_s: input.delay_seconds,
            attributes: user(input.message_attributes),
            system_attributes: system(input.message_system_attributes),
            group: input.message_group_id,
            deduplication_id: input.message_deduplication_id,
        };
        let id = access::sender_id(cx);
        let (message, digests) = prepared(draft, &definition.attributes, sender(cx, &id))?;
        let sent = self.send(&queue, vec![message]).await?;
        let sent = sent.first().copied().ok_or(Error::NoQueue)?;
        Ok(api::SendMessageResult {
            md5_of_message_body: Some(digests.body),
            md5_of_message_attributes: digests.attributes,
            md5_of_message_system_attributes: digests.system_attributes,
            message_id: Some(sent.message_id.to_string()),
            sequence_number: shown(sent, &definition.attributes),
        })
    }

    pub(super) async fn send_batch(
        &self,
        cx: &Context,
        input: api::SendMessageBatchRequest,
    ) -> Result<api::SendMessageBatchResult> {
        let queue = self.named(cx, &input.queue_url, "SendMessage")?;
        let definition = queue.definition();
        batch::check(ENTRY, input.entries.iter().map(|entry| entry.id.as_str()))?;
        let drafts: Vec<(String, Draft)> = input.entries.into_iter().map(draft).collect();
        batch::check_size(drafts.iter().map(|(_, draft)| draft.size()).sum())?;
        for (_, draft) in &drafts {
            // Said of a batch as a wrong value, where a single message misses a parameter.
            let missing = |error: Error| Error::Parameter(error.to_string());
            draft.check_fifo(&definition.attributes).map_err(missing)?;
        }
        let id = access::sender_id(cx);
        let sender = sender(cx, &id);
        let mut errors = Vec::new();
        let (mut messages, mut digests) = (Vec::new(), Vec::new());
        for (id, draft) in drafts {
            match prepared(draft, &definition.attributes, sender) {
                Ok((message, digest)) => {
                    messages.push(message);
                    digests.push((id, digest));
                }
                Err(error) => errors.push(failed(id, error)),
            }
        }
        let sent = match messages.is_empty() {
            true => Vec::new(),
            false => self.send(&queue, messages).await?,
        };
        let successful = digests.into_iter().zip(sent);
        let successful = successful.map(|((id, digests), sent)| api::SendMessageBatchResultEntry {
            id,
            message_id: sent.message_id.to_string(),
            md5_of_message_body: digests.body,
            md5_of_message_attributes: digests.attributes,
            md5_of_message_system_attributes: digests.system_attributes,
            sequence_number: shown(sent, &definition.attributes),
        });
        Ok(api::SendMessageBatchResult {
            successful: successful.collect(),
            failed: all_failed(errors),
        })
    }
}

fn sender<'a>(cx: &'a Context, id: &'a str) -> Sender<'a> {
    let trace_header = cx.trace_header.as_deref();
    Sender { id, trace_header }
}

fn prepared(draft: Draft, queue: &Attributes, sender: Sender<'_>) -> Result<(NewMessage, Digests)> {
    let gave_trace = !draft.system_attributes.is_empty();
    let message = draft.check(queue, sender)?;
    let digests = Digests::of(&message, gave_trace);
    Ok((message, digests))
}

fn shown(sent: Sent, queue: &Attributes) -> Option<String> {
    let is_fifo = queue.fifo.is_some();
    is_fifo.then(|| sequence_number(sent.sequence))
}

fn draft(entry: api::SendMessageBatchRequestEntry) -> (String, Draft) {
    let draft = Draft {
        body: entry.message_body,
        delay_s: entry.delay_seconds,
        attributes: user(entry.message_attributes),
        system_attributes: system(entry.message_system_attributes),
        group: entry.message_group_id,
        deduplication_id: entry.message_deduplication_id,
    };
    (entry.id, draft)
}

fn user(given: Option<Map<api::MessageAttributeValue>>) -> Vec<(String, DraftValue)> {
    let given = given.unwrap_or_default().into_iter();
    let value = |value: api::MessageAttributeValue| DraftValue {
        data_type: value.data_type,
        text: value.string_value,
        binary: value.binary_value,
        is_list: is_list(value.string_list_values) || is_list(value.binary_list_values),
    };
    given.map(|(name, given)| (name, value(given))).collect()
}

fn system(given: Option<Map<api::MessageSystemAttributeValue>>) -> Vec<(String, DraftValue)> {
    let given = given.unwrap_or_default().into_iter();
    let value = |value: api::MessageSystemAttributeValue| DraftValue {
        data_type: value.data_type,
        text: value.string_value,
        binary: value.binary_value,
        is_list: is_list(value.string_list_values) || is_list(value.binary_list_values),
    };
    given.map(|(name, given)| (name, value(given))).collect()
}

fn is_list<T>(values: Option<Vec<T>>) -> bool {
    values.is_some_and(|values| !values.is_empty())
}
