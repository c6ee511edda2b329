//! Chained invokes: what they are of, and how they end. One of a durable function is an execution
//! of its own, which tells its parent; one of another is an invocation, which is made again if the
//! process ends before it does.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use wire::{Context, lambda::FunctionName};

use super::{
    Inner,
    core::{ErrorObject, Head, Operation, OperationStatus, Parent, Started, State, Status, Target},
    drive::{is_gone, not_found, reported},
    error::{Error, Result},
    lane::Lane,
    limits,
    start::function_of,
    token,
};
use crate::functions::{
    self,
    durable::{Start, Target as DurableTarget},
    execution::{FunctionKey, Invocation},
};

/// A target that was found, and the execution that it is to be.
pub struct Found {
    pub target: Target,
    pub durable: Option<DurableTarget>,
}

impl Inner {
    /// What a function is named by: in the execution's own account and region. What cannot be
    /// named so is refused; a function that is not there fails the operation.
    pub(super) fn resolve(
        &self,
        cx: &Context,
        head: &Head,
        named: &str,
    ) -> Result<Result<Found, ErrorObject>> {
        let owner = Context {
            account_id: head.account_id.clone(),
            region: head.region.clone(),
            ..cx.clone()
        };
        let (other, name) = FunctionName::resolve_anywhere(&owner, named, None)
            .map_err(|error| Error::Invalid(error.message.clone()))?;
        if other.is_some() {
            return Err(Error::Invalid(
                "Cannot start a CHAINED_INVOKE on a function in another account.".into(),
            ));
        }
        let key = FunctionKey {
            name: name.name.clone(),
            ..function_of(head)
        };
        let durable = match self
            .functions
            .durable_target(&key, name.qualifier.as_deref())
        {
            Ok(durable) => durable,
            Err(error) if is_gone(&error) => return Ok(Err(not_found(&error))),
            Err(error) => {
                let kind = match error {
                    functions::Error::NotActive { .. } => "ResourceConflictException",
                    _ => "InvalidParameterValueException",
                };
                return Ok(Err(ErrorObject::new(kind, error.to_string())));
            }
        };
        let target = Target {
            named: named.to_owned(),
            function: name.name,
            qualifier: name.qualifier,
            child: None,
            child_arn: None,
        };
        Ok(Ok(Found { target, durable }))
    }

    /// The execution that a chained invoke of a durable function is; it begins when it is stored.
    pub(super) fn child(
        &self,
        head: &Head,
        operation: &str,
        found: DurableTarget,
    ) -> Result<State> {
        let start = Start {
            key: found.key,
            version: found.version,
            config: found.config,
            name: None,
            // Put in when the invoke is taken.
            payload: Bytes::new(),
            trace: head.trace.clone(),
        };
        let parent = Parent {
            execution: head.id.clone(),
            operation: operation.to_owned(),
            told: false,
        };
        self.new_execution(start, Some(parent))
    }

    /// Runs a chained invoke of a function that is not durable.
    pub(super) async fn invoke_plain(self: &Arc<Self>, lane: &Arc<Lane>, operation: &str) {
        if let Err(error) = self.try_invoke_plain(lane, operation).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                execution = lane.id,
                "a chained invoke could not be settled; will try again"
            );
            self.resume_soon();
        }
        lane.invokes().remove(operation);
    }

    async fn try_invoke_plain(self: &Arc<Self>, lane: &Arc<Lane>, id: &str) -> Result<()> {
        let mut closed = lane.closed.subscribe();
        let mut refusals = 0;
        let (status, answer) = loop {
            let Some((key, qualifier, invocation)) = self.plain_invocation(lane, id).await? else {
                return Ok(());
            };
            let functions = self.functions.clone();
            let running = tokio::spawn(async move {
                let version = qualifier.as_deref().unwrap_or("$LATEST");
                functions.run_version(&key, version, invocation).await
            });
            let outcome = tokio::select! {
                outcome = running => outcome.map_err(Error::platform)?,
                _ = closed.wait_for(|closed| *closed) => return Ok(()),
            };
            match outcome {
                Ok(outcome) if outcome.error.is_some() => {
                    break (OperationStatus::Failed, Err(reported(&outcome.payload)));
                }
                Ok(outcome) => break answered(&outcome.payload),
                Err(error) if is_gone(&error) => {
                    break (OperationStatus::Failed, Err(not_found(&error)));
                }
                Err(_) if self.is_stopping() => return Ok(()),
                Err(error) => {
                    tracing::debug!(%error, execution = lane.id, "a chained invoke did not run");
                    refusals += 1;
                    self.pause(lane, refusals).await;
                }
            }
        };
        let Some(mut held) = self.lock(lane).await? else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        held.state.pass_time(now_ms);
        held.state.complete_invoke(id, status, answer, now_ms);
        self.commit(lane, &mut held, Vec::new()).await
    }

    /// None if the operation is over.
    async fn plain_invocation(
        &self,
        lane: &Lane,
        id: &str,
    ) -> Result<Option<(FunctionKey, Option<String>, Invocation)>> {
        let Some(held) = self.lock(lane).await? else {
            return Ok(None);
        };
        let head = &held.state.head;
        let open = held
            .state
            .get(id)
            .filter(|it| it.status == OperationStatus::Started);
        let Some(Operation {
            target: Some(target),
            input,
            ..
        }) = open.filter(|_| !head.is_closed())
        else {
            return Ok(None);
        };
        let key = FunctionKey {
            name: target.function.clone(),
            ..function_of(head)
        };
        let arn = wire::lambda::function_arn(
            &key.region,
            &key.account_id,
            &key.name,
            target.qualifier.as_deref(),
        );
        let invocation = Invocation {
            request_id: Uuid::new_v4().to_string(),
            payload: Bytes::from(input.clone().unwrap_or_else(|| "{}".to_owned())),
            client_context: None,
            cognito_identity: None,
            invoked_function_arn: arn,
            trace_id: head.trace.clone(),
            log_tail: false,
        };
        Ok(Some((key, target.qualifier.clone(), invocation)))
    }

    /// Tells the execution whose chained invoke this was how it ended.
    pub(super) async fn tell_parent(self: &Arc<Self>, lane: &Arc<Lane>) {
        if let Err(error) = self.try_tell_parent(lane).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                execution = lane.id,
                "a parent could not be told; will try again"
            );
        }
        Lane::gives_up(&lane.telling);
    }

    async fn try_tell_parent(self: &Arc<Self>, lane: &Arc<Lane>) -> Result<()> {
        let ended = {
            let held = self.lock(lane).await?;
            let held = held.filter(|held| held.state.head.owes_parent());
            held.map(|held| (held.state.head.clone(), held.state.operations()[0].clone()))
        };
        let Some((head, Operation { result, error, .. })) = ended else {
            return Ok(());
        };
        let Some(parent) = &head.parent else {
            return Ok(());
        };
        let error = || error.clone().unwrap_or_default();
        let (status, answer) = match head.status {
            Status::Running => return Ok(()),
            Status::Succeeded => (OperationStatus::Succeeded, Ok(result)),
            Status::Failed => (OperationStatus::Failed, Err(error())),
            Status::Stopped => (OperationStatus::Stopped, Err(error())),
            Status::TimedOut => {
                let timeout_s = head.timeout_s;
                let message = format!("CHAINED_INVOKE timed out after {timeout_s} seconds.");
                let error = ErrorObject::new("ChainedInvoke.Timeout", message);
                (OperationStatus::TimedOut, Err(error))
            }
        };
        let parents = self.lanes.get(&parent.execution);
        if let Some(mut held) = self.lock(&parents).await? {
            let now_ms = self.clock.now_ms();
            held.state.pass_time(now_ms);
            held.state
                .complete_invoke(&parent.operation, status, answer, now_ms);
            self.commit_if_due(&parents, &mut held).await?;
        }
        let Some(mut held) = self.lock(lane).await? else {
            return Ok(());
        };
        held.state.parent_told();
        self.commit(lane, &mut held, Vec::new()).await
    }
}

fn answered(payload: &[u8]) -> (OperationStatus, Result<Option<String>, ErrorObject>) {
    let failed = |message: String| (OperationStatus::Failed, Err(ErrorObject::message(message)));
    let max = limits::CHAINED_BYTES_MAX;
    if payload.len() > max {
        return failed(format!(
            "CHAINED_INVOKE output payload size must be less than or equal to {max} bytes."
        ));
    }
    match std::str::from_utf8(payload) {
        Ok("") => (OperationStatus::Succeeded, Ok(None)),
        Ok(text) => (OperationStatus::Succeeded, Ok(Some(text.to_owned()))),
        Err(_) => failed("CHAINED_INVOKE response could not be decoded as UTF-8.".into()),
    }
}

/// Gives each execution that is a chained invoke the input that the invoke has.
pub fn with_inputs(children: Vec<State>, started: &[Started]) -> Vec<State> {
    let input = |child: &State| {
        let parent = child.head.parent.as_ref()?;
        let started = started.iter().find(|it| it.id == parent.operation)?;
        Some(started.input.clone())
    };
    let begun = children.into_iter().filter_map(|child| {
        let input = input(&child)?;
        Some(State::start(child.head, input))
    });
    begun.collect()
}

/// The target of a chained invoke that is an execution.
pub fn of_child(target: Target, child: &State) -> Target {
    Target {
        child: Some(child.head.id.clone()),
        child_arn: Some(token::arn(&child.head)),
        ..target
    }
}
