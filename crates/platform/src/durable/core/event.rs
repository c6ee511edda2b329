//! What the history tells, an event each.

use serde::{Deserialize, Serialize};

use super::ErrorObject;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 1.
    pub number: u32,
    pub at_ms: i64,
    /// Of the operation, as the following three.
    pub id: Option<String>,
    pub name: Option<String>,
    pub parent_id: Option<String>,
    pub sub_type: Option<String>,
    pub what: What,
}

/// AWS's `EventType` with what each tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum What {
    ExecutionStarted {
        input: String,
        timeout_s: u32,
    },
    ExecutionSucceeded {
        result: Option<String>,
    },
    ExecutionFailed {
        error: Option<ErrorObject>,
    },
    ExecutionTimedOut {
        error: Option<ErrorObject>,
    },
    ExecutionStopped {
        error: Option<ErrorObject>,
    },
    ContextStarted,
    ContextSucceeded {
        result: Option<String>,
    },
    ContextFailed {
        error: Option<ErrorObject>,
    },
    WaitStarted {
        duration_s: u32,
        end_ms: i64,
    },
    WaitSucceeded {
        duration_s: u32,
    },
    WaitCancelled {
        error: Option<ErrorObject>,
    },
    StepStarted,
    StepSucceeded {
        result: Option<String>,
        attempt: u32,
        delay_s: Option<u32>,
    },
    StepFailed {
        error: Option<ErrorObject>,
        attempt: u32,
        delay_s: Option<u32>,
    },
    ChainedInvokeStarted {
        function: String,
        input: Option<String>,
        child_arn: Option<String>,
    },
    ChainedInvokeSucceeded {
        result: Option<String>,
    },
    ChainedInvokeFailed {
        error: Option<ErrorObject>,
    },
    ChainedInvokeTimedOut {
        error: Option<ErrorObject>,
    },
    ChainedInvokeStopped {
        error: Option<ErrorObject>,
    },
    CallbackStarted {
        timeout_s: u32,
        heartbeat_s: u32,
    },
    CallbackSucceeded {
        result: Option<String>,
    },
    CallbackFailed {
        error: Option<ErrorObject>,
    },
    CallbackTimedOut {
        error: Option<ErrorObject>,
    },
    InvocationCompleted {
        start_ms: i64,
        request_id: String,
        error: Option<ErrorObject>,
    },
}

impl Event {
    /// About how large it is where it is sent with its payloads.
    pub fn bytes(&self) -> usize {
        serde_json::to_string(&self.what).map_or(0, |json| json.len())
    }
}
