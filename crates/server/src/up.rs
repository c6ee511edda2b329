//! `lambent up`: from a checked configuration to a platform that serves, and to its end.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZero,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::{Timestamp, Unit};
use platform::{
    Platform, PlatformConfig,
    functions::execution::{ExecutionConfig, IdlePolicy},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use sandbox::{
    Backend, Guarantees,
    bare::Bare,
    egress::EgressConfig,
    jail::{Jail, JailConfig},
    platform_port,
};
use store::{Owner, OwnerFile};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tracing_subscriber::EnvFilter;

use crate::{
    admin::Admin,
    args::{Isolation, LogFormat, UpArguments},
    config::Config,
    serve::{self, App, Phase},
};

pub fn run(given: UpArguments) -> Result<()> {
    let config = Config::checked(given)?;
    start_log(&config.log, config.log_format)?;
    raise_descriptor_limit();
    runtime()?.block_on(up(config))
}

/// Half of the processors carry requests, the others run functions. With a thread for each, the
/// two wake each other across cores for every request: on two cores, 64 clients of a Rust function
/// got 14,400 answers a second from two threads and 16,300 from one, and a cold start took 1.96 ms
/// and 1.76 ms.
pub fn runtime() -> Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((processors / 2).max(1))
        .enable_all()
        .build()
        .context("start the runtime")
}

async fn up(config: Config) -> Result<()> {
    let mut end = End::new()?;
    let server = Server::start(config).await?;
    println!("lambent is ready on http://{}", server.address);
    let taken_over = tokio::select! {
        () = end.asked() => None,
        error = server.platform.store().taken_over() => Some(error),
    };
    // Whoever asks twice does not want to wait.
    tokio::spawn(async move {
        end.asked().await;
        tracing::warn!("asked again to end: not waiting for anything");
        std::process::exit(130);
    });
    server.stop().await;
    match taken_over {
        None => Ok(()),
        Some(error) => Err(error).context("this server ends, as what it remembers is out of date"),
    }
}

/// A platform that serves.
pub struct Server {
    pub address: SocketAddr,
    platform: Platform,
    backend: Started,
    phase: watch::Sender<Phase>,
    listening: JoinHandle<bool>,
    drain: Duration,
    _lock: OwnerFile,
}

impl Server {
    pub async fn start(config: Config) -> Result<Self> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let owner = Owner::this_process(Timestamp::now().round(Unit::Second)?.to_string());
        let lock = lock(&config.data, &owner)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listen on {}", config.listen))?;
        let address = listener.local_addr().context("find the own address")?;
        let backend = Started::new(&config, address).await?;
        announce(&config, backend.backend().guarantees());
        let functions_url = backend.functions_url(address);
        let platform = Platform::start(PlatformConfig {
            data_dir: config.data,
            store: config.store,
            owner,
            backend: backend.backend(),
            credentials: config.credentials,
            account_concurrency: config.account_concurrency,
            scaling_rate: config.scaling_rate,
            idle: IdlePolicy {
                keep_alive: config.keep_alive,
                ..ExecutionConfig::default().idle
            },
            interpreters: config.interpreters,
            packages: config.packages,
            images: config.images,
            prices: config.prices,
            base_url: match config.url {
                Some(url) => url,
                None => format!("http://localhost:{}", address.port()),
            },
            functions_url,
        });
        let platform = platform.await.context("start the platform")?;
        let app = App::new(platform.clone(), Admin::default());
        let (phase, now) = watch::channel(Phase::Serving);
        platform.receive(serve::Functions::new(&app, now));
        let serving = serve::listen(listener, app, phase.clone(), config.drain);
        let listening = tokio::spawn(serving);
        Ok(Server {
            address,
            platform,
            backend,
            phase,
            listening,
            drain: config.drain,
            _lock: lock,
        })
    }

    /// What its isolation holds, and what it does not on this machine.
    pub fn guarantees(&self) -> &Guarantees {
        match &self.backend {
            Started::Jail(jail) => jail.guarantees(),
            Started::Bare(bare) => bare.guarantees(),
        }
    }

    /// Takes no more requests, lets those that run finish, and leaves nothing behind.
    pub async fn stop(self) {
        tracing::info!("stopping: running requests have {:?} to finish", self.drain);
        let _ = self.phase.send(Phase::Draining);
        self.platform.begin_stop();
        let finished = self.listening.await.unwrap_or(false);
        if !finished {
            tracing::warn!("requests were still running after {:?}", self.drain);
        }
        // Those whose clients have gone have the same time, not more of it.
        let left = if finished { self.drain } else { Duration::ZERO };
        self.platform.stop(left).await;
        self.backend.stop().await;
        tracing::info!("stopped");
    }
}

/// The sandbox of the configuration's choice.
enum Started {
    Jail(Arc<Jail>),
    Bare(Arc<Bare>),
}

impl Started {
    async fn new(config: &Config, address: SocketAddr) -> Result<Self> {
        match config.isolation {
            Isolation::Jail => {
                let egress = EgressConfig {
                    platform: vec![address],
                    host_services: config.host_services.clone(),
                    ..EgressConfig::default()
                };
                let jail = JailConfig {
                    egress,
                    platform_port: Some(platform_port(address.port())),
                    ..JailConfig::new(config.data.join("sandbox"))
                };
                let jail = Jail::start(jail).await.context("start the sandbox")?;
                Ok(Started::Jail(Arc::new(jail)))
            }
            Isolation::None => {
                let bare = Bare::new(&config.data.join("sandbox")).context("start functions")?;
                Ok(Started::Bare(Arc::new(bare)))
            }
        }
    }

    /// Where functions find the platform: an address, for which no name has to be looked up.
    fn functions_url(&self, address: SocketAddr) -> String {
        match self {
            Started::Jail(_) => format!("http://127.0.0.1:{}", platform_port(address.port())),
            Started::Bare(_) => match address.ip() {
                ip if !ip.is_unspecified() => format!("http://{address}"),
                IpAddr::V4(_) => format!("http://127.0.0.1:{}", address.port()),
                IpAddr::V6(_) => format!("http://[::1]:{}", address.port()),
            },
        }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Started::Jail(jail) => jail.clone(),
            Started::Bare(bare) => bare.clone(),
        }
    }

    async fn stop(self) {
        match self {
            Started::Jail(jail) => jail.shutdown().await,
            Started::Bare(_) => (),
        }
    }
}

/// The operator is told what holds and what does not before the first request.
fn announce(config: &Config, guarantees: &Guarantees) {
    tracing::info!("isolation: {}", guarantees.summary);
    for missing in &guarantees.missing {
        tracing::warn!("isolation, not enforced here: {missing}");
    }
    if config.credentials.is_empty() {
        tracing::info!("development mode: any credentials pass, on loopback only");
    }
}

/// One platform per data directory.
fn lock(data: &Path, owner: &Owner) -> Result<OwnerFile> {
    let locked = OwnerFile::take(&data.join("lock"), owner);
    locked.with_context(|| format!("take the data directory {}", data.display()))
}

/// To stderr; stdout has the one line that says where it serves.
pub fn start_log(filter: &str, format: LogFormat) -> Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(log_filter(filter)?)
        .with_writer(std::io::stderr);
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || !std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = match format {
        LogFormat::Text => log.with_ansi(!plain).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start the log: {error}"))
}

/// What is asked for, but never what is stored: the PostgreSQL client would write it with every
/// statement, variables of functions and contents of messages among it.
fn log_filter(asked: &str) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(asked).with_context(|| format!("--log {asked}"))?;
    Ok(filter.add_directive("tokio_postgres::query=info".parse()?))
}

/// Every environment and connection is a few descriptors; the usual soft limit is for shells.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("raise the limit of open files: {error}");
    }
}

/// The operator's wish to end.
pub struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(End {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_no_parameters_of_statements() {
        for asked in [
            "trace",
            "tokio_postgres=trace",
            "tokio_postgres::query=debug",
        ] {
            let filter = log_filter(asked).expect("it is a filter");
            let log = tracing_subscriber::fmt().with_env_filter(filter).finish();
            tracing::subscriber::with_default(log, || {
                assert!(!tracing::enabled!(target: "tokio_postgres::query", tracing::Level::DEBUG));
            });
        }
    }
}
