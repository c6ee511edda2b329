//! What definitions ask of execution. A trait, so that they are tested without sandboxes.

use std::collections::HashMap;

use async_trait::async_trait;

use super::execution::{
    Definition, FunctionKey, Invocation, InvokeError, Invoked, Outcome, Provisioned, VersionId,
    VersionKey,
};

/// Runs what is deployed.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Makes a definition the one that its version's requests go to.
    async fn deploy(&self, definition: Definition) -> Result<(), DeployError>;

    /// Requests from now on find nothing deployed, of no version.
    fn remove(&self, key: &FunctionKey);

    /// The same for one version.
    fn remove_version(&self, key: &VersionKey);

    /// Whether there is a snapshot that a version's environments begin from.
    fn has_snapshot(&self, _: &VersionKey) -> bool {
        false
    }

    /// May come before the function is deployed, and stays over deployments.
    fn set_reserved_concurrency(&self, key: &FunctionKey, reserved: Option<u32>);

    /// Keeps so many environments of these versions ready, and none of the others. May come before
    /// they are deployed, and stays over deployments.
    fn provision(&self, key: &FunctionKey, targets: &HashMap<VersionId, u32>);

    /// What there is of them.
    fn provisioned(&self, key: &VersionKey) -> Provisioned;

    async fn invoke(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError>;

    /// The same for a caller who takes the response piece by piece.
    async fn stream(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Invoked, InvokeError> {
        self.invoke(key, invocation).await.map(Invoked::Whole)
    }
}

/// Why a definition could not be deployed, in words for its owner: they become the `StateReason`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DeployError(pub String, pub DeployFault);

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployFault {
    /// The configuration's.
    Configuration,
    /// The function's, in its init.
    Init,
    /// Its process was killed: by itself, or with a process of the platform's.
    InitKilled,
    InitTimeout,
    /// The platform's.
    Platform,
    /// The platform's too, and nothing says that it would happen again: a process of it was lost.
    Passing,
}

impl DeployFault {
    /// Lambda's `StateReasonCode`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Configuration => "InvalidConfiguration",
            Self::Init | Self::InitKilled => "FunctionError.RuntimeInitError",
            Self::InitTimeout => "FunctionError.InitTimeout",
            Self::Platform | Self::Passing => "InternalError",
        }
    }
}
