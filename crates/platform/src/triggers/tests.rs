//! Mappings over a real store and real queues, with functions that are closures.

mod chaos;
mod delivery;
mod fifo;
mod lifecycle;
mod permission;
mod trouble;

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use store::{BlobStore, Store, StoreConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wire::{
    Context, Timestamp,
    lambda::{self as api, Lambda},
};

use super::EventSourceMappings;
use crate::{
    background::Background,
    clock::Clock,
    functions::{
        self, Functions, FunctionsConfig,
        execution::{FunctionError, Invocation, InvokeError, Outcome, VersionKey},
        runtimes::Runtimes,
        testing::{Answers, zip_of},
    },
    platform,
    queues::{
        Created, Queue, Queues,
        definition::{Attributes, Definition as QueueDefinition, QueueKey},
        message::{Content, Counts, NewMessage},
    },
    secrets::Secrets,
};

const BASE_URL: &str = "http://127.0.0.1:4566";
const ACCOUNT: &str = "111111111111";

type Answer = Result<String, Failure>;

/// What a function does other than answer.
#[derive(Debug, Clone)]
enum Failure {
    Error,
    Throttled,
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Functions that are a closure over an event.
struct Closure {
    handler: Box<dyn Fn(Value) -> Answering + Send + Sync>,
    /// The bodies of each event, in the order in which they came.
    seen: Mutex<Vec<Vec<String>>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Closure {
    fn new<F>(handler: impl Fn(Value) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Arc::new(Self {
            handler: Box::new(move |event| Box::pin(handler(event))),
            seen: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<String> {
        self.seen().concat()
    }
}

#[async_trait]
impl Answers for Closure {
    async fn answer(&self, _: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError> {
        let event: Value = serde_json::from_slice(&asked.payload).unwrap();
        let bodies = event["Records"].as_array().unwrap().iter();
        let bodies = bodies
            .map(|record| record["body"].as_str().unwrap().to_owned())
            .collect();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.seen.lock().unwrap().push(bodies);
        let answer = (self.handler)(event).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let outcome = |payload: String, error| Outcome {
            payload: Bytes::from(payload),
            error,
            executed_version: "$LATEST".into(),
            log_tail: None,
            trace_id: String::new(),
        };
        match answer {
            Ok(payload) => Ok(outcome(payload, None)),
            Err(Failure::Error) => Ok(outcome("{}".into(), Some(FunctionError::Unhandled))),
            Err(Failure::Throttled) => Err(InvokeError::Throttled(
                functions::execution::Throttle::ConcurrentInvocationLimitExceeded,
            )),
        }
    }
}

struct World {
    dir: TempDir,
    parts: Parts,
}

struct Parts {
    store: Store,
    clock: Arc<Clock>,
    queues: Queues,
    keeping: JoinHandle<()>,
    functions: Functions,
    mappings: EventSourceMappings,
    background: Background,
}

impl World {
    async fn new(function: &Arc<Closure>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::open(dir.path(), function.clone(), Arc::new(Clock::new())).await;
        let world = Self { dir, parts };
        world.function("f").await;
        world
    }

    /// As after the end of the process: memory is lost.
    async fn crashed(self, function: &Arc<Closure>) -> Self {
        let Self { dir, parts } = self;
        parts.background.stop();
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), function.clone(), parts.clock).await;
        Self { dir, parts }
    }

    async fn function(&self, name: &str) {
        let request = api::CreateFunctionRequest {
            function_name: name.into(),
            runtime: Some("provided.al2023".into()),
            handler: Some("bootstrap".into()),
            role: format!("arn:aws:iam::{ACCOUNT}:role/r"),
            code: api::FunctionCode {
                zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/sh\n")])),
                ..Default::default()
            },
            ..Default::default()
        };
        self.parts
            .functions
            .create_function(&cx(), request)
            .await
            .unwrap();
        let get = || api::GetFunctionConfigurationRequest {
            function_name: name.into(),
            qualifier: None,
        };
        until(async || {
            let found = self
                .parts
                .functions
                .get_function_configuration(&cx(), get())
                .await;
            found.unwrap().state.as_deref() == Some("Active")
        })
        .await;
    }

    async fn queue(&self, name: &str, set: impl FnOnce(&mut Attributes)) -> Arc<Queue> {
        self.queue_at(key(name), set).await
    }

    async fn queue_at(&self, key: QueueKey, set: impl FnOnce(&mut Attributes)) -> Arc<Queue> {
        let mut attributes = Attributes::new(key.is_fifo());
        set(&mut attributes);
        let definition = QueueDefinition {
            id: self.parts.queues.new_id(&key),
            key,
            created_s: 0,
            modified_s: 0,
            attributes,
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.parts.queues.create(definition).await.unwrap() {
            Created::New(queue) => queue,
            Created::There(_) => panic!("there was one of that name"),
        }
    }

    /// Maps a queue to the function and waits until it is enabled.
    async fn map(
        &self,
        queue: &str,
        set: impl FnOnce(&mut api::CreateEventSourceMappingRequest),
    ) -> String {
        let mut request = request(queue);
        set(&mut request);
        let enabled = request.enabled != Some(false);
        let made = self
            .parts
            .mappings
            .create_event_source_mapping(&cx(), request)
            .await
            .unwrap();
        let uuid = made.uuid.unwrap();
        self.state(&uuid, if enabled { "Enabled" } else { "Disabled" })
            .await;
        uuid
    }

    async fn get(&self, uuid: &str) -> Result<api::EventSourceMappingConfiguration, wire::Error> {
        let input = api::GetEventSourceMappingRequest { uuid: uuid.into() };
        self.parts
            .mappings
            .get_event_source_mapping(&cx(), input)
            .await
    }

    /// Waits until a mapping is in a state.
    async fn state(&self, uuid: &str, state: &str) {
        until(async || self.get(uuid).await.unwrap().state.as_deref() == Some(state)).await;
    }

    async fn update(
        &self,
        uuid: &str,
        set: impl FnOnce(&mut api::UpdateEventSourceMappingRequest),
    ) -> api::EventSourceMappingConfiguration {
        let mut input = api::UpdateEventSourceMappingRequest {
            uuid: uuid.into(),
            ..Default::default()
        };
        set(&mut input);
        self.parts
            .mappings
            .update_event_source_mapping(&cx(), input)
            .await
            .unwrap()
    }

    async fn send(&self, queue: &Arc<Queue>, messages: Vec<NewMessage>) {
        self.parts.queues.send(queue, messages).await.unwrap();
    }

    async fn send_all(&self, queue: &Arc<Queue>, bodies: impl IntoIterator<Item = String>) {
        let messages = bodies.into_iter().map(|body| message(body, None)).collect();
        self.send(queue, messages).await;
    }

    fn found(&self, name: &str) -> Arc<Queue> {
        self.parts.queues.find(&key(name)).unwrap()
    }
}

impl Parts {
    async fn open(dir: &Path, executor: Arc<Closure>, clock: Arc<Clock>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let queues = Queues::open(store.clone(), secrets.clone(), clock.clone(), BASE_URL);
        let (queues, keeping) = queues.await.unwrap();
        let functions = Functions::open(FunctionsConfig {
            data_dir: dir.to_owned(),
            secrets,
            store: store.clone(),
            blobs: BlobStore::open(dir.join("blobs")).await.unwrap(),
            executor,
            runtimes: Runtimes::of(&[]),
            base_url: BASE_URL.into(),
            account_concurrency: 1000,
            images: Default::default(),
        });
        let functions = functions.await.unwrap();
        let background = Background::default();
        let mappings = EventSourceMappings::open(
            store.clone(),
            functions.clone(),
            queues.clone(),
            &background,
        );
        Self {
            mappings: mappings.await.unwrap(),
            store,
            clock,
            queues,
            keeping,
            functions,
            background,
        }
    }
}

fn cx() -> Context {
    Context {
        request_id: "r".into(),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        access_key_id: String::new(),
        role: None,
        host: "localhost:4566".into(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::new(1_700_000_000, 0).unwrap(),
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

fn request(queue: &str) -> api::CreateEventSourceMappingRequest {
    api::CreateEventSourceMappingRequest {
        function_name: "f".into(),
        event_source_arn: Some(key(queue).arn().to_string()),
        ..Default::default()
    }
}

fn message(body: impl Into<String>, group: Option<&str>) -> NewMessage {
    let body = body.into();
    NewMessage {
        deduplication_id: group.map(|_| body.chars().take(20).collect()),
        group: group.map(str::to_owned),
        content: Content {
            body,
            sender_id: "AIDA".into(),
            ..Content::default()
        },
        delay_s: None,
    }
}

fn is_empty(queue: &Queue) -> bool {
    queue.counts() == Counts::default()
}

/// Waits for what another task is about to do.
async fn until(what: impl AsyncFn() -> bool) {
    let done = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(30), done);
    within.await.expect("it comes");
}
