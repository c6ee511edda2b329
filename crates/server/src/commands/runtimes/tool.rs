//! The package tools: run as anyone would, with their own settings, and for no longer than it takes.
//! They check what they fetch against the sums that the registry gives. No package's own scripts run.

use std::{ffi::OsString, path::Path, process::Stdio};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Runs a tool to its end; what it says goes to stderr.
///
/// # Errors
/// If it cannot be run, or fails.
pub async fn run(program: &Path, arguments: &[OsString]) -> Result<()> {
    let shown = program.display();
    let status = command(program, arguments)
        .stdout(Stdio::null())
        .status()
        .await
        .with_context(|| format!("run {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}; what it said is above");
    }
    Ok(())
}

/// What a program prints, if it succeeds.
pub async fn asked(program: &Path, arguments: &[OsString]) -> Result<String> {
    let output = command(program, arguments)
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", program.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program ends well; what it says is of no interest.
pub async fn succeeds(program: &Path, arguments: &[OsString]) -> bool {
    let mut command = command(program, arguments);
    let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.await.is_ok_and(|status| status.success())
}

fn command(program: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    // What a developer's shell says to an interpreter is not meant for this one.
    command
        .args(arguments)
        .env_remove("PYTHONPATH")
        .env_remove("NODE_OPTIONS")
        .env_remove("NODE_PATH")
        // A warning of pip's about its own directories, which it does not touch here.
        .env("PIP_ROOT_USER_ACTION", "ignore")
        // uv is to leave ~/.local/bin alone.
        .env("UV_PYTHON_INSTALL_BIN", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Words of a command line.
pub fn words<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// Where a tool is on the path.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
