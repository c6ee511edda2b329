//! Execution environments: where a function's code runs, and the only road to it.
//!
//! A [`Backend`] makes a [`Template`] per function version (root file system, limits, start-up
//! image) and a template starts [`Sandbox`]es, each one execution environment. The platform never
//! sees a pid, a namespace or a cgroup; it sees a listener for the Runtime API, a log pipe, an
//! exit, and the verbs freeze, thaw and kill.
//!
//! This crate knows nothing of functions, requests or HTTP: what is spoken on the listener is the
//! platform's business.

pub mod bare;
mod cgroup;
pub mod egress;
pub mod fake;
pub mod jail;
mod jailer;
mod pipe;
mod runtimes;
mod seccomp;

use std::{io, net::IpAddr, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// What begins the paths of the calls, on the Runtime API's listener, by which the process that
/// starts external extensions speaks with the platform.
pub use guest::supervisor::PREFIX as SUPERVISOR_PREFIX;

/// The port of the Runtime API on an environment's own loopback.
const RUNTIME_API_PORT: u16 = 9001;
/// Where a jail's environment finds it.
pub const RUNTIME_API: &str = "127.0.0.1:9001";

/// The port by which functions in a jail reach a platform that listens on `public`: the same, so
/// that addresses made outside lead to it inside as well. Where the Runtime API has that one, the
/// next.
pub const fn platform_port(public: u16) -> u16 {
    match public {
        RUNTIME_API_PORT => RUNTIME_API_PORT + 1,
        other => other,
    }
}

/// To be called first thing in `main`: the jail's privileged part and what starts extensions inside
/// are the same executable, started with a hidden argument, and in that case this never returns.
pub fn run_helper_if_asked() {
    guest::supervisor::run_if_asked();
    jailer::run_if_asked();
}

/// Makes templates; one per process.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Gets a function version ready to start environments. Idempotent work only: nothing of the
    /// user's code runs here. Called when a function becomes active and again after a restart.
    async fn prepare(&self, spec: TemplateSpec) -> Result<Arc<dyn Template>, Error>;

    /// What this backend enforces on this machine, for the operator's eyes at start.
    fn guarantees(&self) -> &Guarantees;
}

/// A function version ready to run. Dropping the last handle ends its helpers; environments that
/// are alive stay so.
#[async_trait]
pub trait Template: Send + Sync + 'static {
    /// Starts one environment. `env` is added to the template's own variables (per-environment
    /// ones such as the log stream's name). Returns as soon as the process exists; its init is
    /// still to come and shows as the first connection to the Runtime API.
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error>;

    /// Whether it was made of a snapshot that has ended.
    fn is_lost(&self) -> bool {
        false
    }

    /// Starts the environment that others are to begin as. It runs the function's init in a jail like
    /// any other, and asks on its Runtime API for `restore/next` once it is done; see [`Snapshot`].
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] where the function's runtime, its settings or this machine allow none.
    async fn start_snapshot(
        self: Arc<Self>,
        _env: Vec<(String, String)>,
    ) -> Result<(Sandbox, Box<dyn Snapshot>), Error> {
        let why = "this kind of environment cannot be taken a snapshot of";
        Err(Error::NoSnapshot(why.into()))
    }
}

/// A snapshot that is being made. Dropped, it is given up.
#[async_trait]
pub trait Snapshot: Send + 'static {
    /// Gets ready, while the environment waits for its answer to `restore/next`. What it does from
    /// that answer on is taken.
    async fn arm(&mut self) -> Result<(), Error>;

    /// Waits until it is taken, and all processes of the environment are gone. The template's
    /// environments begin where the snapshot was taken, with the variables of their start added
    /// to those that were there.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], also of the template's starts once the snapshot is lost;
    /// [`Error::System`] where its process or its zygote has ended meanwhile.
    async fn taken(self: Box<Self>) -> Result<Arc<dyn Template>, Error>;
}

/// Everything that is fixed for the life of a function version.
#[derive(Debug, Clone)]
pub struct TemplateSpec {
    /// For logs and cgroup names only, e.g. `000000000000/us-east-1/resize/$LATEST/3`.
    pub label: String,
    pub launch: Launch,
    /// The unpacked code, seen read-only at `/var/task`; empty for an image.
    pub code: PathBuf,
    /// Unpacked layers in merge order, seen read-only at `/opt`.
    pub layers: Vec<PathBuf>,
    /// The process's environment, complete but for `AWS_LAMBDA_RUNTIME_API`, which the backend
    /// adds.
    pub env: Vec<(String, String)>,
    /// 128 to 10,240. The memory limit, and the CPU share: 1,769 MB is one vCPU.
    pub memory_mb: u32,
    /// 512 to 10,240: the size of `/tmp`.
    pub tmp_mb: u32,
    pub network: NetworkPolicy,
}

/// How an environment's process comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// Execute `/var/task/bootstrap`, else `/opt/bootstrap` (`provided.al2`, `provided.al2023`).
    Bootstrap,
    /// Fork from a zygote of this interpreter, with our Runtime API client loaded.
    Python(Interpreter),
    /// Take a booted process of this interpreter from the pool.
    Node(Interpreter),
    /// Execute a program of a container image, whose files are the root.
    Image(Image),
}

/// A container image, and what of it is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its unpacked layers, the lowest first. What a layer takes away from those below it is marked
    /// as overlayfs wants it: a device 0:0, or a directory with `user.overlay.opaque`.
    pub layers: Vec<PathBuf>,
    /// The program and its arguments. Without a slash it is looked for on the `PATH` of the
    /// template's environment.
    pub program: Vec<String>,
    /// Where it begins; absolute.
    pub directory: String,
}

/// An interpreter on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interpreter {
    /// The executable, e.g. `/usr/bin/node`.
    pub path: PathBuf,
    /// Its version as it says it, e.g. `3.11.7`.
    pub version: String,
    /// The files and directories it needs at run time beyond the host's base system (`/usr/lib` and
    /// so on), e.g. a pyenv prefix. Mounted read-only at the same place, or below `/var/lang` where
    /// that place is taken by something else, such as `/tmp`.
    pub roots: Vec<PathBuf>,
    /// A directory of packages that its functions find behind their own, as those that Lambda's
    /// runtimes bring along: of Python, or a `node_modules`. Mounted read-only.
    pub packages: Option<PathBuf>,
}

/// Where an environment's outbound connections may go. The host's loopback and own addresses,
/// link-local addresses and other environments are out of reach under every policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NetworkPolicy {
    /// Anywhere else.
    #[default]
    World,
    /// Nowhere.
    Off,
    /// Only to what one of these matches.
    Allow(Vec<Destination>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub host: DestinationHost,
    /// Any port when `None`.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationHost {
    /// A network in CIDR form: address and prefix length.
    Net(IpAddr, u8),
    /// A DNS name, or `*.example.com` for all names below one.
    Name(String),
}

/// One execution environment. Dropping it kills whatever is left of it.
pub struct Sandbox {
    /// Where the environment's Runtime API connections arrive (127.0.0.1:9001 in its own network
    /// namespace).
    pub runtime_api: Arc<TcpListener>,
    /// Where its connections to the platform arrive, of nobody else's. None where it shares the
    /// platform's own network.
    pub platform: Option<Arc<TcpListener>>,
    /// The read end of the environment's stdout and stderr, non-blocking.
    pub log: OwnedFd,
    /// The same of its external extensions, where it has some and they do not write to `log`.
    pub extension_log: Option<OwnedFd>,
    /// The way to what listens inside.
    pub inward: Arc<dyn Inward>,
    /// Resolves once, when the environment's first process has ended and all others with it.
    pub exit: oneshot::Receiver<Exit>,
    pub control: Box<dyn Control>,
}

/// The way to what an environment's processes listen on.
#[async_trait]
pub trait Inward: Send + Sync + 'static {
    /// Connects to a port of the environment's own loopback (127.0.0.1), frozen or not.
    ///
    /// # Errors
    /// `NotConnected` once the environment has ended; otherwise what the kernel says, as
    /// `ConnectionRefused` where nobody listens.
    async fn connect(&self, port: u16) -> io::Result<TcpStream>;
}

/// Of an environment that shares the platform's own network.
pub(crate) struct SharedLoopback;

#[async_trait]
impl Inward for SharedLoopback {
    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await
    }
}

/// The verbs on a running environment. All are non-blocking and idempotent.
pub trait Control: Send + Sync + 'static {
    /// Stops it from getting any CPU.
    fn freeze(&self);
    /// Undoes `freeze`; a few microseconds where cgroup v2's freezer is there.
    fn thaw(&self);
    /// Ends it at once, frozen or not; `exit` follows.
    fn kill(&self);
    /// Asks all of its processes to end, by SIGTERM.
    fn terminate(&self) {}
    /// Ends the start-up boost: from now on the CPU share follows the memory size.
    fn init_done(&self);
    /// The most memory it has used so far, in bytes; 0 where nothing measures it.
    fn memory_peak_bytes(&self) -> u64;
}

/// How an environment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub status: ExitStatus,
    /// The kernel killed something in it for going over the memory limit.
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

/// What a backend enforces here; `missing` names what it cannot, each with the reason, in words
/// for an operator.
#[derive(Debug, Clone, Default)]
pub struct Guarantees {
    /// E.g. "process jail, root, cgroup v1 limits with v2 freezer".
    pub summary: String,
    pub missing: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template's own fault: for instance a bootstrap that is missing or not executable.
    /// The text is meant for the function's owner.
    #[error("{0}")]
    InvalidEntrypoint(String),
    /// No room for another environment (processes, memory, slots).
    #[error("no capacity for another environment: {0}")]
    Exhausted(String),
    /// There is no snapshot to start from, and the reason.
    #[error("there is no snapshot: {0}")]
    NoSnapshot(String),
    /// The machine or the kernel would not do it.
    #[error("{what}")]
    System {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the sandbox helper did not answer within {0:?}")]
    TimedOut(Duration),
}

impl Error {
    /// Whether the same may well succeed a moment later: a process of ours has died, or there was no
    /// room.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Exhausted(_) | Self::System { .. } | Self::TimedOut(_) => true,
            Self::InvalidEntrypoint(_) | Self::NoSnapshot(_) => false,
        }
    }
}
