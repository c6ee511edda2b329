//! What deliveries come to: the messages to be stored, each for the queue of its target or for its lane.

use std::{collections::VecDeque, sync::Arc};

use super::{
    DeliveryError, Failure, Shared,
    counts::{add, one},
    delivery::{DeadLetter, Delivery, Parameters, ToQueue},
    lanes::Lane,
    limits,
    retry::{Cause, Retry},
    stored,
    target::Plan,
};
use crate::queues::{Queue, message::NewMessage};

/// A message and where it goes.
pub struct Outgoing {
    pub queue: Arc<Queue>,
    pub message: NewMessage,
    /// Of which delivery, if the queue is its target's own: should that be gone, it goes into a lane.
    pub direct: Option<Box<Delivery>>,
    /// Keeps the lane open.
    pub lane: Option<Arc<Lane>>,
}

impl Outgoing {
    /// Without what keeps the lane open: it is younger than that a lane goes.
    pub fn pair(self) -> (Arc<Queue>, NewMessage) {
        (self.queue, self.message)
    }
}

impl Shared {
    /// In their order. What cannot be planned, or has to be tried, waits in its lane.
    pub(super) async fn resolve(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<Outgoing>, DeliveryError> {
        let mut outgoing = Vec::with_capacity(deliveries.len());
        let mut open: VecDeque<(Delivery, usize)> = deliveries
            .into_iter()
            .map(|delivery| (delivery, 0))
            .collect();
        while let Some((delivery, spreads)) = open.pop_front() {
            one(&self.counts.accepted);
            let must_wait = delivery.ordered_by.is_some() && self.lanes.has_waiting(&delivery);
            let room = limits::MESSAGES_MAX.saturating_sub(outgoing.len() + open.len());
            match self.plan(&delivery).await {
                Ok(Plan::Message(queue, message)) if !must_wait => outgoing.push(Outgoing {
                    queue,
                    message,
                    direct: Some(Box::new(delivery)),
                    lane: None,
                }),
                Ok(Plan::Spread(more))
                    if !must_wait && spreads < limits::SPREADS_MAX && more.len() <= room =>
                {
                    for next in more.into_iter().rev() {
                        open.push_front((next, spreads + 1));
                    }
                }
                _ => outgoing.push(self.waiting(delivery).await?),
            }
        }
        let placed = outgoing.iter().filter(|it| it.direct.is_some()).count();
        add(&self.counts.placed, placed);
        Ok(outgoing)
    }

    /// The delivery as a message of its lane.
    pub(super) async fn waiting(
        self: &Arc<Self>,
        delivery: Delivery,
    ) -> Result<Outgoing, DeliveryError> {
        let lane = self.lanes.of(self, &delivery).await?;
        Ok(Outgoing {
            queue: lane.queue.clone(),
            message: stored::message(&delivery),
            direct: None,
            lane: Some(lane),
        })
    }

    /// The dead letter of a delivery that is given up, if it can be sent.
    pub(super) async fn dead_letter(
        &self,
        delivery: &Delivery,
        letter: &DeadLetter,
        (failure, cause, retries): (Option<&Failure>, Cause, u32),
    ) -> Result<(Arc<Queue>, NewMessage), Failure> {
        let mut attributes = letter.attributes.clone();
        if letter.says_why {
            attributes.extend(why(failure, cause, retries));
        }
        // In order there as it was to be here.
        let deduplication_id = match &delivery.parameters {
            Parameters::Sqs(to) if letter.group.is_some() => to.deduplication_id.clone(),
            _ => None,
        };
        let as_sent = Delivery {
            id: delivery.id.clone(),
            from: delivery.from.clone(),
            role: delivery.role.clone(),
            target: letter.arn.clone(),
            body: letter.body.clone().unwrap_or_else(|| delivery.body.clone()),
            parameters: Parameters::Sqs(ToQueue {
                group: letter.group.clone(),
                deduplication_id,
                attributes,
                delay_s: None,
            }),
            retry: Retry::default(),
            dead_letter: None,
            ordered_by: None,
            trace_header: delivery.trace_header.clone(),
        };
        match self.plan(&as_sent).await? {
            Plan::Message(queue, message) => Ok((queue, message)),
            Plan::Spread(_) | Plan::Try => Err(Failure::last(
                "INVALID_PARAMETER",
                "A dead letter goes to a queue",
            )),
        }
    }
}

fn why(
    failure: Option<&Failure>,
    cause: Cause,
    retries: u32,
) -> impl Iterator<Item = super::Attribute> {
    use super::Attribute;
    let code = failure.map_or("UNKNOWN", |failure| failure.code.as_str());
    let message = failure.map_or("", |failure| {
        let end = failure
            .message
            .floor_char_boundary(limits::ERROR_MESSAGE_BYTES_MAX);
        &failure.message[..end]
    });
    let message = (!message.is_empty()).then(|| Attribute::text("ERROR_MESSAGE", message));
    let condition = cause.condition();
    let condition = condition.map(|it| Attribute::text("EXHAUSTED_RETRY_CONDITION", it));
    [
        Some(Attribute::text("ERROR_CODE", code)),
        message,
        condition,
        Some(Attribute::text("RETRY_ATTEMPTS", retries.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .into_iter()
}
