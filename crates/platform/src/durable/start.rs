//! Executions begin, and those who ask for one wait for its end.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use aws_lc_rs::digest;
use bytes::Bytes;
use uuid::Uuid;

use super::{
    Inner,
    core::{ErrorObject, Head, Parent, State, Status},
    error::{Error, Result},
    lane::Lane,
    limits, token,
};
use crate::functions::{
    self,
    durable::{Answer, DurableRuns, Start},
    execution::{FunctionError, FunctionKey},
};

/// What functions know of durable executions.
pub struct Starter(pub Weak<Inner>);

#[async_trait]
impl DurableRuns for Starter {
    async fn start(&self, start: Start) -> functions::Result<Answer> {
        let inner = self.inner()?;
        if start.payload.len() > limits::EVENT_BYTES_MAX {
            return Err(functions::Error::PayloadTooLarge {
                max: limits::EVENT_BYTES_MAX,
            });
        }
        // The start is to happen also if nobody waits for the answer.
        let started = tokio::spawn(async move { inner.start(start).await }).await;
        let (_, head) = started.map_err(functions::Error::platform)??;
        Ok(Answer {
            arn: token::arn(&head),
            version: head.version,
            outcome: None,
        })
    }

    async fn run(&self, start: Start) -> functions::Result<Answer> {
        let inner = self.inner()?;
        if start.config.timeout_s > limits::SYNCHRONOUS_S_MAX {
            return Err(functions::Error::invalid(
                "You cannot synchronously invoke a durable function with an executionTimeout \
                 greater than 15 minutes.",
            ));
        }
        let starting = inner.clone();
        let started = tokio::spawn(async move { starting.start(start).await }).await;
        let (lane, _) = started.map_err(functions::Error::platform)??;
        Ok(inner.outcome(&lane).await?)
    }
}

impl Starter {
    fn inner(&self) -> functions::Result<Arc<Inner>> {
        let inner = self.0.upgrade();
        inner.ok_or_else(|| Error::Stopping.into())
    }
}

impl From<Error> for functions::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::AlreadyStarted { .. } => Self::DurableAlreadyStarted(message),
            Error::Platform { caller, source } => Self::Platform { caller, source },
            Error::Stopping => Self::Platform {
                caller: "The platform is shutting down.",
                source: Arc::new(error),
            },
            Error::NotFound(_) => Self::NotFound(message),
            Error::Invalid(_) | Error::Token | Error::CallbackTimeout(_) => Self::Invalid(message),
        }
    }
}

enum Named {
    New,
    Known(Box<Head>),
    /// Closed, and kept longer than was asked.
    Expired(String),
}

impl Inner {
    /// Starts an execution, or finds the one that was started with the same name and input.
    pub(super) async fn start(self: &Arc<Self>, start: Start) -> Result<(Arc<Lane>, Head)> {
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        let state = self.new_execution(start, None)?;
        loop {
            let (function, name) = (function_of(&state.head), state.head.name.clone());
            let mut state = state.clone();
            let head = state.head.clone();
            let now_ms = self.clock.now_ms();
            let sealed = self.tables.seal(&state.take(now_ms))?;
            let started = self.store.write(move |tx| {
                match super::tables::Tables::named(tx, &function, &name)? {
                    Some(known) if known.expiry_ms().is_some_and(|at_ms| at_ms <= now_ms) => {
                        Ok(Named::Expired(known.id))
                    }
                    Some(known) => Ok(Named::Known(Box::new(known))),
                    None => sealed.insert(tx).map(|()| Named::New),
                }
            });
            match started.await? {
                Named::New => {
                    let lane = self.lanes.get(&head.id);
                    self.tick(&lane).await?;
                    return Ok((lane, head));
                }
                Named::Known(known) if known.input_hash == head.input_hash => {
                    return Ok((self.lanes.get(&known.id), *known));
                }
                Named::Known(known) => return Err(Error::AlreadyStarted { name: known.name }),
                Named::Expired(id) => {
                    let lane = self.lanes.get(&id);
                    self.tick(&lane).await?;
                }
            }
        }
    }

    /// An execution that has not begun yet. The name of one without is its id.
    pub(super) fn new_execution(&self, start: Start, parent: Option<Parent>) -> Result<State> {
        let Ok(input) = String::from_utf8(start.payload.to_vec()) else {
            return Err(Error::Invalid("The payload is not UTF-8.".into()));
        };
        let id = Uuid::new_v4().to_string();
        let FunctionKey {
            account_id,
            region,
            name: function,
        } = start.key;
        let head = Head {
            name: start.name.unwrap_or_else(|| Uuid::new_v4().to_string()),
            id,
            account_id,
            region,
            function,
            version: start.version,
            input_hash: hash(&start.payload),
            timeout_s: start.config.timeout_s,
            retention_days: start.config.retention_days,
            started_ms: self.clock.now_ms(),
            status: Status::Running,
            ended_ms: None,
            trace: start.trace,
            parent,
            owed_ms: None,
            failures: 0,
            updated: Vec::new(),
            operations: 0,
            events: 0,
            bytes: 0,
        };
        Ok(State::start(head, input))
    }

    /// Waits for an execution's end, as long as the platform runs.
    async fn outcome(&self, lane: &Arc<Lane>) -> Result<Answer> {
        let mut closed = lane.closed.subscribe();
        let mut stopping = self.stopping.subscribe();
        loop {
            // Loads it, and with that says whether it is closed.
            let held = self.lock(lane).await?;
            let held = held.ok_or_else(|| Error::NotFound("The execution was removed.".into()))?;
            let head = &held.state.head;
            if head.is_closed() {
                let operation = &held.state.operations()[0];
                let (payload, error) = match head.status {
                    Status::Succeeded => (operation.result.clone().unwrap_or_default(), None),
                    _ => {
                        let error = operation.error.clone().unwrap_or_default();
                        (reported(&error), Some(FunctionError::Unhandled))
                    }
                };
                return Ok(Answer {
                    arn: token::arn(head),
                    version: head.version.clone(),
                    outcome: Some((Bytes::from(payload), error)),
                });
            }
            drop(held);
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return Err(Error::Stopping),
            }
        }
    }
}

pub fn function_of(head: &Head) -> FunctionKey {
    FunctionKey {
        account_id: head.account_id.clone(),
        region: head.region.clone(),
        name: head.function.clone(),
    }
}

/// An error as a function reports one.
fn reported(error: &ErrorObject) -> String {
    let mut json = serde_json::Map::new();
    let mut put = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            json.insert(name.to_owned(), value);
        }
    };
    put("errorMessage", error.error_message.clone().map(Into::into));
    put("errorType", error.error_type.clone().map(Into::into));
    put("errorData", error.error_data.clone().map(Into::into));
    put("stackTrace", error.stack_trace.clone().map(Into::into));
    serde_json::Value::Object(json).to_string()
}

fn hash(payload: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, payload);
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
