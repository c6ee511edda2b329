//! A PostgreSQL server for tests: the running one that `LAMBENT_TEST_POSTGRES` names by URL, or
//! the installed binaries on a scratch directory, with a database of its own for each test.
//!
//! The scratch server listens on a unix socket only, syncs its writes, and ends with the test
//! process however that ends: a small shell between the two stops it when its standard input
//! closes. Where no server can be had the test fails and says what is missing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio_postgres::NoTls;

const VARIABLE: &str = "LAMBENT_TEST_POSTGRES";

const MISSING: &str = "there is no PostgreSQL for the tests: install PostgreSQL 15 or later \
     (on Debian and Ubuntu `apt-get install postgresql`), or name a running server where \
     databases may be created, as in LAMBENT_TEST_POSTGRES=postgres://user:password@host/postgres";

/// The shell that holds a scratch server: one word a line in, `done` or `failed` out.
const KEEPER: &str = r#"
bin=$1 dir=$2 pid=
alive() { grep -qs '^State:.[^ZX]' "/proc/$1/status"; }
start() {
    "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=on \
        -c shared_buffers=32MB -c max_connections=100 </dev/null >>"$dir/log" 2>&1 &
    pid=$!
    until grep -qs '^ready' "$dir/data/postmaster.pid"; do
        alive "$pid" || return 1
        sleep 0.02
    done
}
stop() { kill -INT "$pid"; wait "$pid"; pid=; }
crash() {
    # Stopped first, so that no child is made between the list and the signal.
    kill -STOP "$pid"
    children=$(cat "/proc/$pid/task/$pid/children")
    kill -KILL $children "$pid"
    wait "$pid" 2>/dev/null
    pid=
    # The server does not start again while one of them still holds its shared memory.
    for child in $children; do
        while alive "$child"; do sleep 0.01; done
    done
    # It still says that the server is ready.
    rm -f "$dir/data/postmaster.pid"
}
while read -r word; do
    "$word" && echo done || echo failed
done
[ -n "$pid" ] && stop
rm -rf "$dir"
"#;

/// The server of this test process, started when it is first asked for.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var(VARIABLE) {
        Ok(url) if !url.is_empty() => Server { url, scratch: None },
        _ => Server::scratch(),
    })
}

pub struct Server {
    /// The URL of a database that databases can be created from.
    url: String,
    scratch: Option<Scratch>,
}

/// A database of its own, for one test. On a server that was there before it is dropped again.
pub struct Database {
    pub url: String,
    name: String,
    to_drop: Option<String>,
}

impl Server {
    /// A server that the caller alone uses, so that it may crash and restart it.
    pub fn scratch() -> Self {
        let bin = binaries().unwrap_or_else(|| panic!("{MISSING}"));
        let scratch = Scratch::create(&bin);
        scratch.say("start");
        let url = format!(
            "postgresql://postgres@{}/postgres",
            scratch
                .directory
                .to_str()
                .expect("the path was made of text")
                .replace('/', "%2F")
        );
        Self {
            url,
            scratch: Some(scratch),
        }
    }

    pub async fn database(&self) -> Database {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lambent_test_{}_{number}", std::process::id());
        run(&self.url, &format!("CREATE DATABASE {name}"))
            .await
            .expect("create a database");
        let to_drop = self.scratch.is_none().then(|| self.url.clone());
        Database {
            url: with_database(&self.url, &name),
            name,
            to_drop,
        }
    }

    /// Stops a scratch server as an operator would.
    pub fn stop(&self) {
        self.own().say("stop");
    }

    /// Kills a scratch server and all its processes at once.
    pub fn crash(&self) {
        self.own().say("crash");
    }

    /// Starts a scratch server again; returns when it takes connections.
    pub fn start(&self) {
        self.own().say("start");
    }

    fn own(&self) -> &Scratch {
        self.scratch
            .as_ref()
            .expect("only a scratch server is stopped and started")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(server) = self.to_drop.take() else {
            return;
        };
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A thread of its own, as the test's runtime may be the one that drops us.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime
                .block_on(run(&server, &sql))
                .map_err(std::io::Error::other)
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} was left behind", self.name);
        }
    }
}

async fn run(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let result = client.batch_execute(sql).await;
    drop(client);
    let _ = connection.await;
    result
}

fn with_database(url: &str, name: &str) -> String {
    let (base, options) = url
        .split_once('?')
        .map_or((url, None), |(b, o)| (b, Some(o)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..]
        .find('/')
        .map_or(base.len(), |at| authority + at);
    let options = options
        .map(|options| format!("?{options}"))
        .unwrap_or_default();
    format!("{}/{name}{options}", &base[..end])
}

/// The directory of `postgres` and `initdb`: on the path, or the newest where Debian puts them.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort_by_key(|bin| std::cmp::Reverse(version(bin)));
    let complete = |bin: &PathBuf| ["postgres", "initdb"].iter().all(|n| bin.join(n).is_file());
    std::env::split_paths(&path).chain(debian).find(complete)
}

fn version(bin: &Path) -> u32 {
    let name = bin
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

struct Scratch {
    directory: PathBuf,
    /// The keeper ends when its input closes.
    talk: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
    keeper: Child,
}

impl Scratch {
    fn create(bin: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("lambent-pg-{}-{number}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .expect("create a scratch directory");
        let user = server_user(&directory);
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).expect("give the directory to the server");
        }
        let initdb = as_user(Command::new(bin.join("initdb")), user)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "--pgdata"])
            .arg(directory.join("data"))
            .current_dir(&directory)
            .output()
            .expect("run initdb");
        let said = String::from_utf8_lossy(&initdb.stderr);
        assert!(initdb.status.success(), "initdb fails: {said}");
        let mut keeper = as_user(Command::new("sh"), user)
            .args(["-c", KEEPER, "sh"])
            .args([bin, &directory])
            .current_dir("/")
            // An interrupt at the terminal is for the tests; the keeper then sees them end.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run sh");
        let input = keeper.stdin.take();
        let output = BufReader::new(keeper.stdout.take().expect("it was piped"));
        Self {
            directory,
            talk: Mutex::new((input, output)),
            keeper,
        }
    }

    fn say(&self, word: &str) {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *talk;
        let input = input.as_mut().expect("it closes in drop only");
        writeln!(input, "{word}").expect("tell the keeper of the server");
        let mut answer = String::new();
        output
            .read_line(&mut answer)
            .expect("hear from the keeper of the server");
        if answer.trim_end() != "done" {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            panic!("PostgreSQL does not {word}: {log}");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.talk
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .0 = None;
        let _ = self.keeper.wait();
    }
}

/// PostgreSQL refuses to run as root: then it is somebody else's.
fn server_user(directory: &Path) -> Option<(u32, u32)> {
    let ours = fs::metadata(directory).expect("it was just created").uid();
    if ours != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(
        user("postgres")
            .or_else(|| user("nobody"))
            .unwrap_or((65534, 65534)),
    )
}

fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn a_url_is_turned_to_another_database() {
        for (given, expect) in [
            ("postgres://u:p@h:1/old", "postgres://u:p@h:1/new"),
            ("postgres://h", "postgres://h/new"),
            (
                "postgresql://u@%2Ftmp/old?sslmode=disable",
                "postgresql://u@%2Ftmp/new?sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(given, "new"), expect);
        }
    }
}
