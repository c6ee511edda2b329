//! Booted Node.js processes that wait for a function.
//!
//! Node.js takes fifty times longer to boot than to load a small handler, and cannot be forked. So
//! some are started ahead, each in a slot and a jail of its own, with the runtime client waiting on
//! a line. To become a function's, a process gets the function's code mounted where its own
//! `/var/task` was empty, its outbound network, and then its variables on the line. It has seen
//! nothing of any function before, and it never serves a second one.
//!
//! A pool is per interpreter and memory size, as the size of the heap is chosen at boot. What is
//! unusual (options for Node.js, another size of `/tmp`, several layers) is executed as before.

use std::{
    collections::{HashMap, VecDeque},
    ffi::CString,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use guest::jail::{message::LINE, sys};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot::error::TryRecvError};

use super::{
    Inner,
    helper::{Helper, system},
    start::{Running, Wish},
    template::Version,
};
use crate::{Error, Interpreter, Launch, NetworkPolicy, TemplateSpec, runtimes};

/// Processes that a pool keeps booted to begin with, and at most when they are in demand.
const READY_MIN: usize = 2;
const READY_MAX: usize = 8;
/// Booted and waiting, over all pools.
const BOOTED_MAX: usize = 16;
/// A pool that nobody has asked for this long is emptied.
const KEEP: Duration = Duration::from_secs(600);
/// `/tmp` of a waiting process: Lambda's default.
const TMP_MB: u32 = 512;
/// A line that fits into an empty pipe, so that writing it never waits.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What a process must have been booted with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    interpreter: Interpreter,
    memory_mb: u32,
}

impl Key {
    /// The pool that a function's environments may come from.
    pub fn of(spec: &TemplateSpec) -> Option<Self> {
        let Launch::Node(interpreter) = &spec.launch else {
            return None;
        };
        let usual = spec.tmp_mb == TMP_MB && spec.layers.len() <= 1;
        (usual && runtimes::boots_plainly(spec)).then(|| Key {
            interpreter: interpreter.clone(),
            memory_mb: spec.memory_mb,
        })
    }

    /// The processes' own version: no function at all.
    fn spec(&self) -> TemplateSpec {
        TemplateSpec {
            label: format!("node {} pool", self.interpreter.version),
            launch: Launch::Node(self.interpreter.clone()),
            code: PathBuf::new(),
            layers: Vec::new(),
            env: vec![
                ("LANG".into(), runtimes::USUAL_LANG.into()),
                ("LAMBENT_POOL_FD".into(), LINE.to_string()),
            ],
            memory_mb: self.memory_mb,
            tmp_mb: TMP_MB,
            network: NetworkPolicy::Off,
        }
    }
}

/// All pools of a jail.
pub struct Pools {
    all: Mutex<HashMap<Key, Arc<Pool>>>,
    booted: Arc<Semaphore>,
}

impl Pools {
    pub fn new() -> Self {
        Pools {
            all: Mutex::default(),
            booted: Arc::new(Semaphore::new(BOOTED_MAX)),
        }
    }

    /// The pool of this key, which begins to fill.
    pub fn pool(&self, jail: &Arc<Inner>, key: Key) -> Arc<Pool> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let made = |key: &Key| {
            Arc::new(Pool {
                spec: key.spec(),
                jail: Arc::downgrade(jail),
                booted: self.booted.clone(),
                state: Mutex::new(State {
                    waiting: VecDeque::new(),
                    wanted: READY_MIN,
                    booting: false,
                    emptying: false,
                    asked: Instant::now(),
                }),
            })
        };
        let pool = all.entry(key).or_insert_with_key(made).clone();
        drop(all);
        pool.fill();
        pool
    }

    /// Ends all that wait.
    pub fn clear(&self) {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

pub struct Pool {
    spec: TemplateSpec,
    jail: Weak<Inner>,
    booted: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Waiting>,
    wanted: usize,
    booting: bool,
    emptying: bool,
    asked: Instant,
}

/// A process that waits. Dropped, it is killed.
pub struct Waiting {
    running: Running,
    helper: Arc<Helper>,
    line: OwnedFd,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A booted process, if there is one; another is booted in its place.
    pub fn take(self: &Arc<Self>) -> Option<Waiting> {
        let mut state = self.state();
        state.asked = Instant::now();
        let found = loop {
            match state.waiting.pop_front() {
                Some(mut waiting) => {
                    if waiting.is_alive() {
                        break Some(waiting);
                    }
                }
                None => break None,
            }
        };
        if found.is_none() {
            state.wanted = (state.wanted * 2).min(READY_MAX);
        }
        drop(state);
        self.fill();
        found
    }

    /// Boots what is missing, one after the other, in the background.
    fn fill(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.emptying {
            state.emptying = true;
            tokio::spawn(empty_when_idle(Arc::downgrade(self)));
        }
        if state.booting || state.waiting.len() >= state.wanted {
            return;
        }
        state.booting = true;
        drop(state);
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut version = None;
            while let Some(pool) = pool.upgrade() {
                let booted = pool.boot(&mut version).await;
                if let Err(error) = &booted {
                    tracing::warn!("no process for the {}: {error}", pool.spec.label);
                }
                let mut state = pool.state();
                let more = match booted {
                    Ok(Some(waiting)) => {
                        state.waiting.push_back(waiting);
                        state.waiting.len() < state.wanted
                    }
                    Ok(None) | Err(_) => false,
                };
                if !more {
                    state.booting = false;
                    return;
                }
            }
        });
    }

    /// Starts one; none if there are enough of them over all pools.
    async fn boot(&self, version: &mut Option<Arc<Version>>) -> Result<Option<Waiting>, Error> {
        let Ok(permit) = self.booted.clone().try_acquire_owned() else {
            return Ok(None);
        };
        let Some(jail) = self.jail.upgrade() else {
            return Ok(None);
        };
        let version = match version {
            Some(version) => version.clone(),
            None => version
                .insert(Version::new(jail, self.spec.clone())?)
                .clone(),
        };
        let station = version.station().await?;
        let pipe = std::io::pipe().map_err(|error| system("make a line", error))?;
        let wish = Wish {
            line: Some(pipe.0.into()),
            extension_log: None,
            waits: true,
            ..Wish::plain(Vec::new())
        };
        let running = version.start_on(&station, wish).await?;
        Ok(Some(Waiting {
            running,
            helper: station.helper().clone(),
            line: pipe.1.into(),
            _permit: permit,
        }))
    }
}

/// Ends what waits in a pool that nobody asks for any more. While it is asked for, this wakes once
/// per [`KEEP`].
async fn empty_when_idle(pool: Weak<Pool>) {
    loop {
        let Some(idle_at) = pool.upgrade().map(|pool| pool.state().asked + KEEP) else {
            return;
        };
        tokio::time::sleep_until(idle_at.into()).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.state();
        if state.asked.elapsed() >= KEEP {
            state.wanted = READY_MIN;
            state.emptying = false;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            drop(waiting);
            return;
        }
    }
}

impl Waiting {
    fn is_alive(&mut self) -> bool {
        matches!(self.running.exit.try_recv(), Err(TryRecvError::Empty)) && !self.helper.is_dead()
    }

    /// Makes it a function's environment.
    pub async fn become_of(
        self,
        version: &Version,
        environment: &[CString],
    ) -> Result<Running, Error> {
        let broken = || std::io::ErrorKind::BrokenPipe.into();
        let init = self.running.reins.0.init();
        let init = init.map_err(|error| system("find a process of the pool", error))?;
        let init = init.ok_or_else(|| system("find a process of the pool", broken()))?;
        let line = line(environment);
        if line.len() > LINE_BYTES_MAX {
            let large = std::io::ErrorKind::InvalidInput.into();
            return Err(system("tell a process of the pool so much", large));
        }
        let spec = &version.spec;
        self.helper
            .inject(&spec.code, spec.layers.first().map(PathBuf::as_path), &init)
            .await?;
        let attached = self.running.reins.0.attach(|device| version.attach(device));
        attached.map_err(|error| system("attach the outbound network", error))?;
        match sys::write(self.line.as_raw_fd(), line.as_bytes()) {
            Ok(length) if length == line.len() => Ok(self.running),
            _ => Err(system("tell a process of the pool", broken())),
        }
    }
}

/// The variables as the runtime client reads them.
pub fn line(environment: &[CString]) -> String {
    let mut line = String::from("{\"env\":{");
    for (number, variable) in environment.iter().enumerate() {
        let text = variable.to_string_lossy();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        if number > 0 {
            line.push(',');
        }
        push_json(&mut line, name);
        line.push(':');
        push_json(&mut line, value);
    }
    line.push_str("}}\n");
    line
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_as_json() {
        let variables = [
            c"A=1".into(),
            c"QUOTED=say \"hi\"\\\n=x".into(),
            c"E=".into(),
        ];
        assert_eq!(
            line(&variables),
            "{\"env\":{\"A\":\"1\",\"QUOTED\":\"say \\\"hi\\\"\\\\\\u000a=x\",\"E\":\"\"}}\n"
        );
    }
}
