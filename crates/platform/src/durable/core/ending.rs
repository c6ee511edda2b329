//! What ends from outside: invocations, callbacks, chained invokes.

use serde_json::Value;

use super::{ErrorObject, Event, Kind, OperationStatus, State, Status, What};
use crate::durable::limits;

/// What an invocation of the function came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It answered.
    Answered(Output),
    /// It failed, was throttled or timed out: it is invoked again, after a while.
    Failed(ErrorObject),
    /// The function is not there any more.
    Gone(ErrorObject),
}

/// What a function that uses a durable execution SDK answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Succeeded(Option<String>),
    Failed(Option<ErrorObject>),
    Pending,
    /// None of these; why.
    Invalid(String),
}

impl Output {
    pub fn parse(payload: &[u8]) -> Self {
        let invalid = |why: &str| Self::Invalid(format!("Invalid invocation output: {why}"));
        let Ok(Value::Object(mut output)) = serde_json::from_slice(payload) else {
            return invalid("not a JSON object.");
        };
        let result = match output.remove("Result") {
            None | Some(Value::Null) => None,
            Some(Value::String(result)) => Some(result),
            Some(_) => return invalid("Result is not a string."),
        };
        let error = match output.remove("Error") {
            None | Some(Value::Null) => None,
            Some(error) => match serde_json::from_value(error) {
                Ok(error) => Some(error),
                Err(_) => return invalid("Error is not an error object."),
            },
        };
        let status = output.get("Status").and_then(Value::as_str);
        match (status, result, error) {
            (Some("SUCCEEDED"), result, None) => Self::Succeeded(result),
            (Some("SUCCEEDED"), _, Some(_)) => {
                Self::Invalid("Cannot provide an Error for SUCCEEDED status.".into())
            }
            (Some("FAILED"), None, error) => Self::Failed(error),
            (Some("FAILED"), Some(_), _) => {
                Self::Invalid("Cannot provide a Result for FAILED status.".into())
            }
            (Some("PENDING"), ..) => Self::Pending,
            _ => invalid("Status is none of SUCCEEDED, FAILED and PENDING."),
        }
    }
}

impl State {
    /// An invocation ended that began at `start_ms`. `seen` is the number of touches whose changes
    /// the function was given, where that is known.
    pub fn invocation_ended(
        &mut self,
        ended: Ended,
        (start_ms, request_id): (i64, String),
        seen: Option<u64>,
        now_ms: i64,
    ) {
        if self.head.is_closed() {
            return;
        }
        let ended = match ended {
            Ended::Answered(Output::Succeeded(Some(result)))
                if self.head.parent.is_some() && result.len() > limits::CHAINED_BYTES_MAX =>
            {
                let max = limits::CHAINED_BYTES_MAX;
                Ended::Answered(Output::Failed(Some(ErrorObject::message(format!(
                    "Execution output payload size must be less than or equal to {max} bytes."
                )))))
            }
            ended => ended,
        };
        let error = match &ended {
            Ended::Failed(error) | Ended::Gone(error) => Some(error.clone()),
            Ended::Answered(Output::Invalid(why)) => Some(invalid_output(why)),
            Ended::Answered(_) => None,
        };
        if !matches!(ended, Ended::Gone(_)) {
            self.record(Event {
                number: 0,
                at_ms: now_ms,
                id: None,
                name: None,
                parent_id: None,
                sub_type: None,
                what: What::InvocationCompleted {
                    start_ms,
                    request_id,
                    error,
                },
            });
        }
        match ended {
            Ended::Answered(Output::Succeeded(result)) => {
                self.close(Status::Succeeded, result, None, now_ms);
            }
            Ended::Answered(Output::Failed(error)) => {
                self.close(Status::Failed, None, error, now_ms);
            }
            Ended::Answered(Output::Pending) => self.suspended(seen, now_ms),
            Ended::Answered(Output::Invalid(why)) => {
                self.close(Status::Failed, None, Some(invalid_output(&why)), now_ms);
            }
            Ended::Failed(error) => self.try_again(error, limits::FAILURES_MAX, now_ms),
            Ended::Gone(error) => self.close(Status::Failed, None, Some(error), now_ms),
        }
    }

    /// The function waits for something, which may have come while it ran.
    fn suspended(&mut self, seen: Option<u64>, now_ms: i64) {
        let news = seen.is_none_or(|seen| self.touched_since(seen).next().is_some());
        let waits = self.operations.iter().any(super::Operation::is_pending);
        if !news && !waits {
            let why = "Cannot return PENDING status with no pending operations.";
            let error = invalid_output(why);
            return self.try_again(error, limits::INVALID_PENDING_MAX, now_ms);
        }
        self.head.failures = 0;
        self.head.owed_ms = news.then_some(now_ms);
    }

    fn try_again(&mut self, error: ErrorObject, max: u32, now_ms: i64) {
        self.head.failures += 1;
        match self.head.failures >= max {
            true => self.close(Status::Failed, None, Some(error), now_ms),
            false => {
                let doubled = 1_i64 << (self.head.failures - 1).min(16);
                let after_ms = (limits::AGAIN_AFTER_MS * doubled).min(limits::AGAIN_AFTER_MAX_MS);
                self.head.owed_ms = Some(now_ms + after_ms);
            }
        }
    }

    /// A callback was answered; says whether it was open.
    pub fn complete_callback(
        &mut self,
        id: &str,
        answer: Result<Option<String>, ErrorObject>,
        now_ms: i64,
    ) -> bool {
        let what = match answer.clone() {
            Ok(result) => What::CallbackSucceeded { result },
            Err(error) => What::CallbackFailed { error: Some(error) },
        };
        let status = match answer {
            Ok(_) => OperationStatus::Succeeded,
            Err(_) => OperationStatus::Failed,
        };
        self.complete(Kind::Callback, id, status, answer, what, now_ms)
    }

    /// A callback's sender lives; says whether the callback is open.
    pub fn heartbeat(&mut self, id: &str, now_ms: i64) -> bool {
        let Some(at) = self.open(Kind::Callback, id) else {
            return false;
        };
        self.change_unseen(at, |operation| {
            if let Some(callback) = &mut operation.callback
                && callback.heartbeat_s > 0
            {
                callback.heartbeat_ms = Some(now_ms + i64::from(callback.heartbeat_s) * 1000);
            }
        });
        true
    }

    /// A chained invoke ended; says whether it was open.
    pub fn complete_invoke(
        &mut self,
        id: &str,
        status: OperationStatus,
        answer: Result<Option<String>, ErrorObject>,
        now_ms: i64,
    ) -> bool {
        let what = match (status, answer.clone()) {
            (_, Ok(result)) => What::ChainedInvokeSucceeded { result },
            (OperationStatus::TimedOut, Err(error)) => {
                What::ChainedInvokeTimedOut { error: Some(error) }
            }
            (OperationStatus::Stopped, Err(error)) => {
                What::ChainedInvokeStopped { error: Some(error) }
            }
            (_, Err(error)) => What::ChainedInvokeFailed { error: Some(error) },
        };
        self.complete(Kind::ChainedInvoke, id, status, answer, what, now_ms)
    }

    fn complete(
        &mut self,
        kind: Kind,
        id: &str,
        status: OperationStatus,
        answer: Result<Option<String>, ErrorObject>,
        what: What,
        now_ms: i64,
    ) -> bool {
        let Some(at) = self.open(kind, id) else {
            return false;
        };
        self.change(at, |operation| {
            operation.status = status;
            operation.ended_ms = Some(now_ms);
            match answer {
                Ok(result) => operation.result = result,
                Err(error) => operation.error = Some(error),
            }
        });
        let Self {
            head, operations, ..
        } = self;
        let done = &operations[at];
        head.bytes += super::payload_bytes(done.result.as_ref(), done.error.as_ref()) as u64;
        self.note(at, now_ms, what);
        self.owe(at, now_ms);
        true
    }

    fn open(&self, kind: Kind, id: &str) -> Option<usize> {
        let at = *self.by_id.get(id)?;
        let operation = &self.operations[at];
        let open = !self.head.is_closed()
            && operation.kind == kind
            && operation.status == OperationStatus::Started;
        open.then_some(at)
    }
}

fn invalid_output(why: &str) -> ErrorObject {
    ErrorObject::new("InvalidParameterValueException", why)
}
