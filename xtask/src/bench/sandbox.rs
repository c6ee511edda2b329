//! Measures of the sandbox by itself, with no platform around it: how soon an environment is ready,
//! which is when its program has been executed, how many are made and removed per second, and what
//! a thaw costs on the way of a request.
//!
//! The floor is the same process executed, and ended, with nothing around it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ::sandbox::{
    Backend, Launch, NetworkPolicy, Sandbox, Template, TemplateSpec,
    jail::{Jail, JailConfig},
};
use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{function::Function, stats::Samples};

/// Started one after the other for a median.
const STARTS: usize = 100;
/// Starters at a time, for a rate.
const STARTERS: usize = 4;
const RATE_TIME: Duration = Duration::from_secs(2);
const ROUND_TRIPS: usize = 200;
/// A process that never asks for its first event is a failure, not a slow start.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A jail with one function version in it: the Rust function.
pub struct Yard {
    jail: Jail,
    template: Arc<dyn Template>,
    _dir: tempfile::TempDir,
}

impl Yard {
    pub async fn open() -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder")?;
        let (code, state) = (dir.path().join("code"), dir.path().join("state"));
        for made in [&code, &state] {
            fs::create_dir(made).context("make a folder")?;
        }
        // Functions run as another user, who must get there.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))
            .context("open a folder")?;
        write_files(&code)?;
        let jail = Jail::start(JailConfig {
            slots_ahead: 64,
            ..JailConfig::new(state)
        })
        .await?;
        let spec = TemplateSpec {
            label: "bench".to_owned(),
            launch: Launch::Bootstrap,
            code,
            layers: Vec::new(),
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            memory_mb: 128,
            tmp_mb: 512,
            network: NetworkPolicy::Off,
        };
        let template = jail.prepare(spec).await?;
        Ok(Yard {
            jail,
            template,
            _dir: dir,
        })
    }

    pub async fn close(self) {
        drop(self.template);
        self.jail.shutdown().await;
    }

    /// From the order to the program executed, one at a time.
    pub async fn ready(&self) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..STARTS {
            let begun = Instant::now();
            let sandbox = self.template.start(Vec::new()).await?;
            samples.latencies.push(begun.elapsed());
            end(sandbox).await?;
        }
        Ok(samples)
    }

    /// Environments started and ended, by a few starters at once.
    pub async fn made(&self) -> Result<Samples> {
        let begun = Instant::now();
        let starters = (0..STARTERS).map(|_| {
            let template = self.template.clone();
            tokio::spawn(async move {
                let mut samples = Samples::default();
                while begun.elapsed() < RATE_TIME {
                    let started = Instant::now();
                    end(template.start(Vec::new()).await?).await?;
                    samples.latencies.push(started.elapsed());
                }
                samples.elapsed = begun.elapsed();
                anyhow::Ok(samples)
            })
        });
        let mut all = Samples::default();
        for starter in starters.collect::<Vec<_>>() {
            all = all.merge(starter.await.context("join a starter")??);
        }
        Ok(all)
    }

    /// What a thaw adds to an event's way there and back, in milliseconds: medians subtracted.
    pub async fn thaw(&self) -> Result<f64> {
        let mut environment = Environment::start(&*self.template).await?;
        let (mut warm, mut thawed) = (Samples::default(), Samples::default());
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            environment.round_trip().await?;
            warm.latencies.push(begun.elapsed());
            environment.sandbox.control.freeze();
            tokio::time::sleep(Duration::from_millis(2)).await;
            let begun = Instant::now();
            environment.sandbox.control.thaw();
            environment.round_trip().await?;
            thawed.latencies.push(begun.elapsed());
        }
        end(environment.sandbox).await?;
        Ok((thawed.percentile_ms(50.0) - warm.percentile_ms(50.0)).max(0.0))
    }
}

fn write_files(code: &Path) -> Result<()> {
    for (name, content, mode) in Function::Rust.files()? {
        let path = code.join(name);
        fs::write(&path, content).context("write the function")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .context("mark it executable")?;
    }
    Ok(())
}

/// An environment whose function waits for an event.
struct Environment {
    sandbox: Sandbox,
    runtime_api: TcpStream,
}

impl Environment {
    async fn start(template: &dyn Template) -> Result<Self> {
        let sandbox = template.start(Vec::new()).await?;
        let runtime_api = first_word(&sandbox.runtime_api).await?;
        Ok(Environment {
            sandbox,
            runtime_api,
        })
    }

    async fn round_trip(&mut self) -> Result<()> {
        let event =
            b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: 2\r\n\r\n{}";
        self.runtime_api
            .write_all(event)
            .await
            .context("send an event")?;
        read_until(&mut self.runtime_api, b"\r\n\r\n{}").await?;
        let taken = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
        self.runtime_api
            .write_all(taken)
            .await
            .context("take an answer")?;
        read_until(&mut self.runtime_api, b"\r\n\r\n").await
    }
}

async fn end(sandbox: Sandbox) -> Result<()> {
    sandbox.control.kill();
    let exit = sandbox.exit.await;
    exit.map(drop).context("wait for an environment's end")
}

/// The connection on which a function asks for its first event.
async fn first_word(listener: &TcpListener) -> Result<TcpStream> {
    let ask = async {
        let (mut stream, _) = listener
            .accept()
            .await
            .context("accept a function's connection")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        read_until(&mut stream, b"\r\n\r\n").await?;
        anyhow::Ok(stream)
    };
    tokio::time::timeout(READY_TIMEOUT, ask)
        .await
        .context("the function never asked")?
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<()> {
    let mut read = Vec::with_capacity(1024);
    while !read.ends_with(end) {
        if stream
            .read_buf(&mut read)
            .await
            .context("read from a function")?
            == 0
        {
            bail!("the function has ended");
        }
    }
    Ok(())
}

/// The same process with nothing around it, from its start to its program executed; the time of
/// all of it includes the ends.
pub fn bare_ready(program: &Path) -> Result<Samples> {
    let mut samples = Samples::default();
    let all = Instant::now();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut process = Command::new(program)
            .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the function")?;
        samples.latencies.push(begun.elapsed());
        process.kill().context("end the function")?;
        process.wait().context("wait for the function")?;
    }
    samples.elapsed = all.elapsed();
    Ok(samples)
}
