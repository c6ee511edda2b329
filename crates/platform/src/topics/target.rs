//! A topic as a target of deliveries: what a rule, schedule, bucket or alarm publishes.

use async_trait::async_trait;
use jiff::Timestamp;
use wire::arn::Arn;

use super::{
    Topics, access,
    error::Error,
    message::{Draft, DraftValue},
    name::TopicKey,
    publish,
};
use crate::deliveries::{Attribute, Delivery, Failure, Parameters, Plan, Target, ToTopic, Value};

#[async_trait]
impl Target for Topics {
    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure> {
        let arn: Option<Arn> = delivery.target.parse().ok();
        let key = arn.as_ref().and_then(TopicKey::of);
        let topic = key.and_then(|key| self.topic(&key).ok());
        let topic = topic.ok_or_else(|| Failure::last("NO_RESOURCE", "Topic does not exist"))?;
        let state = topic.state();
        let asker = delivery.asker();
        if !access::admits(&topic.key, &state.policy, &asker, Timestamp::now()) {
            return Err(delivery.not_allowed("SNS:Publish"));
        }
        // A FIFO topic's messages are put in an order and known again: not in somebody else's
        // transaction.
        if state.record.is_fifo {
            return Ok(Plan::Try);
        }
        let message = draft(delivery).check(None).map_err(refused)?;
        let message = self.stamped(message, delivery);
        let spread = self.deliveries(&topic, &state, &message).await;
        Ok(Plan::Spread(spread.map_err(refused)?))
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let arn: Option<Arn> = delivery.target.parse().ok();
        let key = arn.as_ref().and_then(TopicKey::of);
        let topic = key.and_then(|key| self.topic(&key).ok());
        let topic = topic.ok_or_else(|| Failure::last("NO_RESOURCE", "Topic does not exist"))?;
        let mut draft = draft(delivery);
        // One that names no group is in one with the others of its sender, and none comes twice.
        let sender = || crate::queues::digest::sha256_of_body(&delivery.from.source_arn);
        draft.group.get_or_insert_with(sender);
        draft
            .deduplication_id
            .get_or_insert_with(|| delivery.id.clone());
        let fifo = publish::fifo(&topic.state());
        let message = draft.check(fifo).map_err(refused)?;
        let message = self.stamped(message, delivery);
        let published = self.publish_to(&topic, vec![message]).await;
        published.map(drop).map_err(refused)
    }
}

impl Topics {
    fn stamped(
        &self,
        message: super::message::Message,
        delivery: &Delivery,
    ) -> super::message::Message {
        super::message::Message {
            id: delivery.id.clone(),
            published_at_ms: self.0.clock.now_ms(),
            trace_header: delivery.trace_header.clone(),
            ..message
        }
    }
}

fn draft(delivery: &Delivery) -> Draft {
    let nothing = ToTopic::default();
    let given = match &delivery.parameters {
        Parameters::Sns(given) => given,
        _ => &nothing,
    };
    Draft {
        body: delivery.body.clone(),
        subject: given.subject.clone(),
        structure: given.is_structured.then(|| "json".to_owned()),
        attributes: given.attributes.iter().map(attribute).collect(),
        group: given.group.clone(),
        deduplication_id: given.deduplication_id.clone(),
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

fn refused(error: Error) -> Failure {
    match error {
        Error::Platform { .. } => Failure::again("SERVICE_ERROR", error.to_string()),
        _ => Failure::last("INVALID_PARAMETER", error.to_string()),
    }
}
