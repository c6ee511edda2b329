//! Events over a real store and real queues, with functions that are closures and a clock that is
//! moved by hand.

mod chaos;
mod delivered;
mod ends;
mod life;
mod retries;

use std::{
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
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

use super::Events;
use crate::{
    background::Background,
    clock::Clock,
    deliveries::Deliveries,
    functions::{
        Functions, FunctionsConfig,
        execution::{FunctionError, Invocation, InvokeError, Outcome, Throttle, VersionKey},
        runtimes::Runtimes,
        testing::{Answers, zip_of},
    },
    platform,
    queues::{
        self, Created, Queue, Queues,
        definition::{Attributes, Definition as QueueDefinition, QueueKey},
        message::{Counts, Receive, Received},
    },
    secrets::Secrets,
};

const BASE_URL: &str = "http://127.0.0.1:4566";
const ACCOUNT: &str = "111111111111";

/// What a function does other than answer.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Error,
    Throttled,
}

type Answer = Result<String, Failure>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Box<dyn Fn(String, Invocation) -> Answering + Send + Sync>;

/// Functions that are one closure over their name and what they are asked.
struct Closure {
    handler: Handler,
    seen: Mutex<Vec<(String, Invocation)>>,
}

impl Closure {
    fn new<F>(handler: impl Fn(String, Invocation) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Arc::new(Self {
            handler: Box::new(move |name, asked| Box::pin(handler(name, asked))),
            seen: Mutex::default(),
        })
    }

    fn answering(answer: Answer) -> Arc<Self> {
        Self::new(move |_, _| {
            let answer = answer.clone();
            async move { answer }
        })
    }

    /// What a function was asked, in its order; tries that did not run are among them.
    fn asked(&self, function: &str) -> Vec<Invocation> {
        let seen = self.seen.lock().unwrap();
        let own = seen.iter().filter(|(name, _)| name == function);
        own.map(|(_, asked)| asked.clone()).collect()
    }

    fn tries(&self, function: &str) -> usize {
        self.asked(function).len()
    }
}

#[async_trait]
impl Answers for Closure {
    async fn answer(&self, key: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError> {
        let trace_id = asked.trace_id.clone().unwrap_or_default();
        let seen = (key.function.name.clone(), asked.clone());
        self.seen.lock().unwrap().push(seen);
        let outcome = |payload: String, error| Outcome {
            payload: Bytes::from(payload),
            error,
            executed_version: key.version.clone(),
            log_tail: None,
            trace_id,
        };
        match (self.handler)(key.function.name.clone(), asked).await {
            Ok(payload) => Ok(outcome(payload, None)),
            Err(Failure::Error) => {
                let error = r#"{"errorMessage":"told to","errorType":"E"}"#.to_owned();
                Ok(outcome(error, Some(FunctionError::Unhandled)))
            }
            Err(Failure::Throttled) => Err(InvokeError::Throttled(
                Throttle::ConcurrentInvocationLimitExceeded,
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
    events: Events,
    background: Background,
}

impl World {
    async fn new(executor: &Arc<Closure>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::open(dir.path(), executor.clone(), Arc::new(Clock::new())).await;
        let world = Self { dir, parts };
        world.function("f").await;
        world
    }

    /// As after the end of the process: memory is lost, and what runs.
    async fn crashed(self, executor: &Arc<Closure>) -> Self {
        let Self { dir, parts } = self;
        parts.background.stop();
        for worker in parts.events.workers().values() {
            worker.kill();
        }
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), executor.clone(), parts.clock).await;
        Self { dir, parts }
    }

    async fn function(&self, name: &str) {
        self.function_with(name, |_| {}).await;
    }

    async fn function_with(&self, name: &str, set: impl FnOnce(&mut api::CreateFunctionRequest)) {
        let mut request = api::CreateFunctionRequest {
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
        set(&mut request);
        let functions = &self.parts.functions;
        functions.create_function(&cx(), request).await.unwrap();
        let get = || api::GetFunctionConfigurationRequest {
            function_name: name.into(),
            qualifier: None,
        };
        until(async || {
            let found = functions.get_function_configuration(&cx(), get()).await;
            found.unwrap().state.as_deref() == Some("Active")
        })
        .await;
    }

    async fn delete(&self, name: &str) {
        let input = api::DeleteFunctionRequest {
            function_name: name.into(),
            qualifier: None,
        };
        let deleted = self.parts.events.delete_function(&cx(), input).await;
        deleted.unwrap();
    }

    async fn queue(&self, name: &str) -> Arc<Queue> {
        let key = key(name);
        let definition = QueueDefinition {
            id: self.parts.queues.new_id(&key),
            key,
            created_s: 0,
            modified_s: 0,
            attributes: Attributes::new(false),
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.parts.queues.create(definition).await.unwrap() {
            Created::New(queue) => queue,
            Created::There(_) => panic!("there was one of that name"),
        }
    }

    async fn configure(
        &self,
        function: &str,
        set: impl FnOnce(&mut api::PutFunctionEventInvokeConfigRequest),
    ) -> Result<api::FunctionEventInvokeConfig, wire::Error> {
        let mut input = api::PutFunctionEventInvokeConfigRequest {
            function_name: function.into(),
            ..Default::default()
        };
        set(&mut input);
        let events = &self.parts.events;
        events.put_function_event_invoke_config(&cx(), input).await
    }

    /// Where a function's records go.
    async fn destinations(&self, function: &str, success: Option<String>, failure: Option<String>) {
        let config = api::DestinationConfig {
            on_success: Some(api::OnSuccess {
                destination: success,
            }),
            on_failure: Some(api::OnFailure {
                destination: failure,
            }),
        };
        let put = self.configure(function, |input| input.destination_config = Some(config));
        put.await.unwrap();
    }

    async fn send(&self, function: &str, payload: &str) -> Result<(), wire::Error> {
        self.send_as(&cx(), function, payload).await
    }

    async fn send_as(
        &self,
        cx: &Context,
        function: &str,
        payload: &str,
    ) -> Result<(), wire::Error> {
        let input = api::InvocationRequest {
            function_name: function.into(),
            invocation_type: Some("Event".into()),
            payload: Some(Bytes::from(payload.to_owned())),
            ..Default::default()
        };
        let answer = self.parts.events.invoke(cx, input).await?;
        assert_eq!(answer.status_code, Some(202));
        assert_eq!(answer.payload, None);
        Ok(())
    }

    /// The numbers of a function's events that wait or run.
    fn events_of(&self, function: &str) -> Counts {
        let internal = self.parts.queues.internal().into_iter();
        let own = internal.filter(|queue| {
            super::owner_of(&queue.key).is_some_and(|(key, _)| key.name == function)
        });
        own.map(|queue| queue.counts())
            .fold(Counts::default(), |sum, counts| Counts {
                visible: sum.visible + counts.visible,
                in_flight: sum.in_flight + counts.in_flight,
                delayed: sum.delayed + counts.delayed,
            })
    }

    async fn idle(&self, function: &str) {
        until(async || self.events_of(function) == Counts::default()).await;
    }

    /// Waits until an event of a function's waits for its next try.
    async fn delayed(&self, function: &str) {
        let next = Counts {
            delayed: 1,
            ..Counts::default()
        };
        until(async || self.events_of(function) == next).await;
    }

    /// The next message of a queue, once it is there.
    async fn received(&self, queue: &Arc<Queue>) -> Received {
        let receive = Receive {
            max: 1,
            visibility_timeout_ms: None,
            wait_ms: 120_000,
            attempt_id: None,
        };
        let mut received = self.parts.queues.receive(queue, receive).await.unwrap();
        received.pop().expect("it comes")
    }

    async fn record(&self, queue: &Arc<Queue>) -> Value {
        let message = self.received(queue).await;
        serde_json::from_str(&message.content.body).unwrap()
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
        Self {
            events: Events::open(
                functions.clone(),
                queues.clone(),
                Deliveries::open(store.clone(), queues.clone()),
                &background,
            )
            .await,
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
        request_id: uuid::Uuid::new_v4().to_string(),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        access_key_id: String::new(),
        role: None,
        host: "localhost:4566".into(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::now(),
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

fn queue_arn(name: &str) -> Option<String> {
    Some(key(name).arn().to_string())
}

fn function_arn(name: &str) -> Option<String> {
    Some(api::function_arn("us-east-1", ACCOUNT, name, None))
}

fn attribute<'a>(message: &'a Received, name: &str) -> &'a str {
    let found = message
        .content
        .attributes
        .iter()
        .find(|(held, _)| held == name);
    match &found.expect("it has it").1.value {
        queues::message::AttributeValue::Text(text) => text,
        queues::message::AttributeValue::Binary(_) => panic!("it is text"),
    }
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
