//! Finding interpreters on the host: where they are usually installed, asked for their version.
//!
//! Every candidate is run once, a few at a time, each within a bound; one that hangs, fails or
//! answers something else is passed over. Shims of version switchers are resolved to the real
//! executable, which is what a sandbox can mount.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use sandbox::Interpreter;
use tokio::{process::Command, sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    limits,
    runtimes::{Configured, Needs},
};

/// The places of a machine that are looked at.
#[derive(Debug, Clone, Default)]
pub struct Host {
    pub path: Vec<PathBuf>,
    pub home: Option<PathBuf>,
}

impl Host {
    pub fn of_this_machine() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            path: std::env::split_paths(&path).collect(),
            home: std::env::var_os("HOME").map(PathBuf::from),
        }
    }

    /// The directories of executables, likeliest first.
    fn directories(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = vec!["/usr/bin".into(), "/usr/local/bin".into()];
        all.extend(self.path.iter().filter(|path| path.is_absolute()).cloned());
        if let Some(home) = &self.home {
            all.extend(below(&home.join(".pyenv/versions"), "bin"));
            all.extend(below(&home.join(".nvm/versions/node"), "bin"));
            all.extend(below(&home.join(".local/share/uv/python"), "bin"));
        }
        all.extend(below(Path::new("/opt"), "bin"));
        all
    }
}

/// `<directory>/*/<name>`, sorted.
fn below(directory: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join(name)))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// For each runtime that needs one: its interpreter, or what was looked for and how to help.
pub async fn interpreters(
    host: &Host,
    runtimes: &[(&'static str, Needs)],
    configured: &Configured,
) -> BTreeMap<&'static str, Result<Interpreter, String>> {
    let directories = host.directories();
    let mut probes = BTreeSet::new();
    for (name, needs) in runtimes {
        match (configured.get(*name), names(*needs)) {
            (Some(path), _) => probes.extend([(kind(*needs), path.clone())]),
            (None, names) => {
                let found = directories
                    .iter()
                    .flat_map(|directory| names.iter().map(|name| directory.join(name)));
                let found = found.filter(|path| is_candidate(path));
                probes.extend(
                    found
                        .take(limits::PROBE_CANDIDATES_MAX)
                        .map(|path| (kind(*needs), path)),
                );
            }
        }
    }
    let answers = probe_all(probes).await;
    let wanting = runtimes
        .iter()
        .filter(|(_, needs)| *needs != Needs::Nothing);
    wanting
        .map(|(name, needs)| {
            let found = match configured.get(*name) {
                Some(path) => of_configured(path, *needs, &answers),
                None => of_found(name, *needs, &directories, &answers),
            };
            (*name, found)
        })
        .collect()
}

type Answers = BTreeMap<(Kind, PathBuf), Result<Interpreter, String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Python,
    Node,
}

fn kind(needs: Needs) -> Kind {
    match needs {
        Needs::Python(_) => Kind::Python,
        Needs::Node(_) | Needs::Nothing => Kind::Node,
    }
}

/// What the executable may be called.
fn names(needs: Needs) -> Vec<String> {
    match needs {
        Needs::Nothing => Vec::new(),
        Needs::Python(minor) => vec![format!("python3.{minor}")],
        Needs::Node(major) => vec!["node".into(), format!("node{major}"), "nodejs".into()],
    }
}

fn fits(needs: Needs, version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    match needs {
        Needs::Nothing => false,
        Needs::Python(minor) => next() == Some(3) && next() == Some(minor),
        Needs::Node(major) => next() == Some(major),
    }
}

/// Shims depend on the directory they are called in, so they are no answer.
fn is_candidate(path: &Path) -> bool {
    path.is_file() && !path.components().any(|part| part.as_os_str() == "shims")
}

fn of_configured(path: &Path, needs: Needs, answers: &Answers) -> Result<Interpreter, String> {
    let answer = answers.get(&(kind(needs), path.to_owned()));
    match answer {
        Some(Ok(found)) if fits(needs, &found.version) => Ok(found.clone()),
        Some(Ok(found)) => Err(format!(
            "{} is configured for it but is version {}",
            path.display(),
            found.version
        )),
        Some(Err(why)) => Err(format!("{} is configured for it but {why}", path.display())),
        None => Err(format!("{} was not asked", path.display())),
    }
}

fn of_found(
    runtime: &str,
    needs: Needs,
    directories: &[PathBuf],
    answers: &Answers,
) -> Result<Interpreter, String> {
    let names = names(needs);
    let candidates = directories
        .iter()
        .flat_map(|directory| names.iter().map(|name| directory.join(name)));
    let mut fitting = candidates
        .filter_map(|path| answers.get(&(kind(needs), path))?.as_ref().ok())
        .filter(|found| fits(needs, &found.version));
    fitting.next().cloned().ok_or_else(|| {
        let version = match needs {
            Needs::Python(minor) => format!("python3.{minor}"),
            Needs::Node(major) => format!("a node of version {major}"),
            Needs::Nothing => "nothing".to_owned(),
        };
        format!(
            "{version} was looked for in PATH, /usr/bin, /usr/local/bin, /opt/*/bin, \
             ~/.pyenv/versions, ~/.nvm/versions and ~/.local/share/uv/python. Install it there, name \
             the executable with --runtime {runtime}=/path/to/it, or let `lambent runtimes install \
             {runtime}` bring it."
        )
    })
}

async fn probe_all(probes: BTreeSet<(Kind, PathBuf)>) -> Answers {
    let turns = Arc::new(Semaphore::new(limits::PROBES_AT_ONCE));
    let mut running = JoinSet::new();
    for (kind, path) in probes {
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let answer = probe(kind, &path).await;
            ((kind, path), answer)
        });
    }
    let mut answers = Answers::new();
    while let Some(answer) = running.join_next().await {
        answers.extend(answer.ok());
    }
    answers
}

const PYTHON_ASKED: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); \
     print(sys.executable); print(sys.base_prefix); print(sys.base_exec_prefix)";
const NODE_ASKED: &str = "console.log(process.versions.node + '\\n' + process.execPath)";

async fn probe(kind: Kind, path: &Path) -> Result<Interpreter, String> {
    let arguments: &[&str] = match kind {
        Kind::Python => &["-I", "-S", "-c", PYTHON_ASKED],
        Kind::Node => &["-e", NODE_ASKED],
    };
    let asked = Command::new(path)
        .args(arguments)
        .env_remove("NODE_OPTIONS")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(limits::PROBE_WITHIN, asked)
        .await
        .map_err(|_| "does not answer".to_owned())?
        .map_err(|error| format!("cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("ends with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    understood(kind, &text).ok_or_else(|| "does not say its version".to_owned())
}

/// Reads an interpreter's answer: version, executable, and for Python its prefixes.
fn understood(kind: Kind, text: &str) -> Option<Interpreter> {
    let mut lines = text.lines();
    let version = lines.next()?.trim().to_owned();
    let path = Path::new(lines.next()?.trim()).canonicalize().ok()?;
    let roots: BTreeSet<PathBuf> = match kind {
        Kind::Python => lines
            .filter_map(|line| Path::new(line.trim()).canonicalize().ok())
            .collect(),
        // <prefix>/bin/node needs nothing else of a prefix that may be somebody's home.
        Kind::Node => BTreeSet::from([path.clone()]),
    };
    let elsewhere = |root: &PathBuf| {
        let in_the_system = root.starts_with("/usr") && !root.starts_with("/usr/local");
        !in_the_system && root.parent().is_some()
    };
    Some(Interpreter {
        version,
        roots: roots.into_iter().filter(elsewhere).collect(),
        packages: None,
        path,
    })
    .filter(|found| found.path.file_name() != Some(OsStr::new("")))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    const RUNTIMES: &[(&str, Needs)] = &[
        ("python3.77", Needs::Python(77)),
        ("nodejs777.x", Needs::Node(777)),
        ("provided.al2", Needs::Nothing),
    ];

    #[tokio::test]
    async fn interpreters_are_found_by_what_they_say() {
        let home = tempfile::tempdir().unwrap();
        let prefix = home
            .path()
            .canonicalize()
            .unwrap()
            .join(".pyenv/versions/3.77.2");
        let python = script(
            &prefix.join("bin"),
            "python3.77",
            &format!("echo 3.77.2; echo $0; echo {0}; echo {0}", prefix.display()),
        );
        let shims = home.path().join(".pyenv/shims");
        script(&shims, "python3.77", "echo 3.77.9; echo $0");
        script(&home.path().join("b"), "node", "echo 776.0.1; echo $0");
        let host = Host {
            path: vec![shims, home.path().join("b")],
            home: Some(home.path().to_owned()),
        };
        let found = interpreters(&host, RUNTIMES, &Configured::new()).await;
        assert_eq!(found.len(), 2);
        let expect = Interpreter {
            path: python,
            version: "3.77.2".into(),
            roots: vec![prefix],
            packages: None,
        };
        assert_eq!(found["python3.77"], Ok(expect));
        let told = found["nodejs777.x"].clone().unwrap_err();
        assert!(told.contains("--runtime nodejs777.x="), "{told}");
    }

    #[tokio::test]
    async fn a_configured_interpreter_is_the_one_or_an_error_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let node = script(dir.path(), "mine", "echo 777.1.0; echo $0");
        let python = script(dir.path(), "old", "echo 3.11.0; echo $0");
        let configured = Configured::from([
            ("nodejs777.x".to_owned(), node.clone()),
            ("python3.77".to_owned(), python),
        ]);
        let found = interpreters(&Host::default(), RUNTIMES, &configured).await;
        let path = node.canonicalize().unwrap();
        let expect = Interpreter {
            path: path.clone(),
            version: "777.1.0".into(),
            roots: vec![path],
            packages: None,
        };
        assert_eq!(found["nodejs777.x"], Ok(expect));
        let told = found["python3.77"].clone().unwrap_err();
        assert!(told.contains("is version 3.11.0"), "{told}");
    }
}
