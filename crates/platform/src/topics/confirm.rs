//! Confirmations: an endpoint of somebody else's takes messages once it has shown that it wants them,
//! by a token that it alone was sent. One that was unsubscribed by a link is told, and can come back
//! by the token that it is told with.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use wire::Context;

use super::{
    Topics, access,
    book::{Subscription, Topic},
    envelope::{Confirmation, Signed},
    error::{Error, Result},
    fanout, limits, name,
    tables::SubscriptionRecord,
};

/// What an endpoint is asked, with the token of its yes.
pub enum Ask<'a> {
    ToSubscribe(&'a str),
    ToEnd(&'a str),
}

/// What a token says by which a subscription comes back.
#[derive(Serialize, Deserialize)]
struct Return {
    owner: String,
    principal: String,
    protocol: String,
    endpoint: String,
    attributes: BTreeMap<String, String>,
    at_ms: i64,
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no randomness")]
pub struct NoRandomness;

/// The bytes of a tag.
const TAG_BYTES: usize = 32;

impl Topics {
    pub(super) fn fresh_token(&self) -> Result<String, NoRandomness> {
        let mut random = [0; 64];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        Ok(hex(&random))
    }

    /// Hands an endpoint the question.
    pub(super) async fn ask(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        ask: Ask<'_>,
        now_ms: i64,
    ) -> Result<()> {
        let (kind, token) = match ask {
            Ask::ToSubscribe(token) => ("SubscriptionConfirmation", token),
            Ask::ToEnd(token) => ("UnsubscribeConfirmation", token),
        };
        let id = uuid::Uuid::new_v4().to_string();
        let confirmation = Confirmation {
            kind,
            id: &id,
            topic_arn: &topic.arn,
            subscription_arn: &subscription.arn,
            token,
            at_ms: now_ms,
            base_url: &self.0.base_url,
        };
        let version = fanout::version_of(&topic.state().record);
        let signed: Signed = self.signed(&confirmation.to_sign(), version).await?;
        let body = confirmation.written(&signed);
        let delivery = fanout::confirmation(topic, subscription, (kind, &id), body);
        Ok(self.0.deliveries.send(vec![delivery]).await?)
    }

    /// Gives the subscription's ARN.
    pub async fn confirm(
        &self,
        cx: &Context,
        topic_arn: &str,
        token: &str,
        guards_its_end: bool,
    ) -> Result<String> {
        let is_anonymous = cx.account_id.is_empty();
        let key = match is_anonymous {
            true => {
                let arn = name::arn("TopicArn", topic_arn)?;
                let key = name::TopicKey::of(&arn);
                key.ok_or_else(|| Error::parameter("TopicArn"))?
            }
            false => name::topic("TopicArn", topic_arn, &cx.region)?,
        };
        if guards_its_end && is_anonymous {
            let message = "AuthenticateOnUnsubscribe needs a signature";
            return Err(Error::NotAllowed(message.to_owned()));
        }
        let _changing = self.0.book.changing.lock().await;
        let topic = self.topic(&key)?;
        let state = topic.state();
        let mut all = state.subscriptions.values();
        let is_pending = |it: &&Arc<Subscription>| {
            let pending = it.record.pending.as_ref();
            pending.is_some_and(|pending| pending.token == token)
        };
        if let Some(pending) = all.clone().find(is_pending) {
            let record = SubscriptionRecord {
                pending: None,
                confirmed_by: Some(token.to_owned()),
                was_authenticated: !is_anonymous,
                guards_its_end,
                ..pending.record.clone()
            };
            return Ok(self.put(&topic, record).await?.arn.clone());
        }
        let before = all.find(|it| it.record.confirmed_by.as_deref() == Some(token));
        if let Some(before) = before {
            return Ok(before.arn.clone());
        }
        let now_ms = self.0.clock.now_ms();
        let came_back = self.read_token(token, now_ms);
        let came_back = came_back.ok_or_else(|| Error::parameter("Token"))?;
        let record = SubscriptionRecord {
            id: uuid::Uuid::new_v4().to_string(),
            owner: came_back.owner,
            principal: came_back.principal,
            protocol: came_back.protocol,
            endpoint: came_back.endpoint,
            attributes: came_back.attributes,
            pending: None,
            confirmed_by: Some(token.to_owned()),
            was_authenticated: !is_anonymous,
            guards_its_end,
            created_at_ms: now_ms,
        };
        access::check_or_anonymous(cx, "Subscribe", &key, &state.policy)?;
        Ok(self.put(&topic, record).await?.arn.clone())
    }

    pub(super) fn token_of(&self, record: &SubscriptionRecord, now_ms: i64) -> String {
        let back = Return {
            owner: record.owner.clone(),
            principal: record.principal.clone(),
            protocol: record.protocol.clone(),
            endpoint: record.endpoint.clone(),
            attributes: record.attributes.clone(),
            at_ms: now_ms,
        };
        // Nothing in it is a map with keys other than text.
        let json = serde_json::to_vec(&back).unwrap_or_default();
        let tag = self.0.secrets.tag(&json);
        hex(&[&tag[..], &json].concat())
    }

    fn read_token(&self, token: &str, now_ms: i64) -> Option<Return> {
        let bytes = unhex(token)?;
        let (tag, json) = bytes.split_at_checked(TAG_BYTES)?;
        if !self.0.secrets.is_tagged(json, tag) {
            return None;
        }
        let back: Return = serde_json::from_slice(json).ok()?;
        (back.at_ms + limits::PENDING_MS_MAX > now_ms).then_some(back)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
