//! Provisioned concurrency of a version: environments that are initialised before there is a
//! request, stay however long there is none, and are replaced when they end.
//!
//! They are a pool of their own. A request that finds one free has a permit for it; all others run
//! on demand, in the version's other pool.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

use tokio::{sync::Notify, task::JoinSet};

use super::{
    Inner,
    environment::{Environment, Initialization},
    extensions::Reason,
    pool::Pool,
    scheduler::IdlePolicy,
    version::{NotReady, Ready, Version},
};

/// Environments of one version that are initialised at once.
const STARTS_AT_ONCE: usize = 4;
/// After an init that failed; twice as long after each that follows.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Longer than any server runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub struct Provision {
    pub pool: Arc<Pool>,
    state: Mutex<State>,
    signals: Arc<Signals>,
}

/// What wakes the keeper.
#[derive(Default)]
struct Signals {
    changed: Notify,
    /// Another number is asked for: worth a try also after failures.
    retargeted: Notify,
}

impl std::fmt::Debug for Provision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Provision").field(&self.view()).finish()
    }
}

#[derive(Default)]
struct State {
    target: u32,
    /// Initialised and not over.
    ready: HashSet<u64>,
    /// How long they have been kept, all together, since it was last asked.
    kept: Duration,
    /// Until when that is counted.
    counted: Option<Instant>,
    /// Requests that have one to themselves.
    busy: u32,
    /// Why the last one could not be initialised.
    failure: Option<String>,
}

/// What there is of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    pub allocated: u32,
    pub available: u32,
    /// Why there is not more, in Lambda's words where it has some.
    pub failure: Option<String>,
}

/// What to do now: how many to start, how many to stop.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    start: u32,
    stop: u32,
}

fn plan(target: u32, ready: u32) -> Plan {
    Plan {
        start: target.saturating_sub(ready),
        stop: ready.saturating_sub(target),
    }
}

/// How long to wait after so many failures in a row.
fn retry_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    doubled.map_or(RETRY_MAX, |times| {
        (RETRY_FIRST * times.min(1024)).min(RETRY_MAX)
    })
}

impl Provision {
    /// Makes one, and its keeper, which lives as long as it.
    pub fn start(version: &Arc<Version>, inner: &Weak<Inner>, policy: IdlePolicy) -> Arc<Self> {
        let policy = IdlePolicy {
            keep_alive: FOREVER,
            ..policy
        };
        let provision = Arc::new(Self {
            pool: Pool::new(policy),
            state: Mutex::default(),
            signals: Arc::default(),
        });
        let keeper = Keeper {
            provision: Arc::downgrade(&provision),
            version: Arc::downgrade(version),
            inner: inner.clone(),
        };
        tokio::spawn(keeper.keep(provision.signals.clone()));
        provision
    }

    pub fn set_target(&self, target: u32) {
        let mut state = self.lock();
        if state.target != target {
            state.target = target;
            state.failure = None;
            self.signals.retargeted.notify_one();
        }
        drop(state);
        self.signals.changed.notify_one();
    }

    pub fn target(&self) -> u32 {
        self.lock().target
    }

    pub fn view(&self) -> Provisioned {
        let state = self.lock();
        let allocated = state.usable();
        Provisioned {
            allocated,
            available: allocated.saturating_sub(state.busy),
            failure: state.failure.clone(),
        }
    }

    /// One for a request to have to itself, if any is free.
    pub fn take(&self) -> bool {
        let mut state = self.lock();
        let free = state.busy < state.usable();
        state.busy += u32::from(free);
        free
    }

    pub fn give_back(&self) {
        self.lock().busy -= 1;
    }

    /// An environment is over.
    pub fn ended(&self, id: u64) {
        self.pool.forget(id);
        self.lock().remove(id);
        self.signals.changed.notify_one();
    }

    /// Gives an environment back; one too many is ended.
    pub fn check_in(&self, environment: Arc<Environment>, now: Instant) {
        let mut state = self.lock();
        if plan(state.target, state.count()).stop > 0 {
            state.remove(environment.id);
            drop(state);
            return environment.end(Reason::Spindown);
        }
        drop(state);
        self.pool.check_in(environment, now);
    }

    /// How long environments have been kept since it was last asked, all together.
    pub fn take_kept_ms(&self, now: Instant) -> u64 {
        let mut state = self.lock();
        state.count_to(now);
        let whole_ms = u64::try_from(state.kept.as_millis()).unwrap_or(u64::MAX);
        state.kept -= Duration::from_millis(whole_ms);
        whole_ms
    }

    /// No request comes here any more.
    pub fn retire(&self) {
        self.set_target(0);
        self.pool.retire();
    }

    fn plan(&self) -> Plan {
        let state = self.lock();
        plan(state.target, state.count())
    }

    fn stop_one(&self) {
        if let Some(environment) = self.pool.take_oldest_idle() {
            self.lock().remove(environment.id);
            environment.end(Reason::Spindown);
        }
    }

    fn is_ready(&self, environment: Arc<Environment>) {
        let mut state = self.lock();
        state.count_to(Instant::now());
        state.ready.insert(environment.id);
        // It may have ended in between, and said so before.
        if environment.is_gone() {
            state.remove(environment.id);
        } else {
            state.failure = None;
        }
        drop(state);
        self.check_in(environment, Instant::now());
    }

    fn failed(&self, why: String) {
        self.lock().failure = Some(why);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, id: u64) {
        self.count_to(Instant::now());
        self.ready.remove(&id);
    }

    fn count_to(&mut self, now: Instant) {
        if let Some(since) = self.counted {
            self.kept += now.saturating_duration_since(since) * self.count();
        }
        self.counted = Some(now);
    }

    fn count(&self) -> u32 {
        u32::try_from(self.ready.len()).unwrap_or(u32::MAX)
    }

    fn usable(&self) -> u32 {
        self.count().min(self.target)
    }
}

impl Drop for Provision {
    fn drop(&mut self) {
        // Lets the keeper see that it is over.
        self.signals.changed.notify_one();
        self.signals.retargeted.notify_one();
    }
}

/// Holds nothing but for a moment, so that a version that is gone takes it along.
struct Keeper {
    provision: Weak<Provision>,
    version: Weak<Version>,
    inner: Weak<Inner>,
}

impl Keeper {
    async fn keep(self, signals: Arc<Signals>) {
        let mut failures = 0;
        loop {
            let Some((provision, version, inner)) = self.held() else {
                return;
            };
            let Plan { start, stop } = provision.plan();
            for _ in 0..stop {
                provision.stop_one();
            }
            if start > 0 {
                match start_some(&provision, &version, &inner, start).await {
                    true => failures = 0,
                    false => failures += 1,
                }
            }
            let again = provision.plan().start > 0;
            drop((provision, version, inner));
            match (again, failures) {
                (true, 0) => {}
                (true, failures) => tokio::select! {
                    () = tokio::time::sleep(retry_after(failures)) => {}
                    () = signals.retargeted.notified() => {}
                },
                (false, _) => signals.changed.notified().await,
            }
        }
    }

    fn held(&self) -> Option<(Arc<Provision>, Arc<Version>, Arc<Inner>)> {
        let inner = self.inner.upgrade()?;
        if inner.draining.load(Ordering::SeqCst) {
            return None;
        }
        Some((self.provision.upgrade()?, self.version.upgrade()?, inner))
    }
}

/// Starts some of those that are missing; says whether all of them came to be.
async fn start_some(
    provision: &Arc<Provision>,
    version: &Arc<Version>,
    inner: &Arc<Inner>,
    missing: u32,
) -> bool {
    let count = usize::try_from(missing).unwrap_or(usize::MAX);
    let mut starts = JoinSet::new();
    for _ in 0..count.min(STARTS_AT_ONCE) {
        let (version, inner) = (version.clone(), inner.clone());
        starts.spawn(async move { inner.start(&version, Initialization::Provisioned).await });
    }
    let mut all = true;
    while let Some(started) = starts.join_next().await {
        match started {
            Ok(Ok(Ready { environment, .. })) => provision.is_ready(environment),
            Ok(Err(NotReady::Failed(_) | NotReady::NotRestored(_))) => {
                provision.failed("FUNCTION_ERROR_INIT_FAILURE".to_owned());
                all = false;
            }
            Ok(Err(NotReady::Platform(error))) => {
                let function = &version.definition.key.name;
                tracing::error!(%error, function, "start a provisioned environment");
                provision.failed("The platform could not make an environment.".to_owned());
                all = false;
            }
            Err(error) => {
                tracing::error!(%error, "start a provisioned environment");
                all = false;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_started_and_what_is_too_much_stopped() {
        assert_eq!(plan(3, 1), Plan { start: 2, stop: 0 });
        assert_eq!(plan(1, 3), Plan { start: 0, stop: 2 });
        assert_eq!(plan(2, 2), Plan::default());
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        assert_eq!(retry_after(1), RETRY_FIRST);
        assert_eq!(retry_after(3), RETRY_FIRST * 4);
        assert_eq!(retry_after(10), RETRY_MAX);
        assert_eq!(retry_after(u32::MAX), RETRY_MAX);
    }
}
