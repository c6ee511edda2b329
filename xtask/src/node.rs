//! The JavaScript side of the tests: AWS's SDK for JavaScript at the versions that
//! `tests/e2e/node/package-lock.json` pins, installed below cargo's build directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{exec, repo};

const PACKAGES: [&str; 2] = ["package.json", "package-lock.json"];

/// A folder whose `node_modules` has what the lock file names.
pub fn ready() -> Result<PathBuf> {
    for program in ["node", "npm"] {
        if exec::which(program).is_none() {
            bail!(
                "the tests need Node.js 20 or later with npm: there is no `{program}` on the PATH"
            );
        }
    }
    let source = repo::root().join("tests/e2e/node");
    let dir = repo::target().join("node");
    let stamp = dir.join("made-from.txt");
    let made_from = contents(&source)?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == made_from) {
        return Ok(dir);
    }
    println!("installing AWS's SDK for JavaScript in {}", dir.display());
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    for file in PACKAGES {
        fs::copy(source.join(file), dir.join(file)).with_context(|| format!("copy {file}"))?;
    }
    let npm_ci = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    exec::run(exec::command("npm").args(npm_ci).current_dir(&dir))?;
    fs::write(&stamp, made_from).with_context(|| format!("write {}", stamp.display()))?;
    Ok(dir)
}

fn contents(source: &Path) -> Result<String> {
    PACKAGES
        .iter()
        .map(|file| {
            let path = source.join(file);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        })
        .collect()
}
