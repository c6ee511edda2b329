//! Debian packages that the tests need and the machine lacks.
//!
//! Only root on a machine with apt may install; everybody else is told what to install. Nothing
//! that is present already is touched.

use anyhow::{Context, Result, bail};

use crate::exec;

/// Installs Debian packages, or says which are missing and why they cannot be installed here.
pub fn install(packages: &[&str], reason: &str) -> Result<()> {
    let names = packages.join(" ");
    if exec::which("apt-get").is_none() {
        bail!("{reason}: install `{names}` (there is no apt-get here to do it)");
    }
    if !exec::is_root() {
        bail!("{reason}: install it with `sudo apt-get install {names}` (only root may)");
    }
    println!("installing {names}: {reason}");
    apt(&["update", "-qq"]).context("refresh apt's package lists")?;
    let mut arguments = vec!["install", "-qq", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments).with_context(|| format!("{reason}: install {names}"))
}

/// What the tests of container images need: a registry, a program that needs no libraries, and a
/// compressor.
pub fn for_images() -> Result<()> {
    let needed = [
        ("docker-registry", "docker-registry"),
        ("busybox", "busybox-static"),
        ("zstd", "zstd"),
    ];
    let missing = needed
        .iter()
        .filter(|(program, _)| exec::which(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => install(&missing, "container images are tested with it"),
    }
}

fn apt(arguments: &[&str]) -> Result<()> {
    exec::run(
        exec::command("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
