//! Environments that begin as copies of one whose init has run.

use std::{fs, sync::Arc};

use lambent_sandbox::{Backend, Error, Sandbox, Snapshot, Template, TemplateSpec};

use crate::{
    interpreters::{assert_has, converse, managed, python, start},
    processes,
    runtime_api::{Client, text},
    world::{World, wait},
};

crate::tests![
    the_init_runs_once_and_its_memory_is_everywhere,
    chance_differs_between_environments,
    hooks_run_around_the_snapshot,
    an_init_that_fails_makes_no_snapshot,
    nothing_of_the_init_is_left_but_memory,
    an_environment_of_a_snapshot_is_jailed_like_any_other,
    memory_that_the_function_prepared_is_never_run_with_rights,
    a_snapshot_that_dies_is_told_and_made_again,
    a_snapshot_that_is_dropped_leaves_nothing,
    a_restored_environment_forks_and_starts_programs,
];

async fn prepared(world: &World, code: &str) -> Arc<dyn Template> {
    world
        .jail
        .prepare(function(world, code))
        .await
        .expect("prepare")
}

fn function(world: &World, code: &str) -> TemplateSpec {
    let dir = world.scratch.directory("code");
    fs::write(dir.join("index.py"), code).expect("write");
    managed(&dir, python())
}

/// Runs the init up to where it waits for its snapshot.
async fn init(template: &Arc<dyn Template>) -> (Sandbox, Box<dyn Snapshot>, Client) {
    let env = vec![("FROM_START".into(), "init".into())];
    let (sandbox, snapshot) = template.clone().start_snapshot(env).await.expect("begin");
    let (client, first) = Client::first(&sandbox.runtime_api).await;
    if !first.line.contains("/restore/next") {
        drop(client);
        panic!(
            "{}: {} {}",
            first.line,
            text(&first.body),
            wait(sandbox).await.log
        );
    }
    (sandbox, snapshot, client)
}

/// A snapshot, and what its init wrote.
async fn frozen(template: &Arc<dyn Template>) -> (Arc<dyn Template>, String) {
    let (sandbox, mut snapshot, mut client) = init(template).await;
    snapshot.arm().await.expect("arm");
    client.nod().await;
    let restored = snapshot.taken().await.expect("taken");
    let log = crate::world::said(sandbox).await;
    (restored, log)
}

const COUNTS: &str = r#"
import os, random, uuid, json, ssl, time
inits = [os.getpid()]
loaded = {str(n): "x" * 100 for n in range(1000)}
count = 0
def handler(event, context):
    global count
    count += 1
    return {
        "event": event, "count": count, "init_pid": inits[0], "pid": os.getpid(),
        "loaded": len(loaded), "uid": os.getuid(), "cwd": os.getcwd(),
        "env": {k: os.environ.get(k) for k in ("FROM_TEMPLATE", "FROM_START", "LAMBENT_SNAPSHOT")},
        "random": random.random(), "uuid": str(uuid.uuid4()), "ssl": ssl.RAND_bytes(8).hex(),
        "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "processes": [pid for pid in os.listdir("/proc") if pid.isdigit()],
        "tmp": (open("/tmp/x", "w").write("x"), os.listdir("/tmp")),
        "id": context.aws_request_id,
    }
print("loaded")
"#;

async fn the_init_runs_once_and_its_memory_is_everywhere() {
    let world = World::new().await;
    let template = prepared(&world, COUNTS).await;
    let (restored, log) = frozen(&template).await;
    assert_eq!(log, "loaded\n");
    for from in ["1", "2", "3"] {
        let (answer, log) = converse(start(&restored, from).await).await;
        assert_has(
            &answer,
            &[
                r#""event":{"n":2}"#,
                r#""count":2"#,
                r#""init_pid":9"#,
                r#""pid":2"#,
                r#""loaded":1000"#,
                r#""uid":993"#,
                r#""cwd":"/var/task""#,
                r#""FROM_TEMPLATE":"t""#,
                &format!(r#""FROM_START":"{from}""#),
                r#""LAMBENT_SNAPSHOT":null"#,
                r#""open":[0,1,2,3,4]"#,
                r#""processes":["2"]"#,
                r#""tmp":[1,["x"]]"#,
            ],
        );
        assert_eq!(log, "", "what the init said is not said again");
    }
    world.end().await;
}

async fn chance_differs_between_environments() {
    let world = World::new().await;
    let template = prepared(&world, COUNTS).await;
    let (restored, _) = frozen(&template).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(converse(start(&restored, "s").await).await.0);
    }
    for key in ["random", "uuid", "ssl"] {
        let values = answers.iter().map(|answer| {
            let from = answer.find(&format!("\"{key}\"")).expect("it is there");
            answer[from..]
                .split(',')
                .next()
                .expect("a value")
                .to_owned()
        });
        let mut values: Vec<String> = values.collect();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), 3, "{key}: {answers:?}");
    }
    world.end().await;
}

const HOOKS: &str = r#"
import os
from snapshot_restore_py import register_before_snapshot, register_after_restore
order = []
register_before_snapshot(lambda word: order.append(word), "before 1")
register_before_snapshot(lambda word: order.append(word), word="before 2")
@register_after_restore
def first():
    order.append("after 1 " + os.environ["FROM_START"])
register_after_restore(order.append, "after 2")
def handler(event, context):
    return order
"#;

async fn hooks_run_around_the_snapshot() {
    let world = World::new().await;
    let template = prepared(&world, HOOKS).await;
    let (restored, _) = frozen(&template).await;
    let (answer, _) = converse(start(&restored, "s").await).await;
    let order = r#"["before 2", "before 1", "after 1 s", "after 2"]"#;
    assert_eq!(answer, order);

    // What fails after a restore is told, and ends the environment.
    let fails = HOOKS.replace("order.append(\"after 1 \" + os", "1 / (0 and os");
    let template = prepared(&world, &fails).await;
    let (restored, _) = frozen(&template).await;
    let sandbox = start(&restored, "s").await;
    let (mut client, first) = Client::first(&sandbox.runtime_api).await;
    assert!(first.line.contains("/restore/error"), "{}", first.line);
    let told = text(&first.body);
    assert!(told.contains("Runtime.AfterRestoreError"), "{told}");
    assert!(told.contains("ZeroDivisionError"), "{told}");
    client.nod().await;
    let ended = wait(sandbox).await;
    assert!(
        ended.log.contains("Runtime.AfterRestoreError"),
        "{}",
        ended.log
    );
    world.end().await;
}

/// Whether there was none to take: which is seen first, that the step failed or that the process has
/// ended, is chance.
async fn is_not_taken(snapshot: Box<dyn Snapshot>) -> bool {
    matches!(
        snapshot.taken().await,
        Err(Error::NoSnapshot(_) | Error::System { .. })
    )
}

async fn an_init_that_fails_makes_no_snapshot() {
    let world = World::new().await;
    let before = "from snapshot_restore_py import register_before_snapshot\n\
         register_before_snapshot(lambda: 1 / 0)\ndef handler(e, c): pass";
    for (code, expected) in [
        ("raise ValueError('no')", "ValueError"),
        (before, "Runtime.BeforeSnapshotError"),
    ] {
        let template = prepared(&world, code).await;
        let started = template.clone().start_snapshot(Vec::new()).await;
        let (sandbox, snapshot) = started.expect("begin");
        let (mut client, first) = Client::first(&sandbox.runtime_api).await;
        assert!(first.line.contains("/init/error"), "{}", first.line);
        assert!(
            text(&first.body).contains(expected),
            "{}",
            text(&first.body)
        );
        client.nod().await;
        let ended = wait(sandbox).await;
        assert!(ended.log.contains(expected), "{}", ended.log);
        assert!(is_not_taken(snapshot).await);
        // The zygote is as good as before.
        let (_, log) = (text(&first.body), ended.log);
        assert!(!log.is_empty());
    }
    world.end().await;
}

const LEAVES: &str = r#"
import os, socket, subprocess, threading, time
files = [open("/var/task/index.py"), open("/tmp/left", "w"), socket.socket(), *map(os.fdopen, os.pipe())]
numbers = [file.fileno() for file in files]
child = subprocess.Popen(["sleep", "1000"])
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
def handler(event, context):
    def kind(number):
        try:
            return os.readlink("/proc/self/fd/%d" % number)
        except OSError as error:
            return str(error)
    return {
        "files": sorted({kind(number) for number in numbers}),
        "tmp": os.listdir("/tmp"),
        "threads": len(os.listdir("/proc/self/task")),
        "processes": [pid for pid in os.listdir("/proc") if pid.isdigit()],
        "new": open("/var/task/index.py").fileno() > max(numbers),
    }
"#;

async fn nothing_of_the_init_is_left_but_memory() {
    let world = World::new().await;
    let template = prepared(&world, LEAVES).await;
    let (restored, _) = frozen(&template).await;
    assert!(processes::ours_mentioning("sleep\x001000").is_empty());
    let (answer, _) = converse(start(&restored, "s").await).await;
    assert_has(
        &answer,
        &[
            r#""files":["/dev/null"]"#,
            r#""tmp":[]"#,
            r#""threads":1"#,
            r#""processes":["2"]"#,
            r#""new":true"#,
        ],
    );
    world.end().await;
}

/// What the kernel says of the process: the same of both.
const ABOUT: &str = r#"
import os, resource
def about():
    wanted = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "SigIgn", "NSpid", "Umask")
    lines = open("/proc/self/status").read().splitlines()
    limits = {name: resource.getrlimit(getattr(resource, name))
              for name in dir(resource) if name.startswith("RLIMIT_")}
    refused = []
    for attempt in (lambda: os.mkdir("/x"), lambda: open("/var/task/x", "w"), lambda: os.setuid(0),
                    lambda: os.chroot("/tmp"), lambda: open("/proc/1/mem"), lambda: os.kill(1, 9),
                    lambda: open("/proc/sys/kernel/core_pattern", "w")):
        try:
            attempt()
            refused.append("allowed")
        except OSError as error:
            refused.append(error.errno)
    spaces = {name: os.readlink("/proc/self/ns/" + name) for name in os.listdir("/proc/self/ns")}
    return {"status": [line for line in lines if line.startswith(wanted)],
            "limits": limits, "refused": refused, "session": os.getsid(0) == os.getpid(),
            "groups": open("/proc/self/cgroup").read().count("\n"),
            "securebits": __import__("ctypes").CDLL(None).prctl(27, 0, 0, 0, 0)}
at_init = about()
def handler(event, context):
    return about()
"#;

async fn an_environment_of_a_snapshot_is_jailed_like_any_other() {
    let world = World::new().await;
    let template = prepared(&world, ABOUT).await;
    let (plain, _) = converse(start(&template, "s").await).await;
    let (restored, _) = frozen(&template).await;
    let (answer, _) = converse(start(&restored, "s").await).await;
    assert_eq!(answer, plain);
    assert!(
        plain.contains("\"Seccomp:\\t2\"") && !plain.contains("allowed"),
        "{plain}"
    );
    // During the init too.
    let template = prepared(&world, &ABOUT.replace("return about()", "return at_init")).await;
    let (restored, _) = frozen(&template).await;
    let (answer, _) = converse(start(&restored, "s").await).await;
    // Its number alone is another.
    assert_eq!(answer.replace("\\t9\"", "\\t2\""), plain);
    world.end().await;
}

/// The init overwrites all that the zygote's jail is made of with code of its own, which says so if it
/// runs as anybody else than the function (as it may at the end of the process). Or it takes it away.
const HOSTILE: &str = r#"
import ctypes, os, re
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
# if getuid() != 993: write(1, "owned\n", 6); exit(7)
owned = bytes.fromhex(
    "b866000000" "0f05" "3de1030000" "7418"
    "b801000000" "bf01000000" "488d3514000000" "ba06000000" "0f05"
    "b83c000000" "bf07000000" "0f05" "90") + b"owned\n"
for line in open("/proc/self/maps"):
    begin, end, rights, path = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+\s*(.*)", line).groups()
    if "_lambent" in path and "x" in rights:
        begin, size = int(begin, 16), int(end, 16) - int(begin, 16)
        WHAT
def handler(event, context):
    return os.getuid()
"#;
const OVERWRITES: &str = "
        assert libc.mprotect(begin, size, 7) == 0
        ctypes.memset(begin, 0x90, size)
        ctypes.memmove(begin + size - len(owned), owned, len(owned))";
const TAKES_AWAY: &str = "libc.munmap(ctypes.c_void_p(begin), size)";
/// 10 and 18 are MADV_DONTFORK and MADV_WIPEONFORK.
const KEEPS_FROM_FORKS: &str = "
        assert libc.mprotect(begin, size, 7) == 0
        assert libc.madvise(ctypes.c_void_p(begin), size, 10) == 0";
const IS_WIPED: &str = "
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        assert libc.mmap(begin, size, 7, 0x32, -1, 0) == begin
        ctypes.memset(begin, 0x90, size)
        ctypes.memmove(begin + size - len(owned), owned, len(owned))
        assert libc.madvise(ctypes.c_void_p(begin), size, 18) == 0";

async fn memory_that_the_function_prepared_is_never_run_with_rights() {
    let world = World::new().await;
    let template = prepared(&world, &HOSTILE.replace("WHAT", OVERWRITES)).await;
    let (restored, log) = frozen(&template).await;
    assert_eq!(log, "");
    let (answer, log) = converse(start(&restored, "s").await).await;
    assert_eq!((answer.as_str(), log.as_str()), ("993", ""));

    // Without the memory at all there is no snapshot,
    let template = prepared(&world, &HOSTILE.replace("WHAT", TAKES_AWAY)).await;
    let (sandbox, mut snapshot, mut client) = init(&template).await;
    snapshot.arm().await.expect("arm");
    client.nod().await;
    assert!(is_not_taken(snapshot).await);
    assert_eq!(wait(sandbox).await.log, "");

    // and where copies do not have it, no environment.
    for what in [KEEPS_FROM_FORKS, IS_WIPED] {
        let template = prepared(&world, &HOSTILE.replace("WHAT", what)).await;
        let (restored, log) = frozen(&template).await;
        assert_eq!(log, "");
        let refused = restored.start(Vec::new()).await;
        assert!(matches!(refused, Err(Error::System { .. })), "{what}");
    }
    world.end().await;
}

async fn a_snapshot_that_dies_is_told_and_made_again() {
    let world = World::new().await;
    let template = prepared(&world, COUNTS).await;
    let (restored, _) = frozen(&template).await;
    for pid in processes::ours_mentioning("/var/runtime/zygote.py") {
        processes::kill(pid);
    }
    let lost = restored.start(Vec::new()).await;
    assert!(matches!(
        lost,
        Err(Error::NoSnapshot(_) | Error::System { .. })
    ));
    assert!(matches!(
        restored.start(Vec::new()).await,
        Err(Error::NoSnapshot(_))
    ));
    drop(restored);
    let restored = loop {
        // A zygote that has just died is not started again at once.
        match template.clone().start_snapshot(Vec::new()).await {
            Ok((sandbox, mut snapshot)) => {
                let (mut client, first) = Client::first(&sandbox.runtime_api).await;
                assert!(first.line.contains("/restore/next"), "{}", first.line);
                snapshot.arm().await.expect("arm");
                client.nod().await;
                break snapshot.taken().await.expect("taken");
            }
            Err(Error::NoSnapshot(_) | Error::System { .. }) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(other) => panic!("{other}"),
        }
    };
    let (answer, _) = converse(start(&restored, "again").await).await;
    assert_has(&answer, &[r#""FROM_START":"again""#, r#""init_pid":9"#]);
    world.end().await;
}

async fn a_snapshot_that_is_dropped_leaves_nothing() {
    let world = World::new().await;
    let template = prepared(&world, COUNTS).await;
    let (restored, _) = frozen(&template).await;
    let running = start(&restored, "s").await;
    // The zygote, what it set aside, and the environment.
    assert!(processes::ours_mentioning("/var/runtime/zygote.py").len() >= 3);
    drop(restored);
    // An environment that runs goes on.
    let (answer, _) = converse(running).await;
    assert_has(&answer, &[r#""count":2"#]);
    // Another may be made beside the old one's end.
    let (restored, _) = frozen(&template).await;
    let (answer, _) = converse(start(&restored, "s").await).await;
    assert_has(&answer, &[r#""count":2"#]);
    drop((restored, template));
    while !processes::ours_mentioning("/var/runtime/zygote.py").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    world.end().await;
}

const FORKS: &str = r#"
import os, subprocess, threading, signal
caught = []
signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(number))
def handler(event, context):
    said = subprocess.run(["/bin/echo", "hello"], capture_output=True, text=True).stdout
    child = os.fork()
    if not child:
        os._exit(7)
    results = []
    thread = threading.Thread(target=lambda: results.append(threading.get_native_id()))
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGUSR1)
    return [said, os.waitpid(child, 0)[1] >> 8, results[0] != os.getpid(), caught]
"#;

async fn a_restored_environment_forks_and_starts_programs() {
    let world = World::new().await;
    let template = prepared(&world, FORKS).await;
    let (restored, _) = frozen(&template).await;
    let (answer, _) = converse(start(&restored, "s").await).await;
    assert_eq!(answer, r#"["hello\n", 7, true, [10, 10]]"#);
    world.end().await;
}
