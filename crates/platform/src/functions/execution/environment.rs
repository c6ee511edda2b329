//! One execution environment: a sandbox, the link to its runtime, and its output.
//!
//! A task of its own accepts Runtime API connections, reads the output and notices the end. What
//! runs in it, and when, is decided by whoever holds it.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

use sandbox::{Control, Exit, ExitStatus, Sandbox, Snapshot, Template};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use wire::Timestamp;

use super::{
    Definition,
    credentials::Offer,
    extensions::Reason,
    link::{About, Init, Link},
    output::Output,
    report, runtime_api, variables,
    way_in::WayIn,
};
use crate::{
    identity::session::Granted,
    limits,
    logs::{GroupKey, Logs},
};

pub struct Environment {
    pub id: u64,
    pub link: Arc<Link>,
    pub output: Arc<Output>,
    pub initialization: Initialization,
    log_stream: String,
    control: Box<dyn Control>,
    frozen: AtomicBool,
    ending: AtomicBool,
    gone: Arc<AtomicBool>,
    task: AbortHandle,
}

/// When an environment is initialised: for a request, or before there is one, or before all others of
/// its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    OnDemand,
    Provisioned,
    SnapStart,
}

impl Initialization {
    /// As `AWS_LAMBDA_INITIALIZATION_TYPE` and the log have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Provisioned => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
        }
    }
}

/// An environment whose init, or restore, has begun.
pub struct Starting {
    pub environment: Arc<Environment>,
    pub init: oneshot::Receiver<Init>,
    pub since: Instant,
    /// When its process was there.
    pub runs_since: Instant,
}

/// How an environment begins.
pub enum Origin<'a> {
    /// By running the init.
    Init(&'a dyn Template, Initialization),
    /// The same, for a snapshot; the token is that of its environments' credentials.
    Snapshot(Arc<dyn Template>, Arc<str>),
    /// From a snapshot.
    Restore(&'a dyn Template, Arc<str>),
}

impl Environment {
    /// Starts one. `ended` is called when it is over, however that came.
    pub async fn start(
        id: u64,
        initialization: Initialization,
        definition: &Definition,
        template: &dyn Template,
        logs: &Logs,
        way_in: &Arc<WayIn>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Starting, sandbox::Error> {
        let origin = Origin::Init(template, initialization);
        let begun = Self::begin(id, definition, origin, logs, way_in, ended);
        begun.await.map(|(starting, _)| starting)
    }

    /// The same in any way. There is a snapshot in the making if it was to be one.
    pub async fn begin(
        id: u64,
        definition: &Definition,
        origin: Origin<'_>,
        logs: &Logs,
        way_in: &Arc<WayIn>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<(Starting, Option<Box<dyn Snapshot>>), sandbox::Error> {
        let now = Timestamp::now();
        let log_stream = log_stream(&definition.version, now);
        let since = Instant::now();
        let granted = granted(definition, way_in)?;
        let session = granted.session().clone();
        let mut initialization = Initialization::SnapStart;
        let mut restores = false;
        let (sandbox, snapshot, offer) = match origin {
            Origin::Init(template, asked) => {
                initialization = asked;
                let variables = variables::of_environment(&session, initialization, &log_stream);
                (template.start(variables).await?, None, None)
            }
            Origin::Snapshot(template, token) => {
                let variables = variables::of_snapshot(&token);
                let (sandbox, snapshot) = template.start_snapshot(variables).await?;
                let offer = Offer::of_init(session, token);
                (sandbox, Some(snapshot), Some(offer))
            }
            Origin::Restore(template, token) => {
                restores = true;
                let sandbox = template.start(Vec::new()).await?;
                (sandbox, None, Some(Offer::of_environment(session, token)))
            }
        };
        let runs_since = Instant::now();
        let Sandbox {
            runtime_api,
            platform,
            log,
            extension_log,
            inward,
            exit,
            control,
        } = sandbox;

        let output = output(Some(log), extension_log, definition, logs, &log_stream)?;
        output.say(|format| match restores {
            true => [report::restore_start(format, definition, now)],
            false => [report::init_start(format, definition, initialization, now)],
        });
        let (link, init) = match &snapshot {
            Some(_) => Link::for_snapshot(),
            None => Link::new(),
        };
        link.describe(About {
            function_name: definition.key.name.clone(),
            function_version: definition.version.to_string(),
            handler: definition.handler.clone(),
            account_id: definition.key.account_id.clone(),
        });
        link.connect(output.clone(), inward);
        let link = Arc::new(link);
        let gone = Arc::new(AtomicBool::new(false));
        let task = Task {
            runtime_api,
            link: link.clone(),
            output: output.clone(),
            gone: gone.clone(),
            way_in: way_in.clone(),
            granted,
            offer: offer.map(Arc::new),
            platform,
        };
        let task = tokio::spawn(async move {
            task.run(exit).await;
            ended();
        });
        let environment = Arc::new(Self {
            id,
            link,
            output,
            initialization,
            log_stream,
            control,
            frozen: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            gone,
            task: task.abort_handle(),
        });
        let starting = Starting {
            environment,
            init,
            since,
            runs_since,
        };
        Ok((starting, snapshot))
    }

    /// The log of one that could not be started for a reason of the function's own.
    pub fn stillborn(
        definition: &Definition,
        initialization: Initialization,
        logs: &Logs,
    ) -> Result<Arc<Output>, sandbox::Error> {
        let now = Timestamp::now();
        let log_stream = log_stream(&definition.version, now);
        let output = output(None, None, definition, logs, &log_stream)?;
        output.say(|format| [report::init_start(format, definition, initialization, now)]);
        Ok(output)
    }

    pub fn log_stream(&self) -> &str {
        &self.log_stream
    }

    /// Its process has ended; nothing can be asked of it any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// An extension of it has failed, so that it is of no use any more.
    pub fn is_spoiled(&self) -> bool {
        self.link.is_spoiled()
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    pub fn freeze(&self) {
        if !self.frozen.swap(true, Ordering::AcqRel) {
            self.control.freeze();
        }
    }

    pub fn thaw(&self) {
        if self.frozen.swap(false, Ordering::AcqRel) {
            self.control.thaw();
        }
    }

    /// Ends it: at once, or where it has extensions within the time that Lambda gives those.
    pub fn end(self: &Arc<Self>, reason: Reason) {
        if !self.link.has_extensions() || self.is_gone() {
            return self.control.kill();
        }
        if self.ending.swap(true, Ordering::AcqRel) {
            return;
        }
        let environment = self.clone();
        tokio::spawn(async move {
            environment.thaw();
            let terminate = || environment.control.terminate();
            environment.link.shut_down(reason, terminate).await;
            environment.control.kill();
        });
    }

    /// Nothing of it runs any more, though it has not ended: its snapshot lives. Its credentials end.
    pub fn leave(&self) {
        self.task.abort();
    }

    pub fn init_done(&self) {
        if self.link.has_extensions() {
            self.link.say_ready(&self.output);
        }
        self.output.telemetry.close();
        self.control.init_done();
    }

    pub fn memory_peak_mb(&self) -> u64 {
        self.control.memory_peak_bytes().div_ceil(1024 * 1024)
    }
}

struct Task {
    runtime_api: Arc<TcpListener>,
    link: Arc<Link>,
    output: Arc<Output>,
    gone: Arc<AtomicBool>,
    way_in: Arc<WayIn>,
    /// Good as long as the environment is there.
    granted: Granted,
    /// What it is given of that when it asks.
    offer: Option<Arc<Offer>>,
    platform: Option<Arc<TcpListener>>,
}

impl Task {
    async fn run(self, exit: oneshot::Receiver<Exit>) {
        let mut connections = JoinSet::new();
        let exit = tokio::select! {
            exit = exit => exit.ok(),
            () = self.attend(&mut connections) => None,
        };
        // What it has sent may not have been read yet; its connections are closed, so this is soon
        // done, but where a reader is slow.
        let read = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limits::LAST_WORDS_WITHIN, read).await;
        drop(connections);
        // Whoever ended it without a word did so by force.
        let exit = exit.unwrap_or(Exit {
            status: ExitStatus::Signal(9),
            out_of_memory: false,
        });
        self.output.drain();
        self.output.finish();
        self.output.telemetry.end();
        self.gone.store(true, Ordering::Release);
        self.link.gone(exit);
    }

    /// Where there is nobody to serve it or no room, it is closed.
    fn serve(&self, connection: TcpStream, calls: &mut JoinSet<()>) {
        let Some(reception) = self.way_in.reception() else {
            return;
        };
        let Some(room) = self.way_in.room(calls.len()) else {
            return;
        };
        let served = reception.serve(connection, self.granted.session().clone());
        calls.spawn(async move {
            served.await;
            drop(room);
        });
    }

    /// Never returns. `connections` are those to the Runtime API; calls to the platform end with it.
    async fn attend(&self, connections: &mut JoinSet<()>) {
        let mut talks = true;
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.runtime_api.accept(),
                    if connections.len() < limits::RUNTIME_API_CONNECTIONS_MAX =>
                {
                    match accepted {
                        Ok((connection, _)) => {
                            connections.spawn(runtime_api::serve(
                                connection,
                                self.link.clone(),
                                self.offer.clone(),
                            ));
                        }
                        // Out of descriptors: the next look comes when some are free again.
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
                Some(_) = connections.join_next() => {}
                called = call(self.platform.as_deref()) => match called {
                    Ok(connection) => self.serve(connection, &mut calls),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                Some(_) = calls.join_next() => {}
                open = self.output.attend(), if talks => talks = open,
            }
        }
    }
}

/// Who it is to the platform.
fn granted(definition: &Definition, way_in: &WayIn) -> Result<Granted, sandbox::Error> {
    let key = &definition.key;
    let granted = way_in
        .sessions
        .grant(&key.account_id, &definition.role, &key.name);
    granted.map_err(|error| sandbox::Error::System {
        what: "make an environment's credentials".to_owned(),
        source: std::io::Error::other(error),
    })
}

/// The next connection to the platform; never, where they do not come through us.
async fn call(platform: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match platform {
        Some(listener) => listener.accept().await.map(|(connection, _)| connection),
        None => std::future::pending().await,
    }
}

/// An environment's output.
fn output(
    log: Option<OwnedFd>,
    extension_log: Option<OwnedFd>,
    definition: &Definition,
    logs: &Logs,
    log_stream: &str,
) -> Result<Arc<Output>, sandbox::Error> {
    let group = GroupKey {
        account_id: definition.key.account_id.clone(),
        region: definition.key.region.clone(),
        name: definition.log_group.clone(),
    };
    let stream = logs.stream(group, log_stream);
    let (format, lowest) = (definition.log_format, definition.lowest_levels());
    let output = Output::new(log, extension_log, stream, format, lowest).map_err(|source| {
        let what = "read the environment's output".to_owned();
        sandbox::Error::System { what, source }
    })?;
    output.begin(true);
    Ok(Arc::new(output))
}

/// `2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef`
fn log_stream(version: &str, now: Timestamp) -> String {
    let id = uuid::Uuid::new_v4().simple();
    format!("{}[{version}]{id}", now.strftime("%Y/%m/%d/"))
}
