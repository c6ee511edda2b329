//! Topics over a real store and real queues.

mod fifo;
mod life;
mod spread;

use std::{collections::HashMap, path::Path, time::Duration};

use serde_json::Value;
use store::StoreConfig;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wire::{
    Context, Timestamp,
    sns::{self as api, SNS},
};

use super::*;
use crate::{
    platform,
    queues::{
        Created, Queue, Queues,
        definition::{Attributes, Definition, QueueKey},
        message::{Receive, Received},
        permissions::AccessPolicy,
    },
};

const ACCOUNT: &str = "111111111111";
const BASE_URL: &str = "http://127.0.0.1:4566";

struct World {
    dir: TempDir,
    parts: Parts,
}

struct Parts {
    store: Store,
    clock: Arc<Clock>,
    queues: Queues,
    keeping: JoinHandle<()>,
    deliveries: Deliveries,
    topics: Topics,
    background: Background,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::open(dir.path(), Arc::new(Clock::new())).await;
        Self { dir, parts }
    }

    /// As after the end of the process.
    async fn crashed(self) -> Self {
        let Self { dir, parts } = self;
        parts.background.stop();
        parts.deliveries.begin_stop();
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), parts.clock).await;
        Self { dir, parts }
    }

    async fn topic(&self, name: &str, attributes: &[(&str, &str)]) -> String {
        let input = api::CreateTopicInput {
            name: name.into(),
            attributes: Some(strings(attributes)),
            ..Default::default()
        };
        let made = self.parts.topics.create_topic(&cx(), input).await;
        made.unwrap().topic_arn.unwrap()
    }

    async fn queue(&self, name: &str) -> Arc<Queue> {
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*"}]}"#;
        let key = key(name);
        let definition = Definition {
            id: self.parts.queues.new_id(&key),
            attributes: Attributes {
                policy: Some(AccessPolicy::from(policy.to_owned())),
                ..Attributes::new(key.is_fifo())
            },
            key,
            created_s: 0,
            modified_s: 0,
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.parts.queues.create(definition).await.unwrap() {
            Created::New(queue) => queue,
            Created::There(_) => panic!("there was one of that name"),
        }
    }

    async fn subscribe(
        &self,
        topic: &str,
        (protocol, endpoint): (&str, &str),
        attributes: &[(&str, &str)],
    ) -> String {
        let input = api::SubscribeInput {
            topic_arn: topic.into(),
            protocol: protocol.into(),
            endpoint: Some(endpoint.into()),
            attributes: Some(strings(attributes)),
            return_subscription_arn: Some(true),
        };
        let made = SNS::subscribe(&self.parts.topics, &cx(), input).await;
        made.unwrap().subscription_arn.unwrap()
    }

    async fn publish(&self, topic: &str, message: &str) -> api::PublishResponse {
        self.publish_with(topic, message, |_| {}).await.unwrap()
    }

    async fn publish_with(
        &self,
        topic: &str,
        message: &str,
        set: impl FnOnce(&mut api::PublishInput),
    ) -> Result<api::PublishResponse, wire::Error> {
        let mut input = api::PublishInput {
            topic_arn: Some(topic.into()),
            message: message.into(),
            ..Default::default()
        };
        set(&mut input);
        SNS::publish(&self.parts.topics, &cx(), input).await
    }

    /// The next messages of a queue, up to so many, which are gone from it then.
    async fn received(&self, queue: &Arc<Queue>, max: usize) -> Vec<Received> {
        let receive = Receive {
            max,
            visibility_timeout_ms: Some(43_200_000),
            wait_ms: 0,
            attempt_id: None,
        };
        let queues = &self.parts.queues;
        let received = queues.receive(queue, receive).await.unwrap();
        let receipts: Vec<_> = received.iter().map(|it| it.receipt).collect();
        queues.delete(queue, &receipts).await;
        received
    }
}

impl Parts {
    async fn open(dir: &Path, clock: Arc<Clock>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let queues = Queues::open(store.clone(), secrets.clone(), clock.clone(), BASE_URL);
        let (queues, keeping) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        let background = Background::default();
        let config = TopicsConfig {
            store: store.clone(),
            secrets,
            clock: clock.clone(),
            deliveries: deliveries.clone(),
            base_url: BASE_URL.into(),
        };
        let topics = Topics::open(config, &background).await.unwrap();
        deliveries.register("sns", Arc::new(topics.clone()));
        deliveries.begin(&background).await;
        Self {
            store,
            clock,
            queues,
            keeping,
            deliveries,
            topics,
            background,
        }
    }
}

fn cx() -> Context {
    Context {
        request_id: "r".into(),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        access_key_id: "key".into(),
        role: None,
        host: "localhost:4566".into(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::now(),
    }
}

fn nobody() -> Context {
    Context {
        account_id: String::new(),
        access_key_id: String::new(),
        ..cx()
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

fn queue_arn(name: &str) -> String {
    key(name).arn().to_string()
}

fn strings(of: &[(&str, &str)]) -> wire::Map<String> {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn json(message: &Received) -> Value {
    serde_json::from_str(&message.content.body).unwrap()
}

/// Waits for what another task is about to do.
async fn until(what: impl AsyncFn() -> bool) {
    let done = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(120), done);
    within.await.expect("it comes");
}

/// What an endpoint is sent, as a target of deliveries.
#[derive(Default)]
struct Endpoint(std::sync::Mutex<Vec<(HashMap<String, String>, Value)>>);

#[async_trait::async_trait]
impl crate::deliveries::Target for Endpoint {
    async fn plan(
        &self,
        _: &crate::deliveries::Delivery,
    ) -> Result<crate::deliveries::Plan, crate::deliveries::Failure> {
        Ok(crate::deliveries::Plan::Try)
    }

    async fn deliver(
        &self,
        delivery: &crate::deliveries::Delivery,
    ) -> Result<(), crate::deliveries::Failure> {
        let crate::deliveries::Parameters::Http(to) = &delivery.parameters else {
            panic!("it is a request");
        };
        let headers = to.headers.iter().cloned().collect();
        let body = serde_json::from_str(&delivery.body).unwrap();
        self.0.lock().unwrap().push((headers, body));
        Ok(())
    }
}

impl Endpoint {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
