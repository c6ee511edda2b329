//! The example functions, as they lie in the checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::Value;

use crate::{
    args::DeployArguments,
    commands::{
        deploy::{self, Function},
        detect::Language,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Python,
    Node,
    Rust,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Python, Kind::Node, Kind::Rust];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Python => "invoice-python",
            Kind::Node => "markdown-node",
            Kind::Rust => "route-rust",
        }
    }

    fn language(self) -> Language {
        match self {
            Kind::Python => Language::Python,
            Kind::Node => Language::Node,
            Kind::Rust => Language::Custom,
        }
    }
}

/// A function that can be deployed, and a request for it.
pub struct Example {
    pub function: Function,
    pub request: Bytes,
    pub folder: PathBuf,
}

impl Example {
    /// Reads it, and compiles it where it has to be.
    pub fn prepare(kind: Kind) -> Result<Self> {
        let checkout = checkout()?;
        let folder = checkout.join("examples").join(kind.name());
        ensure!(folder.is_dir(), "there is no {}", folder.display());
        let request = folder.join("request.json");
        let request = fs::read(&request).with_context(|| format!("read {}", request.display()))?;
        let mut function = match kind {
            Kind::Rust => compiled(&checkout, &folder)?,
            _ => deploy::function(&arguments(&folder, kind))?,
        };
        // The newest interpreter here may be another than the author's.
        for runtime in kind.language().runtimes() {
            if !function.runtimes.iter().any(|known| known == runtime) {
                function.runtimes.push((*runtime).to_owned());
            }
        }
        Ok(Example {
            function,
            request: request.into(),
            folder,
        })
    }
}

/// Where the sources are: here, or where this program was built.
fn checkout() -> Result<PathBuf> {
    let here = std::env::current_dir().context("find the current directory")?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [here, built];
    let found = candidates
        .iter()
        .find(|path| path.join("examples").is_dir());
    let found = found.context("there is no examples/ here; run the demo in a checkout")?;
    Ok(found.canonicalize()?)
}

/// The Rust function is compiled with cargo and packed as the `bootstrap` that it is.
fn compiled(checkout: &Path, folder: &Path) -> Result<Function> {
    let built = Command::new("cargo")
        .args(["build", "--release", "-p", "example-route"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(checkout)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .context("run cargo, which compiles it (is Rust installed?)")?;
    ensure!(
        built.status.success(),
        "cargo could not compile it ({})",
        built.status
    );
    let binary = executable(&built.stdout).context("cargo names no executable")?;
    let package = tempfile::tempdir().context("make a temporary directory")?;
    fs::copy(&binary, package.path().join("bootstrap")).context("pack the program")?;
    let description = folder.join("function.json");
    if description.is_file() {
        fs::copy(&description, package.path().join("function.json")).context("pack it")?;
    }
    deploy::function(&arguments(package.path(), Kind::Rust))
}

/// What cargo has made, from what it says.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(messages);
    text.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    })
}

fn arguments(folder: &Path, kind: Kind) -> DeployArguments {
    DeployArguments {
        folder: folder.to_owned(),
        name: Some(kind.name().to_owned()),
        runtime: None,
        handler: None,
        memory: None,
        timeout: None,
        env: Vec::new(),
        role: None,
        json: false,
    }
}
