//! What a function checkpoints: whether it may be, and what it makes of the operations.
//!
//! The rules and their words are AWS's. All updates of a request are taken or none.

use std::collections::HashMap;

use super::{
    Callback, ErrorObject, Kind, Operation, OperationStatus, State, Status, Target, What,
    operation::payload_bytes,
};
use crate::durable::limits;

/// AWS's `OperationUpdate`.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub id: String,
    pub parent_id: Option<String>,
    pub name: Option<String>,
    pub kind: Kind,
    pub sub_type: Option<String>,
    pub action: Action,
    pub payload: Option<String>,
    pub error: Option<ErrorObject>,
    pub replay_children: bool,
    pub next_attempt_s: Option<u32>,
    pub wait_s: Option<u32>,
    pub callback: (u32, u32),
    /// What a chained invoke is of, or why it cannot be.
    pub target: Option<Result<Target, ErrorObject>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Start,
    Succeed,
    Fail,
    Retry,
    Cancel,
}

/// Why updates are not taken, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A chained invoke that began.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    pub id: String,
    pub target: Target,
    pub input: String,
}

type Checked<T = ()> = Result<T, Refused>;

fn refused<T>(message: impl Into<String>) -> Checked<T> {
    Err(Refused(message.into()))
}

impl State {
    /// Takes updates, and gives the chained invokes that began with them.
    pub fn checkpoint(&mut self, updates: Vec<Update>, now_ms: i64) -> Checked<Vec<Started>> {
        check_order(&updates)?;
        debug_assert!(!self.has_changes(), "what was before is stored");
        let (head, touches) = (self.head.clone(), self.touches);
        let taken = self.take_updates(updates, now_ms);
        if taken.is_err() {
            self.undo(head, touches);
        }
        taken
    }

    fn undo(&mut self, head: super::Head, touches: u64) {
        // From the end, as new ones go.
        while let Some((at, before)) = self.changed.pop_last() {
            match before {
                Some(before) => self.operations[at] = before,
                None => {
                    self.by_id.remove(&self.operations[at].id);
                    self.operations.truncate(at);
                }
            }
        }
        self.events.clear();
        self.head = head;
        self.touches = touches;
    }

    fn take_updates(&mut self, updates: Vec<Update>, now_ms: i64) -> Checked<Vec<Started>> {
        let mut last: HashMap<String, (Kind, Action)> = HashMap::new();
        let mut started = Vec::new();
        for update in updates {
            if let Some((kind, action)) = last.get(&update.id) {
                let may_follow = matches!(kind, Kind::Step | Kind::Context)
                    && *action == Action::Start
                    && update.action != Action::Start;
                if !may_follow {
                    return refused("Cannot checkpoint multiple operations with the same ID.");
                }
            }
            last.insert(update.id.clone(), (update.kind, update.action));
            self.check(&update)?;
            started.extend(self.take_update(update, now_ms)?);
        }
        Ok(started)
    }

    fn check(&self, update: &Update) -> Checked {
        self.check_parent(update)?;
        if let Some(known) = self.get(&update.id) {
            check_same(known, update)?;
        }
        check_size(update, self.head.parent.is_some())?;
        let bytes = payload_bytes(update.payload.as_ref(), update.error.as_ref()) as u64;
        if self.head.bytes + bytes > limits::STATE_BYTES_MAX {
            return refused(format!(
                "The data of a durable execution must not exceed {} bytes.",
                limits::STATE_BYTES_MAX
            ));
        }
        Ok(())
    }

    fn check_parent(&self, update: &Update) -> Checked {
        let Some(parent_id) = &update.parent_id else {
            return Ok(());
        };
        match self.get(parent_id).map(|parent| parent.kind) {
            Some(Kind::Context) => Ok(()),
            _ => refused("Invalid parent operation id."),
        }
    }

    fn take_update(&mut self, update: Update, now_ms: i64) -> Checked<Option<Started>> {
        self.head.bytes += payload_bytes(update.payload.as_ref(), update.error.as_ref()) as u64;
        match update.kind {
            Kind::Execution => self.end_execution(update, now_ms)?,
            Kind::Context => self.context(update, now_ms)?,
            Kind::Step => self.step(update, now_ms)?,
            Kind::Wait => self.wait(update, now_ms)?,
            Kind::Callback => self.callback(update, now_ms)?,
            Kind::ChainedInvoke => return self.chained_invoke(update, now_ms),
        }
        Ok(None)
    }

    fn end_execution(&mut self, update: Update, now_ms: i64) -> Checked {
        match update.action {
            Action::Succeed if update.error.is_some() => {
                refused("Cannot provide an Error for SUCCEED action.")
            }
            Action::Fail if update.payload.is_some() => {
                refused("Cannot provide a Payload for FAIL action.")
            }
            Action::Succeed => {
                self.close(Status::Succeeded, update.payload, None, now_ms);
                Ok(())
            }
            Action::Fail => {
                self.close(Status::Failed, None, update.error, now_ms);
                Ok(())
            }
            _ => refused(INVALID_ACTION),
        }
    }

    fn context(&mut self, update: Update, now_ms: i64) -> Checked {
        let known = self.by_id.get(&update.id).copied();
        match update.action {
            Action::Start if known.is_some() => {
                refused("Cannot start a CONTEXT that already exist.")
            }
            Action::Start => {
                let at = self.add_new(&update, now_ms)?;
                self.note(at, now_ms, What::ContextStarted);
                Ok(())
            }
            Action::Succeed | Action::Fail => {
                let open = |at: usize| self.operations[at].status == OperationStatus::Started;
                if known.is_some_and(|at| !open(at)) {
                    return refused("Invalid current CONTEXT state to close.");
                }
                check_close(&update)?;
                let at = self.known_or_new(known, &update, now_ms)?;
                self.end(at, update, now_ms);
                let Operation { result, error, .. } = self.operations[at].clone();
                let what = match self.operations[at].status {
                    OperationStatus::Succeeded => What::ContextSucceeded { result },
                    _ => What::ContextFailed { error },
                };
                self.note(at, now_ms, what);
                Ok(())
            }
            _ => refused(INVALID_ACTION),
        }
    }

    fn step(&mut self, update: Update, now_ms: i64) -> Checked {
        let known = self.by_id.get(&update.id).copied();
        let status = known.map(|at| self.operations[at].status);
        let runs = status.is_none_or(|status| {
            matches!(status, OperationStatus::Started | OperationStatus::Ready)
        });
        match update.action {
            Action::Start => {
                if status.is_some_and(|status| status != OperationStatus::Ready) {
                    return refused("Invalid current STEP state to start.");
                }
                let at = self.known_or_new(known, &update, now_ms)?;
                // What the last attempt left stays until this one ends.
                self.change(at, |step| step.status = OperationStatus::Started);
                self.note(at, now_ms, What::StepStarted);
                Ok(())
            }
            Action::Succeed | Action::Fail => {
                if !runs {
                    return refused("Invalid current STEP state to close.");
                }
                check_close(&update)?;
                let at = self.known_or_new(known, &update, now_ms)?;
                self.end(at, update, now_ms);
                self.note_attempt(at, now_ms, None);
                Ok(())
            }
            Action::Retry => {
                if !runs {
                    return refused("Invalid current STEP state to re-attempt.");
                }
                let Some(delay_s) = update.next_attempt_s.filter(|delay_s| *delay_s > 0) else {
                    return refused("Invalid StepOptions for the given action.");
                };
                if update.payload.is_some() && update.error.is_some() {
                    return refused("Cannot provide both error and payload to RETRY a STEP.");
                }
                let at = self.known_or_new(known, &update, now_ms)?;
                self.change(at, |step| {
                    step.status = OperationStatus::Pending;
                    step.attempt += 1;
                    step.due_ms = Some(now_ms + i64::from(delay_s) * 1000);
                    step.result = update.payload;
                    step.error = update.error;
                });
                self.note_attempt(at, now_ms, Some(delay_s));
                Ok(())
            }
            Action::Cancel => refused(INVALID_ACTION),
        }
    }

    fn note_attempt(&mut self, at: usize, now_ms: i64, delay_s: Option<u32>) {
        let Operation {
            result,
            error,
            attempt,
            ..
        } = self.operations[at].clone();
        let what = match error {
            None if self.operations[at].status != OperationStatus::Failed => What::StepSucceeded {
                result,
                attempt,
                delay_s,
            },
            error => What::StepFailed {
                error,
                attempt,
                delay_s,
            },
        };
        self.note(at, now_ms, what);
    }

    fn wait(&mut self, update: Update, now_ms: i64) -> Checked {
        let known = self.by_id.get(&update.id).copied();
        match update.action {
            Action::Start if known.is_some() => refused("Cannot start a WAIT that already exist."),
            Action::Start => {
                let Some(duration_s) = update.wait_s else {
                    return refused("Invalid WaitOptions for the given action.");
                };
                let end_ms = now_ms + i64::from(duration_s) * 1000;
                let at = self.add_new(&update, now_ms)?;
                self.operations[at].due_ms = Some(end_ms);
                self.note(at, now_ms, What::WaitStarted { duration_s, end_ms });
                Ok(())
            }
            Action::Cancel => {
                let open = |at: &usize| self.operations[*at].status == OperationStatus::Started;
                let Some(at) = known.filter(open) else {
                    return refused(
                        "Cannot cancel a WAIT that does not exist or has already completed.",
                    );
                };
                self.change(at, |wait| {
                    wait.status = OperationStatus::Cancelled;
                    wait.ended_ms = Some(now_ms);
                });
                let error = update.error;
                self.note(at, now_ms, What::WaitCancelled { error });
                Ok(())
            }
            _ => refused(INVALID_ACTION),
        }
    }

    fn callback(&mut self, update: Update, now_ms: i64) -> Checked {
        if update.action != Action::Start {
            return refused(INVALID_ACTION);
        }
        if self.get(&update.id).is_some() {
            return refused("Cannot start a CALLBACK that already exist.");
        }
        let (timeout_s, heartbeat_s) = update.callback;
        let after = |s: u32| (s > 0).then(|| now_ms + i64::from(s) * 1000);
        let at = self.add_new(&update, now_ms)?;
        self.operations[at].callback = Some(Callback {
            timeout_s,
            heartbeat_s,
            timeout_ms: after(timeout_s),
            heartbeat_ms: after(heartbeat_s),
        });
        let what = What::CallbackStarted {
            timeout_s,
            heartbeat_s,
        };
        self.note(at, now_ms, what);
        Ok(())
    }

    fn chained_invoke(&mut self, update: Update, now_ms: i64) -> Checked<Option<Started>> {
        if update.action != Action::Start {
            return refused(INVALID_ACTION);
        }
        if self.get(&update.id).is_some() {
            return refused("Cannot start a CHAINED_INVOKE that already exist.");
        }
        let Some(target) = update.target.clone() else {
            return refused("Invalid ChainedInvokeOptions for the given action.");
        };
        let at = self.add_new(&update, now_ms)?;
        let input = update.payload.unwrap_or_else(|| "{}".to_owned());
        match target {
            Ok(target) => {
                self.operations[at].input = Some(input.clone());
                self.operations[at].target = Some(target.clone());
                let what = What::ChainedInvokeStarted {
                    function: target.named.clone(),
                    input: Some(input.clone()),
                    child_arn: target.child_arn.clone(),
                };
                self.note(at, now_ms, what);
                Ok(Some(Started {
                    id: update.id,
                    target,
                    input,
                }))
            }
            Err(error) => {
                let operation = &mut self.operations[at];
                operation.status = OperationStatus::Failed;
                operation.ended_ms = Some(now_ms);
                operation.error = Some(error.clone());
                let error = Some(error);
                self.note(at, now_ms, What::ChainedInvokeFailed { error });
                Ok(None)
            }
        }
    }

    /// Ends an operation as the function says.
    fn end(&mut self, at: usize, update: Update, now_ms: i64) {
        self.change(at, |operation| {
            operation.status = match update.action {
                Action::Fail => OperationStatus::Failed,
                _ => OperationStatus::Succeeded,
            };
            operation.ended_ms = Some(now_ms);
            operation.due_ms = None;
            if operation.kind == Kind::Step {
                operation.attempt += 1;
            }
            operation.replay_children = update.replay_children;
            operation.result = update.payload;
            operation.error = update.error;
        });
    }

    fn known_or_new(
        &mut self,
        known: Option<usize>,
        update: &Update,
        now_ms: i64,
    ) -> Checked<usize> {
        match known {
            Some(at) => Ok(at),
            None => self.add_new(update, now_ms),
        }
    }

    fn add_new(&mut self, update: &Update, now_ms: i64) -> Checked<usize> {
        if self.operations.len() >= limits::OPERATIONS_MAX {
            return refused(format!(
                "A durable execution must not have more than {} operations.",
                limits::OPERATIONS_MAX
            ));
        }
        Ok(self.add(Operation {
            parent_id: update.parent_id.clone(),
            name: update.name.clone(),
            sub_type: update.sub_type.clone(),
            ..Operation::new(update.id.clone(), update.kind, now_ms)
        }))
    }
}

const INVALID_ACTION: &str = "Invalid action for the given operation type.";

fn check_order(updates: &[Update]) -> Checked {
    let ends = updates.iter().filter(|it| it.kind == Kind::Execution);
    match ends.count() {
        0 => Ok(()),
        1 if updates.last().is_some_and(|it| it.kind == Kind::Execution) => Ok(()),
        1 => refused("EXECUTION checkpoint must be the last update."),
        _ => refused("Cannot checkpoint multiple EXECUTION updates."),
    }
}

/// What an operation is does not change.
fn check_same(known: &Operation, update: &Update) -> Checked {
    let differs =
        |known: &Option<String>, asked: &Option<String>| asked.is_some() && asked != known;
    if known.kind != update.kind {
        return refused("Inconsistent operation type.");
    }
    if known.kind == Kind::Execution {
        return Ok(());
    }
    if differs(&known.sub_type, &update.sub_type) {
        return refused("Inconsistent operation subtype.");
    }
    if differs(&known.name, &update.name) {
        return refused("Inconsistent operation name.");
    }
    if differs(&known.parent_id, &update.parent_id) {
        return refused("Inconsistent parent operation id.");
    }
    Ok(())
}

fn check_size(update: &Update, is_child: bool) -> Checked {
    let error_bytes = update.error.as_ref().map_or(0, ErrorObject::bytes);
    if error_bytes > limits::ERROR_BYTES_MAX {
        return refused(format!(
            "Error object size must be less than {} bytes.",
            limits::ERROR_BYTES_MAX
        ));
    }
    let (what, max) = match update.kind {
        Kind::Execution if is_child => ("Execution output", limits::CHAINED_BYTES_MAX),
        Kind::Execution => ("Execution output", limits::RESULT_BYTES_MAX),
        Kind::ChainedInvoke => ("CHAINED_INVOKE input", limits::CHAINED_BYTES_MAX),
        Kind::Context => ("CONTEXT output", limits::PAYLOAD_BYTES_MAX),
        Kind::Step => ("STEP output", limits::PAYLOAD_BYTES_MAX),
        Kind::Wait => ("WAIT output", limits::PAYLOAD_BYTES_MAX),
        Kind::Callback => ("CALLBACK output", limits::PAYLOAD_BYTES_MAX),
    };
    match update.payload.as_ref().map_or(0, String::len) > max {
        true => refused(format!(
            "{what} payload size must be less than or equal to {max} bytes."
        )),
        false => Ok(()),
    }
}

fn check_close(update: &Update) -> Checked {
    match update.action {
        Action::Fail if update.payload.is_some() => {
            refused("Cannot provide a Payload for FAIL action.")
        }
        Action::Succeed if update.error.is_some() => {
            refused("Cannot provide an Error for SUCCEED action.")
        }
        _ => Ok(()),
    }
}
