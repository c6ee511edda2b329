//! Executions as Lambda shows them: in the API, in its history, and in the event that an invocation
//! of the function gets.

use serde_json::{Map, Value, json};
use wire::{Timestamp, lambda as api};

use super::{
    checkpoint::StatePage,
    core::{ErrorObject, Event, Head, Kind, Operation, What},
    token,
};

/// An instant in milliseconds since 1970.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

pub fn error(error: &ErrorObject) -> api::ErrorObject {
    let ErrorObject {
        error_message,
        error_type,
        error_data,
        stack_trace,
    } = error.clone();
    api::ErrorObject {
        error_message,
        error_type,
        error_data,
        stack_trace,
    }
}

pub fn read_error(error: api::ErrorObject) -> ErrorObject {
    let api::ErrorObject {
        error_message,
        error_type,
        error_data,
        stack_trace,
    } = error;
    ErrorObject {
        error_message,
        error_type,
        error_data,
        stack_trace,
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// An operation of the execution with an id.
pub fn operation(execution: &str, operation: &Operation) -> api::OperationShape {
    let (result, failed) = (
        operation.result.clone(),
        operation.error.as_ref().map(error),
    );
    let mut shown = api::OperationShape {
        id: operation.id.clone(),
        parent_id: operation.parent_id.clone(),
        name: operation.name.clone(),
        type_: operation.kind.as_str().to_owned(),
        sub_type: operation.sub_type.clone(),
        start_timestamp: at(operation.started_ms),
        end_timestamp: operation.ended_ms.map(at),
        status: operation.status.as_str().to_owned(),
        ..Default::default()
    };
    match operation.kind {
        Kind::Execution => {
            shown.execution_details = Some(api::ExecutionDetails {
                input_payload: operation.input.clone(),
            });
        }
        Kind::Context => {
            shown.context_details = Some(api::ContextDetails {
                replay_children: Some(operation.replay_children),
                result,
                error: failed,
            });
        }
        Kind::Step => {
            shown.step_details = Some(api::StepDetails {
                attempt: Some(count(operation.attempt)),
                next_attempt_timestamp: operation.due_ms.map(at),
                result,
                error: failed,
            });
        }
        Kind::Wait => {
            shown.wait_details = Some(api::WaitDetails {
                scheduled_end_timestamp: operation.due_ms.map(at),
            });
        }
        Kind::Callback => {
            shown.callback_details = Some(api::CallbackDetails {
                callback_id: Some(token::callback_id(execution, &operation.id)),
                result,
                error: failed,
            });
        }
        Kind::ChainedInvoke => {
            shown.chained_invoke_details = Some(api::ChainedInvokeDetails {
                result,
                error: failed,
            });
        }
    }
    shown
}

/// The event of an invocation: the same as in the API, but times are numbers of milliseconds.
pub fn invocation_input(head: &Head, token: &str, page: &StatePage, updated: &[String]) -> String {
    let operations = page.operations.iter();
    let operations: Vec<Value> = operations.map(|it| operation_json(&head.id, it)).collect();
    let mut state = Map::new();
    state.insert("Operations".into(), operations.into());
    if let Some(next) = page.next {
        state.insert("NextMarker".into(), next.to_string().into());
    }
    json!({
        "DurableExecutionArn": token::arn(head),
        "CheckpointToken": token,
        "InitialExecutionState": state,
        "UpdatedOperationIds": updated,
    })
    .to_string()
}

fn operation_json(execution: &str, operation: &Operation) -> Value {
    let mut details = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            details.insert(name.to_owned(), value);
        }
    };
    let name = match operation.kind {
        Kind::Execution => {
            put("InputPayload", operation.input.clone().map(Value::from));
            "ExecutionDetails"
        }
        Kind::Context => {
            put("ReplayChildren", Some(operation.replay_children.into()));
            "ContextDetails"
        }
        Kind::Step => {
            put("Attempt", Some(operation.attempt.into()));
            put("NextAttemptTimestamp", operation.due_ms.map(Value::from));
            "StepDetails"
        }
        Kind::Wait => {
            put("ScheduledEndTimestamp", operation.due_ms.map(Value::from));
            "WaitDetails"
        }
        Kind::Callback => {
            let id = token::callback_id(execution, &operation.id);
            put("CallbackId", Some(id.into()));
            "CallbackDetails"
        }
        Kind::ChainedInvoke => "ChainedInvokeDetails",
    };
    if !matches!(operation.kind, Kind::Execution | Kind::Wait) {
        put("Result", operation.result.clone().map(Value::from));
        put("Error", operation.error.as_ref().map(|error| json!(error)));
    }
    let mut shown = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value);
        }
    };
    put("Id", Some(operation.id.clone().into()));
    put("ParentId", operation.parent_id.clone().map(Value::from));
    put("Name", operation.name.clone().map(Value::from));
    put("Type", Some(operation.kind.as_str().into()));
    put("SubType", operation.sub_type.clone().map(Value::from));
    put("StartTimestamp", Some(operation.started_ms.into()));
    put("EndTimestamp", operation.ended_ms.map(Value::from));
    put("Status", Some(operation.status.as_str().into()));
    put(name, Some(details.into()));
    shown.into()
}

/// An event of the history; without its payloads unless they are asked for.
pub fn event(execution: &str, event: Event, with_data: bool) -> api::Event {
    let Event {
        number,
        at_ms,
        id,
        name,
        parent_id,
        sub_type,
        what,
    } = event;
    let callback = id.as_ref().map(|id| token::callback_id(execution, id));
    let mut shown = api::Event {
        sub_type,
        event_id: Some(count(number)),
        id,
        name,
        event_timestamp: Some(at(at_ms)),
        parent_id,
        ..Default::default()
    };
    let data = Data { with_data };
    let kind = put(&mut shown, what, &data, at_ms, callback.unwrap_or_default());
    shown.event_type = Some(kind.to_owned());
    shown
}

struct Data {
    with_data: bool,
}

impl Data {
    fn input(&self, payload: Option<String>) -> api::EventInput {
        api::EventInput {
            payload: payload.filter(|_| self.with_data),
            truncated: Some(!self.with_data),
        }
    }

    fn result(&self, payload: Option<String>) -> api::EventResult {
        api::EventResult {
            payload: payload.filter(|_| self.with_data),
            truncated: Some(!self.with_data),
        }
    }

    fn error(&self, of: Option<ErrorObject>) -> api::EventError {
        api::EventError {
            payload: of.as_ref().filter(|_| self.with_data).map(error),
            truncated: Some(!self.with_data),
        }
    }
}

/// Fills in what is particular to a kind of event, and gives its name.
#[expect(clippy::too_many_lines, reason = "a table of AWS's kinds of events")]
fn put(
    shown: &mut api::Event,
    what: What,
    data: &Data,
    at_ms: i64,
    callback_id: String,
) -> &'static str {
    match what {
        What::ExecutionStarted { input, timeout_s } => {
            shown.execution_started_details = Some(api::ExecutionStartedDetails {
                input: data.input(Some(input)),
                execution_timeout: count(timeout_s),
            });
            "ExecutionStarted"
        }
        What::ExecutionSucceeded { result } => {
            let result = data.result(result);
            shown.execution_succeeded_details = Some(api::ExecutionSucceededDetails { result });
            "ExecutionSucceeded"
        }
        What::ExecutionFailed { error } => {
            let error = data.error(error);
            shown.execution_failed_details = Some(api::ExecutionFailedDetails { error });
            "ExecutionFailed"
        }
        What::ExecutionTimedOut { error } => {
            let error = Some(data.error(error));
            shown.execution_timed_out_details = Some(api::ExecutionTimedOutDetails { error });
            "ExecutionTimedOut"
        }
        What::ExecutionStopped { error } => {
            let error = data.error(error);
            shown.execution_stopped_details = Some(api::ExecutionStoppedDetails { error });
            "ExecutionStopped"
        }
        What::ContextStarted => {
            shown.context_started_details = Some(api::ContextStartedDetails {});
            "ContextStarted"
        }
        What::ContextSucceeded { result } => {
            let result = data.result(result);
            shown.context_succeeded_details = Some(api::ContextSucceededDetails { result });
            "ContextSucceeded"
        }
        What::ContextFailed { error } => {
            let error = data.error(error);
            shown.context_failed_details = Some(api::ContextFailedDetails { error });
            "ContextFailed"
        }
        What::WaitStarted { duration_s, end_ms } => {
            shown.wait_started_details = Some(api::WaitStartedDetails {
                duration: count(duration_s),
                scheduled_end_timestamp: at(end_ms),
            });
            "WaitStarted"
        }
        What::WaitSucceeded { duration_s } => {
            let duration = Some(count(duration_s));
            shown.wait_succeeded_details = Some(api::WaitSucceededDetails { duration });
            "WaitSucceeded"
        }
        What::WaitCancelled { error } => {
            let error = error.map(|error| data.error(Some(error)));
            shown.wait_cancelled_details = Some(api::WaitCancelledDetails { error });
            "WaitCancelled"
        }
        What::StepStarted => {
            shown.step_started_details = Some(api::StepStartedDetails {});
            "StepStarted"
        }
        What::StepSucceeded {
            result,
            attempt,
            delay_s,
        } => {
            shown.step_succeeded_details = Some(api::StepSucceededDetails {
                result: data.result(result),
                retry_details: retry(attempt, delay_s),
            });
            "StepSucceeded"
        }
        What::StepFailed {
            error,
            attempt,
            delay_s,
        } => {
            shown.step_failed_details = Some(api::StepFailedDetails {
                error: data.error(error),
                retry_details: retry(attempt, delay_s),
            });
            "StepFailed"
        }
        What::ChainedInvokeStarted {
            function,
            input,
            child_arn,
        } => {
            shown.chained_invoke_started_details = Some(api::ChainedInvokeStartedDetails {
                function_name: function,
                tenant_id: None,
                input: input.map(|input| data.input(Some(input))),
                executed_version: None,
                durable_execution_arn: child_arn,
            });
            "ChainedInvokeStarted"
        }
        What::ChainedInvokeSucceeded { result } => {
            let result = data.result(result);
            shown.chained_invoke_succeeded_details =
                Some(api::ChainedInvokeSucceededDetails { result });
            "ChainedInvokeSucceeded"
        }
        What::ChainedInvokeFailed { error } => {
            let error = data.error(error);
            shown.chained_invoke_failed_details = Some(api::ChainedInvokeFailedDetails { error });
            "ChainedInvokeFailed"
        }
        What::ChainedInvokeTimedOut { error } => {
            let error = data.error(error);
            shown.chained_invoke_timed_out_details =
                Some(api::ChainedInvokeTimedOutDetails { error });
            "ChainedInvokeTimedOut"
        }
        What::ChainedInvokeStopped { error } => {
            let error = data.error(error);
            shown.chained_invoke_stopped_details = Some(api::ChainedInvokeStoppedDetails { error });
            "ChainedInvokeStopped"
        }
        What::CallbackStarted {
            timeout_s,
            heartbeat_s,
        } => {
            shown.callback_started_details = Some(api::CallbackStartedDetails {
                callback_id,
                heartbeat_timeout: Some(count(heartbeat_s)),
                timeout: Some(count(timeout_s)),
            });
            "CallbackStarted"
        }
        What::CallbackSucceeded { result } => {
            let result = data.result(result);
            shown.callback_succeeded_details = Some(api::CallbackSucceededDetails { result });
            "CallbackSucceeded"
        }
        What::CallbackFailed { error } => {
            let error = data.error(error);
            shown.callback_failed_details = Some(api::CallbackFailedDetails { error });
            "CallbackFailed"
        }
        What::CallbackTimedOut { error } => {
            let error = data.error(error);
            shown.callback_timed_out_details = Some(api::CallbackTimedOutDetails { error });
            "CallbackTimedOut"
        }
        What::InvocationCompleted {
            start_ms,
            request_id,
            error,
        } => {
            shown.invocation_completed_details = Some(api::InvocationCompletedDetails {
                start_timestamp: at(start_ms),
                end_timestamp: at(at_ms),
                request_id,
                error: error.map(|error| data.error(Some(error))),
            });
            "InvocationCompleted"
        }
    }
}

fn retry(attempt: u32, delay_s: Option<u32>) -> api::RetryDetails {
    api::RetryDetails {
        current_attempt: Some(count(attempt)),
        next_attempt_delay_seconds: delay_s.map(count),
    }
}
