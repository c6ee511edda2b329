//! `cargo xtask bench queues`: how many messages a second are durably sent, received and deleted,
//! beside peers and beside what the storage engine does bare with as many changes a commit.
//!
//! All that is compared runs here and now, one after the other, each with the same clients. The
//! clients share the machine with what they measure, so they do little: keep-alive, one signature
//! that nobody verifies, no parsing beyond receipt handles. Nothing is judged; figures and ratios
//! are printed.

mod client;
mod crowd;
mod end_to_end;
mod floor;
mod load;
mod memory;
mod peers;
mod report;
mod target;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use super::{Part, QueuesArgs as Args, platform, stats::median};
use load::{Cell, Load, Measured, Operation};
use report::Row;
use target::{Kind, Target};

/// What a run measures with.
struct Bench {
    args: Args,
    /// One thread: the clients take turns with the server on few cores as it is.
    runtime: Runtime,
    binary: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => platform::binary()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start tokio")?;
    let bench = Bench {
        args: args.clone(),
        runtime,
        binary,
    };
    ensure!(!bench.kinds().is_empty(), "there is nothing to measure");
    let wanted = |part| args.part.is_none_or(|only| only == part);
    if wanted(Part::Load) {
        bench.load();
    }
    if wanted(Part::EndToEnd) {
        end_to_end::run(&bench);
    }
    if wanted(Part::Memory) {
        memory::run(&bench);
    }
    Ok(())
}

impl Bench {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.args.seconds.clamp(0.1, 60.0))
    }

    fn kinds(&self) -> Vec<Kind> {
        let names = &self.args.targets;
        let wanted =
            |kind: &Kind| names.is_empty() || names.iter().any(|name| name == kind.short_name());
        Kind::ALL.into_iter().filter(wanted).collect()
    }

    /// The table of rates, an empty queue and a long one, for everything that is there.
    fn load(&self) {
        let mut rows = Vec::new();
        for waiting in [0, self.args.messages] {
            for kind in self.kinds() {
                if let Err(why) = self.cells(kind, waiting, &mut rows) {
                    println!("{} is not measured: {why:#}", kind.name());
                    rows.push(Row::not_measured(kind, waiting, &why));
                }
            }
            if self.args.messages == 0 {
                break;
            }
        }
        println!("\n{}", report::render(&rows));
        println!("{}", report::NOTES);
    }

    /// All cells of one target with so many messages waiting.
    fn cells(&self, kind: Kind, waiting: usize, rows: &mut Vec<Row>) -> Result<()> {
        let mut target = Target::start(self, kind)?;
        let mut floor = floor::Floor::of(kind, &target)?;
        let mut queue = self.runtime.block_on(target.create_next())?;
        if waiting > 0 {
            // A peer looks through all of them at each receive: it gets fewer, or never answers.
            let count = if kind.is_ours() {
                waiting
            } else {
                waiting.min(self.args.peer_messages)
            };
            let filled = self.runtime.block_on(crowd::fill(&target, &queue, count))?;
            println!(
                "{}: {} messages in {:.1?}",
                kind.name(),
                filled.count,
                filled.elapsed
            );
            if let Some(floor) = &mut floor {
                floor.fill(filled.count)?;
            }
        }
        for load in Load::all(&self.args.clients) {
            let mut runs = Vec::new();
            for _ in 0..self.args.runs.max(1) {
                if waiting == 0 {
                    queue = self.runtime.block_on(target.create_next())?;
                }
                let run = load::measure(&target, &queue, load, self.time());
                runs.push(self.runtime.block_on(run)?);
            }
            for operation in Operation::ALL {
                let of_runs: Vec<_> = runs.iter().map(|run| run.of(operation)).collect();
                let measured = middle(&of_runs)?;
                let floor = match (&mut floor, measured.per_commit) {
                    (Some(floor), Some(count)) => Some(floor.rate(operation, count)?),
                    _ => None,
                };
                let row = Row {
                    kind,
                    cell: Cell {
                        operation,
                        load,
                        waiting,
                    },
                    figure: Ok((measured, floor)),
                };
                println!("{}", row.line());
                rows.push(row);
            }
        }
        Ok(())
    }
}

/// The medians of several runs.
fn middle(runs: &[Measured]) -> Result<Measured> {
    let of = |figure: fn(&Measured) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    let commits: Vec<_> = runs.iter().filter_map(|run| run.per_commit).collect();
    Ok(Measured {
        per_second: of(|run| run.per_second).context("nothing was measured")?,
        p50_ms: of(|run| run.p50_ms).unwrap_or(0.0),
        p99_ms: of(|run| run.p99_ms).unwrap_or(0.0),
        per_commit: median(&commits),
    })
}
