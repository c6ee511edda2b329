//! After a crash of the server, of its helpers, or of both, nothing is left.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lambent_sandbox::{
    Backend,
    jail::{Jail, JailConfig},
};

use crate::{
    processes,
    world::{Scratch, spec},
};

crate::tests![the_server_is_killed, the_server_and_its_helpers_are_killed];

/// The hidden argument that makes this program a server to be killed.
pub const VICTIM: &str = "--victim";
/// How long clearing up may take.
const CLEAN_MAX: Duration = Duration::from_secs(10);

/// Starts two environments and waits to be killed.
pub fn be_victim() {
    let Some(dir) = std::env::args().skip_while(|one| one != VICTIM).nth(1) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let mut config = JailConfig::new(dir.join("jail"));
        config.slots_ahead = 2;
        let jail = Jail::start(config).await.expect("the jail starts");
        let template = jail
            .prepare(spec(dir.join("function")))
            .await
            .expect("prepare");
        let first = template.start(Vec::new()).await.expect("start");
        let frozen = template.start(Vec::new()).await.expect("start");
        for sandbox in [&first, &frozen] {
            sandbox.runtime_api.accept().await.expect("it is up");
        }
        frozen.control.freeze();
        println!("ready");
        std::future::pending::<()>().await;
    });
}

struct Victim {
    process: Child,
    scratch: Scratch,
    /// In the command line of what runs in its environments.
    mark: String,
}

fn victim() -> Victim {
    let scratch = Scratch::new();
    let mark = format!("86399.{}", std::process::id());
    // Popen returns when the program runs, so that connecting says that all is up.
    let function = format!(
        "#!/usr/bin/python3 -IS\n\
         import socket, subprocess\n\
         one = subprocess.Popen(['sleep', '{mark}'])\n\
         two = subprocess.Popen(['sleep', '{mark}'], start_new_session=True)\n\
         s = socket.create_connection(('127.0.0.1', 9001))\n\
         one.wait()\n"
    );
    scratch.function("function", &function);
    let mut process = Command::new("/proc/self/exe")
        .arg(VICTIM)
        .arg(&scratch.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a server");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("read");
    assert_eq!(line, "ready\n");
    Victim {
        process,
        scratch,
        mark,
    }
}

impl Victim {
    fn jail_dir(&self) -> PathBuf {
        self.scratch.0.join("jail")
    }

    /// Keeper, jailer and station.
    fn helpers(&self) -> Vec<i32> {
        processes::with_argument(&self.jail_dir())
    }

    /// Everything that could be left, in words.
    fn leftovers(&self, groups: &[PathBuf]) -> Vec<String> {
        let of_functions = processes::mentioning(&self.mark);
        let functions = of_functions
            .iter()
            .map(|pid| format!("process {pid} of a function"));
        let helpers = self
            .helpers()
            .into_iter()
            .map(|pid| format!("helper {pid}"));
        let groups = groups.iter().filter(|dir| dir.exists());
        let groups = groups.map(|dir| format!("group {}", dir.display()));
        let mounts = fs::read_to_string("/proc/self/mounts").expect("read mounts");
        let ours = self.scratch.0.display().to_string();
        let mounts: Vec<String> = mounts
            .lines()
            .filter(|line| line.contains(&ours))
            .map(|line| format!("mount {line}"))
            .collect();
        functions
            .chain(helpers)
            .chain(groups)
            .chain(mounts)
            .collect()
    }

    async fn wait_until_clean(&self, groups: &[PathBuf]) {
        let deadline = Instant::now() + CLEAN_MAX;
        loop {
            let left = self.leftovers(groups);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}");
            // Processes of other sessions have no event to wait for here.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Victim {
    /// A failed test leaves no server behind either.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The groups in the instance's record.
fn groups(jail_dir: &Path) -> Vec<PathBuf> {
    let records = fs::read_dir(jail_dir)
        .expect("read state directory")
        .flatten();
    let records = records.map(|entry| entry.path());
    let record = records
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "instance"))
        .collect::<Vec<_>>();
    assert_eq!(record.len(), 1, "one instance: {record:?}");
    let text = fs::read_to_string(&record[0]).expect("read record");
    text.lines().map(PathBuf::from).collect()
}

async fn the_server_is_killed() {
    let mut victim = victim();
    let groups = groups(&victim.jail_dir());
    assert!(
        // One of them is not per slot: that which limits all processes together.
        groups
            .iter()
            .all(|dir| dir.join("s0").exists() || dir.join("pids.max").exists()),
        "{groups:?}"
    );
    assert!(processes::mentioning(&victim.mark).len() >= 2);
    victim.process.kill().expect("kill");
    victim.process.wait().expect("reap");
    victim.wait_until_clean(&groups).await;
    let records = fs::read_dir(victim.jail_dir()).expect("read").flatten();
    let left: Vec<_> = records.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["root"], "the record is erased");
}

async fn the_server_and_its_helpers_are_killed() {
    let mut victim = victim();
    let groups = groups(&victim.jail_dir());
    processes::kill(victim.process.id() as i32);
    victim.helpers().into_iter().for_each(processes::kill);
    victim.process.wait().expect("reap");
    // Processes go without anybody's help; control groups stay.
    victim.wait_until_clean(&[]).await;
    let jail = Jail::start(JailConfig::new(victim.jail_dir()))
        .await
        .expect("start again");
    victim_groups_are_gone(&groups);
    jail.shutdown().await;
    victim.wait_until_clean(&groups).await;
}

fn victim_groups_are_gone(groups: &[PathBuf]) {
    let left: Vec<_> = groups.iter().filter(|dir| dir.exists()).collect();
    assert!(left.is_empty(), "not swept: {left:?}");
}
