//! SnapStart: the init of a version runs once, when it is deployed, and environments begin from its
//! snapshot. It is made again when it is lost: after a restart, or because its process died.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

use sandbox::{Backend, Exit, ExitStatus, Template};
use tokio::sync::Mutex;
use wire::Timestamp;

use super::{
    InvokeError,
    environment::{Environment, Initialization, Origin, Starting},
    extensions::Reason,
    fault::Fault,
    invoke::Beginning,
    link::Init,
    report::{self, Ending, Phase},
    version::{NEXT_ID, NotReady, Ready, Version, forget},
};
use crate::logs::Logs;

/// Lambda's limit for an init whose snapshot is taken, unless the version's timeout is longer.
const INIT_MAX: Duration = Duration::from_secs(130);
/// Lambda's limit for a restore, with what runs after it.
const RESTORE_MAX: Duration = Duration::from_secs(10);
/// A snapshot that is lost is made again for a request, once; the other try is for one that is lost
/// just then.
const TRIES: usize = 3;

/// A version's snapshot, if it has one.
pub struct Kept {
    /// What its environments ask for their credentials with.
    token: Arc<str>,
    made: Mutex<Option<Arc<dyn Template>>>,
}

impl Kept {
    pub fn new() -> Self {
        let token = uuid::Uuid::new_v4().simple().to_string();
        Self {
            token: token.into(),
            made: Mutex::default(),
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotMade {
    /// The function's own doing: Lambda's type of the error, and what it said.
    #[error("The function's initialization failed with {kind}{said}")]
    Init { kind: String, said: String },
    /// The same where it may have been the platform's too: a kill has no sender.
    #[error("The function's initialization failed with {kind}{said}")]
    Killed { kind: String, said: String },
    #[error("The function's initialization did not end within {0} seconds")]
    TimedOut(u64),
    #[error("{0}")]
    Platform(String),
    /// A process that it takes was killed, or did not come up in time.
    #[error("{0}")]
    Lost(String),
}

impl From<sandbox::Error> for NotMade {
    fn from(error: sandbox::Error) -> Self {
        match error.may_pass() {
            true => Self::Lost(whole(&error)),
            false => Self::Platform(whole(&error)),
        }
    }
}

/// Why a snapshot did not become an environment.
pub enum NotRestored {
    NotMade(NotMade),
    /// Lambda's type of the error.
    Failed(String),
    TimedOut,
}

impl From<NotRestored> for InvokeError {
    fn from(failure: NotRestored) -> Self {
        match failure {
            NotRestored::NotMade(why) => InvokeError::SnapStart(why.to_string()),
            NotRestored::Failed(kind) => {
                InvokeError::SnapStart(format!("what runs after a restore failed with {kind}"))
            }
            NotRestored::TimedOut => InvokeError::SnapStartTimeout,
        }
    }
}

impl Version {
    /// The snapshot, which is made now if there is none.
    pub async fn snapshot(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
    ) -> Result<Arc<dyn Template>, NotMade> {
        let mut made = self.kept.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| !made.is_lost()) {
            return Ok(made.clone());
        }
        let taken = self.take_snapshot(backend, logs).await?;
        Ok(made.insert(taken).clone())
    }

    pub fn has_snapshot(&self) -> bool {
        let made = self.kept.made.try_lock();
        made.is_ok_and(|made| made.as_ref().is_some_and(|made| !made.is_lost()))
    }

    /// Whether there is none and nobody is making it.
    pub fn wants_snapshot(&self) -> bool {
        let made = self.kept.made.try_lock();
        self.definition.snap_start
            && made.is_ok_and(|made| made.as_ref().is_none_or(|made| made.is_lost()))
    }

    /// It is lost: the next who wants it makes it again.
    async fn lose(&self, lost: &Arc<dyn Template>) {
        let mut made = self.kept.made.lock().await;
        made.take_if(|made| Arc::ptr_eq(made, lost));
    }

    async fn take_snapshot(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
    ) -> Result<Arc<dyn Template>, NotMade> {
        let template = self.prepare(backend).await?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let origin = Origin::Snapshot(template, self.kept.token.clone());
        let (definition, way_in) = (&self.definition, &self.way_in);
        let begun = Environment::begin(id, definition, origin, logs, way_in, || {}).await;
        let (starting, snapshot) = begun?;
        let Starting {
            environment,
            init,
            since,
            ..
        } = starting;
        let mut snapshot = snapshot.ok_or_else(|| NotMade::Platform("there is none".into()))?;
        let limit = INIT_MAX.max(Duration::from_secs(definition.timeout_s.into()));
        let ended = tokio::time::timeout(limit, init).await;
        let took = since.elapsed();
        let report = |ending: Ending<'_>| {
            environment.output.drain();
            let (output, kind) = (&environment.output, Initialization::SnapStart);
            self.say_init_report(output, kind, Phase::Init, took, ending);
        };
        let mut killed = false;
        let (kind, said) = match ended {
            Ok(Ok(Init::Waits(go))) => {
                report(Ending::Success);
                snapshot.arm().await?;
                let _ = go.send(());
                let taken = snapshot.taken().await?;
                environment.output.drain();
                environment.output.finish();
                environment.leave();
                return Ok(taken);
            }
            Ok(Ok(Init::Failed { payload, kind })) => (kind, told(&payload)),
            Ok(Ok(Init::Fault(fault))) => (fault.kind.to_string(), format!(": {}", fault.message)),
            Ok(Ok(Init::Exited(exit))) => {
                killed = was_killed(exit);
                let fault = Fault::exited(exit);
                (fault.kind.to_string(), format!(": {}", fault.message))
            }
            // A client that knows nothing of snapshots asks for an event.
            Ok(Ok(Init::Done)) => ("Runtime.Unknown".to_owned(), String::new()),
            Ok(Err(_)) => return Err(NotMade::Lost("it went away".into())),
            Err(_) => {
                report(Ending::Timeout);
                environment.output.finish();
                environment.end(Reason::Failure);
                return Err(NotMade::TimedOut(limit.as_secs()));
            }
        };
        report(Ending::RuntimeError(&kind));
        environment.output.finish();
        environment.end(Reason::Failure);
        Err(match killed {
            true => NotMade::Killed { kind, said },
            false => NotMade::Init { kind, said },
        })
    }

    /// Begins an environment from the snapshot and sees it through.
    pub async fn restore(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
    ) -> Result<Ready, NotReady> {
        let mut tries = 0;
        loop {
            tries += 1;
            let snapshot = match self.snapshot(backend, logs).await {
                Ok(snapshot) => snapshot,
                Err(why) => return Err(NotReady::NotRestored(NotRestored::NotMade(why))),
            };
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let pool = Arc::downgrade(&self.pool);
            let ended = move || forget(&pool, id);
            let origin = Origin::Restore(&*snapshot, self.kept.token.clone());
            let (definition, way_in) = (&self.definition, &self.way_in);
            match Environment::begin(id, definition, origin, logs, way_in, ended).await {
                Ok((starting, _)) => return self.see_restored(starting).await,
                Err(sandbox::Error::NoSnapshot(_)) if tries < TRIES => {
                    self.lose(&snapshot).await;
                }
                Err(sandbox::Error::System { .. }) if tries < TRIES => {}
                Err(error) => return Err(NotReady::Platform(error)),
            }
        }
    }

    async fn see_restored(&self, starting: Starting) -> Result<Ready, NotReady> {
        let Starting {
            environment,
            init,
            since,
            runs_since,
        } = starting;
        self.pool.admit(&environment);
        let rest = RESTORE_MAX.saturating_sub(since.elapsed());
        let ended = tokio::time::timeout(rest, init).await;
        let now = Instant::now();
        let took = now - since;
        let report = |ending: Ending<'_>| {
            environment.output.drain();
            let ms = took.as_secs_f64() * 1000.0;
            let now = Timestamp::now();
            let lines = |format| report::restore_report(format, ms, ending, now);
            environment.output.say(lines);
        };
        let failure = match ended {
            Ok(Ok(Init::Done)) => {
                environment.init_done();
                report(Ending::Success);
                let began = Beginning::Restore {
                    took,
                    billed: now - runs_since,
                };
                return Ok(Ready { environment, began });
            }
            Ok(Ok(Init::Failed { kind, .. })) => NotRestored::Failed(kind),
            Ok(Ok(Init::Fault(fault))) => NotRestored::Failed(fault.kind.to_string()),
            Ok(Ok(Init::Exited(exit))) => NotRestored::Failed(Fault::exited(exit).kind.to_string()),
            Ok(Ok(Init::Waits(_)) | Err(_)) => NotRestored::Failed("Runtime.Unknown".to_owned()),
            Err(_) => NotRestored::TimedOut,
        };
        report(match &failure {
            NotRestored::Failed(kind) => Ending::RuntimeError(kind),
            _ => Ending::Timeout,
        });
        environment.output.finish();
        environment.end(Reason::Failure);
        Err(NotReady::NotRestored(failure))
    }
}

/// By whoever kills the jailer or one of its processes, and for nothing that the function did.
fn was_killed(exit: Exit) -> bool {
    const SIGKILL: i32 = 9;
    exit.status == ExitStatus::Signal(SIGKILL) && !exit.out_of_memory
}

/// An error with its cause.
fn whole(error: &sandbox::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What an error object says, after a colon.
fn told(payload: &[u8]) -> String {
    let object: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    match object["errorMessage"].as_str() {
        Some(message) => format!(": {message}"),
        None => String::new(),
    }
}
