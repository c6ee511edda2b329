//! Peers that speak SQS, each from its own package registry, on loopback.
//!
//! None of those that install keeps messages on disk: MiniStack's are written when it ends, and
//! LocalStack's only with a licence. What keeps them (ElasticMQ, with a database) comes from no
//! registry that is used here.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result};

use super::super::peers::{Group, dying_with_us, free_ports, install, tail};
use crate::repo;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    MiniStack,
    LocalStack,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::MiniStack => "MiniStack",
            Peer::LocalStack => "LocalStack",
        }
    }

    /// As `benches/peers.sh` calls it.
    pub fn folder(self) -> &'static str {
        match self {
            Peer::MiniStack => "ministack",
            Peer::LocalStack => "localstack",
        }
    }

    fn command(self, dir: &Path, port: u16) -> Command {
        let bin = repo::target().join("peers").join(self.folder()).join("bin");
        match self {
            Peer::MiniStack => {
                let mut command = dying_with_us(&bin.join("ministack"));
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port.to_string())
                    .env("TMPDIR", dir)
                    .env("S3_DATA_DIR", dir.join("s3"))
                    .env("PERSIST_STATE", "1")
                    .env("STATE_DIR", dir.join("state"))
                    .env("LAMBDA_EXECUTOR", "local")
                    .env("LAMBDA_ACCOUNT_CONCURRENCY", "1000");
                command
            }
            Peer::LocalStack => {
                let mut command = dying_with_us(&bin.join("python"));
                command
                    .args(["-m", "localstack.runtime.main"])
                    // It keeps things below its home and its root.
                    .env("HOME", dir)
                    .env("FILESYSTEM_ROOT", dir)
                    .env("TMPDIR", dir)
                    .env("SERVICES", "sqs")
                    .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
                    .env("DNS_ADDRESS", "0")
                    .env("DISABLE_EVENTS", "1")
                    .env("SKIP_SSL_CERT_DOWNLOAD", "1");
                command
            }
        }
    }
}

/// A peer that listens, until this is dropped.
pub struct Running {
    group: Group,
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Running {
    pub fn start(peer: Peer) -> Result<Self> {
        install(peer.folder())?;
        let dir = tempfile::tempdir().context("make a folder")?;
        let [port] = free_ports()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let log = dir.path().join("peer.log");
        let output = fs::File::create(&log).context("make a log")?;
        let mut command = peer.command(dir.path(), port);
        command
            .current_dir(dir.path())
            .stdout(output.try_clone().context("share a log")?)
            .stderr(output);
        let group = Group::spawn(&mut command)?;
        group.until_listening(address).with_context(|| {
            let said = fs::read(&log).unwrap_or_default();
            format!("its log ends: {}", tail(&String::from_utf8_lossy(&said)))
        })?;
        Ok(Running {
            group,
            address,
            _dir: dir,
        })
    }

    pub fn pid(&self) -> Option<u32> {
        let id = self.group.id()?;
        u32::try_from(id.as_raw_nonzero().get()).ok()
    }
}
