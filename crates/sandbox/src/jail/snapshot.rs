//! An environment whose init has run, and that others begin as.
//!
//! What it takes is in the guest: [`ghost`](guest::jail::ghost). Here is its course: the environment
//! is started beside all others, in a slot that stays its own for as long as there is the snapshot;
//! the zygote is told when the init is done, and reports when nothing is left but the snapshot.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use guest::jail::{
    message::{Failure, Kind, Order},
    sys,
};
use tokio::{sync::watch, time::timeout};

use super::{
    environment::{Environment, Reins},
    helper::system,
    pool::{LINE_BYTES_MAX, line},
    start::Wish,
    station::{Stage, Station},
    template::{MIB, Version, strings},
};
use crate::{Control, Error, Sandbox, Snapshot, Template};

/// How long the zygote may take for each of its steps: with all that is in the memory of the
/// environment to be ended first, many times over.
const STEP_MAX: Duration = Duration::from_secs(10);

/// The environment's own end of what it is told at its start.
const MARK: &std::ffi::CStr = c"LAMBENT_SNAPSHOT=1";

pub async fn begin(
    version: Arc<Version>,
    mut environment: Vec<CString>,
) -> Result<(Sandbox, Box<dyn Snapshot>), Error> {
    let station = version.forking_station().await?;
    environment.push(MARK.into());
    let wish = Wish {
        kind: Kind::Snapshot,
        ..Wish::plain(environment)
    };
    let running = version.start_on(&station, wish).await?;
    let held = Held {
        id: running.id,
        stage: station.snapshot(running.id),
        first: Arc::downgrade(&running.reins.0),
        base_bytes: 0,
        station,
        version,
    };
    Ok((running.into_sandbox(), Box::new(held)))
}

/// A snapshot, made or in the making; dropped, it ends.
struct Held {
    version: Arc<Version>,
    station: Arc<Station>,
    id: u32,
    stage: watch::Receiver<Stage>,
    /// The one that it is made of.
    first: Weak<Environment>,
    /// What that has used, which its copies share: the kernel counts what they have of their own.
    base_bytes: u64,
}

impl Held {
    /// Waits for a stage, for what ends it, or for too long.
    async fn until(&mut self, wanted: Stage) -> Result<(), Error> {
        let settled =
            |stage: &Stage| *stage == wanted || matches!(stage, Stage::Failed(_) | Stage::Gone);
        let reached = match timeout(STEP_MAX, self.stage.wait_for(settled)).await {
            Ok(Ok(stage)) => stage.clone(),
            Ok(Err(_)) => Stage::Gone,
            Err(_) => return Err(Error::TimedOut(STEP_MAX)),
        };
        match reached {
            reached if reached == wanted => Ok(()),
            Stage::Failed(failure) => Err(failed(failure)),
            // Its zygote has died, or it was killed itself.
            _ => Err(system("make a snapshot", io::ErrorKind::BrokenPipe.into())),
        }
    }
}

#[async_trait]
impl Snapshot for Held {
    async fn arm(&mut self) -> Result<(), Error> {
        self.station.order(&Order::Freeze { id: self.id }).await?;
        self.until(Stage::Armed).await
    }

    async fn taken(mut self: Box<Self>) -> Result<Arc<dyn Template>, Error> {
        self.until(Stage::Frozen).await?;
        let first = self.first.upgrade();
        self.base_bytes = first.map_or(0, |first| Reins(first).memory_peak_bytes());
        Ok(Arc::new(*self))
    }
}

#[async_trait]
impl Template for Held {
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error> {
        if self.is_lost() {
            return Err(gone());
        }
        let wish = Wish {
            line: Some(told(&strings(&env)?)?),
            kind: Kind::Restored,
            ..Wish::plain(Vec::new())
        };
        match self.version.start_on(&self.station, wish).await {
            Err(Error::System { .. }) if self.station.is_dead() => Err(gone()),
            outcome => outcome.map(|running| self.based(running.into_sandbox())),
        }
    }

    fn is_lost(&self) -> bool {
        *self.stage.borrow() != Stage::Frozen || self.station.is_dead()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.stage.borrow() != Stage::Gone {
            self.station.discard(self.id);
        }
    }
}

impl Held {
    fn based(&self, sandbox: Sandbox) -> Sandbox {
        Sandbox {
            control: Box::new(Based {
                own: sandbox.control,
                base_bytes: self.base_bytes,
                limit_bytes: u64::from(self.version.spec.memory_mb) * MIB,
            }),
            ..sandbox
        }
    }
}

/// An environment that uses memory of its snapshot beside its own.
struct Based {
    own: Box<dyn Control>,
    base_bytes: u64,
    limit_bytes: u64,
}

impl Control for Based {
    fn freeze(&self) {
        self.own.freeze();
    }

    fn thaw(&self) {
        self.own.thaw();
    }

    fn kill(&self) {
        self.own.kill();
    }

    fn init_done(&self) {
        self.own.init_done();
    }

    /// What it has changed of the snapshot counts twice, but never for more than it may use.
    fn memory_peak_bytes(&self) -> u64 {
        match self.own.memory_peak_bytes() {
            0 => 0,
            own => (own + self.base_bytes).min(self.limit_bytes),
        }
    }
}

/// The read end of a line on which these variables are.
fn told(environment: &[CString]) -> Result<OwnedFd, Error> {
    let line = line(environment);
    if line.len() > LINE_BYTES_MAX {
        let what = "the environment variables are too large".into();
        return Err(Error::InvalidEntrypoint(what));
    }
    let (reads, writes) = io::pipe().map_err(|error| system("make a line", error))?;
    match sys::write(writes.as_raw_fd(), line.as_bytes()) {
        Ok(length) if length == line.len() => Ok(reads.into()),
        _ => Err(system(
            "tell an environment",
            io::ErrorKind::BrokenPipe.into(),
        )),
    }
}

fn failed(failure: Failure) -> Error {
    let error = io::Error::from_raw_os_error(failure.errno);
    Error::NoSnapshot(format!("{}: {error}", failure.step.text()))
}

fn gone() -> Error {
    Error::NoSnapshot("its process has ended".into())
}
