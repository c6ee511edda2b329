//! `lambent runtimes install`: an interpreter, where a registry carries one, and the AWS SDK that
//! Lambda's own runtimes have.
//!
//! Node.js comes from the npm registry as a package. No registry carries CPython as one: an
//! interpreter of the machine is taken, or one that `uv` brings. Packages come as wheels by pip and
//! from npm without scripts, so nothing of theirs runs before a function loads it. All of it is made
//! beside, tried out, and only then given its name.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use platform::functions::{
    installed::Installed,
    runtimes::{Needs, Runtimes},
};
use sandbox::Launch;

use super::{
    found,
    tool::{self, words},
};
use crate::{args::RuntimesInstallArguments, commands::style::say, config};

/// Lambda brings all of the SDK's clients; these are the ones that functions ask for most. More come
/// with `--package`.
const NODE_SDK: &[&str] = &[
    "@aws-sdk/client-cloudwatch",
    "@aws-sdk/client-cloudwatch-logs",
    "@aws-sdk/client-dynamodb",
    "@aws-sdk/client-eventbridge",
    "@aws-sdk/client-kinesis",
    "@aws-sdk/client-lambda",
    "@aws-sdk/client-s3",
    "@aws-sdk/client-scheduler",
    "@aws-sdk/client-secrets-manager",
    "@aws-sdk/client-sfn",
    "@aws-sdk/client-sns",
    "@aws-sdk/client-sqs",
    "@aws-sdk/client-ssm",
    "@aws-sdk/client-sts",
    "@aws-sdk/lib-dynamodb",
    "@aws-sdk/lib-storage",
    "@aws-sdk/s3-request-presigner",
    "@aws-sdk/util-dynamodb",
];
const PYTHON_SDK: &[&str] = &["boto3"];

pub async fn run(given: RuntimesInstallArguments) -> Result<()> {
    let needs = match Runtimes::needs(&given.name) {
        Some(Needs::Nothing) => bail!("{} needs no interpreter and no SDK", given.name),
        Some(needs) => needs,
        None => bail!(
            "{} is no runtime that runs here; `lambent runtimes list` has them",
            given.name
        ),
    };
    for package in &given.packages {
        ensure!(
            !package.starts_with('-'),
            "--package {package}: it is no package"
        );
    }
    let data = config::directory(&given.data, &mut Vec::new())?;
    let installed = Installed::of(&data);
    fs::create_dir_all(installed.root()).context("make the directory of runtimes")?;
    let (runtimes, _) = found(given.options, &installed).await?;
    let made = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(installed.root())
        .context("make a directory for it")?;
    let place = Place {
        dir: made.path(),
        needs,
        packages: &given.packages,
    };
    let here = runtimes
        .launch(&given.name)
        .ok()
        .and_then(|launch| match launch {
            Launch::Python(found) | Launch::Node(found) => Some(found),
            Launch::Bootstrap | Launch::Image(_) => None,
        });
    let own = installed.interpreter(&given.name, needs);
    // One that was brought before is brought again: this is how it is renewed.
    let brings = given.interpreter || here.is_none() || own.is_some();
    let interpreter = match here {
        Some(found) if !brings => found.path,
        _ => place.interpreter().await?,
    };
    let shown = match needs {
        Needs::Node(_) => place.node(&interpreter).await?,
        _ => place.python(&interpreter, &runtimes).await?,
    };
    readable(place.dir).context("let functions read it")?;
    let place = made.keep();
    if let Err(error) = installed.put(&given.name, &place) {
        let _ = fs::remove_dir_all(&place);
        return Err(error).context("put it in its place");
    }
    let interpreter = match interpreter.strip_prefix(&place) {
        Ok(below) => installed.dir(&given.name).join(below),
        Err(_) => interpreter,
    };
    say!("{}: {} with {shown}", given.name, interpreter.display());
    say!("A platform with this data directory has it from its next start on.");
    Ok(())
}

/// What is being made.
struct Place<'a> {
    dir: &'a Path,
    needs: Needs,
    packages: &'a [String],
}

impl Place<'_> {
    /// Brings an interpreter: its path.
    async fn interpreter(&self) -> Result<PathBuf> {
        match self.needs {
            Needs::Node(major) => self.node_itself(major).await?,
            Needs::Python(minor) => self.python_itself(minor).await?,
            Needs::Nothing => {}
        }
        let path = Installed::interpreter_in(self.dir, self.needs);
        path.filter(|path| path.is_file())
            .context("what was fetched has no interpreter in it")
    }

    async fn node_itself(&self, major: u32) -> Result<()> {
        let machine = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => bail!("the npm registry has no Node.js for {other}"),
        };
        let fetched = self.dir.join("fetched");
        let package = format!("node-linux-{machine}");
        npm(&fetched, &[format!("{package}@^{major}")]).await?;
        let found = fetched.join("node_modules").join(&package);
        fs::rename(found, self.dir.join("interpreter")).context("move Node.js to its place")?;
        fs::remove_dir_all(&fetched).context("tidy up")
    }

    async fn python_itself(&self, minor: u32) -> Result<()> {
        let uv = tool::find("uv").with_context(|| {
            format!(
                "there is no Python 3.{minor} on this machine, and no package registry carries one. \
                 Install it as the machine's own package (python3.{minor}), with pyenv, or have `uv` \
                 on the path, which this command then uses"
            )
        })?;
        let fetched = self.dir.join("fetched");
        let version = format!("3.{minor}");
        let arguments = words([&"python", &"install", &"--install-dir", &fetched, &version]);
        tool::run(&uv, &arguments).await?;
        let directories = fs::read_dir(&fetched)?.flatten();
        let mut directories = directories.filter(|entry| {
            // Beside it lies a link with a shorter name.
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_directory && entry.file_name().to_string_lossy().starts_with("cpython-")
        });
        let found = directories.next().context("uv brought no CPython")?;
        fs::rename(found.path(), self.dir.join("interpreter"))?;
        fs::remove_dir_all(&fetched).context("tidy up")
    }

    /// The SDK for JavaScript: what it is.
    async fn node(&self, node: &Path) -> Result<String> {
        let fetched = self.dir.join("fetched");
        let packages: Vec<String> = NODE_SDK
            .iter()
            .map(|name| format!("{name}@^3"))
            .chain(self.packages.iter().cloned())
            .collect();
        npm(&fetched, &packages).await?;
        let modules = Installed::packages_in(self.dir, self.needs);
        fs::rename(fetched.join("node_modules"), &modules).context("move the SDK to its place")?;
        fs::remove_dir_all(&fetched).context("tidy up")?;
        let client = modules.join("@aws-sdk/client-sqs");
        let script = "const path = process.argv[1]; require(path); \
             console.log('@aws-sdk ' + require(path + '/package.json').version)";
        let tried = tool::asked(node, &words([&"-e", &script, &client])).await;
        tried.context("try it out")
    }

    /// boto3: what it is.
    async fn python(&self, python: &Path, runtimes: &Runtimes) -> Result<String> {
        let Needs::Python(minor) = self.needs else {
            bail!("it is no Python");
        };
        let packages = Installed::packages_in(self.dir, self.needs);
        let version = format!("3.{minor}");
        let pip = pip(python, runtimes).await?;
        let mut arguments = words([
            &"-I",
            &"-m",
            &"pip",
            &"install",
            &"--quiet",
            &"--disable-pip-version-check",
            &"--no-compile",
            &"--only-binary=:all:",
            &"--implementation=cp",
            &"--python-version",
            &version,
            &"--target",
            &packages,
        ]);
        arguments.extend(PYTHON_SDK.iter().map(OsString::from));
        arguments.extend(self.packages.iter().map(OsString::from));
        tool::run(&pip, &arguments).await?;
        let compile = words([&"-I", &"-m", &"compileall", &"-q", &packages]);
        tool::run(python, &compile).await?;
        let script = "import sys; sys.path.append(sys.argv[1]); import boto3; \
             print('boto3', boto3.__version__)";
        let tried = tool::asked(python, &words([&"-I", &"-S", &"-c", &script, &packages])).await;
        tried.context("try it out")
    }
}

/// Makes `node_modules` in a directory. npm checks each package against its sum in the registry.
async fn npm(directory: &Path, packages: &[String]) -> Result<()> {
    let npm =
        tool::find("npm").context("npm is not on the path; it fetches packages for Node.js")?;
    fs::create_dir_all(directory)?;
    let mut arguments = words([
        &"install",
        &"--prefix",
        &directory,
        &"--ignore-scripts",
        &"--no-save",
        &"--no-audit",
        &"--no-fund",
        &"--loglevel=error",
    ]);
    arguments.extend(packages.iter().map(OsString::from));
    tool::run(&npm, &arguments).await
}

/// A Python that has pip: the one at hand, else any other; it fetches for every version.
async fn pip(python: &Path, runtimes: &Runtimes) -> Result<PathBuf> {
    let others = runtimes.told().filter_map(|(_, launch)| match launch {
        Ok(Launch::Python(found)) => Some(found.path.clone()),
        _ => None,
    });
    for candidate in std::iter::once(python.to_owned()).chain(others) {
        let arguments = ["-I", "-c", "import pip"].map(OsString::from);
        if tool::succeeds(&candidate, &arguments).await {
            return Ok(candidate);
        }
    }
    bail!("no Python on this machine has pip, which fetches packages for Python")
}

/// Functions read it as users of their own, whatever the umask was.
fn readable(path: &Path) -> std::io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.permissions().mode();
    let wanted = match found.is_dir() || mode & 0o100 != 0 {
        true => mode | 0o555,
        false => mode | 0o444,
    };
    if wanted != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            readable(&entry?.path())?;
        }
    }
    Ok(())
}
