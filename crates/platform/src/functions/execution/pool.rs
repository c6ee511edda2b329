//! The environments of one function version: which are idle, in what order they are taken, frozen
//! and stopped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::time::Instant;

use tokio::sync::Notify;

use super::{
    environment::Environment,
    extensions::Reason,
    handover::{Handover, Place},
    scheduler::{Idle, IdlePolicy, plan},
};

pub struct Pool {
    policy: IdlePolicy,
    state: Mutex<State>,
    /// Wakes the keeper when it would sleep too long.
    changed: Arc<Notify>,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    /// The latest at the end: it is taken first, so that the others can go.
    idle: Vec<(Arc<Environment>, Instant)>,
    /// Between those that have answered and not asked for more yet, and requests.
    handover: Handover<Arc<Environment>>,
    all: HashMap<u64, Arc<Environment>>,
    /// Since when there is no environment at all, if there ever was one.
    empty_since: Option<Instant>,
    /// No request comes here any more.
    retired: bool,
    keeper_wakes_at: Option<Instant>,
}

/// What an environment is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentState {
    /// In its init or with a request.
    Busy,
    Idle,
    Frozen,
}

impl Pool {
    /// Makes a pool and its keeper, which lives as long as the pool.
    pub fn new(policy: IdlePolicy) -> Arc<Self> {
        let pool = Arc::new(Self {
            policy,
            state: Mutex::default(),
            changed: Arc::default(),
            emptied: Notify::new(),
        });
        tokio::spawn(keep(Arc::downgrade(&pool), pool.changed.clone()));
        pool
    }

    /// An environment that is idle, or about to be, thawed, for the caller alone.
    pub async fn check_out(&self) -> Option<Arc<Environment>> {
        let taken = self.lock().take();
        let environment = match taken {
            Taken::Now(environment) => environment,
            Taken::Soon(place) => place.wait().await?,
            Taken::None => return None,
        };
        environment.thaw();
        Some(environment)
    }

    /// An environment has answered and not asked for more yet.
    pub fn settles(&self) {
        self.lock().handover.expect();
    }

    /// It has asked, or ended.
    pub fn settled(&self) {
        self.lock().handover.arrived();
    }

    /// Takes a new environment in; it is the caller's until it is checked in.
    pub fn admit(&self, environment: &Arc<Environment>) {
        if !environment.is_gone() {
            self.lock().all.insert(environment.id, environment.clone());
        }
        // It may have gone in between.
        if environment.is_gone() {
            self.forget(environment.id);
        }
    }

    /// Gives an environment back, idle. Of a retired pool it is ended.
    pub fn check_in(&self, environment: Arc<Environment>, now: Instant) {
        if environment.is_gone() {
            return self.forget(environment.id);
        }
        let mut state = self.lock();
        if state.retired {
            drop(state);
            return environment.end(Reason::Spindown);
        }
        let Some(environment) = state.handover.give(environment) else {
            return;
        };
        state.idle.push((environment, now));
        let wanted = now + self.policy.freeze_after.min(self.policy.keep_alive);
        if state.keeper_wakes_at.is_none_or(|at| at > wanted) {
            self.changed.notify_one();
        }
    }

    /// An environment is over.
    pub fn forget(&self, id: u64) {
        let mut state = self.lock();
        state.idle.retain(|(environment, _)| environment.id != id);
        let gone = state.all.remove(&id);
        if state.all.is_empty() && gone.is_some() {
            state.empty_since = Some(Instant::now());
            self.emptied.notify_waiters();
        }
        drop(state);
        drop(gone);
    }

    /// No request comes here any more: the idle ones end now, the others when they are given back.
    pub fn retire(&self) {
        let mut state = self.lock();
        state.retired = true;
        state.handover.dismiss();
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        for (environment, _) in idle {
            environment.end(Reason::Spindown);
        }
    }

    /// Ends everything; says whether something takes a while.
    pub fn end_all(&self) -> bool {
        self.retire();
        let all: Vec<_> = self.lock().all.values().cloned().collect();
        for environment in &all {
            environment.end(Reason::Spindown);
        }
        all.iter()
            .any(|environment| environment.link.has_extensions())
    }

    /// Waits until none is left.
    pub async fn emptied(&self) {
        loop {
            let empty = self.emptied.notified();
            if self.lock().all.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Says whether there has been no environment for a time.
    pub fn rests(&self, now: Instant, time: Duration) -> bool {
        let state = self.lock();
        let long_ago = |since: Instant| now.saturating_duration_since(since) >= time;
        state.all.is_empty() && state.empty_since.is_none_or(long_ago)
    }

    pub fn oldest_idle(&self) -> Option<Instant> {
        self.lock().idle.iter().map(|(_, since)| *since).min()
    }

    /// Ends the environment that has been idle longest; says whether there was one.
    pub fn stop_oldest_idle(&self) -> bool {
        let oldest = self.take_oldest_idle();
        if let Some(environment) = &oldest {
            environment.end(Reason::Spindown);
        }
        oldest.is_some()
    }

    /// The environment that has been idle longest, which is the caller's to end.
    pub fn take_oldest_idle(&self) -> Option<Arc<Environment>> {
        let mut state = self.lock();
        let oldest = (0..state.idle.len()).min_by_key(|&at| state.idle[at].1)?;
        Some(state.idle.remove(oldest).0)
    }

    pub fn environments(&self) -> Vec<(Arc<Environment>, EnvironmentState)> {
        let state = self.lock();
        let state_of = |environment: &Environment| {
            let idle = state.idle.iter().any(|(idle, _)| idle.id == environment.id);
            match (idle, environment.is_frozen()) {
                (false, _) => EnvironmentState::Busy,
                (true, false) => EnvironmentState::Idle,
                (true, true) => EnvironmentState::Frozen,
            }
        };
        let all = state.all.values();
        all.map(|environment| (environment.clone(), state_of(environment)))
            .collect()
    }

    /// Carries out the plan for now and says when to plan again.
    fn tend(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let views: Vec<_> = state
            .idle
            .iter()
            .map(|(environment, since)| Idle {
                since: *since,
                frozen: environment.is_frozen(),
            })
            .collect();
        let plan = plan(&views, now, self.policy);
        for at in plan.freeze {
            // Under the lock, so that none is handed out half frozen; it takes microseconds.
            state.idle[at].0.freeze();
        }
        let mut stopped = Vec::with_capacity(plan.stop.len());
        for at in plan.stop.into_iter().rev() {
            stopped.push(state.idle.remove(at).0);
        }
        state.keeper_wakes_at = plan.again_at;
        drop(state);
        for environment in stopped {
            environment.end(Reason::Spindown);
        }
        plan.again_at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Now(Arc<Environment>),
    Soon(Place<Arc<Environment>>),
    None,
}

impl State {
    fn take(&mut self) -> Taken {
        while let Some((environment, _)) = self.idle.pop() {
            if environment.is_spoiled() {
                environment.end(Reason::Failure);
            } else if !environment.is_gone() {
                return Taken::Now(environment);
            }
        }
        match self.handover.ask() {
            Some(place) => Taken::Soon(place),
            None => Taken::None,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Lets the keeper see that it is over.
        self.changed.notify_one();
    }
}

async fn keep(pool: Weak<Pool>, changed: Arc<Notify>) {
    loop {
        // Held for the moment only: the pool ends with its last other owner.
        let Some(again_at) = pool.upgrade().map(|pool| pool.tend(Instant::now())) else {
            return;
        };
        match again_at {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = changed.notified() => {}
            },
            None => changed.notified().await,
        }
    }
}
