//! Functions with a `DurableConfig`: what a function's record has of it, and the way to whoever
//! runs durable executions, which knows functions and is not known here.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{
    Context,
    lambda::{self as api, FunctionName, InvocationRequest, InvocationResponse},
};

use super::{
    Functions,
    error::{Error, Result},
    execution::{FunctionError, FunctionKey, Invocation, Outcome},
    invoke::random,
    key_of,
    qualifier::{LATEST, configured},
};

/// What a durable function's executions may take and how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableConfig {
    pub timeout_s: u32,
    pub retention_days: u32,
}

/// An execution that is asked for.
#[derive(Debug, Clone)]
pub struct Start {
    pub key: FunctionKey,
    /// That all of its invocations run.
    pub version: String,
    pub config: DurableConfig,
    pub name: Option<String>,
    pub payload: Bytes,
    pub trace: Option<String>,
}

/// An execution that has begun, and how it ended where that was waited for.
#[derive(Debug, Clone)]
pub struct Answer {
    pub arn: String,
    pub version: String,
    pub outcome: Option<(Bytes, Option<FunctionError>)>,
}

/// Who runs durable executions.
#[async_trait]
pub trait DurableRuns: Send + Sync + 'static {
    /// Starts one, which is stored when this answers.
    async fn start(&self, start: Start) -> Result<Answer>;

    /// Starts one and waits for its end.
    async fn run(&self, start: Start) -> Result<Answer>;
}

/// A durable function that is named, as it is now.
#[derive(Debug, Clone)]
pub struct Target {
    pub key: FunctionKey,
    pub version: String,
    pub config: DurableConfig,
}

const UNQUALIFIED: &str = "You cannot invoke a durable function using an unqualified ARN.";
const RETENTION_DAYS_DEFAULT: u32 = 14;

impl Functions {
    /// Says who runs durable executions. Once.
    pub fn run_durably_by(&self, runs: Arc<dyn DurableRuns>) {
        let _ = self.0.durable.set(runs);
    }

    /// The version that a qualifier leads to now; an execution keeps to it.
    pub fn version_of(&self, key: &FunctionKey, qualifier: Option<&str>) -> Result<String> {
        Ok(self
            .version_for(key, qualifier, random)?
            .version
            .to_string())
    }

    fn is_durable(&self, key: &FunctionKey, qualifier: Option<&str>) -> bool {
        let entry = self.0.definitions.get(key);
        let config = entry.and_then(|entry| configured(&entry, qualifier)?.spec().durable);
        config.is_some()
    }

    /// Whether an event for a function is an execution, which is durable by itself.
    pub(crate) fn takes_durably(&self, cx: &Context, input: &InvocationRequest) -> bool {
        let name =
            FunctionName::resolve_anywhere(cx, &input.function_name, input.qualifier.as_deref());
        name.is_ok_and(|(owner, name)| {
            let mut key = key_of(cx, &name.name);
            key.account_id = owner.unwrap_or(key.account_id);
            self.is_durable(&key, name.qualifier.as_deref())
        })
    }

    /// What has to be known of a function to start an execution of it; none where it is no durable
    /// one.
    pub fn durable_target(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
    ) -> Result<Option<Target>> {
        self.check_invocable(key, qualifier)?;
        // The usual case takes no more than a look.
        if !self.is_durable(key, qualifier) {
            return Ok(None);
        }
        let version = self.version_of(key, qualifier)?;
        let entry = self.find(key)?;
        let configured = configured(&entry, Some(&version));
        let Some(config) = configured.and_then(|version| version.spec().durable) else {
            return Ok(None);
        };
        if qualifier.is_none() {
            return Err(Error::invalid(UNQUALIFIED));
        }
        Ok(Some(Target {
            version,
            key: key.clone(),
            config,
        }))
    }

    /// An execution's end is not a stream.
    pub(super) fn refuse_durable(&self, key: &FunctionKey, qualifier: Option<&str>) -> Result<()> {
        match self.durable_target(key, qualifier.or(Some(LATEST)))? {
            None => Ok(()),
            Some(_) => Err(Error::Unsupported {
                what: "Streaming the response of a durable function",
            }),
        }
    }

    /// Invoke, of a durable function.
    pub(super) async fn invoke_durably(
        &self,
        cx: &Context,
        target: Target,
        (input, payload): (InvocationRequest, Bytes),
    ) -> Result<InvocationResponse> {
        if input.client_context.is_some() {
            return Err(Error::Unsupported {
                what: "A client context (ClientContext) for a durable function",
            });
        }
        let start = Start {
            key: target.key,
            version: target.version,
            config: target.config,
            name: input.durable_execution_name,
            payload,
            trace: cx.trace_header.clone(),
        };
        let (status_code, answer) = match input.invocation_type.as_deref() {
            Some("Event") => (202, self.durable_runs()?.start(start).await?),
            _ => (200, self.durable_runs()?.run(start).await?),
        };
        let (payload, error) = answer.outcome.unzip();
        Ok(InvocationResponse {
            status_code: Some(status_code),
            function_error: error.flatten().map(|error| error.as_str().to_owned()),
            payload,
            executed_version: Some(answer.version),
            durable_execution_arn: Some(answer.arn),
            ..InvocationResponse::default()
        })
    }

    /// What a function URL or a trigger invokes: one that is durable becomes an execution whose end
    /// is waited for. None where it is not.
    pub(super) async fn run_if_durable(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        invocation: &Invocation,
    ) -> Option<Result<Outcome>> {
        match self.durable_target(key, qualifier.or(Some(LATEST))) {
            Ok(None) => None,
            Ok(Some(target)) => Some(self.run_durably(target, invocation).await),
            Err(error) => Some(Err(error)),
        }
    }

    async fn run_durably(&self, target: Target, invocation: &Invocation) -> Result<Outcome> {
        let version = self.version_for(&target.key, Some(&target.version), random)?;
        let start = Start {
            key: target.key,
            version: target.version,
            config: target.config,
            name: None,
            payload: invocation.payload.clone(),
            trace: invocation.trace_id.clone(),
        };
        let answer = self.durable_runs()?.run(start).await?;
        let (payload, error) = answer.outcome.unwrap_or_default();
        Ok(Outcome {
            payload,
            error,
            executed_version: version.version,
            log_tail: None,
            trace_id: invocation.trace_id.clone().unwrap_or_default(),
        })
    }

    fn durable_runs(&self) -> Result<&Arc<dyn DurableRuns>> {
        self.0.durable.get().ok_or(Error::Unsupported {
            what: "Durable execution",
        })
    }
}

/// The configuration that a function is created with.
pub(super) fn created(asked: Option<&api::DurableConfig>) -> Result<Option<DurableConfig>> {
    let Some(asked) = asked else { return Ok(None) };
    refuse_key(asked)?;
    let Some(timeout_s) = positive(asked.execution_timeout) else {
        return Err(Error::invalid("DurableConfig needs an ExecutionTimeout."));
    };
    Ok(Some(DurableConfig {
        timeout_s,
        retention_days: positive(asked.retention_period_in_days).unwrap_or(RETENTION_DAYS_DEFAULT),
    }))
}

/// The configuration after an update. A function is durable from the beginning or never.
pub(super) fn updated(
    before: Option<DurableConfig>,
    asked: Option<&api::DurableConfig>,
) -> Result<Option<DurableConfig>> {
    let Some(asked) = asked else {
        return Ok(before);
    };
    refuse_key(asked)?;
    let Some(before) = before else {
        return Err(Error::invalid(
            "DurableConfig can be given only when a function is created.",
        ));
    };
    Ok(Some(DurableConfig {
        timeout_s: positive(asked.execution_timeout).unwrap_or(before.timeout_s),
        retention_days: positive(asked.retention_period_in_days).unwrap_or(before.retention_days),
    }))
}

pub(super) fn shown(config: DurableConfig) -> api::DurableConfig {
    api::DurableConfig {
        kms_key_arn: None,
        retention_period_in_days: i32::try_from(config.retention_days).ok(),
        execution_timeout: i32::try_from(config.timeout_s).ok(),
    }
}

pub(super) fn refuse_name(input: &InvocationRequest, name: &FunctionName) -> Result<()> {
    match input.durable_execution_name {
        Some(_) => Err(Error::Invalid(format!(
            "The function {} has no DurableConfig, so that a DurableExecutionName cannot be given.",
            name.name
        ))),
        None => Ok(()),
    }
}

fn refuse_key(asked: &api::DurableConfig) -> Result<()> {
    match asked.kms_key_arn.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::Unsupported {
            what: "A KMS key of one's own (DurableConfig.KMSKeyArn)",
        }),
    }
}

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}
