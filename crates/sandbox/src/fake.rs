//! A backend for tests of what stands above: a function is a closure in this process that speaks
//! to its listener like any runtime client would.

use std::{
    fs::File,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

use crate::{
    Backend, Control, Error, Exit, ExitStatus, Guarantees, Sandbox, SharedLoopback, Template,
    TemplateSpec, pipe::log_pipe,
};

/// What a function's closure gets.
pub struct Start {
    pub spec: Arc<TemplateSpec>,
    /// The whole environment, `AWS_LAMBDA_RUNTIME_API` included.
    pub env: Vec<(String, String)>,
    pub runtime_api: SocketAddr,
    /// Where it reaches the platform.
    pub platform: SocketAddr,
    /// Its stdout and stderr.
    pub log: File,
    /// Whether it is frozen; a well-behaved fake makes no progress meanwhile.
    pub frozen: watch::Receiver<bool>,
    /// How many environments this backend has started before.
    pub number: u64,
}

type Running = Pin<Box<dyn Future<Output = Exit> + Send>>;
type Behaviour = dyn Fn(Start) -> Result<Running, Error> + Send + Sync;

pub struct Fake {
    behaviour: Arc<Behaviour>,
    started: Arc<AtomicU64>,
    alive: Arc<AtomicUsize>,
    guarantees: Guarantees,
}

impl Fake {
    /// Every environment runs the future that `behaviour` makes of its start, until that ends or
    /// is killed.
    pub fn new<F, R>(behaviour: F) -> Self
    where
        F: Fn(Start) -> R + Send + Sync + 'static,
        R: Future<Output = Exit> + Send + 'static,
    {
        Self::fallible(move |start| Ok(Box::pin(behaviour(start)) as Running))
    }

    /// As `new`, where a start may fail.
    pub fn fallible<F>(behaviour: F) -> Self
    where
        F: Fn(Start) -> Result<Running, Error> + Send + Sync + 'static,
    {
        Fake {
            behaviour: Arc::new(behaviour),
            started: Arc::default(),
            alive: Arc::default(),
            guarantees: Guarantees {
                summary: "fake, for tests".into(),
                missing: vec!["everything: functions run inside this process".into()],
            },
        }
    }

    /// How many environments have been started.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Acquire)
    }

    /// How many of them have not ended yet.
    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Backend for Fake {
    async fn prepare(&self, spec: TemplateSpec) -> Result<Arc<dyn Template>, Error> {
        Ok(Arc::new(Version {
            behaviour: self.behaviour.clone(),
            started: self.started.clone(),
            alive: self.alive.clone(),
            spec: Arc::new(spec),
        }))
    }

    fn guarantees(&self) -> &Guarantees {
        &self.guarantees
    }
}

struct Version {
    behaviour: Arc<Behaviour>,
    started: Arc<AtomicU64>,
    alive: Arc<AtomicUsize>,
    spec: Arc<TemplateSpec>,
}

#[async_trait]
impl Template for Version {
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error> {
        let system = |source| Error::System {
            what: "start a fake".into(),
            source,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(system)?;
        let address = listener.local_addr().map_err(system)?;
        let platform = TcpListener::bind(("127.0.0.1", 0)).await.map_err(system)?;
        let platform_address = platform.local_addr().map_err(system)?;
        let (log, log_inside) = log_pipe().map_err(system)?;
        let (freezer, frozen) = watch::channel(false);
        let mut all = self.spec.env.clone();
        all.extend(env);
        all.push(("AWS_LAMBDA_RUNTIME_API".into(), address.to_string()));
        let running = (self.behaviour)(Start {
            spec: self.spec.clone(),
            env: all,
            runtime_api: address,
            platform: platform_address,
            log: log_inside.into(),
            frozen,
            number: self.started.fetch_add(1, Ordering::AcqRel),
        })?;
        let (exit_sender, exit) = oneshot::channel();
        let (killer, mut killed) = watch::channel(false);
        let alive = self.alive.clone();
        alive.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let end = tokio::select! {
                end = running => end,
                // An error is that of a dropped handle, which kills too.
                _ = killed.changed() => {
                    Exit { status: ExitStatus::Signal(9), out_of_memory: false }
                }
            };
            alive.fetch_sub(1, Ordering::AcqRel);
            let _ = exit_sender.send(end);
        });
        let control = Box::new(Strings { freezer, killer });
        Ok(Sandbox {
            runtime_api: Arc::new(listener),
            platform: Some(Arc::new(platform)),
            log,
            extension_log: None,
            inward: Arc::new(SharedLoopback),
            exit,
            control,
        })
    }
}

struct Strings {
    freezer: watch::Sender<bool>,
    killer: watch::Sender<bool>,
}

impl Control for Strings {
    fn freeze(&self) {
        self.freezer.send_replace(true);
    }

    fn thaw(&self) {
        self.freezer.send_replace(false);
    }

    fn kill(&self) {
        self.killer.send_replace(true);
    }

    fn init_done(&self) {}

    fn memory_peak_bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{Launch, NetworkPolicy};

    fn spec() -> TemplateSpec {
        TemplateSpec {
            label: "fake".into(),
            launch: Launch::Bootstrap,
            code: "/nowhere".into(),
            layers: Vec::new(),
            env: vec![("A".into(), "1".into())],
            memory_mb: 128,
            tmp_mb: 512,
            network: NetworkPolicy::Off,
        }
    }

    #[tokio::test]
    async fn a_closure_runs_until_it_ends() {
        let fake = Fake::new(|mut start: Start| async move {
            tokio::net::TcpStream::connect(start.runtime_api)
                .await
                .expect("connect");
            write!(start.log, "{:?}", start.env[0]).expect("write");
            Exit {
                status: ExitStatus::Code(4),
                out_of_memory: false,
            }
        });
        let template = fake.prepare(spec()).await.expect("prepare");
        let sandbox = template.start(Vec::new()).await.expect("start");
        sandbox.runtime_api.accept().await.expect("a connection");
        assert_eq!(
            sandbox.exit.await.expect("an exit").status,
            ExitStatus::Code(4)
        );
        assert_eq!(fake.started(), 1);
    }

    #[tokio::test]
    async fn or_until_it_is_killed() {
        let fake = Fake::new(|start: Start| async move {
            let _kept = start;
            std::future::pending().await
        });
        let template = fake.prepare(spec()).await.expect("prepare");
        let sandbox = template.start(Vec::new()).await.expect("start");
        drop(sandbox.control);
        assert_eq!(
            sandbox.exit.await.expect("an exit").status,
            ExitStatus::Signal(9)
        );
    }
}
