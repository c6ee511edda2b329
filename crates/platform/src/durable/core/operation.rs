//! One operation of an execution, as it is stored.

use serde::{Deserialize, Serialize};

/// AWS's `Operation`, with what only we have to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub id: String,
    pub kind: Kind,
    pub status: OperationStatus,
    pub started_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
    /// Of the execution and of a chained invoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// Of a context.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replay_children: bool,
    /// Attempts of a step that ended.
    #[serde(default)]
    pub attempt: u32,
    /// A wait's end, or a step's next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The number of its last change in this process.
    #[serde(skip)]
    pub touched: u64,
}

impl Operation {
    pub fn new(id: String, kind: Kind, started_ms: i64) -> Self {
        Self {
            id,
            kind,
            status: OperationStatus::Started,
            started_ms,
            ended_ms: None,
            parent_id: None,
            name: None,
            sub_type: None,
            input: None,
            result: None,
            error: None,
            replay_children: false,
            attempt: 0,
            due_ms: None,
            callback: None,
            target: None,
            touched: 0,
        }
    }

    pub fn forget_payloads(&mut self) {
        self.input = None;
        self.result = None;
        self.error = None;
    }

    /// Whether the function may suspend on it.
    pub fn is_pending(&self) -> bool {
        match self.kind {
            Kind::Step => self.status == OperationStatus::Pending,
            Kind::Wait | Kind::Callback | Kind::ChainedInvoke => {
                self.status == OperationStatus::Started
            }
            Kind::Execution | Kind::Context => false,
        }
    }

    /// About how large it is where it is sent, in bytes.
    pub fn bytes(&self) -> usize {
        let input = match self.kind {
            Kind::Execution => self.input.as_ref(),
            _ => None,
        };
        // The names and times around it.
        400 + payload_bytes(input, None) + payload_bytes(self.result.as_ref(), self.error.as_ref())
    }
}

/// What a payload and an error come to, in bytes.
pub fn payload_bytes(payload: Option<&String>, error: Option<&ErrorObject>) -> usize {
    payload.map_or(0, String::len) + error.map_or(0, ErrorObject::bytes)
}

/// The kinds of operations; AWS's `OperationType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Execution,
    Context,
    Step,
    Wait,
    Callback,
    ChainedInvoke,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Execution,
        Self::Context,
        Self::Step,
        Self::Wait,
        Self::Callback,
        Self::ChainedInvoke,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "EXECUTION",
            Self::Context => "CONTEXT",
            Self::Step => "STEP",
            Self::Wait => "WAIT",
            Self::Callback => "CALLBACK",
            Self::ChainedInvoke => "CHAINED_INVOKE",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    Started,
    Pending,
    Ready,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Stopped,
}

impl OperationStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }

    /// Nothing becomes of it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Started | Self::Pending | Self::Ready)
    }
}

/// AWS's `ErrorObject`, under the names that it has in a function's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorObject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<Vec<String>>,
}

impl ErrorObject {
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            error_type: Some(kind.to_owned()),
            ..Self::message(message)
        }
    }

    pub fn message(message: impl Into<String>) -> Self {
        Self {
            error_message: Some(message.into()),
            ..Self::default()
        }
    }

    /// As JSON.
    pub fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(0, |json| json.len())
    }
}

/// When a callback is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    pub timeout_s: u32,
    pub heartbeat_s: u32,
    pub timeout_ms: Option<i64>,
    /// Moves with every heartbeat.
    pub heartbeat_ms: Option<i64>,
}

/// What a chained invoke invokes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As it was named.
    pub named: String,
    pub function: String,
    pub qualifier: Option<String>,
    /// The id of the execution that it is, if the function is a durable one.
    pub child: Option<String>,
    /// The ARN of that.
    pub child_arn: Option<String>,
}
