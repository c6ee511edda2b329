//! The interpreters of this machine: on the PATH and in pyenv's and nvm's folders.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

#[derive(Debug, Clone)]
pub struct Interpreter {
    pub path: PathBuf,
    pub major: u32,
    pub minor: u32,
}

/// One of each minor version from 3.9 on.
pub fn pythons() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let names = (9..=14).map(|minor| format!("python3.{minor}"));
        let mut candidates = on_path(names.chain(["python3".into()]));
        candidates.extend(below(".pyenv/versions", "bin/python3"));
        let question = ["-c", "import sys; print(*sys.version_info[:2])"];
        distinct(candidates, &question, |major, minor| {
            major == 3 && (9..=14).contains(&minor)
        })
    });
    assert!(!found.is_empty(), "no Python 3.9 or later on this machine");
    found
}

/// One of each major version from 18 on.
pub fn nodes() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut candidates = on_path(["node".into(), "nodejs".into()]);
        candidates.extend(below(".nvm/versions/node", "bin/node"));
        let question = ["-p", "process.versions.node.split('.')[0] + ' 0'"];
        distinct(candidates, &question, |major, _| major >= 18)
    });
    assert!(!found.is_empty(), "no Node.js 18 or later on this machine");
    found
}

fn on_path(names: impl IntoIterator<Item = String>) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let names: Vec<String> = names.into_iter().collect();
    env::split_paths(&path)
        .flat_map(|folder| {
            names
                .iter()
                .map(move |name| folder.join(name))
                .collect::<Vec<_>>()
        })
        .filter(|file| file.is_file())
        .collect()
}

fn below(folder: &str, program: &str) -> Vec<PathBuf> {
    let home = env::var_os("HOME").unwrap_or_default();
    let Ok(versions) = fs::read_dir(Path::new(&home).join(folder)) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join(program))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found
}

fn distinct(
    candidates: Vec<PathBuf>,
    question: &[&str],
    wanted: impl Fn(u32, u32) -> bool,
) -> Vec<Interpreter> {
    let mut found = BTreeMap::new();
    for path in candidates {
        let answer = Command::new(&path)
            .args(question)
            .stderr(Stdio::null())
            .output();
        let Ok(answer) = answer else { continue };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let mut numbers = text.split_whitespace().map(str::parse);
        if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
            && wanted(major, minor)
        {
            found
                .entry((major, minor))
                .or_insert(Interpreter { path, major, minor });
        }
    }
    found.into_values().collect()
}
