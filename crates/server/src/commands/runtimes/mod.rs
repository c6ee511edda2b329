//! `lambent runtimes`: what functions run on, on this machine and below a data directory.
//!
//! The one command that asks no platform: it looks as `up` does at its start, so what it says and
//! installs is there from the next start on.

mod install;
mod list;
mod tool;

use anyhow::Result;
use platform::functions::{
    installed::Installed,
    runtimes::{Configured, Runtimes},
};

use crate::{
    args::{RuntimeOptions, RuntimesCommand},
    config,
};

pub fn run(given: RuntimesCommand) -> Result<()> {
    super::block_on(async {
        match given {
            RuntimesCommand::List(given) => list::run(given).await,
            RuntimesCommand::Install(given) => install::run(given).await,
        }
    })
}

/// What `up` would find with these options.
async fn found(options: RuntimeOptions, installed: &Installed) -> Result<(Runtimes, Configured)> {
    let configured = config::interpreters(&options.runtimes)?;
    let packages = config::all_packages(options)?;
    let runtimes = Runtimes::discover(&configured, &packages, installed).await;
    Ok((runtimes, configured))
}
