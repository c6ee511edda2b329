//! One invocation: what goes in, what comes out, and why it may not run at all.

use bytes::Bytes;

use super::VersionId;

/// A synchronous invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub request_id: String,
    /// Opaque; never parsed on the way through.
    pub payload: Bytes,
    /// Decoded from `X-Amz-Client-Context`: JSON text.
    pub client_context: Option<String>,
    /// JSON text for the context object's `identity`, from Cognito callers.
    pub cognito_identity: Option<String>,
    /// The ARN that the caller used, with its qualifier if it had one.
    pub invoked_function_arn: String,
    /// The caller's `X-Amzn-Trace-Id`, if it sent one.
    pub trace_id: Option<String>,
    /// `LogType=Tail`: keep the last 4 KiB of the invocation's log.
    pub log_tail: bool,
}

/// What came of an invocation that ran.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The function's answer, or the error object where `error` is there.
    pub payload: Bytes,
    /// `X-Amz-Function-Error`.
    pub error: Option<FunctionError>,
    /// Which version ran.
    pub executed_version: VersionId,
    /// The last 4 KiB of the log, where it was asked for.
    pub log_tail: Option<Vec<u8>>,
    /// The trace header the function saw.
    pub trace_id: String,
}

/// Lambda knows two kinds; all runtimes of today report `Unhandled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionError {
    Handled,
    Unhandled,
}

impl FunctionError {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "Handled",
            Self::Unhandled => "Unhandled",
        }
    }
}

/// Why an invocation did not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    /// Nothing is deployed under this key.
    #[error("the function is not deployed")]
    NotDeployed,
    #[error("throttled: {0:?}")]
    Throttled(Throttle),
    /// The platform could not make an environment; the text is for the operator.
    #[error("no environment: {0}")]
    NoEnvironment(String),
    /// A snapshot of the version's init could not be made, or what runs after its restore failed.
    #[error("SnapStart: {0}")]
    SnapStart(String),
    /// A restore took longer than it may.
    #[error("a restore took too long")]
    SnapStartTimeout,
    #[error("the platform is shutting down")]
    ShuttingDown,
}

/// Lambda's reasons for a 429 (`Reason` in TooManyRequestsException).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The function's own reserved concurrency is used up.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// What the account has left for functions without reserved concurrency is used up.
    ConcurrentInvocationLimitExceeded,
    /// The function starts environments faster than it may.
    ScalingRateExceeded,
}

impl Throttle {
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedFunctionConcurrentInvocationLimitExceeded => {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            }
            // The model's closest word; which one Lambda uses for its scaling rate is not known.
            Self::ConcurrentInvocationLimitExceeded | Self::ScalingRateExceeded => {
                "ConcurrentInvocationLimitExceeded"
            }
        }
    }
}
