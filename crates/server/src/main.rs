//! `lambent`: the platform as a server, and the commands that talk to a running one.
//!
//! Composition only. What a request means is `platform`'s business; here are the command line, the
//! configuration, the listener, the operator's endpoints and the newcomer's commands.

mod admin;
mod args;
mod commands;
mod config;
mod demo;
mod limits;
mod percent;
mod serve;
mod up;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::Parser;
use commands::{deploy, functions, invoke, logs, queues, runtimes, usage};

fn main() -> ExitCode {
    // The sandbox's privileged part is this executable too. Before anything else, above all before
    // any thread.
    sandbox::run_helper_if_asked();
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Up(up) => up::run(up),
        Command::Demo(demo) => demo::run(demo),
        Command::Deploy(given) => commands::run(|client| deploy::run(client, given)),
        Command::Invoke(given) => commands::run(|client| invoke::run(client, given)),
        Command::Logs(given) => commands::run(|client| logs::run(client, given)),
        Command::Functions(given) => commands::run(|client| functions::run(client, given)),
        Command::Queues(given) => commands::run(|client| queues::run(client, given)),
        Command::Usage(given) => commands::run(|client| usage::run(client, given)),
        Command::Runtimes(given) => runtimes::run(given),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lambent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
