//! The process jail: environments as processes in namespaces, control groups and a system call
//! filter of their own.
//!
//! This is the server's side. It holds connections, not privileges: what needs them is done by the
//! [`jailer`](crate::jailer), whose processes it starts and, when they die, starts again.
//!
//! - [`helper`]: the connection to the jailer; [`slots`]: what it makes ahead.
//! - [`station`]: the connection to a function version's station; [`template`]: the version.
//! - [`zygote`]: the version's forking station, where that is faster; [`pool`]: booted processes.
//! - [`snapshot`]: an environment that others begin as.
//! - [`start`]: one start; [`environment`]: one environment, from its order to its end; [`memory`]: its memory limit.

mod environment;
mod helper;
mod link;
mod memory;
mod pool;
mod slots;
mod snapshot;
mod start;
mod station;
mod template;
mod zygote;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::{
    helper::{Helper, system},
    memory::MemoryWatch,
    pool::Pools,
    template::Version,
};
use crate::{
    Backend, Error, Guarantees, Template, TemplateSpec,
    egress::{EgressConfig, EgressShared},
    seccomp,
};

#[derive(Debug, Clone)]
pub struct JailConfig {
    /// A directory of our own, for the records that a sweep after a crash reads. One server each.
    pub state_dir: PathBuf,
    /// Slots kept ready. Each is about 250 kB of kernel memory.
    pub slots_ahead: usize,
    /// The most environments at a time.
    pub slots_max: usize,
    /// The port on an environment's own loopback whose connections are
    /// [`Sandbox::platform`](crate::Sandbox::platform)'s; none if functions are not to reach the
    /// platform. See [`platform_port`](crate::platform_port).
    pub platform_port: Option<u16>,
    pub egress: EgressConfig,
}

impl JailConfig {
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        JailConfig {
            state_dir: state_dir.into(),
            slots_ahead: 8,
            slots_max: 10_000,
            platform_port: None,
            egress: EgressConfig::default(),
        }
    }
}

/// The backend. The process that starts it must call [`run_helper_if_asked`](crate::run_helper_if_asked)
/// first thing in `main`.
pub struct Jail {
    inner: Arc<Inner>,
    guarantees: Guarantees,
}

struct Inner {
    config: JailConfig,
    seccomp: Vec<u64>,
    egress: Arc<EgressShared>,
    memory: Arc<MemoryWatch>,
    pools: Pools,
    helper: Mutex<Option<Arc<Helper>>>,
}

impl Jail {
    /// Starts the jailer, which first clears up what a crashed predecessor left. Where the kernel
    /// refuses what a jail needs, the error says what to do about it.
    pub async fn start(config: JailConfig) -> Result<Self, Error> {
        let egress = EgressShared::new(config.egress.clone())
            .map_err(|error| system("set up the outbound network", error))?;
        let memory =
            MemoryWatch::start().map_err(|error| system("set up the memory watch", error))?;
        let inner = Arc::new(Inner {
            config,
            seccomp: seccomp::program(),
            egress,
            memory: Arc::new(memory),
            pools: Pools::new(),
            helper: Mutex::default(),
        });
        let helper = inner.helper().await?;
        let guarantees = guarantees(&helper);
        Ok(Jail { inner, guarantees })
    }

    /// Ends every environment and helper and waits until nothing of them is left.
    pub async fn shutdown(&self) {
        self.inner.pools.clear();
        if let Some(helper) = self.inner.helper.lock().await.take() {
            helper.end().await;
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // What waits in them holds on to everything else.
        self.inner.pools.clear();
    }
}

impl Inner {
    /// Whether there is no living jailer.
    async fn has_lost_helper(&self) -> bool {
        let helper = self.helper.lock().await;
        helper.as_ref().is_none_or(|helper| helper.is_dead())
    }

    /// The jailer; a new one if the last has died.
    async fn helper(&self) -> Result<Arc<Helper>, Error> {
        let mut helper = self.helper.lock().await;
        if let Some(alive) = helper.as_ref().filter(|helper| !helper.is_dead()) {
            return Ok(alive.clone());
        }
        if let Some(dead) = helper.take() {
            tracing::error!("the jailer has died, and all environments with it; starting another");
            dead.end().await;
        }
        let started = Helper::start(&self.config, self.egress.clone()).await?;
        *helper = Some(started.clone());
        Ok(started)
    }
}

#[async_trait]
impl Backend for Jail {
    async fn prepare(&self, spec: TemplateSpec) -> Result<Arc<dyn Template>, Error> {
        let version = Version::prepare(self.inner.clone(), spec).await?;
        Ok(version)
    }

    fn guarantees(&self) -> &Guarantees {
        &self.guarantees
    }
}

fn guarantees(helper: &Helper) -> Guarantees {
    let who = if helper.ordinary {
        "ordinary user in a user namespace"
    } else {
        "root"
    };
    Guarantees {
        summary: format!("process jail, {who}, {}", helper.groups.summary()),
        missing: helper.missing.clone(),
    }
}
