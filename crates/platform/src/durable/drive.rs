//! Invokes a function as often as its execution owes it an invocation, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Inner,
    core::{Ended, ErrorObject, Output},
    error::Result,
    lane::{Lane, Session},
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
}

impl Inner {
    /// Until nothing is owed; whoever calls has claimed it.
    pub(super) async fn drive(self: &Arc<Self>, lane: &Arc<Lane>) {
        loop {
            let begun = match self.begin(lane).await {
                Ok(Some(begun)) => begun,
                Ok(None) => return,
                Err(error) => return self.gave_up(lane, &error),
            };
            let (start_ms, request_id) = (begun.start_ms, begun.invocation.request_id.clone());
            let Some(ended) = self.invoke(lane, begun).await else {
                // It is closed, or the platform ends; what is owed is stored.
                return Lane::gives_up(&lane.driven);
            };
            if let Err(error) = self.finish(lane, ended, (start_ms, request_id)).await {
                return self.gave_up(lane, &error);
            }
        }
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

    /// None if its end is of no interest any more.
    async fn invoke(self: &Arc<Self>, lane: &Arc<Lane>, begun: Begun) -> Option<Ended> {
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
            _ = closed.wait_for(|closed| *closed) => return None,
        };
        match outcome {
            Ok(Ok(outcome)) => Some(ended(&outcome)),
            Ok(Err(error)) if is_gone(&error) => Some(Ended::Gone(not_found(&error))),
            Ok(Err(_)) if self.is_stopping() => None,
            Ok(Err(error)) => {
                tracing::debug!(%error, execution = lane.id, "an invocation did not run");
                Some(Ended::NotRun)
            }
            Err(_) => Some(Ended::NotRun),
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
