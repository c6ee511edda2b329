//! `lambent`: the platform as a server, and the commands that talk to a running one.
//!
//! Composition only. What a request means is `platform`'s business; here are the command line, the
//! configuration, the listener, the operator's endpoints and the newcomer's commands.

mod admin;
mod args;
mod config;
mod limits;
mod percent;
mod serve;
mod up;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::Parser;

fn main() -> ExitCode {
    // The sandbox's privileged part is this executable too. Before anything else, above all before
    // any thread.
    sandbox::run_helper_if_asked();
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Up(up) => up::run(up),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lambent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
