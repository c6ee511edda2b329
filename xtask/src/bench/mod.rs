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
mod buses;
#[cfg(feature = "bench")]
mod events;
#[cfg(feature = "bench")]
mod floor;
#[cfg(feature = "bench")]
mod function;
#[cfg(feature = "bench")]
mod image;
#[cfg(feature = "bench")]
mod load;
#[cfg(feature = "bench")]
mod logs;
#[cfg(feature = "bench")]
mod measures;
#[cfg(feature = "bench")]
mod objects;
#[cfg(feature = "bench")]
mod paths;
#[cfg(feature = "bench")]
mod peers;
#[cfg(feature = "bench")]
mod platform;
#[cfg(feature = "bench")]
mod queues;
#[cfg(feature = "bench")]
mod request;
#[cfg(feature = "bench")]
mod sandbox;
#[cfg(feature = "bench")]
mod schedules;
#[cfg(feature = "bench")]
mod streaming;

use anyhow::Result;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    of: Option<Of>,
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

#[derive(clap::Subcommand)]
enum Of {
    /// Measures queues, beside peers and the storage engines.
    Queues(QueuesArgs),
    /// Measures how many log events a second are taken and looked through.
    Logs(LogsArgs),
    /// Measures putting and getting objects, beside the bare disk.
    Objects(ObjectsArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub struct ObjectsArgs {
    /// How long an operation is measured; objects of 1 GB three times.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The `lambent` to measure, instead of building it in release.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// How long an operation is measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The `lambent` to measure, instead of building it in release.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct QueuesArgs {
    /// How many messages wait in a long queue; with 0 only short ones are measured.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// The same for peers, some of which look at every message at each receive.
    #[arg(long, default_value_t = 20_000)]
    peer_messages: usize,
    /// How many clients there are at once.
    #[arg(
        long,
        default_value = "1,16,64,512",
        value_name = "N,...",
        value_delimiter = ','
    )]
    clients: Vec<usize>,
    /// How long an operation is measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often each figure is taken; the medians are shown.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// What is measured: sqlite, postgres, ministack, localstack. All by default.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    targets: Vec<String>,
    /// Only one part.
    #[arg(long)]
    part: Option<Part>,
    /// How many messages are drained by a function.
    #[arg(long, default_value_t = 100_000)]
    drained: usize,
    /// How many times an empty queue is asked.
    #[arg(long, default_value_t = 200_000)]
    receives: usize,
    /// The `lambent` to measure, instead of building it in release.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Messages a second.
    Load,
    /// From a send to what a function does with it, and how fast a function drains a queue.
    EndToEnd,
    /// What a server's memory comes to.
    Memory,
}

/// Where this process is not the command but the sandbox's privileged half, which the bench has
/// started, does its work and does not return.
pub fn run_part_if_asked() {
    #[cfg(feature = "bench")]
    ::sandbox::run_helper_if_asked();
}

#[cfg(feature = "bench")]
pub fn run(args: &Args) -> Result<()> {
    match &args.of {
        Some(Of::Queues(args)) => queues::run(args),
        Some(Of::Logs(args)) => logs::run(args),
        Some(Of::Objects(args)) => objects::run(args),
        None => measures::run(args),
    }
}

/// Builds this program anew with the measures in it, and hands over to it.
#[cfg(not(feature = "bench"))]
pub fn run(args: &Args) -> Result<()> {
    let _ = args;
    let mut command = crate::exec::cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--features",
        "bench",
        "--",
    ]);
    command.args(std::env::args_os().skip(1));
    crate::exec::run(&mut command)
}
