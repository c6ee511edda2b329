//! A durable execution as a state machine: what updates, timers, callbacks and the function's own
//! answers make of it. No clock and no I/O: time is an argument, and what was changed is collected
//! for whoever stores it.

mod ending;
mod event;
mod operation;
mod timer;
mod update;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

pub use ending::{Ended, Output};
pub use event::{Event, What};
pub use operation::{
    Callback, ErrorObject, Kind, Operation, OperationStatus, Target, payload_bytes,
};
pub use update::{Action, Refused, Started, Update};

use super::limits;

/// An execution but for its operations: small, written with every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// A UUID, the last part of the ARN.
    pub id: String,
    pub account_id: String,
    pub region: String,
    pub function: String,
    /// The version that all its invocations run: a number or `$LATEST`.
    pub version: String,
    pub name: String,
    /// SHA-256 of the input, in hexadecimal: a start that is repeated has the same.
    pub input_hash: String,
    pub timeout_s: u32,
    pub retention_days: u32,
    pub started_ms: i64,
    pub status: Status,
    pub ended_ms: Option<i64>,
    /// `X-Amzn-Trace-Id` of the start.
    pub trace: Option<String>,
    /// Whose chained invoke this is.
    pub parent: Option<Parent>,
    /// The next invocation is due then. An invocation that runs does not clear it before its end,
    /// so that a crash loses none.
    pub owed_ms: Option<i64>,
    /// Invocations one after the other that failed.
    pub failures: u32,
    /// Operations that others changed since the function last saw its state.
    pub updated: Vec<String>,
    pub operations: u32,
    pub events: u32,
    /// Of all payloads taken, also those that were replaced since.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    pub execution: String,
    pub operation: String,
    /// It knows how this execution ended.
    pub told: bool,
}

/// Of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Stopped,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }
}

impl Head {
    pub fn is_closed(&self) -> bool {
        self.status != Status::Running
    }

    /// When it is ended if it has not by then.
    pub fn deadline_ms(&self) -> i64 {
        self.started_ms + i64::from(self.timeout_s) * 1000
    }

    /// When a closed one goes.
    pub fn expiry_ms(&self) -> Option<i64> {
        let ended_ms = self.ended_ms?;
        Some(ended_ms + i64::from(self.retention_days) * limits::DAY_MS)
    }

    pub fn owes_parent(&self) -> bool {
        self.is_closed() && self.parent.as_ref().is_some_and(|parent| !parent.told)
    }
}

/// What became different since the last [`State::take`].
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    pub head: Head,
    /// By their position.
    pub operations: Vec<(u32, Operation)>,
    pub events: Vec<Event>,
    /// See [`State::due_ms`] and [`State::is_busy`].
    pub due_ms: Option<i64>,
    pub busy: bool,
}

/// An execution with its operations, in the order in which they began. The first is the execution.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub head: Head,
    operations: Vec<Operation>,
    by_id: HashMap<String, usize>,
    /// Counts changes of operations; each has the number of its last one.
    touches: u64,
    /// Positions with what stood there before.
    changed: BTreeMap<usize, Option<Operation>>,
    events: Vec<Event>,
}

impl State {
    /// A new execution; its first invocation is due at once.
    pub fn start(mut head: Head, input: String) -> Self {
        let now_ms = head.started_ms;
        head.owed_ms = Some(now_ms);
        head.bytes = input.len() as u64;
        let mut state = Self::of(head, Vec::new());
        let operation = Operation {
            name: Some(state.head.name.clone()),
            input: Some(input.clone()),
            ..Operation::new(state.head.id.clone(), Kind::Execution, now_ms)
        };
        state.add(operation);
        let timeout_s = state.head.timeout_s;
        state.note(0, now_ms, What::ExecutionStarted { input, timeout_s });
        state
    }

    /// One as it is stored.
    pub fn of(head: Head, operations: Vec<Operation>) -> Self {
        let ids = operations.iter().map(|operation| operation.id.clone());
        Self {
            by_id: ids.zip(0..).collect(),
            head,
            operations,
            touches: 0,
            changed: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn get(&self, id: &str) -> Option<&Operation> {
        self.by_id.get(id).map(|at| &self.operations[*at])
    }

    /// Every change of an operation so far.
    pub fn touches(&self) -> u64 {
        self.touches
    }

    /// The operations that changed after a number of [`State::touches`].
    pub fn touched_since(&self, seen: u64) -> impl Iterator<Item = &Operation> {
        let changed = move |operation: &&Operation| operation.touched > seen;
        self.operations.iter().filter(changed)
    }

    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty() || !self.events.is_empty()
    }

    /// What is to be stored, once.
    pub fn take(&mut self, now_ms: i64) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let operations = changed.into_keys().map(|at| {
            let position = u32::try_from(at).unwrap_or(u32::MAX);
            (position, self.operations[at].clone())
        });
        Changes {
            operations: operations.collect(),
            events: std::mem::take(&mut self.events),
            head: self.head.clone(),
            due_ms: self.due_ms(now_ms),
            busy: self.is_busy(),
        }
    }

    /// Forgets the payloads that are stored and that the function has been given: they are of no
    /// more use to us.
    pub fn forget_payloads(&mut self, seen: u64) {
        let done = |it: &&mut Operation| it.touched <= seen && it.status.is_final();
        // The first is what the execution came to.
        self.operations
            .iter_mut()
            .skip(1)
            .filter(done)
            .for_each(Operation::forget_payloads);
    }

    /// Ends the execution.
    pub fn close(
        &mut self,
        status: Status,
        result: Option<String>,
        error: Option<ErrorObject>,
        now_ms: i64,
    ) {
        if self.head.is_closed() {
            return;
        }
        self.head.status = status;
        self.head.ended_ms = Some(now_ms);
        self.head.owed_ms = None;
        let what = match status {
            Status::Running => return,
            Status::Succeeded => What::ExecutionSucceeded {
                result: result.clone(),
            },
            Status::Failed => What::ExecutionFailed {
                error: error.clone(),
            },
            Status::TimedOut => What::ExecutionTimedOut {
                error: error.clone(),
            },
            Status::Stopped => What::ExecutionStopped {
                error: error.clone(),
            },
        };
        self.change(0, |operation| {
            operation.status = match status {
                Status::Running | Status::Succeeded => OperationStatus::Succeeded,
                Status::Failed => OperationStatus::Failed,
                Status::TimedOut => OperationStatus::TimedOut,
                Status::Stopped => OperationStatus::Stopped,
            };
            operation.ended_ms = Some(now_ms);
            operation.result = result;
            operation.error = error;
        });
        self.note(0, now_ms, what);
    }

    /// The parent has been told how this ended.
    pub fn parent_told(&mut self) {
        if let Some(parent) = &mut self.head.parent {
            parent.told = true;
        }
    }

    fn add(&mut self, mut operation: Operation) -> usize {
        let at = self.operations.len();
        self.touches += 1;
        operation.touched = self.touches;
        self.by_id.insert(operation.id.clone(), at);
        self.changed.insert(at, None);
        self.operations.push(operation);
        self.head.operations = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        at
    }

    fn change(&mut self, at: usize, act: impl FnOnce(&mut Operation)) {
        self.touches += 1;
        let touches = self.touches;
        self.change_unseen(at, |operation| {
            operation.touched = touches;
            act(operation);
        });
    }

    /// A change of which the function sees nothing.
    fn change_unseen(&mut self, at: usize, act: impl FnOnce(&mut Operation)) {
        let operation = &mut self.operations[at];
        self.changed
            .entry(at)
            .or_insert_with(|| Some(operation.clone()));
        act(operation);
    }

    /// An event of an operation.
    fn note(&mut self, at: usize, at_ms: i64, what: What) {
        let operation = &self.operations[at];
        let (id, name) = (Some(operation.id.clone()), operation.name.clone());
        let (parent_id, sub_type) = (operation.parent_id.clone(), operation.sub_type.clone());
        self.record(Event {
            number: 0,
            at_ms,
            id,
            name,
            parent_id,
            sub_type,
            what,
        });
    }

    fn record(&mut self, mut event: Event) {
        self.head.events += 1;
        event.number = self.head.events;
        self.events.push(event);
    }

    /// An operation ended or became ready without the function's doing: it is to be told.
    fn owe(&mut self, at: usize, now_ms: i64) {
        let id = &self.operations[at].id;
        if !self.head.updated.contains(id) {
            self.head.updated.push(id.clone());
        }
        // What is owed already, such as after a failure, comes when it comes; it tells of this too.
        self.head.owed_ms.get_or_insert(now_ms);
    }
}
