//! Invokes a function as often as its execution owes it an invocation, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Inner,
    core::{Ended, ErrorObject, Output},
    error::Result,
    lane::{Lane, Session},
    limits,
    start::function_of,
    token::{self, CheckpointToken},
    view,
};
use crate::functions::{
    self,
    execution::{FunctionKey, Invocation, Outcome},
};

/// An invocation that is about to be made.
struct Begun {
    function: FunctionKey,
    version: String,
    invocation: Invocation,
    start_ms: i64,
    /// The operations that it is told changed.
    updated: Vec<String>,
}

enum Made {
    Ended(Ended),
    /// It was throttled, or the platform could not run it.
    NotRun,
    /// Its end is of no interest any more: the execution is closed, or the platform ends.
    Dropped,
}

impl Inner {
    /// Until nothing is owed; whoever calls has claimed it.
    pub(super) async fn drive(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut refusals = 0;
        loop {
            let begun = match self.begin(lane).await {
                Ok(Some(begun)) => begun,
                Ok(None) => return,
                Err(error) => return self.gave_up(lane, &error),
            };
            let of = (begun.start_ms, begun.invocation.request_id.clone());
            let updated = begun.updated.clone();
            let done = match self.invoke(lane, begun).await {
                Made::Ended(ended) => {
                    refusals = 0;
                    self.finish(lane, ended, of).await
                }
                // Nothing is written for it: it is owed as before.
                Made::NotRun => {
                    refusals += 1;
                    let again = self.not_told(lane, updated).await;
                    self.pause(lane, refusals).await;
                    again
                }
                // What is owed is stored.
                Made::Dropped => return Lane::gives_up(&lane.driven),
            };
            if let Err(error) = done {
                return self.gave_up(lane, &error);
            }
        }
    }

    /// Waits before something that could not be run is tried again; not for what nobody needs any
    /// more.
    pub(super) async fn pause(&self, lane: &Lane, refusals: u32) {
        let doubled = 1_u32 << refusals.clamp(1, 16).saturating_sub(1);
        let after = (limits::NOT_RUN_AGAIN * doubled).min(limits::NOT_RUN_AGAIN_MAX);
        let (mut closed, mut stopping) = (lane.closed.subscribe(), self.stopping.subscribe());
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            _ = closed.wait_for(|closed| *closed) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// The function did not see what it was to be told.
    async fn not_told(&self, lane: &Lane, updated: Vec<String>) -> Result<()> {
        if let Some(mut held) = self.lock(lane).await? {
            held.session = None;
            let known = &mut held.state.head.updated;
            let missing = updated.into_iter().filter(|id| !known.contains(id));
            let missing: Vec<String> = missing.collect();
            known.splice(0..0, missing);
        }
        Ok(())
    }

    /// The reconciler comes back to it.
    fn gave_up(&self, lane: &Lane, error: &super::error::Error) {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            execution = lane.id,
            "a durable execution could not go on; will try again"
        );
        Lane::gives_up(&lane.driven);
        self.resume_soon();
    }

    /// What the next invocation is; none if none is owed now. Then nobody drives the execution any
    /// more, which is decided under its lock.
    async fn begin(self: &Arc<Self>, lane: &Arc<Lane>) -> Result<Option<Begun>> {
        let held = self.lock(lane).await?;
        let Some(mut held) = held else {
            Lane::gives_up(&lane.driven);
            return Ok(None);
        };
        let now_ms = self.clock.now_ms();
        held.state.pass_time(now_ms);
        if held.state.has_changes() {
            self.commit(lane, &mut held, Vec::new()).await?;
        }
        let owed_ms = held.state.head.owed_ms;
        if self.is_stopping() || owed_ms.is_none_or(|owed_ms| owed_ms > now_ms) {
            Lane::gives_up(&lane.driven);
            return Ok(None);
        }
        let page = self.state_page(&lane.id, 0, usize::MAX).await?;
        let token = CheckpointToken {
            invocation: Uuid::new_v4().to_string(),
            sequence: 0,
        };
        let updated = std::mem::take(&mut held.state.head.updated);
        let head = &held.state.head;
        let payload = view::invocation_input(head, &token.text(), &page, &updated);
        let begun = Begun {
            function: function_of(head),
            version: head.version.clone(),
            invocation: Invocation {
                request_id: Uuid::new_v4().to_string(),
                payload: Bytes::from(payload),
                client_context: None,
                cognito_identity: None,
                invoked_function_arn: token::function_arn(head),
                trace_id: head.trace.clone(),
                log_tail: false,
            },
            start_ms: now_ms,
            updated,
        };
        let seen = held.state.touches();
        held.session = Some(Session {
            token,
            seen,
            last: None,
        });
        held.state.forget_payloads(seen);
        Ok(Some(begun))
    }

    async fn invoke(self: &Arc<Self>, lane: &Arc<Lane>, begun: Begun) -> Made {
        let Begun {
            function,
            version,
            invocation,
            ..
        } = begun;
        let mut closed = lane.closed.subscribe();
        let functions = self.functions.clone();
        let running =
            tokio::spawn(
                async move { functions.run_version(&function, &version, invocation).await },
            );
        let outcome = tokio::select! {
            outcome = running => outcome,
            _ = closed.wait_for(|closed| *closed) => return Made::Dropped,
        };
        match outcome {
            Ok(Ok(outcome)) => Made::Ended(ended(&outcome)),
            Ok(Err(error)) if is_gone(&error) => Made::Ended(Ended::Gone(not_found(&error))),
            Ok(Err(_)) if self.is_stopping() => Made::Dropped,
            Ok(Err(error)) => {
                tracing::debug!(%error, execution = lane.id, "an invocation did not run");
                Made::NotRun
            }
            Err(_) => Made::NotRun,
        }
    }

    async fn finish(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        ended: Ended,
        of: (i64, String),
    ) -> Result<()> {
        let Some(mut held) = self.lock(lane).await? else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        // Without a session it is not known what it knows.
        let session = held.session.take();
        let seen = session.map(|session| session.seen);
        held.state.pass_time(now_ms);
        held.state.invocation_ended(ended, of, seen, now_ms);
        self.commit(lane, &mut held, Vec::new()).await
    }
}

fn ended(outcome: &Outcome) -> Ended {
    match outcome.error {
        None => Ended::Answered(Output::parse(&outcome.payload)),
        Some(_) => Ended::Failed(reported(&outcome.payload)),
    }
}

/// The error that a function's runtime reported.
pub fn reported(payload: &[u8]) -> ErrorObject {
    let json: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |name: &str| json.get(name)?.as_str().map(str::to_owned);
    let trace = json.get("stackTrace").and_then(serde_json::Value::as_array);
    let line = |line: &serde_json::Value| match line {
        serde_json::Value::String(line) => line.clone(),
        other => other.to_string(),
    };
    ErrorObject {
        error_message: text("errorMessage"),
        error_type: text("errorType"),
        error_data: text("errorData"),
        stack_trace: trace.map(|lines| lines.iter().map(line).collect()),
    }
}

pub fn is_gone(error: &functions::Error) -> bool {
    matches!(
        error,
        functions::Error::FunctionNotFound { .. } | functions::Error::AliasNotFound { .. }
    )
}

pub fn not_found(error: &functions::Error) -> ErrorObject {
    ErrorObject::new("ResourceNotFoundException", error.to_string())
}
