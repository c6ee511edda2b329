//! A function version that can run: its definition, its template and its environments.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use sandbox::{Backend, Template, TemplateSpec};
use tokio::sync::Mutex;
use wire::Timestamp;

use super::{
    Definition,
    environment::{Environment, Starting},
    fault::Fault,
    link::Init,
    pool::Pool,
    report::{self, Ending},
    scheduler::IdlePolicy,
    variables,
};
use crate::logs::Logs;

/// Lambda's limit for the init phase; what takes longer is tried again within the request's time.
const INIT_MAX: Duration = Duration::from_secs(10);

/// Environments are numbered across the platform.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub struct Version {
    pub definition: Definition,
    pub pool: Arc<Pool>,
    /// Made when first needed after a restart, and given up when nothing has run for long.
    template: Mutex<Option<Arc<dyn Template>>>,
}

/// An environment whose init has ended well.
pub struct Ready {
    pub environment: Arc<Environment>,
    pub init: Duration,
}

/// Why there is no environment for a request.
pub enum NotReady {
    /// The function's own doing: this is its answer.
    Failed(InitFailure),
    /// The platform's; the text is for the operator.
    Platform(sandbox::Error),
}

pub struct InitFailure {
    pub payload: InitPayload,
    pub kind: String,
    pub init: Duration,
    /// Its log is still being written; it has been told to end.
    pub environment: Option<Arc<Environment>>,
}

/// What the caller is answered.
pub enum InitPayload {
    /// The runtime's own error object.
    Reported(Bytes),
    /// Ours, which wants the request's id.
    Fault(Fault),
}

impl Version {
    pub fn new(definition: Definition, policy: IdlePolicy) -> Arc<Self> {
        Arc::new(Self {
            definition,
            pool: Pool::new(policy),
            template: Mutex::default(),
        })
    }

    /// Makes the template, unless it is there.
    pub async fn prepare(
        &self,
        backend: &dyn Backend,
    ) -> Result<Arc<dyn Template>, sandbox::Error> {
        let mut template = self.template.lock().await;
        if let Some(template) = &*template {
            return Ok(template.clone());
        }
        let made = backend.prepare(template_spec(&self.definition)).await?;
        Ok(template.insert(made).clone())
    }

    /// Starts an environment and sees it through its init.
    pub async fn start(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
    ) -> Result<Ready, NotReady> {
        match self.attempt(backend, logs, INIT_MAX).await? {
            Attempt::Ready(ready) => Ok(ready),
            Attempt::TooSlow => {
                // Lambda begins the init anew as part of the invocation, within its timeout.
                let timeout = Duration::from_secs(self.definition.timeout_s.into());
                match self.attempt(backend, logs, timeout).await? {
                    Attempt::Ready(ready) => Ok(ready),
                    Attempt::TooSlow => Err(NotReady::Failed(InitFailure {
                        payload: InitPayload::Fault(Fault::timeout(self.definition.timeout_s)),
                        kind: "Sandbox.Timedout".into(),
                        init: timeout,
                        environment: None,
                    })),
                }
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
        limit: Duration,
    ) -> Result<Attempt, NotReady> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let pool = Arc::downgrade(&self.pool);
        let ended = move || forget(&pool, id);
        let template = self.prepare(backend).await.map_err(NotReady::from)?;
        let started = Environment::start(id, &self.definition, &*template, logs, ended).await;
        let Starting {
            environment,
            init,
            since,
        } = started.map_err(NotReady::from)?;
        self.pool.admit(&environment);

        let ended = tokio::time::timeout(limit, init).await;
        let took = since.elapsed();
        let (payload, kind) = match ended {
            Ok(Ok(Init::Done)) => {
                environment.init_done();
                return Ok(Attempt::Ready(Ready {
                    environment,
                    init: took,
                }));
            }
            Err(_) => {
                self.say_init_report(&environment, took, Ending::Timeout);
                environment.kill();
                return Ok(Attempt::TooSlow);
            }
            Ok(Ok(Init::Failed { payload, kind })) => (InitPayload::Reported(payload), kind),
            Ok(Ok(Init::Exited(exit))) => {
                let fault = Fault::exited(exit);
                let kind = fault.kind.to_owned();
                (InitPayload::Fault(fault), kind)
            }
            // The link goes with the environment, and says so before.
            Ok(Err(_)) => {
                return Err(NotReady::Platform(sandbox::Error::Exhausted(
                    "it went away".into(),
                )));
            }
        };
        environment.output.drain();
        environment.output.finish();
        self.say_init_report(&environment, took, Ending::RuntimeError(&kind));
        environment.kill();
        Err(NotReady::Failed(InitFailure {
            payload,
            kind,
            init: took,
            environment: Some(environment),
        }))
    }

    fn say_init_report(&self, environment: &Environment, took: Duration, ending: Ending<'_>) {
        let (format, ms) = (self.definition.log_format, took.as_secs_f64() * 1000.0);
        let line = report::init_report(format, ms, ending, Timestamp::now());
        environment.output.say(&line);
    }

    /// Gives the template up when no environment has been there for a time.
    pub fn rest(&self, now: Instant, time: Duration) {
        // Whoever holds the lock is about to need it.
        if self.pool.rests(now, time)
            && let Ok(mut template) = self.template.try_lock()
        {
            *template = None;
        }
    }

    /// When the environment that is idle longest became so.
    pub fn oldest_idle(&self) -> Option<Instant> {
        self.pool.oldest_idle()
    }
}

enum Attempt {
    Ready(Ready),
    TooSlow,
}

impl From<sandbox::Error> for NotReady {
    fn from(error: sandbox::Error) -> Self {
        match error {
            sandbox::Error::InvalidEntrypoint(message) => {
                let fault = Fault::invalid_entrypoint(message);
                Self::Failed(InitFailure {
                    kind: fault.kind.to_owned(),
                    payload: InitPayload::Fault(fault),
                    init: Duration::ZERO,
                    environment: None,
                })
            }
            other => Self::Platform(other),
        }
    }
}

fn forget(pool: &Weak<Pool>, id: u64) {
    if let Some(pool) = pool.upgrade() {
        pool.forget(id);
    }
}

fn template_spec(definition: &Definition) -> TemplateSpec {
    let key = &definition.key;
    TemplateSpec {
        label: format!(
            "{}/{}/{}/{}/{}",
            key.account_id, key.region, key.name, definition.version, definition.generation
        ),
        launch: definition.launch.clone(),
        code: definition.code.0.clone(),
        layers: definition.layers.clone(),
        env: variables::of_definition(definition),
        memory_mb: definition.memory_mb,
        tmp_mb: definition.tmp_mb,
        network: definition.network.clone(),
    }
}
