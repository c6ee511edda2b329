//! The function in Rust that the tests run: `tests/e2e/rust`, built with its own lock file below
//! cargo's build directory.

use std::path::PathBuf;

use anyhow::Result;

use crate::{exec, repo};

/// The program.
pub fn ready() -> Result<PathBuf> {
    let manifest = repo::root().join("tests/e2e/rust/Cargo.toml");
    let target = repo::target().join("sdk-function");
    let mut build = exec::cargo();
    build
        .args(["build", "--locked", "--manifest-path"])
        .arg(manifest);
    exec::run(build.arg("--target-dir").arg(&target))?;
    Ok(target.join("debug/bootstrap"))
}
