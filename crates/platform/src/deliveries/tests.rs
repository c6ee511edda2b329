//! Deliveries over a real store and real queues, to queues and to a target that does as it is told,
//! with a clock that is moved by hand.

mod ends;
mod orders;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use store::{Store, StoreConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    clock::Clock,
    platform,
    queues::{
        Created, Queue,
        definition::{Attributes, Definition, QueueKey},
        message::{AttributeValue, Receive, Received},
        permissions::AccessPolicy,
    },
    secrets::Secrets,
};

const ACCOUNT: &str = "111111111111";

/// What a target does with the tries for it.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Takes,
    /// The first so many tries fail.
    FailsFirst(usize),
    Refuses,
    Hangs,
}

/// Targets `arn:aws:test:…:<name>`.
#[derive(Default)]
struct Told {
    does: Mutex<HashMap<String, Does>>,
    tries: AtomicUsize,
    taken: Mutex<Vec<(String, String)>>,
}

impl Told {
    fn taken(&self, name: &str) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        let own = taken.iter().filter(|(held, _)| held == name);
        own.map(|(_, body)| body.clone()).collect()
    }

    fn set(&self, name: &str, does: Does) {
        self.does.lock().unwrap().insert(name.into(), does);
    }
}

#[async_trait]
impl Target for Told {
    async fn plan(&self, _: &Delivery) -> Result<Plan, Failure> {
        Ok(Plan::Try)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let name = delivery.target.rsplit(':').next().unwrap().to_owned();
        self.tries.fetch_add(1, Ordering::SeqCst);
        let does = {
            let mut does = self.does.lock().unwrap();
            let held = does.entry(name.clone()).or_insert(Does::Takes);
            let now = *held;
            if let Does::FailsFirst(more) = now {
                *held = match more {
                    0 | 1 => Does::Takes,
                    _ => Does::FailsFirst(more - 1),
                };
            }
            now
        };
        match does {
            Does::Takes => {
                self.taken
                    .lock()
                    .unwrap()
                    .push((name, delivery.body.clone()));
                Ok(())
            }
            Does::FailsFirst(_) => Err(Failure::again("THROTTLED", "not now")),
            Does::Refuses => Err(Failure::last("NO_RESOURCE", "there is none")),
            Does::Hangs => std::future::pending().await,
        }
    }
}

struct World {
    dir: TempDir,
    parts: Parts,
    target: Arc<Told>,
}

struct Parts {
    store: Store,
    clock: Arc<Clock>,
    queues: Queues,
    keeping: JoinHandle<()>,
    deliveries: Deliveries,
    background: Background,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = Arc::new(Told::default());
        let parts = Parts::open(dir.path(), &target, Arc::new(Clock::new())).await;
        Self { dir, parts, target }
    }

    /// As after the end of the process.
    async fn crashed(self) -> Self {
        let Self { dir, parts, target } = self;
        parts.background.stop();
        parts.deliveries.0.lanes.kill();
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), &target, parts.clock).await;
        Self { dir, parts, target }
    }

    async fn send(&self, deliveries: Vec<Delivery>) {
        self.parts.deliveries.send(deliveries).await.unwrap();
    }

    /// A queue that lets the rules of this account send to it.
    async fn queue(&self, name: &str) -> Arc<Queue> {
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": {"ArnLike": {
                "aws:SourceArn": "arn:aws:events:us-east-1:111111111111:rule/*"}}}]}"#;
        self.queue_with(name, Some(policy)).await
    }

    async fn queue_with(&self, name: &str, policy: Option<&str>) -> Arc<Queue> {
        let key = key(name);
        let definition = Definition {
            id: self.parts.queues.new_id(&key),
            attributes: Attributes {
                policy: policy.map(|text| AccessPolicy::from(text.to_owned())),
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

    async fn received(&self, queue: &Arc<Queue>) -> Received {
        let mut received = self.receive(queue, 120_000).await;
        received.pop().expect("it comes")
    }

    async fn receive(&self, queue: &Arc<Queue>, wait_ms: u64) -> Vec<Received> {
        let receive = Receive {
            max: 1,
            visibility_timeout_ms: Some(43_200_000),
            wait_ms,
            attempt_id: None,
        };
        self.parts.queues.receive(queue, receive).await.unwrap()
    }

    /// Lets time pass until something is so.
    async fn until(&self, what: impl AsyncFn() -> bool) {
        let done = async {
            while !what().await {
                self.parts.clock.advance(500);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(120), done);
        within.await.expect("it comes");
    }

    async fn idle(&self) {
        let deliveries = &self.parts.deliveries;
        let is_idle = || {
            let waiting = deliveries.waiting();
            waiting.ready + waiting.held == 0
        };
        self.until(async || is_idle()).await;
    }
}

impl Parts {
    async fn open(dir: &Path, target: &Arc<Told>, clock: Arc<Clock>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let url = "http://127.0.0.1:4566";
        let queues = Queues::open(store.clone(), secrets, clock.clone(), url);
        let (queues, keeping) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        deliveries.register("test", target.clone());
        let background = Background::default();
        deliveries.begin(&background).await;
        Self {
            store,
            clock,
            queues,
            keeping,
            deliveries,
            background,
        }
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

fn rule(name: &str) -> Sender {
    Sender {
        principal: "events.amazonaws.com".into(),
        source_arn: format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/{name}"),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
    }
}

fn to_test(name: &str, body: &str) -> Delivery {
    let target = format!("arn:aws:test:us-east-1:{ACCOUNT}:{name}");
    Delivery::new(rule("r"), target, body)
}

fn to_queue(name: &str, body: &str) -> Delivery {
    Delivery::new(rule("r"), key(name).arn().to_string(), body)
}

fn dead_letter(queue: &str) -> Option<DeadLetter> {
    Some(DeadLetter {
        arn: key(queue).arn().to_string(),
        body: None,
        attributes: vec![Attribute::text("RULE_ARN", "arn:r")],
        says_why: true,
        group: None,
    })
}

fn attributes(message: &Received) -> HashMap<&str, &str> {
    let mut texts = HashMap::new();
    for (name, attribute) in &message.content.attributes {
        match &attribute.value {
            AttributeValue::Text(text) => texts.insert(name.as_str(), text.as_str()),
            AttributeValue::Binary(_) => panic!("it is text"),
        };
    }
    texts
}
