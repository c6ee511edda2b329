//! What `lambent runtimes install` puts below the data directory, and where it is found again:
//! a directory per runtime, with an interpreter, packages for all its functions, or both.
//!
//! A directory is complete when it has its name: it is made beside and renamed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::runtimes::Needs;

/// What was replaced while functions may still have had it mounted.
const OLD: &str = ".old-";

/// The directory of what was installed.
#[derive(Debug, Clone)]
pub struct Installed(PathBuf);

impl Installed {
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("runtimes"))
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Of a runtime by its name, which has to be one of the table's.
    pub fn dir(&self, runtime: &str) -> PathBuf {
        self.0.join(runtime)
    }

    /// Where the interpreter lies in a runtime's directory.
    pub fn interpreter_in(dir: &Path, needs: Needs) -> Option<PathBuf> {
        let name = match needs {
            Needs::Nothing => return None,
            Needs::Python(minor) => format!("python3.{minor}"),
            Needs::Node(_) => "node".to_owned(),
        };
        Some(dir.join("interpreter/bin").join(name))
    }

    /// Where the packages for all functions lie in it: of Python, or a `node_modules`.
    pub fn packages_in(dir: &Path, needs: Needs) -> PathBuf {
        match needs {
            Needs::Node(_) => dir.join("node_modules"),
            Needs::Nothing | Needs::Python(_) => dir.join("packages"),
        }
    }

    pub fn interpreter(&self, runtime: &str, needs: Needs) -> Option<PathBuf> {
        Self::interpreter_in(&self.dir(runtime), needs).filter(|path| path.is_file())
    }

    pub fn packages(&self, runtime: &str, needs: Needs) -> Option<PathBuf> {
        let found = Self::packages_in(&self.dir(runtime), needs).canonicalize();
        found.ok().filter(|path| path.is_dir())
    }

    /// Gives a directory that is complete its name. What was there stays aside until the next
    /// start, as functions that run may have it mounted.
    ///
    /// # Errors
    /// Those of renaming; then what was there is there still, if that could be helped.
    pub fn put(&self, runtime: &str, made: &Path) -> io::Result<()> {
        let place = self.dir(runtime);
        let mark = made.file_name().unwrap_or_default().to_string_lossy();
        let aside = self
            .0
            .join(format!("{OLD}{}", mark.trim_start_matches('.')));
        let had_one = match fs::rename(&place, &aside) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        fs::rename(made, &place).inspect_err(|_| {
            if had_one {
                let _ = fs::rename(&aside, &place);
            }
        })
    }

    /// Removes what was replaced: at start, when nothing has it mounted.
    pub fn tidy(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(OLD)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "an old runtime stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_stays_until_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        let installed = Installed::of(data.path());
        let node = Needs::Node(22);
        for (made, version) in [(".new-a", "1"), (".new-b", "2")] {
            let made = installed.root().join(made);
            let program = Installed::interpreter_in(&made, node).unwrap();
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::write(program, version).unwrap();
            installed.put("nodejs22.x", &made).unwrap();
        }
        let found = installed.interpreter("nodejs22.x", node).unwrap();
        assert_eq!(fs::read_to_string(found).unwrap(), "2");
        assert_eq!(installed.packages("nodejs22.x", node), None);
        let count = || fs::read_dir(installed.root()).unwrap().count();
        assert_eq!(count(), 2);
        installed.tidy();
        assert_eq!(count(), 1);
    }
}
