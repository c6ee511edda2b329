//! From definitions to their execution, and how invocations ended.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use crate::functions::{
    DeployError, Executor,
    execution::{
        Definition, Execution, FunctionKey, Invocation, InvokeError, Invoked, Outcome, Provisioned,
        VersionId, VersionKey,
    },
};

/// How invocations ended since the start.
#[derive(Debug, Default)]
pub struct InvocationCounts {
    pub succeeded: AtomicU64,
    /// With an error of the function's own.
    pub failed: AtomicU64,
    pub throttled: AtomicU64,
    /// The platform could not run them.
    pub refused: AtomicU64,
}

impl InvocationCounts {
    fn add(&self, ended: Result<&Outcome, &InvokeError>) {
        let counter = match ended {
            Ok(outcome) if outcome.error.is_none() => &self.succeeded,
            Ok(_) => &self.failed,
            Err(InvokeError::Throttled(_)) => &self.throttled,
            // Deployed and tried again.
            Err(InvokeError::NotDeployed) => return,
            Err(InvokeError::SnapStart(_) | InvokeError::SnapStartTimeout) => &self.failed,
            Err(InvokeError::NoEnvironment(_) | InvokeError::ShuttingDown) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What definitions ask of execution.
pub struct Runs {
    pub execution: Execution,
    pub counts: Arc<InvocationCounts>,
}

#[async_trait]
impl Executor for Runs {
    async fn deploy(&self, definition: Definition) -> Result<(), DeployError> {
        let deployed = self.execution.deploy(definition).await;
        deployed.map_err(|error| DeployError(error.to_string(), error.fault()))
    }

    fn has_snapshot(&self, key: &VersionKey) -> bool {
        self.execution.has_snapshot(key)
    }

    fn remove(&self, key: &FunctionKey) {
        self.execution.remove(key);
    }

    fn remove_version(&self, key: &VersionKey) {
        self.execution.remove_version(key);
    }

    fn set_reserved_concurrency(&self, key: &FunctionKey, reserved: Option<u32>) {
        self.execution.set_reserved_concurrency(key, reserved);
    }

    fn provision(&self, key: &FunctionKey, targets: &HashMap<VersionId, u32>) {
        self.execution.provision(key, targets);
    }

    fn provisioned(&self, key: &VersionKey) -> Provisioned {
        self.execution.provisioned(key)
    }

    async fn invoke(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let ended = self.execution.invoke(key, invocation).await;
        self.counts.add(ended.as_ref());
        ended
    }

    async fn stream(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Invoked, InvokeError> {
        let counts = self.counts.clone();
        let ended = move |ended: Result<&Outcome, &InvokeError>| counts.add(ended);
        self.execution.stream(key, invocation, ended).await
    }
}
