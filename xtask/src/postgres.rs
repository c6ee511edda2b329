//! A PostgreSQL server for the tests: the running one that `LAMBENT_TEST_POSTGRES` names, or a
//! scratch one of our own from the installed binaries, or from Debian's package.
//!
//! The scratch server listens on loopback only, on a free port, and ends with the tests.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{exec, packages};

/// The environment variable that names a server to the tests, and to us.
pub const VARIABLE: &str = "LAMBENT_TEST_POSTGRES";

/// The store asks for this version or a later one.
const MAJOR_MIN: u32 = 15;
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the tests find a server. Dropping it ends the server where it is ours.
pub struct Postgres {
    pub url: String,
    _scratch: Option<Scratch>,
}

impl Postgres {
    pub fn ready() -> Result<Self> {
        if let Ok(url) = std::env::var(VARIABLE) {
            return Ok(Postgres {
                url,
                _scratch: None,
            });
        }
        Postgres::scratch(Syncs::Never)
    }

    /// One of our own in any case, and one whose commits are on the disk.
    #[cfg_attr(not(feature = "bench"), allow(dead_code))]
    pub fn durable() -> Result<Self> {
        Postgres::scratch(Syncs::Always)
    }

    fn scratch(syncs: Syncs) -> Result<Self> {
        let scratch = Scratch::start(&binaries()?, syncs)?;
        Ok(Postgres {
            url: scratch.url(),
            _scratch: Some(scratch),
        })
    }
}

/// The folder with `initdb` and `postgres`.
fn binaries() -> Result<PathBuf> {
    if let Some(dir) = installed() {
        return Ok(dir);
    }
    // Debian's package would start a server of its own at once; nobody asked for that.
    let config = Path::new("/etc/postgresql-common/createcluster.conf");
    if exec::is_root() && !config.exists() && fs::create_dir_all("/etc/postgresql-common").is_ok() {
        fs::write(config, "create_main_cluster = false\n")
            .context("configure postgresql-common")?;
    }
    let reason = format!(
        "the tests need PostgreSQL {MAJOR_MIN} or later: a running server named by {VARIABLE}, or \
         its binaries"
    );
    packages::install(&["postgresql"], &reason)?;
    installed().with_context(|| format!("{reason}; Debian's package brought none"))
}

fn installed() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let versions = debian.map(|entry| entry.path().join("bin"));
    let on_path =
        exec::which("initdb").and_then(|file| Some(fs::canonicalize(file).ok()?.parent()?.into()));
    versions
        .chain(on_path)
        .filter_map(|dir| Some((major(&dir)?, dir)))
        .filter(|(major, _)| *major >= MAJOR_MIN)
        .max()
        .map(|(_, dir)| dir)
}

fn major(bin: &Path) -> Option<u32> {
    if !exec::is_executable(&bin.join("initdb")) {
        return None;
    }
    major_of(&exec::output(exec::command(bin.join("postgres")).arg("--version")).ok()?)
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "bench"), allow(dead_code))]
enum Syncs {
    Always,
    Never,
}

/// A server of our own in a temporary folder.
struct Scratch {
    server: Child,
    port: u16,
    // Removed after the server has ended: fields drop after `Drop::drop`.
    _dir: tempfile::TempDir,
}

impl Scratch {
    fn start(bin: &Path, syncs: Syncs) -> Result<Self> {
        let user = User::unprivileged()?;
        let dir = tempfile::Builder::new()
            .prefix("lambent-pg-")
            .tempdir()
            .context("make a folder")?;
        if let Some(User { uid, gid }) = user {
            chown(dir.path(), Some(uid), Some(gid)).context("hand the folder to PostgreSQL")?;
        }
        let data = dir.path().join("data");
        let mut initdb = User::command(user, &bin.join("initdb"), dir.path());
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        initdb
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data);
        exec::output(&mut initdb).context("make a PostgreSQL cluster")?;

        let port = free_port()?;
        let mut postgres = User::command(user, &bin.join("postgres"), dir.path());
        postgres
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-h", "127.0.0.1", "-p"]);
        postgres
            .arg(port.to_string())
            .args(["-c", "max_connections=200"]);
        // The tests kill their own processes, never the machine: syncing buys them nothing.
        if syncs == Syncs::Never {
            postgres.arg("-F");
        }
        let mut server = postgres
            .stderr(Stdio::piped())
            .spawn()
            .context("start postgres")?;
        let started = until_ready(&mut server);
        let scratch = Scratch {
            server,
            port,
            _dir: dir,
        };
        started.map(|()| scratch)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: it ends sessions instead of waiting for them.
        if let Some(pid) = Pid::from_raw(self.server.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// PostgreSQL refuses to run as root, so root lends it another user.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    fn unprivileged() -> Result<Option<Self>> {
        if !exec::is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            let id = |flag| exec::output(exec::command("id").args([flag, name]));
            if let (Ok(uid), Ok(gid)) = (id("-u"), id("-g")) {
                let uid = uid.trim().parse().context("read a user id")?;
                let gid = gid.trim().parse().context("read a group id")?;
                return Ok(Some(User { uid, gid }));
            }
        }
        bail!("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
    }

    fn command(user: Option<Self>, program: &Path, dir: &Path) -> Command {
        let mut command = exec::command(program);
        command.current_dir(dir).stdout(Stdio::null());
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Waits for the server's own word, and goes on emptying its log afterwards so that it never
/// blocks on a full pipe.
fn until_ready(server: &mut Child) -> Result<()> {
    let log = BufReader::new(server.stderr.take().expect("stderr is piped"));
    let (ready, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let mut last = String::new();
        for line in log.lines().map_while(Result::ok) {
            if line.contains("database system is ready to accept connections") {
                let _ = ready.send(Ok(()));
            }
            last = line;
        }
        let _ = ready.send(Err(last));
    });
    match wait.recv_timeout(START_TIMEOUT) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(last)) => bail!("postgres ended at once: {last}"),
        Err(_) => {
            let _ = server.kill();
            bail!("postgres was not ready within {START_TIMEOUT:?}")
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("something else"), None);
    }
}
