//! The platform under measurement: the released binary as a child process, in a fresh folder.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Cursor, Write},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    function::Function,
    load::Client,
    request::{KEY, Template},
};
use crate::{exec, repo};

const READY: &str = "lambent is ready on http://";
const ZERO_TIMEOUT: Duration = Duration::from_secs(20);
const ACTIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Builds the binary in release.
pub fn binary() -> Result<PathBuf> {
    exec::run(exec::cargo().args([
        "build",
        "--release",
        "--package",
        "lambent",
        "--bin",
        "lambent",
    ]))?;
    Ok(repo::target().join("release/lambent"))
}

pub struct Platform {
    process: Child,
    pub address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Platform {
    pub fn start(binary: &Path) -> Result<Self> {
        Platform::start_with(binary, &[])
    }

    pub fn start_with(binary: &Path, options: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir().context("make a folder")?;
        // With credentials every signature is verified, as it would be where it matters.
        let credentials = data.path().join("credentials");
        let profile =
            format!("[bench]\naws_access_key_id = {KEY}\naws_secret_access_key = {KEY}\n");
        std::fs::write(&credentials, profile).context("write the credentials")?;
        std::fs::set_permissions(&credentials, Permissions::from_mode(0o600))
            .context("guard the credentials")?;
        let mut command = up(binary, &data);
        command.arg("--credentials").arg(&credentials).args(options);
        Platform::spawn(command, data)
    }

    /// In development mode, where any signature passes.
    pub fn start_open(binary: &Path, options: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir().context("make a folder")?;
        let mut command = up(binary, &data);
        command.args(options);
        Platform::spawn(command, data)
    }

    fn spawn(mut command: Command, data: tempfile::TempDir) -> Result<Self> {
        let binary = PathBuf::from(command.get_program());
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let address = loop {
            let Some(line) = lines.next() else {
                bail!("{} ended before it was ready", binary.display());
            };
            let line = line.context("read from lambent")?;
            if let Some((_, address)) = line.split_once(READY) {
                break address.trim().parse().context("read lambent's address")?;
            }
        };
        // Whatever it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Platform {
            process,
            address,
            _data: data,
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Creates a function and waits until it is active.
    pub async fn create(&self, name: &str, function: Function, memory_mb: u32) -> Result<()> {
        create(self.address, name, function, memory_mb).await
    }

    /// Waits until no environment of any function is left.
    pub async fn until_at_zero(&self) -> Result<()> {
        let deadline = Instant::now() + ZERO_TIMEOUT;
        loop {
            let path = "/_lambent/environments";
            let found = call(self.address, Method::GET, path, "", StatusCode::OK).await?;
            if found["environments"].as_array().is_some_and(Vec::is_empty) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "environments stay: {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A signed Invoke of a function, to be sent many times.
    pub fn invoke(&self, name: &str, event: String) -> Result<Template> {
        invoke(self.address, name, event)
    }
}

fn up(binary: &Path, data: &tempfile::TempDir) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["up", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path().join("data"));
    command
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// Creates a function on whatever speaks Lambda's API there, and waits until it is active.
pub async fn create(
    address: SocketAddr,
    name: &str,
    function: Function,
    memory_mb: u32,
) -> Result<()> {
    let files = function.files()?;
    create_of(address, name, function, &files, memory_mb, json!({})).await
}

/// The same with other files for the function's runtime, and variables for its environment.
pub async fn create_of(
    address: SocketAddr,
    name: &str,
    function: Function,
    files: &[(&'static str, Vec<u8>, u32)],
    memory_mb: u32,
    variables: Value,
) -> Result<()> {
    let (runtime, handler) = function.runtime()?;
    let body = json!({
        "FunctionName": name,
        "Runtime": runtime,
        "Handler": handler,
        "Role": "arn:aws:iam::000000000000:role/bench",
        "MemorySize": memory_mb,
        "Timeout": 60,
        "Environment": {"Variables": variables},
        "Code": {"ZipFile": BASE64_STANDARD.encode(package(files)?)},
    });
    call(
        address,
        Method::POST,
        "/2015-03-31/functions",
        &body.to_string(),
        StatusCode::CREATED,
    )
    .await?;
    let path = format!("/2015-03-31/functions/{name}/configuration");
    let deadline = Instant::now() + ACTIVE_TIMEOUT;
    loop {
        let found = call(address, Method::GET, &path, "", StatusCode::OK).await?;
        if found["State"] == "Active" {
            return Ok(());
        }
        ensure!(
            found["State"] == "Pending" && Instant::now() < deadline,
            "{name}: {found}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A signed Invoke of a function, to be sent many times.
pub fn invoke(address: SocketAddr, name: &str, event: String) -> Result<Template> {
    let path = format!("/2015-03-31/functions/{name}/invocations");
    Template::signed(Method::POST, &address.to_string(), &path, event)
}

pub async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: &str,
    expected: StatusCode,
) -> Result<Value> {
    let shown = format!("{method} {path}");
    let request = Template::signed(method, &address.to_string(), path, body.to_owned())?;
    let (status, answer) = Client::connect(address).await?.send(&request).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(status == expected, "{shown} answered {status}: {text}");
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("read the answer to {shown}"))
}

fn package(files: &[(&'static str, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in files {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        zip.start_file(*name, options).context("add to a zip")?;
        zip.write_all(content).context("write a zip")?;
    }
    Ok(zip.finish().context("finish a zip")?.into_inner())
}
