//! Two real servers on one store: the second is refused while the first lives, takes over when it
//! is dead, and a first one that lost its store ends and says why.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use testkit::postgres::Database;
use tokio_postgres::NoTls;

const READY: &str = "lambent is ready on http://";
/// The owner's lock, as the operator finds it.
const OWNER_LOCKS: &str = "FROM pg_locks WHERE locktype = 'advisory' AND classid = 1870098034 \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A server that was told to start.
struct Lambent {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Lambent {
    fn start(data: &Path, store: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lambent"));
        command
            .args(["up", "--listen", "127.0.0.1:0", "--isolation", "none"])
            .args(["--log", "warn", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAMBENT_")) {
            command.env_remove(name);
        }
        if let Some(store) = store {
            command.args(["--store", store]);
        }
        let mut process = command.spawn().expect("start lambent");
        let output = BufReader::new(process.stdout.take().expect("it was piped"));
        Self { process, output }
    }

    fn until_ready(mut self) -> Self {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says a line");
        assert!(line.starts_with(READY), "{line:?}: {}", self.end().1);
        self
    }

    fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end, and gives what it wrote to the operator.
    fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let errors = self.process.stderr.as_mut().expect("it was piped");
        errors.read_to_string(&mut said).expect("it writes text");
        (self.process.wait().expect("it ends"), said)
    }

    fn kill(mut self) {
        self.process.kill().expect("kill lambent");
        self.process.wait().expect("it is dead");
    }
}

impl Drop for Lambent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn refused(mut second: Lambent, first: &Lambent) {
    let (status, said) = second.end();
    assert!(!status.success(), "{said}");
    let owner = format!("in use by process {} on ", first.id());
    for part in [owner.as_str(), "since 2", "stop that one first"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

#[test]
fn a_data_directory_has_one_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let first = Lambent::start(&data, None).until_ready();
    refused(Lambent::start(&data, None), &first);
    first.kill();
    Lambent::start(&data, None).until_ready();
}

/// The data directories are two; the files in one of them are those of the other.
#[test]
fn a_file_store_has_one_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (here, there) = (directory.path().join("a"), directory.path().join("b"));
    let first = Lambent::start(&here, None).until_ready();
    std::fs::create_dir(&there).expect("make a directory");
    std::os::unix::fs::symlink(here.join("store"), there.join("store")).expect("link the store");
    refused(Lambent::start(&there, None), &first);
    first.kill();
    Lambent::start(&there, None).until_ready();
}

/// A database with directories for three servers.
async fn database() -> (Database, tempfile::TempDir) {
    let server = tokio::task::spawn_blocking(testkit::postgres::server);
    let database = server.await.expect("a server").database().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    (database, directory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_has_one_server() {
    let (database, directory) = database().await;
    let start = |name: &str| Lambent::start(&directory.path().join(name), Some(&database.url));
    let first = start("a").until_ready();
    refused(start("b"), &first);
    // Killed, it is followed at once, whether by another or by itself.
    first.kill();
    let second = start("b").until_ready();
    second.kill();
    start("b").until_ready();
}

/// As when the network between the first server and its database was away for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_database_to_another_ends() {
    let (database, directory) = database().await;
    let start = |name: &str| Lambent::start(&directory.path().join(name), Some(&database.url));
    let mut first = start("a").until_ready();
    let second = start("b");
    let (client, connection) = tokio_postgres::connect(&database.url, NoTls)
        .await
        .expect("connect as the administrator");
    tokio::spawn(connection);
    let waiting = format!("SELECT pid {OWNER_LOCKS} AND NOT granted");
    while client
        .query(&waiting, &[])
        .await
        .expect("look at the locks")
        .is_empty()
    {}
    let end = format!("SELECT pg_terminate_backend(pid) {OWNER_LOCKS} AND granted");
    client.query(&end, &[]).await.expect("end the session");
    let second = second.until_ready();
    let (status, said) = first.end();
    assert_eq!(status.code(), Some(1), "{said}");
    let owner = format!("taken over by process {} on ", second.id());
    for part in [owner.as_str(), "this server ends"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}
