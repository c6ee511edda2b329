//! From a message to the deliveries to a topic's subscriptions.

use std::{collections::HashMap, sync::Arc};

use super::{
    Topics,
    attributes::SIGNATURE_VERSION,
    book::{State, Subscription, Topic},
    delivery_policy::Effective,
    envelope::{self, Around, Signed},
    error::{Error, Result},
    filter::{Asked, Filter},
    limits,
    message::Message,
    signing::{CERTIFICATE_PATH, Version},
    subscription_attributes as attributes,
    tables::TopicRecord,
};
use crate::deliveries::{
    Backoff, DeadLetter, Delivery, Growth, Parameters, Retry, Sender, ToEndpoint, ToQueue,
};

const USER_AGENT: &str = "Amazon Simple Notification Service Agent";

/// The signatures of one message, by what is signed: subscribers of one protocol share theirs.
type Signatures = HashMap<String, Signed>;

impl Topics {
    /// In the order of the subscriptions; none for those whose filters do not take it.
    pub(super) async fn deliveries(
        &self,
        topic: &Topic,
        state: &State,
        message: &Message,
    ) -> Result<Vec<Delivery>> {
        let open = || state.subscriptions.values().filter(|it| it.is_open());
        let filters = open().filter_map(|it| it.filter.as_ref());
        let asked = Asked::of(message, filters.clone().any(Filter::asks_body));
        let mut signatures = Signatures::new();
        let mut deliveries = Vec::new();
        for subscription in open() {
            let filter = subscription.filter.as_ref();
            if filter.is_none_or(|filter| filter.takes(&asked)) {
                let delivery = self
                    .delivery(topic, state, message, subscription, &mut signatures)
                    .await?;
                deliveries.push(delivery);
            }
        }
        Ok(deliveries)
    }

    async fn delivery(
        &self,
        topic: &Topic,
        state: &State,
        message: &Message,
        subscription: &Arc<Subscription>,
        signatures: &mut Signatures,
    ) -> Result<Delivery> {
        let record = &subscription.record;
        let is_raw = attributes::is_raw(record);
        let body = message.body_for(&record.protocol);
        // What nobody sees is not signed, and FIFO topics' messages are not.
        let signed = match is_raw || state.record.is_fifo {
            true => None,
            false => {
                let text = envelope::to_sign(message, body, &topic.arn);
                Some(self.signed_once(signatures, text, &state.record).await?)
            }
        };
        let around = Around {
            topic_arn: &topic.arn,
            subscription_arn: &subscription.arn,
            base_url: &self.0.base_url,
            signed: signed.as_ref(),
        };
        let mut delivery = Delivery::new(sender(topic), record.endpoint.as_str(), "");
        delivery.trace_header.clone_from(&message.trace_header);
        delivery.retry = patient();
        let notification = || envelope::notification(message, body, around);
        match record.protocol.as_str() {
            "sqs" => {
                delivery.body = if is_raw {
                    body.to_owned()
                } else {
                    notification()
                };
                let attributes = match is_raw {
                    true => message.attributes.clone(),
                    false => Vec::new(),
                };
                if state.record.is_fifo {
                    delivery.ordered_by.clone_from(&message.group);
                }
                delivery.parameters = Parameters::Sqs(ToQueue {
                    group: message.group.clone(),
                    deduplication_id: message.deduplication_id.clone(),
                    attributes,
                    delay_s: None,
                });
            }
            "lambda" => delivery.body = envelope::event(message, body, around),
            _ => {
                let topics = state.record.attributes.get(attributes::DELIVERY_POLICY);
                let own = record.attributes.get(attributes::DELIVERY_POLICY);
                let effective = Effective::of(topics.map(String::as_str), own.map(String::as_str));
                delivery.retry = effective.retry();
                delivery.body = if is_raw {
                    body.to_owned()
                } else {
                    notification()
                };
                let mut headers = headers(topic, ("Notification", &message.id));
                headers.push((
                    "x-amz-sns-subscription-arn".into(),
                    subscription.arn.clone(),
                ));
                if is_raw {
                    headers.push(("x-amz-sns-rawdelivery".into(), "true".into()));
                }
                headers.push(("content-type".into(), effective.content_type));
                delivery.parameters = post(headers);
            }
        }
        delivery.dead_letter = attributes::dead_letters(record).map(|arn| DeadLetter {
            arn,
            body: (record.protocol == "lambda").then(notification),
            attributes: match is_raw {
                true => message.attributes.clone(),
                false => Vec::new(),
            },
            says_why: false,
            group: message.group.clone(),
        });
        Ok(delivery)
    }

    async fn signed_once(
        &self,
        signatures: &mut Signatures,
        text: String,
        record: &TopicRecord,
    ) -> Result<Signed> {
        if let Some(signed) = signatures.get(&text) {
            return Ok(signed.clone());
        }
        let signed = self.signed(&text, version_of(record)).await?;
        signatures.insert(text, signed.clone());
        Ok(signed)
    }

    pub(super) async fn signed(&self, text: &str, version: Version) -> Result<Signed> {
        let signer = self.0.signers.signer().await?;
        let signature = signer.sign(text, version).map_err(Error::platform)?;
        Ok(Signed {
            version: match version {
                Version::One => "1",
                Version::Two => "2",
            },
            signature,
            certificate_url: format!("{}{CERTIFICATE_PATH}{}", self.0.base_url, signer.file),
        })
    }
}

pub fn version_of(record: &TopicRecord) -> Version {
    match record.attributes.get(SIGNATURE_VERSION).map(String::as_str) {
        Some("2") => Version::Two,
        _ => Version::One,
    }
}

fn sender(topic: &Topic) -> Sender {
    Sender {
        principal: "sns.amazonaws.com".to_owned(),
        source_arn: topic.arn.clone(),
        account_id: topic.key.account_id.clone(),
        region: topic.key.region.clone(),
    }
}

/// SNS's tries with queues and functions: 100,015 in 23 days.
fn patient() -> Retry {
    Retry {
        retries_max: 100_014,
        age_max_ms: limits::DELIVERY_AGE_MS,
        backoff: Backoff::Phases {
            at_once: 3,
            at_min: 2,
            at_max: 100_000,
            min_ms: 1_000,
            max_ms: 20_000,
            growth: Growth::Exponential,
        },
    }
}

fn headers(topic: &Topic, (kind, id): (&str, &str)) -> Vec<(String, String)> {
    [
        ("x-amz-sns-message-type", kind),
        ("x-amz-sns-message-id", id),
        ("x-amz-sns-topic-arn", &topic.arn),
        ("user-agent", USER_AGENT),
        ("accept-encoding", "gzip,deflate"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn post(headers: Vec<(String, String)>) -> Parameters {
    Parameters::Http(ToEndpoint {
        method: "POST".to_owned(),
        headers,
    })
}

/// The question whether an endpoint wants messages, or wants them back.
pub fn confirmation(
    topic: &Topic,
    subscription: &Subscription,
    (kind, id): (&str, &str),
    body: String,
) -> Delivery {
    let endpoint = subscription.record.endpoint.as_str();
    let mut delivery = Delivery::new(sender(topic), endpoint, body);
    if subscription.record.protocol == "sqs" {
        delivery.parameters = Parameters::Sqs(ToQueue {
            // For a FIFO queue.
            group: endpoint.ends_with(".fifo").then(|| id.to_owned()),
            ..ToQueue::default()
        });
        delivery.retry = patient();
        return delivery;
    }
    let mut headers = headers(topic, (kind, id));
    if kind == "UnsubscribeConfirmation" {
        headers.push((
            "x-amz-sns-subscription-arn".into(),
            subscription.arn.clone(),
        ));
    }
    let effective = Effective::default();
    delivery.retry = effective.retry();
    headers.push(("content-type".into(), effective.content_type));
    delivery.parameters = post(headers);
    delivery
}
