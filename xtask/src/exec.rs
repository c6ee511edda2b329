//! Child processes: run to the end, streamed line by line, or found on the PATH.
//!
//! No shell is involved, and no child reads the terminal: the commands must run without one.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::repo;

/// A command that runs in the repository's root and never waits for input.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repo::root()).stdin(Stdio::null());
    command
}

/// Cargo, free of what the cargo that runs us has told us about ourselves: such variables would
/// make build scripts believe that their input has changed.
pub fn cargo() -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_about_a_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

fn is_about_a_package(variable: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ]
    .iter()
    .any(|prefix| variable.starts_with(prefix))
}

/// How a command reads in a message: the program's name and its arguments.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command to its end with its output passed through; an error where it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command to its end and gives what it wrote to stdout; an error with its stderr where it
/// fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("start `{shown}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command, passes each line of its stdout and stderr through in the order written, and
/// shows it to `line`.
pub fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let shown = shown(command);
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    command
        .stdout(writer.try_clone().context("clone a pipe")?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("start `{shown}`"))?;
    // The command still holds the pipe's write ends, which would keep the reader waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    let mut out = std::io::stdout();
    while reader
        .read_until(b'\n', &mut bytes)
        .with_context(|| format!("read from `{shown}`"))?
        > 0
    {
        // Our own stdout being closed is no reason to leave the child half done.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    child.wait().with_context(|| format!("wait for `{shown}`"))
}

/// The first executable of that name on the PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

pub fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether we may install packages and change users.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_both_outputs_in_order() {
        let mut lines = Vec::new();
        let mut child = command("sh");
        child.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let status = stream(&mut child, |line| lines.push(line.to_owned())).expect("sh runs");
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(command("sh").args(["-c", "exit 7"])).expect_err("it fails");
        assert!(error.to_string().contains("sh -c exit 7"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut command("no-such-program-here")).expect_err("it fails");
        assert!(
            error.to_string().contains("no-such-program-here"),
            "{error}"
        );
    }

    #[test]
    fn finds_what_is_on_the_path() {
        assert!(which("sh").is_some());
        assert!(which("no-such-program-here").is_none());
    }
}
