//! Subscriptions: made, changed, ended, listed.

use std::{collections::BTreeMap, sync::Arc};

use store::Tx;
use wire::Context;

use super::{
    Topics, access,
    book::{Subscription, Topic},
    confirm::Ask,
    endpoint,
    error::{Error, Result},
    limits, name, paging, subscription_attributes as attributes,
    tables::{Pending, SUBSCRIPTIONS, SubscriptionRecord, TOPICS, TopicRecord},
};

/// What Subscribe asks for.
pub struct AskedSubscription {
    pub topic_arn: String,
    pub protocol: String,
    pub endpoint: Option<String>,
    pub attributes: BTreeMap<String, String>,
}

/// A subscription as lists show it.
pub struct Listed {
    pub topic_arn: String,
    pub subscription: Arc<Subscription>,
}

impl Topics {
    /// Makes a subscription, or finds the one that is there and like that.
    pub async fn subscribe(
        &self,
        cx: &Context,
        asked: AskedSubscription,
    ) -> Result<Arc<Subscription>> {
        let topic = self.permitted(cx, "Subscribe", &asked.topic_arn)?;
        let held = attributes::at_subscribe(&asked.protocol, &asked.attributes)?;
        let is_fifo = topic.state().record.is_fifo;
        let endpoint = endpoint::check(&asked.protocol, asked.endpoint.as_deref(), is_fifo)?;
        let is_own = endpoint.owner.as_ref() == Some(&cx.account_id);
        if endpoint.protocol == "lambda" && !is_own {
            return Err(Error::NotSupported(
                "subscribe another account's function: its own account can".into(),
            ));
        }
        let book = &self.0.book;
        let changing = book.changing.lock().await;
        let topic = self.topic(&topic.key)?;
        let state = topic.state();
        let is_this = |it: &&Arc<Subscription>| {
            it.record.protocol == endpoint.protocol && it.record.endpoint == endpoint.address
        };
        let now_ms = self.0.clock.now_ms();
        let there = state.subscriptions.values().find(is_this).cloned();
        if let Some(there) = there {
            if !attributes::is_same(&there.record, &held) {
                return Err(Error::parameter(
                    "Attributes Reason: Subscription already exists with different attributes",
                ));
            }
            drop(changing);
            // Whoever asks again is asked again.
            if let Some(pending) = &there.record.pending {
                let ask = Ask::ToSubscribe(&pending.token);
                self.ask(&topic, &there, ask, now_ms).await?;
            }
            return Ok(there);
        }
        let most = match is_fifo {
            true => limits::FIFO_SUBSCRIPTIONS_MAX,
            false => limits::SUBSCRIPTIONS_MAX,
        };
        if state.subscriptions.len() >= most {
            return Err(Error::TooManySubscriptions("Subscription limit exceeded"));
        }
        let token = self.fresh_token().map_err(Error::platform)?;
        let record = SubscriptionRecord {
            id: uuid::Uuid::new_v4().to_string(),
            owner: cx.account_id.clone(),
            principal: access::principal_arn(cx),
            protocol: endpoint.protocol.to_owned(),
            endpoint: endpoint.address,
            attributes: held,
            pending: (!is_own).then(|| Pending {
                token: token.clone(),
                since_ms: now_ms,
            }),
            confirmed_by: None,
            was_authenticated: is_own,
            guards_its_end: false,
            created_at_ms: now_ms,
        };
        let subscription = self.put(&topic, record).await?;
        drop(changing);
        if !is_own {
            let ask = Ask::ToSubscribe(&token);
            self.ask(&topic, &subscription, ask, now_ms).await?;
        }
        Ok(subscription)
    }

    /// Stores a subscription and then shows it; `changing` is held.
    pub(super) async fn put(
        &self,
        topic: &Arc<Topic>,
        record: SubscriptionRecord,
    ) -> Result<Arc<Subscription>> {
        let (stored, key) = (record.clone(), topic.key.clone());
        let write = move |tx: &mut Tx| {
            let [account, region, name] = key.parts();
            let key = [account, region, name, &stored.id];
            SUBSCRIPTIONS.put(tx, &key, &stored).map(drop)
        };
        self.0.store.write(write).await?;
        let subscription = Subscription::new(&topic.key, record);
        topic.put(subscription.clone());
        Ok(subscription)
    }

    /// The subscription of an ARN with its topic.
    pub(super) fn found(
        &self,
        arn: &str,
        region: Option<&str>,
    ) -> Result<(Arc<Topic>, Arc<Subscription>)> {
        let (key, id) = name::subscription(arn, region)?;
        let topic = self.0.book.find(&key).ok_or(Error::SUBSCRIPTION)?;
        let subscription = topic.state().subscriptions.get(&id).cloned();
        Ok((topic, subscription.ok_or(Error::SUBSCRIPTION)?))
    }

    /// The same, for those whose it is: who subscribed, and the topic's account.
    fn own(&self, cx: &Context, arn: &str) -> Result<(Arc<Topic>, Arc<Subscription>)> {
        let (topic, subscription) = self.found(arn, Some(&cx.region))?;
        let owners = [&subscription.record.owner, &topic.key.account_id];
        match owners.contains(&&cx.account_id) {
            true => Ok((topic, subscription)),
            false => Err(Error::NotAllowed(format!(
                "User: {} is not authorized to perform this operation on resource: {arn}",
                access::principal_arn(cx)
            ))),
        }
    }

    pub fn subscription_attributes(
        &self,
        cx: &Context,
        arn: &str,
    ) -> Result<BTreeMap<String, String>> {
        let (topic, subscription) = self.own(cx, arn)?;
        let state = topic.state();
        let topics = state.record.attributes.get(attributes::DELIVERY_POLICY);
        let record = &subscription.record;
        Ok(attributes::shown(
            &subscription.arn,
            &topic.arn,
            record,
            topics.map(String::as_str),
        ))
    }

    pub async fn set_subscription_attribute(
        &self,
        cx: &Context,
        arn: &str,
        attribute: (&str, &str),
    ) -> Result<()> {
        self.own(cx, arn)?;
        let _changing = self.0.book.changing.lock().await;
        let (topic, subscription) = self.own(cx, arn)?;
        let mut record = subscription.record.clone();
        attributes::set(&mut record.attributes, &record.protocol, attribute, "")?;
        self.put(&topic, record).await.map(drop)
    }

    /// Ends a subscription. One that is not there has ended already.
    pub async fn unsubscribe(&self, cx: &Context, arn: &str) -> Result<()> {
        let is_anonymous = cx.account_id.is_empty();
        let region = (!is_anonymous).then_some(cx.region.as_str());
        name::subscription(arn, region)?;
        let (topic, subscription) = match self.found(arn, region) {
            Ok(found) => found,
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        match is_anonymous {
            true if subscription.record.guards_its_end => {
                let message = "This subscription can be ended with a signature only";
                return Err(Error::NotAllowed(message.to_owned()));
            }
            true => {}
            false => drop(self.own(cx, arn)?),
        }
        self.end(&topic, &subscription).await?;
        let is_http = matches!(subscription.record.protocol.as_str(), "http" | "https");
        if is_anonymous && is_http {
            // Whoever has the link is not known to be who subscribed: that one is told.
            let now_ms = self.0.clock.now_ms();
            let token = self.token_of(&subscription.record, now_ms);
            let ask = Ask::ToEnd(&token);
            self.ask(&topic, &subscription, ask, now_ms).await?;
        }
        Ok(())
    }

    async fn end(&self, topic: &Arc<Topic>, subscription: &Subscription) -> Result<()> {
        let _changing = self.0.book.changing.lock().await;
        let mut record = TopicRecord::clone(&topic.state().record);
        record.subscriptions_deleted += 1;
        let (stored, key) = (record.clone(), topic.key.clone());
        let id = subscription.record.id.clone();
        let write = move |tx: &mut Tx| {
            let [account, region, name] = key.parts();
            SUBSCRIPTIONS.delete(tx, &[account, region, name, &id])?;
            TOPICS.put(tx, &key.parts(), &stored).map(drop)
        };
        // One that was made again under its name has other subscriptions.
        let held = self.0.book.find(&topic.key);
        if !held.is_some_and(|held| Arc::ptr_eq(&held, topic)) {
            return Ok(());
        }
        self.0.store.write(write).await?;
        topic.redefine(record);
        topic.remove(&subscription.record.id);
        Ok(())
    }

    /// Those that nobody confirmed in time go.
    pub(super) async fn drop_unconfirmed(&self, now_ms: i64) -> store::Result<()> {
        for topic in self.0.book.every() {
            let late = |it: &&Arc<Subscription>| {
                let pending = it.record.pending.as_ref();
                pending.is_some_and(|it| it.since_ms + limits::PENDING_MS_MAX <= now_ms)
            };
            let state = topic.state();
            let late: Vec<_> = state.subscriptions.values().filter(late).collect();
            for subscription in late {
                let _changing = self.0.book.changing.lock().await;
                let (key, id) = (topic.key.clone(), subscription.record.id.clone());
                let write = move |tx: &mut Tx| {
                    let [account, region, name] = key.parts();
                    SUBSCRIPTIONS.delete(tx, &[account, region, name, &id])
                };
                self.0.store.write(write).await?;
                topic.remove(&subscription.record.id);
            }
        }
        Ok(())
    }

    /// The caller's, and the token of the next page.
    pub fn list_subscriptions(
        &self,
        cx: &Context,
        token: Option<&str>,
    ) -> Result<(Vec<Listed>, Option<String>)> {
        let mut all = Vec::new();
        for topic in self.0.book.every() {
            if topic.key.region == cx.region {
                let own = |it: &Listed| it.subscription.record.owner == cx.account_id;
                all.extend(listed(&topic).filter(own));
            }
        }
        all.sort_by(|one, other| one.subscription.arn.cmp(&other.subscription.arn));
        paging::page(all.into_iter(), |it| &it.subscription.arn, token)
    }

    pub fn list_topics_subscriptions(
        &self,
        cx: &Context,
        arn: &str,
        token: Option<&str>,
    ) -> Result<(Vec<Listed>, Option<String>)> {
        let topic = self.permitted(cx, "ListSubscriptionsByTopic", arn)?;
        let all: Vec<Listed> = listed(&topic).collect();
        paging::page(all.into_iter(), |it| &it.subscription.arn, token)
    }
}

fn listed(topic: &Topic) -> impl Iterator<Item = Listed> {
    let subscriptions: Vec<_> = topic.state().subscriptions.values().cloned().collect();
    let topic_arn = topic.arn.clone();
    subscriptions.into_iter().map(move |subscription| Listed {
        topic_arn: topic_arn.clone(),
        subscription,
    })
}
