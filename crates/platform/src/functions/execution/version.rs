//! A function version that can run: its definition, its template and its environments.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

use bytes::Bytes;
use sandbox::{Backend, Launch, Template, TemplateSpec};
use tokio::sync::Mutex;
use wire::Timestamp;

use super::{
    Definition, Inner, VersionKey,
    environment::{Environment, Initialization, Starting},
    extensions::Reason,
    fault::Fault,
    invoke::Beginning,
    link::Init,
    measures::{Measures, VersionMeasures},
    output::Output,
    pool::{EnvironmentState, Pool},
    provision::Provision,
    report::{self, Ending, Phase},
    scheduler::IdlePolicy,
    snapshot::{Kept, NotRestored},
    variables,
    way_in::WayIn,
};
use crate::logs::Logs;

/// Lambda's limit for the init phase; what takes longer has failed.
const INIT_MAX: Duration = Duration::from_secs(10);
/// The same for provisioned concurrency; a function whose timeout is longer has that.
const PROVISIONED_INIT_MAX: Duration = Duration::from_secs(130);

/// Environments are numbered across the platform.
pub static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub struct Version {
    pub definition: Definition,
    pub pool: Arc<Pool>,
    /// There from the first time that provisioned concurrency was asked for.
    provision: OnceLock<Arc<Provision>>,
    policy: IdlePolicy,
    pub(super) way_in: Arc<WayIn>,
    /// What environments begin from, where that is not the init.
    pub(super) kept: Kept,
    /// Made when first needed after a restart, and given up when nothing has run for long.
    template: Mutex<Option<Arc<dyn Template>>>,
    /// There from the first request on.
    measures: OnceLock<Arc<VersionMeasures>>,
}

/// An environment whose init has ended well.
pub struct Ready {
    pub environment: Arc<Environment>,
    pub began: Beginning,
}

/// Why there is no environment for a request.
pub enum NotReady {
    /// The function's own doing: this is its answer.
    Failed(InitFailure),
    /// The same of one that was to begin from a snapshot.
    NotRestored(NotRestored),
    /// The platform's; the text is for the operator.
    Platform(sandbox::Error),
}

pub struct InitFailure {
    pub payload: InitPayload,
    /// Lambda's type of the error.
    pub kind: String,
    pub init: Duration,
    /// Where the rest of the request's log goes; the environment has been told to end.
    pub output: Arc<Output>,
    pub memory_peak_mb: u64,
}

/// What the caller is answered.
pub enum InitPayload {
    /// The runtime's own error object.
    Reported(Bytes),
    /// Ours, which wants the request's id.
    Fault(Fault),
}

impl Version {
    pub fn new(definition: Definition, policy: IdlePolicy, way_in: Arc<WayIn>) -> Arc<Self> {
        Arc::new(Self {
            definition,
            pool: Pool::new(policy),
            provision: OnceLock::new(),
            policy,
            way_in,
            kept: Kept::new(),
            template: Mutex::default(),
            measures: OnceLock::new(),
        })
    }

    /// Keeps so many environments ready from now on.
    pub fn set_provisioned(self: &Arc<Self>, inner: &Weak<Inner>, target: u32) {
        // An alias with provisioned concurrency may come to a version with SnapStart.
        if self.definition.snap_start || target == 0 && self.provision.get().is_none() {
            return;
        }
        let provision = self.provision.get_or_init(|| {
            // Its keeper waits for the target, so it finds it in place.
            Provision::start(self, inner, self.policy)
        });
        provision.set_target(target);
    }

    /// Where its requests are counted.
    pub fn measures(&self, all: &Measures) -> &VersionMeasures {
        self.measures.get_or_init(|| {
            all.of(VersionKey {
                function: self.definition.key.clone(),
                version: self.definition.version.clone(),
            })
        })
    }

    pub fn provision(&self) -> Option<&Arc<Provision>> {
        self.provision.get()
    }

    /// Gives an environment back to where it is from.
    pub fn check_in(&self, environment: Arc<Environment>) {
        let now = Instant::now();
        match (environment.initialization, self.provision.get()) {
            (Initialization::Provisioned, Some(provision)) => provision.check_in(environment, now),
            _ => self.pool.check_in(environment, now),
        }
    }

    /// The pool that an environment is from.
    pub fn pool_of(&self, environment: &Environment) -> &Arc<Pool> {
        match (environment.initialization, self.provision.get()) {
            (Initialization::Provisioned, Some(provision)) => &provision.pool,
            _ => &self.pool,
        }
    }

    /// No request comes here any more.
    pub fn retire(&self) {
        self.pool.retire();
        if let Some(provision) = self.provision.get() {
            provision.retire();
        }
    }

    /// Ends all environments; says whether something takes a while.
    pub fn end_all(&self) -> bool {
        let own = self.pool.end_all();
        let Some(provision) = self.provision.get() else {
            return own;
        };
        provision.set_target(0);
        provision.pool.end_all() || own
    }

    /// Waits until none is left.
    pub async fn emptied(&self) {
        self.pool.emptied().await;
        if let Some(provision) = self.provision.get() {
            provision.pool.emptied().await;
        }
    }

    pub fn environments(&self) -> Vec<(Arc<Environment>, EnvironmentState)> {
        let mut all = self.pool.environments();
        if let Some(provision) = self.provision.get() {
            all.extend(provision.pool.environments());
        }
        all
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
        let made = backend.prepare(self.template_spec()).await?;
        Ok(template.insert(made).clone())
    }

    /// Starts an environment and sees it through its init.
    pub async fn start(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
        initialization: Initialization,
    ) -> Result<Ready, NotReady> {
        if self.definition.snap_start {
            return self.restore(backend, logs).await;
        }
        let on_demand = initialization == Initialization::OnDemand;
        match self
            .attempt(backend, logs, Phase::Init, initialization)
            .await
        {
            // Lambda begins an init that failed or took too long anew, once, as part of the
            // invocation and within its timeout.
            Err(NotReady::Failed(_)) if on_demand => {
                self.attempt(backend, logs, Phase::Invoke, initialization)
                    .await
            }
            ended => ended,
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
        phase: Phase,
        initialization: Initialization,
    ) -> Result<Ready, NotReady> {
        let timeout = Duration::from_secs(self.definition.timeout_s.into());
        let limit = match (phase, initialization) {
            (Phase::Init, Initialization::OnDemand) => INIT_MAX,
            (Phase::Init, _) => PROVISIONED_INIT_MAX.max(timeout),
            (Phase::Invoke, _) => timeout,
        };
        let Starting {
            environment,
            init,
            since,
            ..
        } = match self.begin(backend, logs, initialization).await {
            Ok(starting) => starting,
            Err(sandbox::Error::InvalidEntrypoint(message)) => {
                return Err(self.cannot_start(message, logs, phase, initialization));
            }
            Err(error) => return Err(NotReady::Platform(error)),
        };
        match (initialization, self.provision.get()) {
            (Initialization::Provisioned, Some(provision)) => provision.pool.admit(&environment),
            _ => self.pool.admit(&environment),
        }

        let ended = tokio::time::timeout(limit, init).await;
        let took = since.elapsed();
        let (payload, kind) = match ended {
            Ok(Ok(Init::Done)) => {
                environment.init_done();
                let output = &environment.output;
                self.say_init_report(output, initialization, phase, took, Ending::Success);
                return Ok(Ready {
                    environment,
                    began: Beginning::Init(took),
                });
            }
            Err(_) => {
                let fault = Fault::timeout(self.definition.timeout_s);
                let kind = fault.kind.to_owned();
                let failure =
                    self.give_up(&environment, phase, took.min(limit), fault.into(), kind);
                return Err(NotReady::Failed(failure));
            }
            Ok(Ok(Init::Fault(fault))) => {
                let kind = fault.kind.to_owned();
                (fault.into(), kind)
            }
            Ok(Ok(Init::Failed { payload, kind })) => (InitPayload::Reported(payload), kind),
            Ok(Ok(Init::Exited(exit))) => {
                let fault = Fault::exited(exit);
                let kind = fault.kind.to_owned();
                (fault.into(), kind)
            }
            // Only one for a snapshot may say so.
            Ok(Ok(Init::Waits(_))) => unreachable!("the link refuses it"),
            // The link goes with the environment, and says so before.
            Ok(Err(_)) => {
                return Err(NotReady::Platform(sandbox::Error::Exhausted(
                    "it went away".into(),
                )));
            }
        };
        let failure = self.give_up(&environment, phase, took, payload, kind);
        Err(NotReady::Failed(failure))
    }

    async fn begin(
        self: &Arc<Self>,
        backend: &dyn Backend,
        logs: &Logs,
        initialization: Initialization,
    ) -> Result<Starting, sandbox::Error> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let pool = Arc::downgrade(&self.pool);
        let provision = self.provision.get().map(Arc::downgrade);
        let ended = move || match (initialization, provision) {
            (Initialization::Provisioned, Some(provision)) => {
                if let Some(provision) = provision.upgrade() {
                    provision.ended(id);
                }
            }
            _ => forget(&pool, id),
        };
        let template = self.prepare(backend).await?;
        let (definition, way_in) = (&self.definition, &self.way_in);
        Environment::start(
            id,
            initialization,
            definition,
            &*template,
            logs,
            way_in,
            ended,
        )
        .await
    }

    /// Ends an environment whose init has come to nothing.
    fn give_up(
        &self,
        environment: &Arc<Environment>,
        phase: Phase,
        took: Duration,
        payload: InitPayload,
        kind: String,
    ) -> InitFailure {
        environment.output.drain();
        environment.output.finish();
        let ending = match &payload {
            InitPayload::Reported(_) => Ending::RuntimeError(&kind),
            InitPayload::Fault(fault) => fault.ending(),
        };
        let initialization = environment.initialization;
        self.say_init_report(&environment.output, initialization, phase, took, ending);
        let memory_peak_mb = environment.memory_peak_mb();
        environment.end(Reason::Failure);
        InitFailure {
            payload,
            kind,
            init: took,
            output: environment.output.clone(),
            memory_peak_mb,
        }
    }

    /// There is nothing to execute: this is said as if it had been an init.
    fn cannot_start(
        &self,
        message: String,
        logs: &Logs,
        phase: Phase,
        initialization: Initialization,
    ) -> NotReady {
        let fault = Fault::invalid_entrypoint(message);
        let kind = fault.kind.to_owned();
        let output = match Environment::stillborn(&self.definition, initialization, logs) {
            Ok(output) => output,
            Err(error) => return NotReady::Platform(error),
        };
        let took = Duration::ZERO;
        let ending = Ending::RuntimeError(&kind);
        self.say_init_report(&output, initialization, phase, took, ending);
        NotReady::Failed(InitFailure {
            payload: fault.into(),
            kind,
            init: took,
            output,
            memory_peak_mb: 0,
        })
    }

    pub(super) fn say_init_report(
        &self,
        output: &Output,
        initialization: Initialization,
        phase: Phase,
        took: Duration,
        ending: Ending<'_>,
    ) {
        let (ms, now) = (took.as_secs_f64() * 1000.0, Timestamp::now());
        output.say(|format| report::init_report(format, initialization, phase, ms, ending, now));
    }

    fn template_spec(&self) -> TemplateSpec {
        let (definition, key) = (&self.definition, &self.definition.key);
        TemplateSpec {
            label: format!(
                "{}/{}/{}/{}/{}",
                key.account_id, key.region, key.name, definition.version, definition.generation
            ),
            launch: definition.launch.clone(),
            code: definition.code.0.clone(),
            layers: match definition.launch {
                // They are in the launch.
                Launch::Image(_) => Vec::new(),
                _ => definition
                    .layers
                    .iter()
                    .map(|layer| layer.0.clone())
                    .collect(),
            },
            env: variables::of_definition(definition, &self.way_in.endpoint_url),
            memory_mb: definition.memory_mb,
            tmp_mb: definition.tmp_mb,
            network: definition.network.clone(),
        }
    }

    /// Gives the template up when no environment has been there for a time.
    pub fn rest(&self, now: Instant, time: Duration) {
        // What a snapshot is good for is that it is there.
        if self.definition.snap_start {
            return;
        }
        let provisioned = self.provision.get().is_some_and(|it| it.target() > 0);
        // Whoever holds the lock is about to need it.
        if !provisioned
            && self.pool.rests(now, time)
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

impl From<Fault> for InitPayload {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) fn forget(pool: &Weak<Pool>, id: u64) {
    if let Some(pool) = pool.upgrade() {
        pool.forget(id);
    }
}
