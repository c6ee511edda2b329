//! One life of a process: everything of the platform that has to do with events, over the store that
//! the process before has left.

use std::{collections::HashMap, path::Path, sync::Arc};

use async_trait::async_trait;
use sandbox::fake::Fake;
use store::{BlobStore, Store, StoreConfig};
use wire::{Context, Timestamp};

use super::{behaviour, model::Model};
use crate::{
    background::Background,
    clock::Clock,
    deliveries::Deliveries,
    events::Events,
    functions::{
        DeployError, Executor, Functions, FunctionsConfig,
        execution::{
            Definition, Execution, ExecutionConfig, FunctionKey, Invocation, InvokeError, Outcome,
            Provisioned, VersionId, VersionKey, WayIn,
        },
        runtimes::Runtimes,
    },
    identity::Sessions,
    invocations::Runs,
    logs::Logs,
    metering::Metering,
    platform,
    queues::{Queues, definition::QueueKey, message::Receive},
    secrets::Secrets,
};

const BASE_URL: &str = "http://127.0.0.1:4566";
pub const ACCOUNT: &str = "111111111111";

#[derive(Clone)]
pub struct Process {
    pub clock: Arc<Clock>,
    pub queues: Queues,
    pub functions: Functions,
    pub events: Events,
    pub execution: Execution,
    pub fake: Arc<Fake>,
    pub background: Arc<Background>,
}

impl Process {
    pub async fn store(dir: &Path, model: &Model) -> Store {
        let location = dir.join("store");
        let config = StoreConfig {
            faults: Some(model.weather.clone()),
            ..StoreConfig::new(location.to_str().unwrap())
        };
        Store::open(config, &platform::migrations()).await.unwrap()
    }

    pub async fn open(dir: &Path, store: Store, model: &Arc<Model>, now_ms: i64) -> Self {
        let clock = Arc::new(Clock::from(now_ms));
        model.lock().clock = Some(clock.clone());
        model.weather.go_by(clock.clone());
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let metering = Metering::open(store.clone(), dir.join("usage"), "node").await;
        let fake = Arc::new(behaviour::fake(model.clone()));
        let sessions = Sessions::new().unwrap();
        let execution = Execution::new(
            fake.clone(),
            Logs::open(dir.join("logs")).unwrap(),
            metering.unwrap(),
            Arc::new(WayIn::new(BASE_URL.into(), sessions)),
            ExecutionConfig {
                account_concurrency: model.account_limit,
                ..ExecutionConfig::default()
            },
        );
        let queues = Queues::open(store.clone(), secrets.clone(), clock.clone(), BASE_URL);
        let (queues, _keeping) = queues.await.unwrap();
        let functions = Functions::open(FunctionsConfig {
            data_dir: dir.to_owned(),
            secrets,
            store: store.clone(),
            blobs: BlobStore::open(dir.join("blobs")).await.unwrap(),
            executor: Arc::new(Watched {
                runs: Runs {
                    execution: execution.clone(),
                    counts: Arc::default(),
                },
                model: model.clone(),
            }),
            runtimes: Runtimes::of(&[]),
            base_url: BASE_URL.into(),
            // What may be reserved leaves a hundred.
            account_concurrency: 100 + model.account_limit,
            images: Default::default(),
        });
        let functions = functions.await.unwrap();
        let background = Arc::new(Background::default());
        let deliveries = Deliveries::open(store, queues.clone());
        Self {
            events: Events::open(functions.clone(), queues.clone(), deliveries, &background).await,
            clock,
            queues,
            functions,
            execution,
            fake,
            background,
        }
    }

    pub fn cx(&self) -> Context {
        Context {
            request_id: uuid::Uuid::new_v4().to_string(),
            account_id: ACCOUNT.into(),
            region: "us-east-1".into(),
            access_key_id: String::new(),
            role: None,
            host: "localhost:4566".into(),
            origin: wire::Origin::default(),
            trace_header: None,
            now: Timestamp::from_millisecond(self.clock.now_ms()).unwrap(),
        }
    }
}

pub fn queue_key(name: &str) -> QueueKey {
    QueueKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

/// All of a queue's messages.
pub async fn received(process: &Process, name: &str) -> Vec<String> {
    let queue = process.queues.find(&queue_key(name)).expect("it was made");
    let mut all = Vec::new();
    loop {
        let receive = Receive {
            max: 10,
            visibility_timeout_ms: Some(43_200_000),
            wait_ms: 0,
            attempt_id: None,
        };
        let received = process.queues.receive(&queue, receive).await.unwrap();
        if received.is_empty() {
            return all;
        }
        all.extend(received.into_iter().map(|it| it.content.body.clone()));
    }
}

/// The executor, under the model's eyes.
struct Watched {
    runs: Runs,
    model: Arc<Model>,
}

#[async_trait]
impl Executor for Watched {
    async fn deploy(&self, definition: Definition) -> Result<(), DeployError> {
        self.runs.deploy(definition).await
    }

    fn remove(&self, key: &FunctionKey) {
        self.model.removed(&key.name);
        self.runs.remove(key);
    }

    fn remove_version(&self, key: &VersionKey) {
        self.runs.remove_version(key);
    }

    fn set_reserved_concurrency(&self, key: &FunctionKey, reserved: Option<u32>) {
        self.model.reserves(&key.name, reserved);
        self.runs.set_reserved_concurrency(key, reserved);
    }

    fn provision(&self, key: &FunctionKey, targets: &HashMap<VersionId, u32>) {
        self.runs.provision(key, targets);
    }

    fn provisioned(&self, key: &VersionKey) -> Provisioned {
        self.runs.provisioned(key)
    }

    async fn invoke(&self, key: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError> {
        let function = &key.function.name;
        let event: serde_json::Value = serde_json::from_slice(&asked.payload).unwrap_or_default();
        let number = event["n"].as_u64().unwrap_or_default();
        let (_in_flight, others) = self.model.enters(function, number);
        let ended = self.runs.invoke(key, asked).await;
        if let Err(InvokeError::Throttled(why)) = &ended {
            self.model.throttled(function, *why, others);
        }
        ended
    }
}
