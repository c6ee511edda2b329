//! Scheduling, limits and asynchronous delivery together, with a store that fails and a process that
//! ends, in time that passes only as the simulation has it.
//!
//! All that is decided comes from one number: what is asked for and when, what functions do, which
//! transaction fails and how, when the process ends. A seed that finds something is run again with
//! `LAMBENT_SIM_SEED=n`; `LAMBENT_SIM_SEEDS=count` runs so many, from that one or 0 on.
//!
//! One thread, Tokio's time paused, each transaction done where it is asked for. Not the seed's are
//! queues' numbers and ids, and which of several sockets or files is ready first: of requests that
//! come at one instant another may be throttled or meet a fault, so that a seed with faults may want a
//! few runs until it fails again.

mod behaviour;
mod chance;
mod driver;
mod model;
mod process;
mod weather;

use std::{env, path::Path, sync::Arc};

use chance::Chance;
use driver::{Driver, End};
use model::Model;
use process::Process;
use weather::Weather;

use crate::functions::testing::seed_aliases;

const SEEDS: u64 = 20;

/// What has happened.
struct Told {
    story: Vec<String>,
    broken: Vec<String>,
    summary: String,
}

fn run(seed: u64) -> Told {
    let chance = Chance(seed);
    seed_aliases(Some(seed));
    // Some have no trouble, so that what is exact without it is seen to be.
    let faults_per_mille = [0, 10, 60][chance.below(3, "faults", &[]) as usize];
    let ends_per_mille = [0, 700, 900][chance.below(3, "lives", &[]) as usize];
    let model = Model::new(chance, Arc::new(Weather::new(chance, faults_per_mille)));
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let mut driver = Driver::new(model.clone(), ends_per_mille);
    loop {
        let runtime = runtime();
        let store = runtime.block_on(Process::store(dir.path(), &model));
        let ended = runtime.block_on(driver.live(dir.path(), store.clone()));
        // Whatever runs ends here.
        drop(runtime);
        runtime_of_end().block_on(store.close());
        if ended == End::Done {
            break;
        }
        model.process_ended();
    }
    seed_aliases(None);
    let mut state = model.lock();
    Told {
        summary: state.summary(model.weather.faults()),
        story: std::mem::take(&mut state.story),
        broken: std::mem::take(&mut state.broken),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

fn runtime_of_end() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|it| it.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_and_no_limit_passed_whatever_fails() {
    let first = number("LAMBENT_SIM_SEED");
    let count = number("LAMBENT_SIM_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    let mut failed = Vec::new();
    for seed in first..first + count {
        let told = run(seed);
        println!("seed {seed}: {}", told.summary);
        if !told.broken.is_empty() {
            eprintln!("seed {seed}:\n{}", told.story.join("\n"));
            eprintln!("again: LAMBENT_SIM_SEED={seed}\n");
            failed.push((seed, told.broken));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
