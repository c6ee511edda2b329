//! `cargo xtask bench`: each figure beside its floor from the same run, and the ratio of the two.
//!
//! The ratio is what counts, as machines are noisy: the floor is the least that the same work costs
//! here and now, without us. What is measured is the released binary on loopback, with signatures
//! checked, the log kept and the use metered.
//!
//! The load generator and the measures are compiled only for this command, in release: they would
//! make every other command wait for an HTTP stack.

#[cfg_attr(not(feature = "bench"), allow(dead_code))]
mod stats;
#[cfg_attr(not(feature = "bench"), allow(dead_code))]
mod table;

#[cfg(feature = "bench")]
mod floor;
#[cfg(feature = "bench")]
mod function;
#[cfg(feature = "bench")]
mod load;
#[cfg(feature = "bench")]
mod measures;
#[cfg(feature = "bench")]
mod peers;
#[cfg(feature = "bench")]
mod platform;
#[cfg(feature = "bench")]
mod request;
#[cfg(feature = "bench")]
mod sandbox;

use anyhow::Result;

#[derive(clap::Args)]
pub struct Args {
    /// Only the measures whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// How often each figure and its floor are taken; the medians are shown.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// The `lambent` to measure, instead of building it in release.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
    /// Also installs peers (`benches/peers.sh`) and measures their invokes beside ours.
    #[arg(long)]
    peers: bool,
}

/// Where this process is not the command but the sandbox's privileged half, which the bench has
/// started, does its work and does not return.
pub fn run_part_if_asked() {
    #[cfg(feature = "bench")]
    ::sandbox::run_helper_if_asked();
}

#[cfg(feature = "bench")]
pub fn run(args: &Args) -> Result<()> {
    measures::run(args)
}

/// Builds this program anew with the measures in it, and hands over to it.
#[cfg(not(feature = "bench"))]
pub fn run(args: &Args) -> Result<()> {
    let mut command = crate::exec::cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--features",
        "bench",
    ]);
    command.args(["--", "bench", "--runs", &args.runs.to_string()]);
    if let Some(filter) = &args.filter {
        command.args(["--filter", filter]);
    }
    if let Some(binary) = &args.binary {
        command.arg("--binary").arg(binary);
    }
    if args.peers {
        command.arg("--peers");
    }
    crate::exec::run(&mut command)
}
