//! The project's own commands: `cargo xtask <command>`.
//!
//! Everything that a person or CI does to this repository more than once is a command here, in
//! Rust, so that it runs wherever the project builds. Nothing here is part of the product.

mod bench;
mod ci;
mod codegen;
mod counts;
mod demo;
mod exec;
mod node;
mod operations;
mod packages;
mod postgres;
mod python;
mod readme;
mod repo;
mod sdk_function;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Lambent's own commands",
    disable_version_flag = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test, after setting up all they need.
    Test(test::Args),
    /// What must pass before a change lands: every check, both README commands, all tests.
    Ci,
    /// The guards on the source that no compiler gives.
    Tidy,
    /// Generates code from AWS's service models, and docs/operations.md.
    Codegen {
        /// Only compares with what is committed.
        #[arg(long)]
        check: bool,
        /// Reads the models anew from botocore's wheel first.
        #[arg(long, conflicts_with = "check")]
        fetch: bool,
    },
    /// Measures, each figure beside its floor from the same run.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    bench::run_part_if_asked();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace: the error says what to do, the place in our code does not.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test(args) => test::run(&args),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Codegen { check, fetch } => {
            if fetch {
                codegen::fetch()?;
            }
            codegen::run(check)
        }
        Command::Bench(args) => bench::run(&args),
    }
}
