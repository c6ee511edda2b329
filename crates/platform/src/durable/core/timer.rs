//! What time alone does to an execution: waits end, steps become ready, callbacks are given up, and
//! the execution itself runs out of time.

use super::{ErrorObject, Kind, OperationStatus, State, Status, What};

impl State {
    /// Does everything that is due.
    pub fn pass_time(&mut self, now_ms: i64) {
        if self.head.is_closed() {
            return;
        }
        for at in 0..self.operations.len() {
            self.pass_time_of(at, now_ms);
        }
        if self.head.deadline_ms() <= now_ms {
            let error = format!("Execution timed out after {} seconds.", self.head.timeout_s);
            let error = Some(ErrorObject::message(error));
            self.close(Status::TimedOut, None, error, now_ms);
        }
    }

    /// When [`State::pass_time`] next has something to do, an invocation is owed that is not yet,
    /// or a closed execution goes.
    pub fn due_ms(&self, now_ms: i64) -> Option<i64> {
        if self.head.is_closed() {
            return self.head.expiry_ms();
        }
        let timers = (0..self.operations.len()).filter_map(|at| self.timer_ms(at));
        let owed = self.head.owed_ms.filter(|owed_ms| *owed_ms > now_ms);
        let deadline = Some(self.head.deadline_ms());
        timers.chain(owed).chain(deadline).min()
    }

    /// Whether there is work that only memory knows to be under way, so that a new process has to
    /// begin it again.
    pub fn is_busy(&self) -> bool {
        match self.head.is_closed() {
            true => self.head.owes_parent(),
            false => self.head.owed_ms.is_some() || self.plain_invokes().next().is_some(),
        }
    }

    /// The chained invokes under way of functions that are not durable, by their ids.
    pub fn plain_invokes(&self) -> impl Iterator<Item = &str> {
        let plain = self.operations.iter().filter(|operation| {
            operation.kind == Kind::ChainedInvoke
                && operation.status == OperationStatus::Started
                && operation
                    .target
                    .as_ref()
                    .is_some_and(|it| it.child.is_none())
        });
        plain.map(|operation| operation.id.as_str())
    }

    fn timer_ms(&self, at: usize) -> Option<i64> {
        let operation = &self.operations[at];
        match (operation.kind, operation.status) {
            (Kind::Wait, OperationStatus::Started) | (Kind::Step, OperationStatus::Pending) => {
                operation.due_ms
            }
            (Kind::Callback, OperationStatus::Started) => {
                let callback = operation.callback.as_ref()?;
                let both = [callback.timeout_ms, callback.heartbeat_ms];
                both.into_iter().flatten().min()
            }
            _ => None,
        }
    }

    fn pass_time_of(&mut self, at: usize, now_ms: i64) {
        if self.timer_ms(at).is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        match self.operations[at].kind {
            Kind::Wait => {
                let duration_ms =
                    self.operations[at].due_ms.unwrap_or(now_ms) - self.operations[at].started_ms;
                self.change(at, |wait| {
                    wait.status = OperationStatus::Succeeded;
                    wait.ended_ms = Some(now_ms);
                });
                let duration_s = u32::try_from((duration_ms + 500) / 1000).unwrap_or_default();
                self.note(at, now_ms, What::WaitSucceeded { duration_s });
            }
            Kind::Step => self.change(at, |step| {
                step.status = OperationStatus::Ready;
                step.due_ms = None;
            }),
            Kind::Callback => {
                let callback = self.operations[at].callback.as_ref();
                let whole = callback.and_then(|callback| callback.timeout_ms);
                let error = match whole.is_some_and(|timeout_ms| timeout_ms <= now_ms) {
                    true => ErrorObject::new("Callback.Timeout", "Callback timed out"),
                    false => {
                        ErrorObject::new("Callback.Heartbeat", "Callback timed out on heartbeat")
                    }
                };
                let error = Some(error);
                self.change(at, |callback| {
                    callback.status = OperationStatus::TimedOut;
                    callback.ended_ms = Some(now_ms);
                    callback.error = error.clone();
                });
                self.note(at, now_ms, What::CallbackTimedOut { error });
            }
            Kind::Execution | Kind::Context | Kind::ChainedInvoke => return,
        }
        self.owe(at, now_ms);
    }
}
