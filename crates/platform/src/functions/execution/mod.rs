//! Running functions: from an invocation to an environment and back, and the environments' lives.
//!
//! Knows definitions only as [`Definition`]s handed to [`Execution::deploy`]; stores nothing but
//! what the log and the meter keep. Everything here is soft state, rebuilt after a restart by
//! deploying the stored definitions again.

mod application_level;
mod concurrency;
mod credentials;
mod definition;
mod environment;
mod extension_api;
mod extensions;
mod fault;
mod handover;
mod invocation;
mod invoke;
mod link;
mod log_frames;
mod measures;
mod output;
mod pool;
mod provision;
mod report;
mod runtime_api;
mod scaling;
mod scheduler;
mod snapshot;
mod stream;
mod telemetry;
#[cfg(test)]
mod tests;
mod trace;
mod variables;
mod version;
mod way_in;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

use sandbox::Backend;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use concurrency::{AccountConcurrency, FunctionConcurrency, Permit};
use environment::{Environment, Initialization};
use extensions::Reason;
use invoke::{After, Run};
use measures::Measures;
use snapshot::NotMade;
use stream::{Begun, joined};
use version::{NotReady, Ready, Version};

pub use concurrency::Scaling;
pub use definition::{
    CodeDirectory, Definition, FunctionKey, LogFormat, LogLevel, VersionId, VersionKey,
};
pub use invocation::{FunctionError, Invocation, InvokeError, Outcome, Throttle};
pub use measures::Taken;
pub use pool::EnvironmentState;
pub use provision::Provisioned;
pub use report::millis as log_time;
pub use scheduler::IdlePolicy;
pub use stream::{Finished, Invoked, Part, ResponseStream, StreamError};
pub use way_in::{Reception, WayIn};

use super::executor::DeployFault;
use crate::{logs::Logs, metering::Metering};

/// With more requests than these, an answer lets others go first, so many times at most, until its
/// environment asks for more: to have the next request wait for it costs more than that. With 64
/// clients of a Rust function it is worth a fifth of the throughput; a single client would only wait.
const CROWD: usize = 8;
const SETTLE_TURNS: usize = 4;

/// For environments with extensions to end when all is over; a little more than Lambda gives them.
const EXTENSIONS_WITHIN: Duration = Duration::from_millis(2_500);

/// How often functions at rest are looked for, and how long others were kept ready.
const REST_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub struct ExecutionConfig {
    pub idle: IdlePolicy,
    /// Lambda's `ConcurrentExecutions` of each account.
    pub account_concurrency: u32,
    /// Environments of a function that may be started each 10 seconds.
    pub scaling_rate: u32,
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            idle: IdlePolicy {
                freeze_after: Duration::from_millis(10),
                keep_alive: Duration::from_secs(300),
            },
            account_concurrency: 1000,
            scaling_rate: 1000,
        }
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Execution {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    logs: Logs,
    metering: Metering,
    measures: Measures,
    way_in: Arc<WayIn>,
    config: ExecutionConfig,
    functions: RwLock<HashMap<FunctionKey, Arc<Live>>>,
    accounts: Mutex<HashMap<String, Arc<AccountConcurrency>>>,
    running: AtomicUsize,
    draining: AtomicBool,
    none_running: Notify,
}

/// A function as it is now: its versions share its concurrency and nothing else.
struct Live {
    concurrency: Arc<FunctionConcurrency>,
    versions: RwLock<HashMap<VersionId, Arc<Version>>>,
    /// How many environments are to be kept ready, also of versions that are not deployed yet.
    provisioned: Mutex<HashMap<VersionId, u32>>,
}

/// An environment, as an operator sees it.
#[derive(Debug, Clone)]
pub struct EnvironmentView {
    pub key: FunctionKey,
    pub version: VersionId,
    pub state: EnvironmentState,
    pub log_stream: String,
}

/// Why a definition cannot run here; worded for `StateReason`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum DeployError {
    Sandbox(#[from] sandbox::Error),
    /// Its init has run for a snapshot, and there is none.
    Snapshot(#[from] NotMade),
}

impl DeployError {
    pub fn fault(&self) -> DeployFault {
        match self {
            Self::Sandbox(error) if error.may_pass() => DeployFault::Passing,
            Self::Snapshot(NotMade::Lost(_)) => DeployFault::Passing,
            Self::Sandbox(_) => DeployFault::Configuration,
            Self::Snapshot(NotMade::Killed { .. }) => DeployFault::InitKilled,
            Self::Snapshot(NotMade::Init { .. }) => DeployFault::Init,
            Self::Snapshot(NotMade::TimedOut(_)) => DeployFault::InitTimeout,
            Self::Snapshot(NotMade::Platform(_)) => DeployFault::Platform,
        }
    }
}

impl Execution {
    pub fn new(
        backend: Arc<dyn Backend>,
        logs: Logs,
        metering: Metering,
        way_in: Arc<WayIn>,
        config: ExecutionConfig,
    ) -> Self {
        let inner = Arc::new(Inner {
            backend,
            logs,
            metering,
            measures: Measures::default(),
            way_in,
            config,
            functions: RwLock::default(),
            accounts: Mutex::default(),
            running: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            none_running: Notify::new(),
        });
        tokio::spawn(rest(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Makes a definition what its version's requests go to. No environment of an older one
    /// answers a request that comes after this.
    pub async fn deploy(&self, definition: Definition) -> Result<(), DeployError> {
        let version = self.version(definition);
        match version.prepare(&*self.inner.backend).await {
            // A package that cannot start is taken, and says so at each request, as in Lambda.
            Ok(_) | Err(sandbox::Error::InvalidEntrypoint(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if version.definition.snap_start {
            version
                .snapshot(&*self.inner.backend, &self.inner.logs)
                .await?;
        }
        self.replace(version);
        Ok(())
    }

    /// Whether a version's environments begin from a snapshot, and there is one.
    pub fn has_snapshot(&self, key: &VersionKey) -> bool {
        let live = read(&self.inner.functions).get(&key.function).cloned();
        let version = live.and_then(|live| read(&live.versions).get(&key.version).cloned());
        version.is_some_and(|version| version.has_snapshot())
    }

    /// The same for a definition that has run before: what it needs is made at its first request.
    pub fn restore(&self, definition: Definition) {
        self.replace(self.version(definition));
    }

    /// Requests from now on get [`InvokeError::NotDeployed`]; those that run are finished.
    pub fn remove(&self, key: &FunctionKey) {
        let Some(removed) = write(&self.inner.functions).remove(key) else {
            return;
        };
        let versions = std::mem::take(&mut *write(&removed.versions));
        for version in versions.into_values() {
            self.inner.meter_kept(&version);
            version.retire();
        }
    }

    /// The same for one version.
    pub fn remove_version(&self, key: &VersionKey) {
        let live = read(&self.inner.functions).get(&key.function).cloned();
        let removed = live.and_then(|live| write(&live.versions).remove(&key.version));
        if let Some(version) = removed {
            self.inner.meter_kept(&version);
            version.retire();
        }
    }

    /// May be called before the function is deployed.
    pub fn set_reserved_concurrency(&self, key: &FunctionKey, reserved: Option<u32>) {
        // Of a function that is gone nothing is to stay.
        if reserved.is_some() || read(&self.inner.functions).contains_key(key) {
            self.inner.live(key).concurrency.reserve(reserved);
        }
    }

    /// Keeps so many environments of versions ready; none of those that are not named. May be
    /// called before they are deployed, and holds over deployments.
    pub fn provision(&self, key: &FunctionKey, targets: &HashMap<VersionId, u32>) {
        let live = self.inner.live(key);
        // Held to the end, so that of two calls the later one stays.
        let mut held = lock(&live.provisioned);
        held.clone_from(targets);
        live.concurrency.provision(targets.values().sum());
        let versions: Vec<_> = read(&live.versions).values().cloned().collect();
        for version in versions {
            let target = held.get(&version.definition.version).copied();
            version.set_provisioned(&Arc::downgrade(&self.inner), target.unwrap_or(0));
        }
    }

    /// What there is of it.
    pub fn provisioned(&self, key: &VersionKey) -> Provisioned {
        let live = read(&self.inner.functions).get(&key.function).cloned();
        let version = live.and_then(|live| read(&live.versions).get(&key.version).cloned());
        let view = version.and_then(|version| version.provision().map(|it| it.view()));
        view.unwrap_or_default()
    }

    /// Runs a version for a request. The request runs to its end even if the caller goes away:
    /// Lambda does not stop a function because its client did.
    pub async fn invoke(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let request = self.admit(key)?.begin(invocation, None, |_| ());
        joined(request.await).map(|finished| finished.outcome)
    }

    /// The same for a caller who takes the response piece by piece: there is an answer as soon as it
    /// has begun. `ended` is called once, with what came of it, whoever still reads.
    pub async fn stream(
        &self,
        key: &VersionKey,
        invocation: Invocation,
        ended: impl FnOnce(Result<&Outcome, &InvokeError>) + Send + 'static,
    ) -> Result<Invoked, InvokeError> {
        let admitted = match self.admit(key) {
            Ok(admitted) => admitted,
            Err(refused) => {
                ended(Err(&refused));
                return Err(refused);
            }
        };
        let executed_version = admitted.version.definition.version.to_string();
        let (begin, begun) = oneshot::channel();
        let mut request = admitted.begin(invocation, Some(begin), ended);
        tokio::select! {
            biased;
            Ok(begun) = begun => {
                let stream = ResponseStream::new(begun, executed_version, request);
                Ok(Invoked::Streamed(stream))
            }
            ended = &mut request => {
                joined(ended).map(|finished| Invoked::Whole(finished.outcome))
            }
        }
    }

    fn admit(&self, key: &VersionKey) -> Result<Admitted, InvokeError> {
        let running = Running::enter(&self.inner)?;
        let live = read(&self.inner.functions).get(&key.function).cloned();
        let live = live.ok_or(InvokeError::NotDeployed)?;
        let version = read(&live.versions).get(&key.version).cloned();
        let version = version.ok_or(InvokeError::NotDeployed)?;
        let permit = live.concurrency.acquire(version.provision());
        let permit = permit.map_err(|throttle| {
            self.inner.run(&version).throttled();
            InvokeError::Throttled(throttle)
        })?;
        Ok(Admitted {
            running,
            version,
            permit,
        })
    }

    /// How each function that ran since the start scales, in no order.
    pub fn scaling(&self) -> Vec<(FunctionKey, Scaling)> {
        let functions = read(&self.inner.functions);
        let each = functions.iter();
        each.map(|(key, live)| (key.clone(), live.concurrency.scaling()))
            .collect()
    }

    /// What was counted of requests since this was asked last.
    pub fn take_measures(&self) -> Vec<Taken> {
        self.inner.measures.take()
    }

    /// The most requests that each function had at once since this was asked last.
    pub fn take_peaks(&self) -> Vec<(FunctionKey, u32)> {
        let functions = read(&self.inner.functions);
        let each = functions.iter();
        each.map(|(key, live)| (key.clone(), live.concurrency.take_peak()))
            .filter(|(_, peak)| *peak > 0)
            .collect()
    }

    /// The same for each account: all, and those of functions without reserved concurrency.
    pub fn take_account_peaks(&self) -> Vec<(String, u32, u32)> {
        let accounts = lock(&self.inner.accounts);
        let each = accounts.iter().map(|(account_id, account)| {
            let (all, unreserved) = account.take_peaks();
            (account_id.clone(), all, unreserved)
        });
        each.filter(|(_, all, _)| *all > 0).collect()
    }

    /// Requests that run now, of one account.
    pub fn concurrency(&self, account_id: &str) -> u32 {
        self.inner.account(account_id).busy()
    }

    pub fn environments(&self) -> Vec<EnvironmentView> {
        let mut views = Vec::new();
        for version in self.inner.versions() {
            for (environment, state) in version.environments() {
                views.push(EnvironmentView {
                    key: version.definition.key.clone(),
                    version: version.definition.version.clone(),
                    state,
                    log_stream: environment.log_stream().to_owned(),
                });
            }
        }
        views
    }

    /// Takes no more requests, waits for those that run, and ends all environments.
    pub async fn drain(&self, within: Duration) {
        self.inner.draining.store(true, Ordering::SeqCst);
        let finished = async {
            loop {
                let none = self.inner.none_running.notified();
                if self.inner.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                none.await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            let running = self.inner.running.load(Ordering::SeqCst);
            tracing::warn!(
                running,
                "requests were still running at the end of the drain"
            );
        }
        let versions = self.inner.versions();
        let mut extended = Vec::new();
        for version in &versions {
            self.inner.meter_kept(version);
            if version.end_all() {
                extended.push(version);
            }
        }
        let emptied = async {
            for version in extended {
                version.emptied().await;
            }
        };
        // Extensions have their last words.
        let _ = tokio::time::timeout(EXTENSIONS_WITHIN, emptied).await;
        self.inner.logs.flush();
    }

    fn version(&self, definition: Definition) -> Arc<Version> {
        let (idle, way_in) = (self.inner.config.idle, self.inner.way_in.clone());
        Version::new(definition, idle, way_in)
    }

    fn replace(&self, version: Arc<Version>) {
        let live = self.inner.live(&version.definition.key);
        let id = version.definition.version.clone();
        let provisioned = lock(&live.provisioned);
        if let Some(target) = provisioned.get(&id) {
            version.set_provisioned(&Arc::downgrade(&self.inner), *target);
        }
        let old = write(&live.versions).insert(id, version);
        drop(provisioned);
        if let Some(old) = old {
            self.inner.meter_kept(&old);
            old.retire();
        }
    }
}

impl Inner {
    /// Environment, deliver, await, release.
    async fn request(
        &self,
        version: &Arc<Version>,
        permit: Permit,
        invocation: Invocation,
        begun: Option<oneshot::Sender<Begun>>,
    ) -> Result<Finished, InvokeError> {
        let run = self.run(version);
        let pool = permit.provision().map_or(&version.pool, |it| &it.pool);
        let ready = pool.check_out().await;
        if ready.is_none()
            && let Err(throttle) = permit.may_scale(Instant::now())
        {
            run.throttled();
            return Err(InvokeError::Throttled(throttle));
        }
        let (environment, began) = match ready {
            Some(environment) => (environment, None),
            // A provisioned one that has just ended is made up for on demand.
            None => match self.start(version, Initialization::OnDemand).await {
                Ok(Ready { environment, began }) => (environment, Some(began)),
                Err(NotReady::Failed(failure)) => {
                    return Ok(Finished {
                        outcome: run.init_failed(failure, &invocation),
                        reported: None,
                    });
                }
                Err(NotReady::NotRestored(failure)) => return Err(failure.into()),
                Err(NotReady::Platform(error)) => {
                    let function = &version.definition.key.name;
                    tracing::error!(%error, function, "start an environment");
                    return Err(InvokeError::NoEnvironment(error.to_string()));
                }
            },
        };
        let (finished, after) = run.request(&environment, invocation, began, begun).await;
        let after = self.settle(after).await;
        // In this order: whoever gets the permit next finds the environment.
        release(version, environment, after);
        drop(permit);
        Ok(finished)
    }

    /// In a crowd, lets others go first until the environment asks for more.
    async fn settle(&self, mut after: After) -> After {
        for _ in 0..SETTLE_TURNS {
            let crowded = self.running.load(Ordering::Relaxed) > CROWD;
            if !crowded || !matches!(after, After::Settling(_)) {
                break;
            }
            tokio::task::yield_now().await;
            after = after.now();
        }
        after
    }

    fn run<'a>(&'a self, version: &'a Version) -> Run<'a> {
        Run {
            definition: &version.definition,
            metering: &self.metering,
            measures: version.measures(&self.measures),
        }
    }

    /// Starts an environment; where there is no room for one, the one that has been idle longest
    /// makes it.
    async fn start(
        &self,
        version: &Arc<Version>,
        initialization: Initialization,
    ) -> Result<Ready, NotReady> {
        const EVICTIONS_MAX: usize = 8;
        let mut evictions = 0;
        loop {
            match version
                .start(&*self.backend, &self.logs, initialization)
                .await
            {
                Err(NotReady::Platform(sandbox::Error::Exhausted(_)))
                    if evictions < EVICTIONS_MAX && self.stop_oldest_idle() =>
                {
                    evictions += 1;
                }
                other => return other,
            }
        }
    }

    fn stop_oldest_idle(&self) -> bool {
        let versions = self.versions().into_iter();
        let oldest = versions
            .filter_map(|version| Some((version.oldest_idle()?, version)))
            .min_by_key(|(since, _)| *since);
        oldest.is_some_and(|(_, version)| version.pool.stop_oldest_idle())
    }

    /// Meters the time for which a version's environments were kept ready.
    fn meter_kept(&self, version: &Version) {
        let kept_ms = version
            .provision()
            .map(|provision| provision.take_kept_ms(Instant::now()));
        if let Some(kept_ms) = kept_ms.filter(|kept_ms| *kept_ms > 0) {
            self.run(version).kept(kept_ms);
        }
    }

    /// All versions of all functions.
    fn versions(&self) -> Vec<Arc<Version>> {
        let functions = read(&self.functions);
        let of = |live: &Arc<Live>| read(&live.versions).values().cloned().collect::<Vec<_>>();
        functions.values().flat_map(of).collect()
    }

    fn live(&self, key: &FunctionKey) -> Arc<Live> {
        if let Some(live) = read(&self.functions).get(key) {
            return live.clone();
        }
        let account = self.account(&key.account_id);
        let mut functions = write(&self.functions);
        let live = functions.entry(key.clone()).or_insert_with(|| {
            Arc::new(Live {
                concurrency: FunctionConcurrency::new(account, self.config.scaling_rate),
                versions: RwLock::default(),
                provisioned: Mutex::default(),
            })
        });
        live.clone()
    }

    fn account(&self, account_id: &str) -> Arc<AccountConcurrency> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(account_id) {
            return account.clone();
        }
        let account = AccountConcurrency::new(self.config.account_concurrency);
        accounts.insert(account_id.to_owned(), account.clone());
        account
    }
}

/// Lets the templates of versions go that have not run for long.
async fn rest(inner: Weak<Inner>) {
    let mut turn = tokio::time::interval(REST_EVERY);
    loop {
        turn.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let (now, keep_alive) = (Instant::now(), inner.config.idle.keep_alive);
        for version in inner.versions() {
            inner.meter_kept(&version);
            version.rest(now, keep_alive);
            if version.wants_snapshot() {
                let inner = inner.clone();
                tokio::spawn(async move {
                    // Why not, the next request is told.
                    let _ = version.snapshot(&*inner.backend, &inner.logs).await;
                });
            }
        }
    }
}

/// A request that may run.
struct Admitted {
    running: Running,
    version: Arc<Version>,
    permit: Permit,
}

impl Admitted {
    fn begin(
        self,
        invocation: Invocation,
        begun: Option<oneshot::Sender<Begun>>,
        ended: impl FnOnce(Result<&Outcome, &InvokeError>) + Send + 'static,
    ) -> JoinHandle<Result<Finished, InvokeError>> {
        let Self {
            running,
            version,
            permit,
        } = self;
        tokio::spawn(async move {
            let inner = &running.0;
            let finished = inner.request(&version, permit, invocation, begun).await;
            ended(finished.as_ref().map(|finished| &finished.outcome));
            finished
        })
    }
}

/// Counts a request while it runs.
struct Running(Arc<Inner>);

impl Running {
    fn enter(inner: &Arc<Inner>) -> Result<Self, InvokeError> {
        inner.running.fetch_add(1, Ordering::SeqCst);
        let running = Self(inner.clone());
        if inner.draining.load(Ordering::SeqCst) {
            return Err(InvokeError::ShuttingDown);
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_running.notify_waiters();
        }
    }
}

fn release(version: &Arc<Version>, environment: Arc<Environment>, after: After) {
    match after {
        After::Idle => version.check_in(environment),
        After::Settling(idle) => {
            version.pool_of(&environment).settles();
            let version = version.clone();
            tokio::spawn(async move {
                let asked = idle.await.is_ok();
                version.pool_of(&environment).settled();
                if asked {
                    version.check_in(environment);
                }
            });
        }
        After::Over => environment.end(Reason::Failure),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
