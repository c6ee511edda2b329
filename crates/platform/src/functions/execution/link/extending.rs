//! The link's part that extensions have: they register, ask for events and fail; the environment
//! waits for them, and tells them of its end.

use std::time::Duration;

use std::sync::Arc;

use sandbox::{Exit, Inward};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use uuid::Uuid;
use wire::Timestamp;

use super::{
    super::{
        extensions::{self, Reason, Refused},
        output::Output,
        report,
        telemetry::{NotSubscribed, Subscription},
    },
    Event, Fault, Init, Link, Ordering, Phase, Reply, State,
};

/// What Lambda leaves to an environment that ends: with extensions inside the runtime's process, and
/// with external ones.
const INTERNAL_TIME: Duration = Duration::from_millis(500);
const EXTERNAL_TIME: Duration = Duration::from_secs(2);
/// What of that telemetry may take that has not been delivered yet.
const TELEMETRY_TIME: Duration = Duration::from_millis(500);
/// The runtime's share of it, in tenths.
const RUNTIME_SHARE: u32 = 3;

/// What an extension learns of its function.
#[derive(Debug)]
pub struct About {
    pub function_name: String,
    pub function_version: String,
    pub handler: String,
    pub account_id: String,
}

/// How far an environment with external extensions is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Starting,
    /// All external extensions have registered: the runtime may start.
    Registered,
    /// The runtime is to end.
    Terminating,
    /// It has had its time.
    Killing,
}

/// Who has ended when all are to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    pub runtime: bool,
    /// Those that were told of the end.
    pub extensions: bool,
}

impl Link {
    pub fn describe(&self, about: About) {
        let _ = self.about.set(about);
    }

    /// Extensions may be told of this output.
    pub fn connect(&self, output: Arc<Output>, inward: Arc<dyn Inward>) {
        let _ = self.told.set((output, inward));
    }

    pub fn about(&self) -> Option<&About> {
        self.about.get()
    }

    pub fn has_extensions(&self) -> bool {
        self.extended.load(Ordering::Acquire)
    }

    /// An extension has failed, or the runtime has left its extensions: no request may come here.
    pub fn is_spoiled(&self) -> bool {
        if !self.has_extensions() {
            return false;
        }
        let state = self.lock();
        state.fault.is_some() || matches!(state.phase, Phase::Gone(_))
    }

    /// These external extensions are about to be started.
    pub fn found(&self, names: &str) {
        self.extended.store(true, Ordering::Release);
        let names = names.lines().map(str::to_owned);
        if !self.lock().extensions.found(names) {
            let fault = Fault::extension("Extension.LaunchError", "there are too many extensions");
            self.fail(fault);
        }
    }

    pub fn register(&self, name: &str, events: &[String]) -> Result<Uuid, Refused> {
        let mut state = self.lock();
        let id = state.extensions.register(name, events)?;
        self.extended.store(true, Ordering::Release);
        if state.extensions.all_registered() {
            self.stage.send_if_modified(|stage| {
                let starts = *stage == Stage::Starting;
                *stage = (*stage).max(Stage::Registered);
                starts
            });
        }
        Ok(id)
    }

    /// Who has this identifier.
    pub fn extension_name(&self, id: Uuid) -> Result<String, Refused> {
        self.lock().extensions.name(id)
    }

    /// An extension asks to be told of the log, which it can during the init only.
    pub async fn subscribe(
        &self,
        name: &str,
        subscription: Subscription,
    ) -> Result<(), NotSubscribed> {
        let starts = matches!(self.lock().phase, Phase::Init(_));
        match self.told.get() {
            Some((output, inward)) if starts => {
                output.telemetry.subscribe(name, subscription, inward).await
            }
            _ => Err(NotSubscribed::Closed),
        }
    }

    /// Writes into the log which extensions take part.
    pub fn say_ready(&self, output: &Output) {
        let ready = self.lock().extensions.ready();
        let now = Timestamp::now();
        for (name, events) in ready {
            output.say(|format| [report::extension(format, &name, &events, now)]);
        }
    }

    /// An extension asks for an event.
    pub fn extension_next(
        &self,
        id: Uuid,
    ) -> Result<oneshot::Receiver<extensions::Event>, Refused> {
        let mut state = self.lock();
        let event = state.extensions.next(id)?;
        state.settle();
        Ok(event)
    }

    /// An extension says that it cannot go on.
    pub fn extension_error(&self, id: Uuid, kind: &'static str, said: &str) -> Result<(), Refused> {
        let name = self.lock().extensions.fails(id)?;
        self.fail(Fault::extension(kind, &format!("extension {name}: {said}")));
        Ok(())
    }

    /// An external extension's process has ended, which only at the end is as it should be.
    pub fn extension_exited(&self, name: &str, how: &str) {
        let mut state = self.lock();
        state.extensions.exited(name);
        let all_gone = state.extensions.all_gone();
        drop(state);
        if *self.stage.borrow() >= Stage::Terminating {
            self.ends.send_modify(|ends| ends.extensions = all_gone);
        } else {
            self.fail(Fault::extension("Extension.Crash", how));
        }
    }

    /// The runtime's process has ended while extensions are still there.
    pub fn runtime_exited(&self, exit: Exit) {
        self.gone(exit);
    }

    /// The environment has come to nothing for a reason that is no runtime's.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Init(ready) => drop(ready.send(Init::Fault(fault.clone()))),
            Phase::Busy(mut busy) => busy.answer(Reply::Fault(fault.clone())),
            Phase::Idle => {}
            gone @ Phase::Gone(_) => state.phase = gone,
        }
        state.fault.get_or_insert(fault);
    }

    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Sees an environment with extensions to its end, after which it may be killed. `terminate`
    /// asks the runtime to end where it has no supervisor that would.
    pub async fn shut_down(&self, reason: Reason, terminate: impl FnOnce()) {
        let external = self.lock().extensions.any_external();
        let time = if external {
            EXTERNAL_TIME
        } else {
            INTERNAL_TIME
        };
        let (begun, now_ms) = (Instant::now(), Timestamp::now().as_millisecond());
        let mut ends = self.ends.subscribe();
        // A runtime that is gone or hangs is not asked.
        let gently = reason == Reason::Spindown;
        self.advance(match gently {
            true => Stage::Terminating,
            false => Stage::Killing,
        });
        if !external {
            if gently {
                terminate();
                let _ = timeout_at(begun + time, ends.wait_for(|ends| ends.runtime)).await;
            }
            return;
        }
        if gently {
            let share = begun + time * RUNTIME_SHARE / 10;
            let _ = timeout_at(share, ends.wait_for(|ends| ends.runtime)).await;
            self.advance(Stage::Killing);
        }
        if let Some((output, _)) = self.told.get() {
            output.drain();
            output.telemetry.flush(TELEMETRY_TIME).await;
        }
        let deadline_ms = now_ms + time.as_millis() as i64;
        let all_gone = {
            let mut state = self.lock();
            let event = extensions::Event::Shutdown {
                reason,
                deadline_ms,
            };
            state.extensions.shut_down(&event);
            state.extensions.all_gone()
        };
        if !all_gone {
            let _ = timeout_at(begun + time, ends.wait_for(|ends| ends.extensions)).await;
        }
    }

    fn advance(&self, stage: Stage) {
        self.stage.send_modify(|now| *now = (*now).max(stage));
    }
}

impl State {
    pub(super) fn tell_extensions(&mut self, event: &Event) {
        if self.extensions.is_empty() {
            return;
        }
        self.extensions.invoke(&extensions::Event::Invoke {
            request_id: event.request_id.clone(),
            deadline_ms: event.deadline_ms,
            invoked_function_arn: event.invoked_function_arn.clone(),
            trace_id: event.trace_id.clone(),
        });
    }
}
