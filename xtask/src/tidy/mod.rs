//! `cargo xtask tidy`: the guards on the source that no compiler gives, as tests.
//!
//! Each rule is a small pure function from a file, or from all of them, to findings; reading the
//! repository happens here and nowhere else.

mod documents;
mod manifests;
mod rust;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{exec, repo};

/// One file of the repository; `text` is `None` where it is not UTF-8.
pub struct File {
    /// From the repository's root, with `/`.
    pub path: String,
    pub bytes: u64,
    pub text: Option<String>,
}

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    /// From 1; 0 where it concerns the whole file.
    pub line: usize,
    pub what: String,
}

impl Finding {
    fn new(file: &File, line: usize, what: impl Into<String>) -> Self {
        Finding {
            path: file.path.clone(),
            line,
            what: what.into(),
        }
    }

    fn whole(file: &File, what: impl Into<String>) -> Self {
        Finding::new(file, 0, what)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

pub fn run() -> Result<()> {
    let files = read_repository()?;
    let findings = check(&files, &Lists::read()?);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!(
            "{} findings in {} files looked at",
            findings.len(),
            files.len()
        );
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

/// The rules' data, kept beside the code.
pub struct Lists {
    pub ratchet: Vec<(String, usize)>,
    pub forbidden: Vec<text::Forbidden>,
}

impl Lists {
    fn read() -> Result<Self> {
        let read = |name: &str| {
            let path = repo::root().join("xtask/tidy").join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok(Lists {
            ratchet: text::parse_ratchet(&read("ratchet.txt")?)?,
            forbidden: text::parse_forbidden(&read("forbidden.txt")?)?,
        })
    }
}

/// All rules over all files, sorted by place.
fn check(files: &[File], lists: &Lists) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(text::too_big(file));
        findings.extend(text::blanks(file));
        findings.extend(text::forbidden(file, &lists.forbidden));
        findings.extend(rust::unfinished(file));
        findings.extend(rust::module_docs(file));
        findings.extend(rust::unsafe_code(file));
        findings.extend(manifests::licence(file));
        findings.extend(manifests::workspace_dependencies(file));
    }
    findings.extend(text::too_long(files, &lists.ratchet));
    findings.extend(documents::map_paths(files));
    findings.extend(documents::links(files));
    findings.extend(documents::changelog(files));
    findings.sort();
    findings
}

/// Everything that is committed or about to be.
fn read_repository() -> Result<Vec<File>> {
    let list = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let paths =
        exec::output(exec::command("git").args(list)).context("list the repository's files")?;
    let paths = paths.split('\0').filter(|path| !path.is_empty());
    // A file that is listed and gone is being removed.
    paths
        .filter(|path| repo::root().join(path).is_file())
        .map(read)
        .collect()
}

fn read(path: &str) -> Result<File> {
    let full: PathBuf = repo::root().join(path);
    let bytes = fs::read(&full).with_context(|| format!("read {path}"))?;
    Ok(File {
        path: path.to_owned(),
        bytes: bytes.len() as u64,
        text: String::from_utf8(bytes).ok(),
    })
}

impl File {
    fn extension(&self) -> &str {
        Path::new(&self.path)
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("")
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Written by a program, and compared with what the program writes.
    fn is_generated(&self) -> bool {
        self.name().starts_with("generated")
            || self.path.starts_with("models/")
            || matches!(self.name(), "Cargo.lock" | "package-lock.json")
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests") || self.name().ends_with("tests.rs")
    }

    /// Hand-written text; `None` for everything else.
    fn written(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| !self.is_generated())
    }

    /// Hand-written Rust.
    fn rust(&self) -> Option<&str> {
        self.written().filter(|_| self.extension() == "rs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file for the rules' own tests.
    pub fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            bytes: text.len() as u64,
            text: Some(text.to_owned()),
        }
    }

    /// The lines a rule finds fault with.
    pub fn lines(findings: impl IntoIterator<Item = Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn knows_what_is_written_by_hand() {
        assert!(
            file("crates/wire/src/lambda/generated.rs", "")
                .rust()
                .is_none()
        );
        assert!(file("crates/wire/src/lambda/mod.rs", "").rust().is_some());
        assert!(file("crates/sandbox/tests/escape.rs", "").is_test());
        assert!(file("crates/sandbox/src/jail/tests.rs", "").is_test());
        assert!(!file("crates/sandbox/src/jail.rs", "").is_test());
    }

    #[test]
    fn findings_read_like_a_compilers() {
        let file = file("a.rs", "");
        assert_eq!(Finding::new(&file, 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Finding::whole(&file, "bad").to_string(), "a.rs: bad");
    }
}
