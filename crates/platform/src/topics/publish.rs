//! Publish and PublishBatch: a message, or several, and the deliveries that it is, in one transaction.

use std::sync::Arc;

use wire::Context;

use super::{
    Topics, attributes,
    book::{State, Topic},
    dedup::{self, Before, Row},
    error::{Error, Result},
    limits,
    message::{Draft, Message},
};
use crate::deliveries::Delivery;

/// A message that is durable with all its deliveries, or the one that it is a duplicate of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub message_id: String,
    /// Of FIFO topics.
    pub sequence: Option<i64>,
}

impl Topics {
    pub async fn publish(&self, cx: &Context, arn: &str, draft: Draft) -> Result<Published> {
        let topic = self.permitted(cx, "Publish", arn)?;
        let message = draft.check(fifo(&topic.state()))?;
        let trace_header = cx.trace_header.clone();
        let messages = vec![Message {
            trace_header,
            ..message
        }];
        let published = self.publish_to(&topic, messages).await?;
        published.into_iter().next().ok_or(Error::TOPIC)
    }

    /// All are taken or none.
    pub async fn publish_batch(
        &self,
        cx: &Context,
        arn: &str,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Published>> {
        let topic = self.permitted(cx, "Publish", arn)?;
        if drafts.iter().map(Draft::size).sum::<usize>() > limits::MESSAGE_BYTES_MAX {
            return Err(Error::BatchTooLong);
        }
        let fifo = fifo(&topic.state());
        let check = |draft: Draft| {
            let message = draft.check(fifo)?;
            Ok(Message {
                trace_header: cx.trace_header.clone(),
                ..message
            })
        };
        let messages: Vec<Message> = drafts.into_iter().map(check).collect::<Result<_>>()?;
        self.publish_to(&topic, messages).await
    }

    /// In their order.
    pub(super) async fn publish_to(
        &self,
        topic: &Arc<Topic>,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>> {
        let state = topic.state();
        let now_ms = self.0.clock.now_ms();
        let stamped = messages.into_iter().map(|message| Message {
            id: uuid::Uuid::new_v4().to_string(),
            published_at_ms: now_ms,
            ..message
        });
        if state.record.is_fifo {
            return self
                .publish_in_order(topic, &state, stamped.collect())
                .await;
        }
        let (mut deliveries, mut published) = (Vec::new(), Vec::new());
        for message in stamped {
            deliveries.extend(self.deliveries(topic, &state, &message).await?);
            published.push(Published {
                message_id: message.id,
                sequence: None,
            });
        }
        self.0.deliveries.send(deliveries).await?;
        Ok(published)
    }

    /// One publication after the other, so that subscribers see them in the order of their numbers;
    /// what they are known again by is stored with them.
    async fn publish_in_order(
        &self,
        topic: &Arc<Topic>,
        state: &State,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>> {
        let _publishing = topic.publishing.lock().await;
        let owner = topic.dedup_owner();
        let scope = state.record.attributes.get(attributes::THROUGHPUT_SCOPE);
        let by_group = scope.is_some_and(|scope| scope == "MessageGroup");
        let mut rows: Vec<Row> = Vec::new();
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut published = Vec::new();
        for mut message in messages {
            let group = message.group.as_deref().filter(|_| by_group);
            let id = message.deduplication_id.as_deref().unwrap_or_default();
            let key = dedup::key(group, id);
            let at_ms = message.published_at_ms;
            let in_batch = rows.iter().find(|row| row.key == key);
            let before = in_batch.map(|row| row.before.clone());
            let before = before.or_else(|| topic.dedups().find(&key, at_ms));
            if let Some(before) = before {
                published.push(Published {
                    message_id: before.message_id,
                    sequence: Some(before.sequence),
                });
                continue;
            }
            let sequence = self.next_sequence();
            message.sequence = Some(sequence);
            let before = Before {
                message_id: message.id.clone(),
                sequence,
            };
            deliveries.extend(self.deliveries(topic, state, &message).await?);
            published.push(Published {
                message_id: message.id,
                sequence: Some(sequence),
            });
            rows.push(Row {
                topic: owner.clone(),
                key,
                at_ms,
                before,
            });
        }
        if rows.is_empty() {
            return Ok(published);
        }
        let staged = self.0.deliveries.stage(deliveries).await?;
        let (delivered, ids) = (staged.rows(), rows.clone());
        let written = self
            .0
            .store
            .write(move |tx| {
                ids.iter().try_for_each(|row| row.insert(tx))?;
                delivered.insert(tx)
            })
            .await;
        // What became of a write that failed is not known: it may be a duplicate that comes next.
        written?;
        staged.committed(true);
        let mut dedups = topic.dedups();
        for row in rows {
            dedups.remember(row.key, row.before, row.at_ms);
        }
        Ok(published)
    }
}

/// Of a FIFO topic, whether it makes ids of the content.
pub fn fifo(state: &State) -> Option<bool> {
    let record = &state.record;
    let content_based = record
        .attributes
        .get(attributes::CONTENT_BASED_DEDUPLICATION);
    let content_based = content_based.is_some_and(|value| value == "true");
    record.is_fifo.then_some(content_based)
}
