//! The commands that help a newcomer. They talk to a running platform over its own API, as any
//! other client does, and each prints JSON as well. `runtimes` alone is about the machine.

pub mod client;
pub mod deploy;
pub mod detect;
pub mod functions;
mod harmless;
pub mod invoke;
pub mod logs;
pub mod queues;
pub mod runtimes;
pub mod style;
pub mod usage;
mod zipped;

use anyhow::{Context, Result};
use client::Client;

/// Runs a command on a thread of its own.
pub fn run<F>(command: impl FnOnce(Client) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    block_on(command(Client::from_environment()?))
}

fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(command)
}
