//! Executions over a real store and a clock that can be moved, with a function that is a closure:
//! it is given the event of an invocation and checkpoints as an SDK does.

mod lasting;
mod protocol;

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
use serde_json::{Value, json};
use store::{BlobStore, Store, StoreConfig};
use tempfile::TempDir;
use wire::{
    Context, Error as Refusal, Timestamp,
    lambda::{self as api, Lambda},
};

use super::{DurableExecutions, limits};
use crate::{
    background::Background,
    clock::Clock,
    functions::{
        Functions, FunctionsConfig,
        execution::{FunctionError, Invocation, InvokeError, Outcome, Throttle, VersionKey},
        runtimes::Runtimes,
        testing::{Answers, zip_of},
    },
    secrets::Secrets,
};

const ACCOUNT: &str = "111111111111";

/// What a function does with an event other than answer.
#[derive(Debug, Clone)]
enum Failure {
    Error(Value),
    Throttled,
}

type Answering = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;
type Handler = Box<dyn Fn(Invoked) -> Answering + Send + Sync>;

/// One invocation, as the function sees it.
struct Invoked {
    function: String,
    event: Value,
    executions: DurableExecutions,
    token: Mutex<String>,
}

impl Invoked {
    fn arn(&self) -> String {
        self.event["DurableExecutionArn"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn operations(&self) -> &Vec<Value> {
        let operations = &self.event["InitialExecutionState"]["Operations"];
        operations.as_array().unwrap()
    }

    /// The status of an operation at the beginning of this invocation.
    fn status(&self, id: &str) -> Option<String> {
        let operation = self.operations().iter().find(|it| it["Id"] == id)?;
        Some(operation["Status"].as_str().unwrap().to_owned())
    }

    fn input(&self) -> Value {
        let input = &self.operations()[0]["ExecutionDetails"]["InputPayload"];
        serde_json::from_str(input.as_str().unwrap()).unwrap()
    }

    async fn checkpoint(
        &self,
        updates: Vec<api::OperationUpdate>,
    ) -> Result<Vec<api::OperationShape>, Refusal> {
        let token = self.token.lock().unwrap().clone();
        let input = api::CheckpointDurableExecutionRequest {
            durable_execution_arn: self.arn(),
            checkpoint_token: token,
            updates: Some(updates),
            client_token: None,
        };
        let cx = cx();
        let answer = self.executions.checkpoint_durable_execution(&cx, input);
        let answer = answer.await?;
        *self.token.lock().unwrap() = answer.checkpoint_token.unwrap_or_default();
        Ok(answer.new_execution_state.operations.unwrap_or_default())
    }
}

/// A function that is a closure over its invocations.
struct Closure {
    handler: Handler,
    executions: Mutex<Option<DurableExecutions>>,
    invoked: AtomicUsize,
}

impl Closure {
    fn new<F>(handler: impl Fn(Invoked) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        Arc::new(Self {
            handler: Box::new(move |invoked| Box::pin(handler(invoked))),
            executions: Mutex::default(),
            invoked: AtomicUsize::new(0),
        })
    }

    fn invoked(&self) -> usize {
        self.invoked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Answers for Closure {
    async fn answer(&self, key: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError> {
        let event: Value = serde_json::from_slice(&asked.payload).unwrap();
        let executions = self.executions.lock().unwrap().clone().unwrap();
        let token = event["CheckpointToken"].as_str().unwrap_or_default();
        let invoked = Invoked {
            function: key.function.name.clone(),
            token: Mutex::new(token.to_owned()),
            event,
            executions,
        };
        self.invoked.fetch_add(1, Ordering::SeqCst);
        let version = &key.version;
        let outcome = |answer: Value, error| Outcome {
            payload: Bytes::from(answer.to_string()),
            error,
            executed_version: version.clone(),
            log_tail: None,
            trace_id: String::new(),
        };
        match (self.handler)(invoked).await {
            Ok(answer) => Ok(outcome(answer, None)),
            Err(Failure::Error(error)) => Ok(outcome(error, Some(FunctionError::Unhandled))),
            Err(Failure::Throttled) => Err(InvokeError::Throttled(
                Throttle::ConcurrentInvocationLimitExceeded,
            )),
        }
    }
}

struct World {
    dir: TempDir,
    parts: Parts,
    function: Arc<Closure>,
}

struct Parts {
    store: Store,
    clock: Arc<Clock>,
    functions: Functions,
    executions: DurableExecutions,
    background: Background,
}

impl World {
    /// With a durable function `f`, whose executions may take a year, and `plain`, which is none.
    async fn new(function: &Arc<Closure>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::open(dir.path(), function, Arc::new(Clock::new())).await;
        let world = Self {
            dir,
            parts,
            function: function.clone(),
        };
        world.create("f", Some(YEAR_S)).await;
        world.create("quick", Some(600)).await;
        world.create("plain", None).await;
        world
    }

    /// As after the end of the process: memory is lost.
    async fn crashed(self) -> Self {
        let Self {
            dir,
            parts,
            function,
        } = self;
        parts.background.stop();
        parts.store.close().await;
        *function.executions.lock().unwrap() = None;
        let parts = Parts::open(dir.path(), &function, parts.clock).await;
        Self {
            dir,
            parts,
            function,
        }
    }

    async fn create(&self, name: &str, timeout_s: Option<i32>) {
        let request = api::CreateFunctionRequest {
            function_name: name.into(),
            runtime: Some("provided.al2023".into()),
            handler: Some("bootstrap".into()),
            role: format!("arn:aws:iam::{ACCOUNT}:role/r"),
            code: api::FunctionCode {
                zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/sh\n")])),
                ..Default::default()
            },
            durable_config: timeout_s.map(|timeout_s| api::DurableConfig {
                kms_key_arn: None,
                retention_period_in_days: Some(2),
                execution_timeout: Some(timeout_s),
            }),
            ..Default::default()
        };
        let functions = &self.parts.functions;
        functions.create_function(&cx(), request).await.unwrap();
        until(async || {
            let get = api::GetFunctionConfigurationRequest {
                function_name: name.into(),
                qualifier: None,
            };
            let found = functions.get_function_configuration(&cx(), get).await;
            found.unwrap().state.as_deref() == Some("Active")
        })
        .await;
    }

    async fn invoke(
        &self,
        function: &str,
        set: impl FnOnce(&mut api::InvocationRequest),
    ) -> Result<api::InvocationResponse, Refusal> {
        let mut request = api::InvocationRequest {
            function_name: function.into(),
            qualifier: Some("$LATEST".into()),
            ..Default::default()
        };
        set(&mut request);
        self.parts.functions.invoke(&cx(), request).await
    }

    /// Starts an execution that nobody waits for.
    async fn start(&self, function: &str) -> String {
        let started = self.invoke(function, |request| {
            request.invocation_type = Some("Event".into());
        });
        started.await.unwrap().durable_execution_arn.unwrap()
    }

    async fn get(&self, arn: &str) -> Result<api::GetDurableExecutionResponse, Refusal> {
        let input = api::GetDurableExecutionRequest {
            durable_execution_arn: arn.into(),
            include_execution_data: None,
        };
        self.parts
            .executions
            .get_durable_execution(&cx(), input)
            .await
    }

    async fn until(&self, arn: &str, status: &str) -> api::GetDurableExecutionResponse {
        until(async || self.get(arn).await.unwrap().status == status).await;
        self.get(arn).await.unwrap()
    }

    async fn events(&self, arn: &str) -> Vec<api::Event> {
        let input = api::GetDurableExecutionHistoryRequest {
            durable_execution_arn: arn.into(),
            include_execution_data: Some(true),
            max_items: Some(1000),
            ..Default::default()
        };
        let executions = &self.parts.executions;
        let history = executions.get_durable_execution_history(&cx(), input).await;
        history.unwrap().events
    }

    async fn kinds(&self, arn: &str) -> Vec<String> {
        let events = self.events(arn).await.into_iter();
        events.map(|event| event.event_type.unwrap()).collect()
    }

    /// Waits until an execution's history has an event.
    async fn until_event(&self, arn: &str, kind: &str) {
        until(async || self.kinds(arn).await.iter().any(|it| it == kind)).await;
    }

    /// Lets time pass, and has all that is due looked at.
    fn pass(&self, ms: i64) {
        self.parts.clock.advance(ms);
        self.parts.executions.0.wake.wake();
    }
}

const YEAR_S: i32 = 31_622_400;
const DAY_MS: i64 = limits::DAY_MS;

impl Parts {
    async fn open(dir: &Path, function: &Arc<Closure>, clock: Arc<Clock>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &crate::platform::migrations())
            .await
            .unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let functions = Functions::open(FunctionsConfig {
            data_dir: dir.to_owned(),
            secrets: secrets.clone(),
            store: store.clone(),
            blobs: BlobStore::open(dir.join("blobs")).await.unwrap(),
            executor: function.clone(),
            runtimes: Runtimes::of(&[]),
            base_url: "http://127.0.0.1:4566".into(),
            account_concurrency: 1000,
            images: Default::default(),
        });
        let functions = functions.await.unwrap();
        let background = Background::default();
        let executions = DurableExecutions::open(
            store.clone(),
            secrets,
            functions.clone(),
            clock.clone(),
            &background,
        );
        *function.executions.lock().unwrap() = Some(executions.clone());
        Self {
            store,
            clock,
            functions,
            executions,
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

fn update(id: &str, kind: &str, action: &str) -> api::OperationUpdate {
    api::OperationUpdate {
        id: id.into(),
        type_: kind.into(),
        action: action.into(),
        ..Default::default()
    }
}

fn wait(id: &str, wait_seconds: i32) -> api::OperationUpdate {
    api::OperationUpdate {
        wait_options: Some(api::WaitOptions {
            wait_seconds: Some(wait_seconds),
        }),
        ..update(id, "WAIT", "START")
    }
}

fn pending() -> Result<Value, Failure> {
    Ok(json!({"Status": "PENDING"}))
}

fn succeeded(result: &str) -> Result<Value, Failure> {
    Ok(json!({"Status": "SUCCEEDED", "Result": result}))
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
