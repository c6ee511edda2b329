//! `cargo xtask test`: sets up all that the tests need, runs every one, and counts.
//!
//! Cargo's tests first, then the end-to-end tests in `tests/e2e` against the real binary. What
//! cannot be had is named and is a failure; nothing is left out in silence.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    counts::{CargoOutput, Counts, Suite, pytest_result, summary, unfinished},
    exec, node, packages,
    postgres::{self, Postgres},
    python::Venv,
    repo, sdk_function,
};

#[derive(clap::Args)]
pub struct Args {
    /// Only the tests whose name contains this; pytest also takes its own expressions.
    #[arg(long)]
    filter: Option<String>,
    /// Only cargo's tests.
    #[arg(long, conflicts_with = "only_e2e")]
    no_e2e: bool,
    /// Only the end-to-end tests.
    #[arg(long)]
    only_e2e: bool,
}

/// The binary under test where it is not the one just built.
const BINARY_VARIABLE: &str = "LAMBENT_BIN";

pub fn run(args: &Args) -> Result<()> {
    let mut suites = Vec::new();
    let postgres = noted(&mut suites, "set up PostgreSQL", Postgres::ready());
    let mut environment = Environment::default();
    if let Some(postgres) = &postgres {
        environment.set(postgres::VARIABLE, &postgres.url);
    }
    if !args.only_e2e {
        suites.extend(cargo_tests(args, &environment)?);
    }
    if !args.no_e2e {
        suites.extend(e2e_tests(args, &mut environment));
    }
    drop(postgres);
    close(&suites)
}

/// Prints the counts, the sum as the very last line, and fails where a test did.
fn close(suites: &[Suite]) -> Result<()> {
    let (table, total) = summary(suites);
    println!("\nTests\n{table}");
    println!("{}", total.closing_line());
    if total.failed > 0 || total == Counts::default() {
        std::process::exit(1);
    }
    Ok(())
}

fn cargo_tests(args: &Args, environment: &Environment) -> Result<Vec<Suite>> {
    let mut command = exec::cargo();
    command.args([
        "test",
        "--workspace",
        "--features",
        "xtask/bench",
        "--no-fail-fast",
    ]);
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
    environment.apply(&mut command);
    let mut output = CargoOutput::default();
    let status = exec::stream(&mut command, |line| output.line(line))?;
    Ok(output.finish(status.success()))
}

/// The end-to-end tests, or the name of what they lack.
fn e2e_tests(args: &Args, environment: &mut Environment) -> Vec<Suite> {
    let mut suites = Vec::new();
    let binary = noted(&mut suites, "build lambent", binary());
    let venv = noted(&mut suites, "set up Python", Venv::ready());
    let node = noted(&mut suites, "set up Node.js", node::ready());
    let rust = noted(
        &mut suites,
        "build a function in Rust",
        sdk_function::ready(),
    );
    noted(
        &mut suites,
        "set up a registry of images",
        packages::for_images(),
    );
    let (Some(binary), Some(venv), Some(node), Some(rust)) = (binary, venv, node, rust) else {
        return suites;
    };
    environment.set(BINARY_VARIABLE, binary);
    environment.set("LAMBENT_TEST_NODE", node);
    environment.set("LAMBENT_TEST_RUST", rust);
    environment.set(
        "LAMBENT_TEST_VENV",
        venv.bin().parent().expect("bin lies in the environment"),
    );
    let mut command = venv.python();
    command.args(["-m", "pytest", "tests/e2e", "--color=no"]);
    if let Some(filter) = &args.filter {
        command.args(["-k", filter]);
    }
    environment.apply(&mut command);
    suites.push(pytest(&mut command).unwrap_or_else(|error| failed("tests/e2e", &error)));
    suites
}

fn pytest(command: &mut Command) -> Result<Suite> {
    /// What pytest ends with when a filter has left nothing to run.
    const NOTHING_COLLECTED: i32 = 5;
    let mut counts = None;
    let status = exec::stream(command, |line| counts = pytest_result(line).or(counts))?;
    let filtered_out = status.code() == Some(NOTHING_COLLECTED);
    let counts = counts.context("pytest did not finish")?;
    if !status.success() && !filtered_out && counts.failed == 0 {
        bail!("pytest ended with {status}");
    }
    Ok(Suite {
        name: "tests/e2e".to_owned(),
        counts,
    })
}

/// The binary under test, built as cargo's tests are, with debug assertions on.
fn binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(repo::root().join(binary));
    }
    exec::run(exec::cargo().args(["build", "--package", "lambent", "--bin", "lambent"]))?;
    Ok(repo::target().join("debug/lambent"))
}

/// A failed preparation becomes a failed suite that says so.
fn noted<T>(suites: &mut Vec<Suite>, what: &str, result: Result<T>) -> Option<T> {
    result
        .map_err(|error| suites.push(failed(what, &error)))
        .ok()
}

fn failed(what: &str, error: &anyhow::Error) -> Suite {
    eprintln!("error: {what}: {error:#}");
    unfinished(&format!("{what}: {error:#}"))
}

/// What the tests are told about their surroundings.
#[derive(Default)]
struct Environment(Vec<(&'static str, std::ffi::OsString)>);

impl Environment {
    fn set(&mut self, name: &'static str, value: impl Into<std::ffi::OsString>) {
        self.0.push((name, value.into()));
    }

    fn apply(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
    }
}
