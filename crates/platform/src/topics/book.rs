//! All topics in memory, with their subscriptions: what every publication is answered from. The store
//! is written first and this after it, one change at a time, so that what is seen here is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use store::{Page, Store};

use super::{
    access::AccessPolicy,
    attributes,
    dedup::{self, Dedups},
    filter::Filter,
    name::TopicKey,
    policy, subscription_attributes,
    tables::{SUBSCRIPTIONS, SubscriptionRecord, TOPICS, TopicRecord},
};

const LOAD_PAGE: u32 = 500;

#[derive(Default)]
pub struct Book {
    topics: RwLock<BTreeMap<TopicKey, Arc<Topic>>>,
    /// Held while anything is changed.
    pub changing: tokio::sync::Mutex<()>,
}

pub struct Topic {
    pub key: TopicKey,
    pub arn: String,
    state: RwLock<State>,
    /// Held while a message to a FIFO topic is stored: so they are in an order.
    pub publishing: tokio::sync::Mutex<()>,
    dedups: Mutex<Dedups>,
}

/// A topic as it is now; cheap to copy.
#[derive(Clone)]
pub struct State {
    pub record: Arc<TopicRecord>,
    pub policy: Arc<AccessPolicy>,
    /// By their ids.
    pub subscriptions: Arc<BTreeMap<String, Arc<Subscription>>>,
}

pub struct Subscription {
    pub arn: String,
    pub record: SubscriptionRecord,
    /// None takes everything.
    pub filter: Option<Filter>,
    /// What is to be filtered by cannot be read: nothing is taken.
    is_closed: bool,
}

impl Subscription {
    pub fn new(topic: &TopicKey, record: SubscriptionRecord) -> Arc<Self> {
        let arn = format!("{}:{}", topic.arn(), record.id);
        let (filter, is_closed) = match subscription_attributes::filter(&record) {
            None => (None, false),
            Some(Ok(filter)) => (Some(filter), false),
            Some(Err(error)) => {
                tracing::error!(arn, %error, "a stored filter policy cannot be read");
                (None, true)
            }
        };
        Arc::new(Self {
            arn,
            record,
            filter,
            is_closed,
        })
    }

    pub fn is_open(&self) -> bool {
        self.record.pending.is_none() && !self.is_closed
    }
}

impl Topic {
    fn new(record: TopicRecord) -> Arc<Self> {
        let key = TopicKey {
            account_id: record.account_id.clone(),
            region: record.region.clone(),
            name: record.name.clone(),
        };
        Arc::new(Self {
            arn: key.arn(),
            state: RwLock::new(State {
                policy: policy_of(&key, &record),
                record: Arc::new(record),
                subscriptions: Arc::default(),
            }),
            key,
            publishing: tokio::sync::Mutex::default(),
            dedups: Mutex::default(),
        })
    }

    pub fn state(&self) -> State {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    pub fn dedups(&self) -> MutexGuard<'_, Dedups> {
        self.dedups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells this topic's deduplication ids from those of one that had its name before.
    pub fn dedup_owner(&self) -> String {
        let born = self.state().record.born;
        format!("{}/{born}", self.arn)
    }

    pub fn redefine(&self, record: TopicRecord) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.policy = policy_of(&self.key, &record);
        state.record = Arc::new(record);
    }

    pub fn put(&self, subscription: Arc<Subscription>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let id = subscription.record.id.clone();
        Arc::make_mut(&mut state.subscriptions).insert(id, subscription);
    }

    pub fn remove(&self, id: &str) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut state.subscriptions).remove(id);
    }
}

fn policy_of(key: &TopicKey, record: &TopicRecord) -> Arc<AccessPolicy> {
    let set = record.attributes.get(attributes::POLICY);
    let text = set.cloned().unwrap_or_else(|| policy::default(key));
    Arc::new(AccessPolicy::new(text))
}

impl Book {
    pub async fn load(store: &Store, now_ms: i64) -> store::Result<Self> {
        let book = Self::default();
        let (topics, subscriptions, ids) = store
            .read(move |tx| {
                let topics = all(|page| TOPICS.list(tx, page))?;
                let subscriptions = all(|page| SUBSCRIPTIONS.list(tx, page))?;
                Ok((topics, subscriptions, dedup::load(tx, now_ms)?))
            })
            .await?;
        for (_, record) in topics {
            book.admit(record);
        }
        for (key, record) in subscriptions {
            let [account_id, region, name, _] = &key[..] else {
                continue;
            };
            let key = TopicKey {
                account_id: account_id.clone(),
                region: region.clone(),
                name: name.clone(),
            };
            if let Some(topic) = book.find(&key) {
                topic.put(Subscription::new(&key, record));
            }
        }
        for topic in book.every() {
            if let Some(ids) = ids.get(&topic.dedup_owner()) {
                topic.dedups().restore(ids);
            }
        }
        Ok(book)
    }

    pub fn admit(&self, record: TopicRecord) -> Arc<Topic> {
        let topic = Topic::new(record);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.key.clone(), topic.clone());
        topic
    }

    pub fn dismiss(&self, key: &TopicKey) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.remove(key);
    }

    pub fn find(&self, key: &TopicKey) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(key).cloned()
    }

    pub fn count(&self) -> usize {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.len()
    }

    pub fn every(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// All of an account's in a region, by name.
    pub fn list(&self, account_id: &str, region: &str) -> Vec<Arc<Topic>> {
        let from = TopicKey {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: String::new(),
        };
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let behind = topics.range(from..);
        behind
            .take_while(|(key, _)| key.account_id == account_id && key.region == region)
            .map(|(_, topic)| topic.clone())
            .collect()
    }
}

type Keyed<R> = (Vec<String>, R);

fn all<R: store::Record>(
    mut list: impl FnMut(Page<'_>) -> store::Result<Vec<store::Stored<R>>>,
) -> store::Result<Vec<Keyed<R>>> {
    let mut found: Vec<Keyed<R>> = Vec::new();
    loop {
        let after: Option<Vec<&str>> = found
            .last()
            .map(|(key, _)| key.iter().map(String::as_str).collect());
        let page = list(Page {
            prefix: &[],
            after: after.as_deref(),
            limit: LOAD_PAGE,
        })?;
        if page.is_empty() {
            return Ok(found);
        }
        let keyed = |stored: store::Stored<R>| {
            let parts = stored.key.parts().map(str::to_owned).collect();
            (parts, stored.record)
        };
        found.extend(page.into_iter().map(keyed));
    }
}
