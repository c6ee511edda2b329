//! Topics themselves: made, changed, deleted, listed, tagged.

use std::{collections::BTreeMap, sync::Arc};

use store::Tx;
use wire::Context;

use super::{
    Topics, access, attributes,
    book::Topic,
    error::{Error, Result},
    limits,
    name::{self, TopicKey},
    paging, policy,
    tables::{SUBSCRIPTIONS, TOPICS, TopicRecord},
    tags,
};

/// What CreateTopic asks for.
pub struct AskedTopic {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub tags: Vec<(String, String)>,
}

impl Topics {
    /// Gives the ARN, also of a topic that is there and like that.
    pub async fn create(&self, cx: &Context, asked: AskedTopic) -> Result<String> {
        let (is_fifo, attributes) = attributes::at_creation(&asked.attributes)?;
        name::check(&asked.name, is_fifo)?;
        let mut tags = BTreeMap::new();
        tags::add(&mut tags, asked.tags)?;
        let key = TopicKey {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: asked.name,
        };
        let book = &self.0.book;
        let _changing = book.changing.lock().await;
        if let Some(there) = book.find(&key) {
            let state = there.state();
            if !attributes::is_same(&state.record, &attributes) {
                return Err(Error::parameter(
                    "Attributes Reason: Topic already exists with different attributes",
                ));
            }
            if !tags.is_empty() && tags != state.record.tags {
                return Err(Error::parameter(
                    "Tags Reason: Topic already exists with different tags",
                ));
            }
            return Ok(there.arn.clone());
        }
        if book.count() >= limits::TOPICS_MAX {
            return Err(Error::TooManyTopics("Topic limit exceeded"));
        }
        let now_ms = self.0.clock.now_ms();
        let record = TopicRecord {
            account_id: key.account_id,
            region: key.region,
            name: key.name,
            is_fifo,
            attributes,
            tags,
            created_at_ms: now_ms,
            born: self.next_sequence(),
            subscriptions_deleted: 0,
        };
        let stored = record.clone();
        let write = move |tx: &mut Tx| {
            let key = [stored.account_id.as_str(), &stored.region, &stored.name];
            TOPICS.insert(tx, &key, &stored)
        };
        self.0.store.write(write).await?;
        Ok(book.admit(record).arn.clone())
    }

    /// Its subscriptions go with it. One that is not there is deleted already.
    pub async fn delete(&self, cx: &Context, arn: &str) -> Result<()> {
        let key = name::topic("TopicArn", arn, &cx.region)?;
        let book = &self.0.book;
        let _changing = book.changing.lock().await;
        let Some(topic) = book.find(&key) else {
            // Of another account's nobody is told whether it was there.
            return match key.account_id == cx.account_id {
                true => Ok(()),
                false => Err(Error::TOPIC),
            };
        };
        access::check(cx, "DeleteTopic", &key, &topic.state().policy)?;
        let gone = key.clone();
        let write = move |tx: &mut Tx| {
            let key = gone.parts();
            TOPICS.delete(tx, &key)?;
            SUBSCRIPTIONS.delete_under(tx, &key).map(drop)
        };
        self.0.store.write(write).await?;
        book.dismiss(&key);
        Ok(())
    }

    /// The topic of an ARN, if the caller may do this to it.
    pub fn permitted(&self, cx: &Context, action: &str, arn: &str) -> Result<Arc<Topic>> {
        let key = name::topic("TopicArn", arn, &cx.region)?;
        let topic = self.topic(&key)?;
        access::check(cx, action, &key, &topic.state().policy)?;
        Ok(topic)
    }

    /// Changes a topic and stores it.
    async fn change(
        &self,
        topic: &Topic,
        change: impl FnOnce(&mut TopicRecord) -> Result<()>,
    ) -> Result<()> {
        let book = &self.0.book;
        let _changing = book.changing.lock().await;
        let held = book.find(&topic.key).ok_or(Error::TOPIC)?;
        let mut record = TopicRecord::clone(&held.state().record);
        change(&mut record)?;
        let (stored, key) = (record.clone(), topic.key.clone());
        let write = move |tx: &mut Tx| TOPICS.put(tx, &key.parts(), &stored).map(drop);
        self.0.store.write(write).await?;
        held.redefine(record);
        Ok(())
    }

    pub fn attributes(&self, cx: &Context, arn: &str) -> Result<BTreeMap<String, String>> {
        let topic = self.permitted(cx, "GetTopicAttributes", arn)?;
        let state = topic.state();
        let pending = state.subscriptions.values();
        let pending = pending.filter(|it| it.record.pending.is_some()).count() as u64;
        let confirmed = state.subscriptions.len() as u64 - pending;
        let counts = [confirmed, state.record.subscriptions_deleted, pending];
        Ok(attributes::shown(&topic.key, &state.record, counts))
    }

    pub async fn set_attribute(
        &self,
        cx: &Context,
        arn: &str,
        (name, value): (&str, &str),
    ) -> Result<()> {
        let topic = self.permitted(cx, "SetTopicAttributes", arn)?;
        self.change(&topic, |record| {
            let is_fifo = record.is_fifo;
            attributes::set(&mut record.attributes, is_fifo, name, value)
        })
        .await
    }

    pub async fn add_permission(
        &self,
        cx: &Context,
        arn: &str,
        label: &str,
        (accounts, actions): (&[String], &[String]),
    ) -> Result<()> {
        let topic = self.permitted(cx, "AddPermission", arn)?;
        self.change_policy(&topic, |held| {
            policy::add(&topic.key, held, label, accounts, actions)
        })
        .await
    }

    pub async fn remove_permission(&self, cx: &Context, arn: &str, label: &str) -> Result<()> {
        let topic = self.permitted(cx, "RemovePermission", arn)?;
        self.change_policy(&topic, |held| Ok(policy::remove(held, label)))
            .await
    }

    async fn change_policy(
        &self,
        topic: &Topic,
        change: impl FnOnce(&str) -> Result<String>,
    ) -> Result<()> {
        self.change(topic, |record| {
            let held = record.attributes.get(attributes::POLICY).cloned();
            let held = held.unwrap_or_else(|| policy::default(&topic.key));
            let policy = change(&held)?;
            record
                .attributes
                .insert(attributes::POLICY.to_owned(), policy);
            Ok(())
        })
        .await
    }

    /// The ARNs of the caller's topics, and the token of the next page.
    pub fn list(&self, cx: &Context, token: Option<&str>) -> Result<(Vec<String>, Option<String>)> {
        let topics = self.0.book.list(&cx.account_id, &cx.region);
        let (page, next) = paging::page(topics.iter(), |topic| &topic.key.name, token)?;
        Ok((page.iter().map(|topic| topic.arn.clone()).collect(), next))
    }

    /// Tags are its own account's.
    fn tagged(&self, cx: &Context, arn: &str) -> Result<Arc<Topic>> {
        let key = name::topic("ResourceArn", arn, &cx.region)?;
        let topic = self.topic(&key).map_err(|_| Error::NoResource)?;
        match key.account_id == cx.account_id {
            true => Ok(topic),
            false => Err(Error::NoResource),
        }
    }

    pub fn tags(&self, cx: &Context, arn: &str) -> Result<BTreeMap<String, String>> {
        Ok(self.tagged(cx, arn)?.state().record.tags.clone())
    }

    pub async fn tag(&self, cx: &Context, arn: &str, given: Vec<(String, String)>) -> Result<()> {
        let topic = self.tagged(cx, arn)?;
        self.change(&topic, |record| tags::add(&mut record.tags, given))
            .await
    }

    pub async fn untag(&self, cx: &Context, arn: &str, keys: &[String]) -> Result<()> {
        let topic = self.tagged(cx, arn)?;
        self.change(&topic, |record| {
            record.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
    }
}
