//! After a crash of the server, of its helpers, or of both, nothing is left.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use lambent_sandbox::{
    Backend,
    jail::{Jail, JailConfig},
};
use tokio::time::timeout;

use crate::{
    processes,
    world::{Scratch, spec},
};

crate::tests![
    the_server_is_killed,
    the_server_and_its_helpers_are_killed,
    the_server_is_killed_while_a_helper_is_stopped,
    anything_is_killed_at_any_moment,
];

/// The hidden argument that makes this program a server to be killed.
pub const VICTIM: &str = "--victim";
/// A third argument that makes it one that never rests.
const BUSY: &str = "--busy";
/// How long clearing up may take.
const CLEAN_MAX: Duration = Duration::from_secs(10);
/// Environments that a busy server makes and ends at a time.
const CALLERS: usize = 4;
const KILLS: u64 = 12;

/// Starts two environments and waits to be killed.
pub fn be_victim() {
    let Some(dir) = std::env::args().skip_while(|one| one != VICTIM).nth(1) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    if std::env::args().any(|one| one == BUSY) {
        runtime.block_on(be_busy(&dir));
    }
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

/// Makes versions, slots and environments and ends them, for ever. What fails because something was
/// killed is tried again.
async fn be_busy(dir: &Path) {
    let mut config = JailConfig::new(dir.join("jail"));
    config.slots_ahead = 2;
    let jail = Arc::new(Jail::start(config).await.expect("the jail starts"));
    println!("ready");
    let callers = (0..CALLERS).map(|number| {
        let (jail, function) = (jail.clone(), dir.join("function"));
        tokio::spawn(async move {
            loop {
                let Ok(template) = jail.prepare(spec(function.clone())).await else {
                    continue;
                };
                for _ in 0..3 {
                    let Ok(sandbox) = template.start(Vec::new()).await else {
                        continue;
                    };
                    if number % 2 == 0 {
                        let _ = timeout(CLEAN_MAX, sandbox.runtime_api.accept()).await;
                        sandbox.control.freeze();
                    }
                    drop(sandbox.control);
                    let _ = sandbox.exit.await;
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        let _ = caller.await;
    }
}

struct Victim {
    process: Child,
    scratch: Scratch,
    /// In the command line of what runs in its environments.
    mark: String,
}

fn victim() -> Victim {
    victim_that(&[])
}

fn victim_that(way: &[&str]) -> Victim {
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
        .args(way)
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

fn records(jail_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(jail_dir)
        .expect("read state directory")
        .flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "instance"))
        .collect()
}

/// The groups in all records there are.
pub fn recorded(jail_dir: &Path) -> Vec<PathBuf> {
    let records = records(jail_dir);
    // One may be gone by the time it is looked at.
    let texts = records.iter().flat_map(fs::read_to_string);
    texts
        .flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>())
        .collect()
}

/// The groups in the instance's record.
fn groups(jail_dir: &Path) -> Vec<PathBuf> {
    let records = records(jail_dir);
    assert_eq!(records.len(), 1, "one instance: {records:?}");
    recorded(jail_dir)
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

/// A stopped jailer hears of nothing; it must not stay for that.
async fn the_server_is_killed_while_a_helper_is_stopped() {
    for name in ["lambent-jailer", "lambent-station"] {
        let mut victim = victim();
        let groups = groups(&victim.jail_dir());
        let helpers = victim.helpers();
        let stopped = helpers
            .into_iter()
            .find(|pid| processes::name(*pid) == name)
            .expect("it runs");
        processes::signal(stopped, libc::SIGSTOP);
        victim.process.kill().expect("kill");
        victim.process.wait().expect("reap");
        victim.wait_until_clean(&groups).await;
        let left = records(&victim.jail_dir());
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

/// First any one of its processes, then the server itself, with slots, stations and environments in
/// all states of being made and ended.
async fn anything_is_killed_at_any_moment() {
    let seed = u64::from(std::process::id());
    let mut dice = Dice(seed);
    for round in 0..KILLS {
        let mut victim = victim_that(&[BUSY]);
        let mut groups = recorded(&victim.jail_dir());
        tokio::time::sleep(Duration::from_micros(dice.roll(60_000))).await;
        let processes = victim.helpers();
        if !processes.is_empty() && dice.roll(3) > 0 {
            let chosen = processes[dice.roll(processes.len() as u64) as usize];
            processes::kill(chosen);
            tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
        }
        groups.extend(recorded(&victim.jail_dir()));
        victim.process.kill().expect("kill");
        victim.process.wait().expect("reap");
        victim.wait_until_clean(&[]).await;
        groups.extend(recorded(&victim.jail_dir()));
        let jail = Jail::start(JailConfig::new(victim.jail_dir()))
            .await
            .unwrap_or_else(|error| panic!("round {round} of {seed}: {error}"));
        victim_groups_are_gone(&groups);
        jail.shutdown().await;
        victim.wait_until_clean(&groups).await;
        let left = records(&victim.jail_dir());
        assert!(left.is_empty(), "round {round} of {seed}: {left:?}");
    }
}

/// Xorshift: moments that differ from run to run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn victim_groups_are_gone(groups: &[PathBuf]) {
    let left: Vec<_> = groups.iter().filter(|dir| dir.exists()).collect();
    assert!(left.is_empty(), "not swept: {left:?}");
}
