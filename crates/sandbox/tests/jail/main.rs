//! The process jail, end to end, with real processes.
//!
//! A harness of its own, because the jail's privileged part is this same executable, started
//! again with a hidden argument. Run as root it does everything twice: as root and, as another
//! process, as an ordinary user.

mod bare;
mod crash;
mod escape;
mod interpreters;
mod inward;
mod life;
mod limits;
mod ordinary;
mod processes;
mod runner;
mod runtime_api;
mod snapshots;
mod world;

const TESTS: &[&[runner::Test]] = &[
    life::TESTS,
    interpreters::TESTS,
    inward::TESTS,
    snapshots::TESTS,
    limits::TESTS,
    escape::TESTS,
    crash::TESTS,
    bare::TESTS,
];

fn main() {
    lambent_sandbox::run_helper_if_asked();
    crash::be_victim();
    let as_root = runner::run(TESTS);
    let as_ordinary = ordinary::run_again();
    std::process::exit(if as_root && as_ordinary { 0 } else { 101 });
}
