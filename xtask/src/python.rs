//! Virtual environments with pinned packages below cargo's build directory, made from the host's
//! Python and kept until the pins or the Python change.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{exec, packages, repo};

/// The durable execution SDK at its pinned version asks for this.
const MINOR_MIN: u32 = 11;

/// A virtual environment that has what its requirements file names.
pub struct Venv {
    bin: PathBuf,
}

impl Venv {
    /// What the tests use.
    pub fn ready() -> Result<Self> {
        Venv::with("venv", "tests/requirements.txt")
    }

    /// The environment of a name, made anew where it is missing or stale.
    pub fn with(name: &str, requirements: &str) -> Result<Self> {
        let python = Host::find()?;
        let pins = fs::read_to_string(repo::root().join(requirements))
            .with_context(|| format!("read {requirements}"))?;
        let dir = repo::target().join(name);
        let venv = Venv {
            bin: dir.join("bin"),
        };
        let stamp = dir.join("made-from.txt");
        let made_from = format!("{} {}\n{pins}", python.path.display(), python.version);
        if fs::read_to_string(&stamp).is_ok_and(|found| found == made_from) {
            return Ok(venv);
        }
        let python = python.that_makes_environments()?;
        venv.make(&python, &dir, requirements)?;
        fs::write(&stamp, made_from).with_context(|| format!("write {}", stamp.display()))?;
        Ok(venv)
    }

    fn make(&self, python: &Path, dir: &Path, requirements: &str) -> Result<()> {
        println!("making a Python environment in {}", dir.display());
        exec::run(
            exec::command(python)
                .args(["-m", "venv", "--clear"])
                .arg(dir),
        )?;
        exec::run(
            exec::command(self.bin.join("python"))
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args(["--no-input", "--requirement", requirements]),
        )
        .with_context(|| format!("install {requirements}"))
    }

    pub fn bin(&self) -> &Path {
        &self.bin
    }

    pub fn python(&self) -> Command {
        exec::command(self.bin.join("python"))
    }
}

struct Host {
    path: PathBuf,
    version: String,
}

impl Host {
    fn find() -> Result<Self> {
        let Some(path) = exec::which("python3") else {
            packages::install(&["python3", "python3-venv"], "the tests need Python 3")?;
            return Self::at(PathBuf::from("/usr/bin/python3"));
        };
        Self::at(path)
    }

    fn at(path: PathBuf) -> Result<Self> {
        let print = "import platform; print(platform.python_version())";
        let version = exec::output(exec::command(&path).args(["-c", print]))?
            .trim()
            .to_owned();
        if !is_new_enough(&version) {
            bail!(
                "the tests need Python 3.{MINOR_MIN} or later; {} is {version}",
                path.display()
            );
        }
        Ok(Host { path, version })
    }

    /// Debian splits `ensurepip` off into a package of its own; that is the one thing that may be
    /// missing from a Python that is otherwise there.
    fn that_makes_environments(self) -> Result<PathBuf> {
        if can_make_environments(&self.path) {
            return Ok(self.path);
        }
        packages::install(&["python3-venv"], "the tests need Python's venv module")?;
        [self.path.clone(), PathBuf::from("/usr/bin/python3")]
            .into_iter()
            .find(|python| can_make_environments(python))
            .with_context(|| format!("{} has no ensurepip module", self.path.display()))
    }
}

fn can_make_environments(python: &Path) -> bool {
    exec::output(exec::command(python).args(["-c", "import ensurepip, venv"])).is_ok()
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(3), Some(MINOR_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_versions_as_numbers() {
        assert!(!is_new_enough("3.9.18"));
        assert!(is_new_enough("3.11.0"));
        assert!(is_new_enough("3.14.0rc1"));
        assert!(!is_new_enough("2.7.18"));
    }
}
