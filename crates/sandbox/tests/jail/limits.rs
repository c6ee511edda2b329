//! What an environment may use: memory, CPU, processes, files, disk.

use std::{fs, path::Path};

use lambent_sandbox::{Backend, Exit, ExitStatus};
use tokio::io::AsyncReadExt;

use crate::{
    crash,
    ordinary::is_ordinary,
    world::{World, finish, python, spec},
};

crate::tests![
    memory_bomb,
    memory_shared_between_processes,
    memory_in_tmp_is_not_shared,
    memory_in_sockets,
    memory_peak,
    cpu_share,
    fork_bomb,
    fork_bomb_beside_others,
    all_processes_together,
    quotas_of_the_user,
    other_limits,
    open_files,
    tmp_is_as_large_as_asked,
];

async fn memory_bomb() {
    let world = World::new().await;
    let bomb = "
data = []
try:
    while True:
        data.append(b'x' * (1 << 20))
except MemoryError:
    n = len(data)
    data = None
    print(n)
";
    let (log, exit) = finish(python(&world, bomb).await).await;
    if is_ordinary() {
        // Each process is limited by itself, and is told.
        assert_eq!(
            exit,
            Exit {
                status: ExitStatus::Code(0),
                out_of_memory: false
            }
        );
        let got: u32 = log.trim().parse().expect("a number");
        assert!((128..256).contains(&got), "{got} MB of 256");
    } else {
        assert_eq!(
            exit,
            Exit {
                status: ExitStatus::Signal(9),
                out_of_memory: true
            }
        );
    }
    // The next tenant of the slot starts without a stain.
    let (_, exit) = world.run("exit 0").await;
    assert_eq!(
        exit,
        Exit {
            status: ExitStatus::Code(0),
            out_of_memory: false
        }
    );
    world.end().await;
}

/// The kernel counts such memory among files, as it does `/tmp`; in Lambda it is memory.
async fn memory_shared_between_processes() {
    if is_ordinary() {
        return; // Said at start to be missing.
    }
    let world = World::new().await;
    for hold in [
        "fd = os.memfd_create('x')\nfor _ in range(400): os.write(fd, bytes(1 << 20))",
        "m = mmap.mmap(-1, 400 << 20)\nfor at in range(0, len(m), 4096): m[at] = 1",
    ] {
        // That no step is too fast for whoever counts is not what this is about.
        let bomb = format!("import mmap, os, time\n{hold}\ntime.sleep(60)");
        let (log, exit) = finish(python(&world, &bomb).await).await;
        assert_eq!(
            exit,
            Exit {
                status: ExitStatus::Signal(9),
                out_of_memory: true
            },
            "{hold} {log}"
        );
    }
    world.end().await;
}

/// Up and down around the memory size, many times: nobody is killed for a full disk.
async fn memory_in_tmp_is_not_shared() {
    let world = World::new().await;
    let churn = "
import os
block = bytes(1 << 20)
for _ in range(6):
    with open('/tmp/fill', 'wb', buffering=0) as f:
        for _ in range(300):
            f.write(block)
    os.unlink('/tmp/fill')
m = bytearray(150 << 20)
with open('/tmp/fill', 'wb', buffering=0) as f:
    for _ in range(300):
        f.write(block)
print('done')
";
    let (log, exit) = finish(python(&world, churn).await).await;
    assert_eq!(log, "done\n", "{exit:?}");
    assert!(!exit.out_of_memory);
    world.end().await;
}

/// Version 1 does not count them as memory.
async fn memory_in_sockets() {
    if is_ordinary() {
        return; // Said at start to be missing.
    }
    let world = World::new().await;
    let hold = "
import os, socket
listener = socket.create_server(('127.0.0.1', 0), backlog=600)
listener.settimeout(1)
held, block = 0, bytes(1 << 16)
pairs = []
for _ in range(400):
    try:
        near = socket.create_connection(listener.getsockname(), timeout=1)
        far, _ = listener.accept()
    except OSError:
        break
    pairs.append((near, far))
    near.setblocking(False)
    try:
        while True:
            held += near.send(block)
    except OSError:
        pass
print(held >> 20, flush=True)
os._exit(0)
";
    let (log, exit) = finish(python(&world, hold).await).await;
    // With version 2 they are memory, and it is killed for them.
    if !exit.out_of_memory {
        let held_mb: u32 = log.trim().parse().expect("a number");
        assert!(held_mb < 256, "{held_mb} MB in sockets");
    }
    world.end().await;
}

async fn memory_peak() {
    let world = World::new().await;
    let sandbox = python(&world, "data = b'x' * (100 << 20)").await;
    let small = world.script("exit 0").await;
    let crate::world::Ended { control, .. } = crate::world::wait(sandbox).await;
    let peak_mb = control.memory_peak_bytes() >> 20;
    let next = crate::world::wait(small.start(Vec::new()).await.expect("start")).await;
    let next_mb = next.control.memory_peak_bytes() >> 20;
    if is_ordinary() {
        assert_eq!((peak_mb, next_mb), (0, 0), "nothing measures it");
    } else {
        assert!((100..180).contains(&peak_mb), "{peak_mb} MB");
        assert!(next_mb < 40, "{next_mb} MB");
    }
    world.end().await;
}

/// Burns CPU for a second by the clock; says what it got of it, in ms.
const BURN: &str = "
import os, socket, time
s = socket.create_connection(('127.0.0.1', 9001))
while s.recv(1):
    start, used = time.monotonic(), time.process_time()
    while time.monotonic() < start + 1:
        pass
    s.sendall(int((time.process_time() - used) * 1000).to_bytes(2, 'big'))
";

async fn cpu_share() {
    use tokio::io::AsyncWriteExt;
    if is_ordinary() {
        return; // Said at start to be missing.
    }
    let world = World::new().await;
    let sandbox = python(&world, BURN).await;
    let (mut connection, _) = sandbox.runtime_api.accept().await.expect("a connection");
    sandbox.control.init_done();
    connection.write_all(b"x").await.expect("send");
    let used_ms = connection.read_u16().await.expect("an answer");
    // 256 MB of 1,769 is 145 ms a second.
    assert!((50..250).contains(&used_ms), "{used_ms} ms a second");
    world.end().await;
}

async fn fork_bomb() {
    let world = World::new().await;
    let bomb = "
import os, time
n = 0
try:
    while n < 5000:
        if os.fork() == 0:
            time.sleep(86400)
        n += 1
except OSError as e:
    print(n, e.errno, flush=True)
os._exit(0)
";
    let mut spec = spec(
        world
            .scratch
            .function("bomb", &format!("#!/usr/bin/python3 -IS\n{bomb}")),
    );
    spec.memory_mb = 2048;
    let template = world.jail.prepare(spec).await.expect("prepare");
    let (log, exit) = finish(template.start(Vec::new()).await.expect("start")).await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    let (forks, errno) = log
        .trim()
        .split_once(' ')
        .unwrap_or_else(|| panic!("{log:?}"));
    let forks: u32 = forks.parse().expect("a number");
    assert!((900..1024).contains(&forks), "{forks} processes");
    assert_eq!(errno, libc::EAGAIN.to_string());
    world.end().await;
}

/// One that has all the processes it may have does not take them from others.
async fn fork_bomb_beside_others() {
    let world = World::new().await;
    let bomb = "
import os, socket, time
try:
    while True:
        if os.fork() == 0:
            time.sleep(86400)
except OSError:
    pass
s = socket.create_connection(('127.0.0.1', 9001))
time.sleep(86400)
";
    let mut large = spec(
        world
            .scratch
            .function("bomb", &format!("#!/usr/bin/python3 -IS\n{bomb}")),
    );
    large.memory_mb = 2048;
    let template = world.jail.prepare(large).await.expect("prepare");
    let bombs = [
        template.start(Vec::new()).await.expect("start"),
        template.start(Vec::new()).await.expect("start beside it"),
    ];
    for bomb in &bombs {
        bomb.runtime_api.accept().await.expect("it has gone off");
    }
    let (log, exit) = world.run("/bin/echo still here").await;
    assert_eq!(
        (log.as_str(), exit.status),
        ("still here\n", ExitStatus::Code(0))
    );
    for bomb in bombs {
        bomb.control.kill();
        finish(bomb).await;
    }
    world.end().await;
}

/// The host keeps process numbers for itself, whatever all environments do.
async fn all_processes_together() {
    if is_ordinary() {
        return; // The user's own limit is what holds there.
    }
    let world = World::new().await;
    let sandbox = world
        .script("sleep 86400")
        .await
        .start(Vec::new())
        .await
        .expect("start");
    let number = |file: &Path| {
        let text = fs::read_to_string(file);
        text.ok()?.trim().parse::<u64>().ok()
    };
    let groups = crash::recorded(&world.scratch.0.join("jail"));
    let group = groups
        .iter()
        .find(|dir| dir.join("pids.max").exists())
        .expect("there is one");
    let host = number(Path::new("/proc/sys/kernel/pid_max")).expect("a number");
    let max = number(&group.join("pids.max")).expect("a limit");
    assert!(max < host, "{max} of {host}");
    let now = number(&group.join("pids.current")).expect("a number");
    assert!(now > 0, "nobody is counted");
    drop(sandbox);
    world.end().await;
}

/// What the kernel gives a user only so much of, a function cannot take from root, nor all of it
/// from an ordinary user.
async fn quotas_of_the_user() {
    let world = World::new().await;
    let take = "
import ctypes, socket
libc = ctypes.CDLL(None)
count = 0
while libc.inotify_init1(0) >= 0 and count < 500:
    count += 1
s = socket.create_connection(('127.0.0.1', 9001))
s.sendall(bytes([min(count, 255)]))
s.recv(1)
";
    let sandbox = python(&world, take).await;
    let (mut connection, _) = sandbox.runtime_api.accept().await.expect("a connection");
    let taken = connection.read_u8().await.expect("a number");
    assert!(taken > 0, "a function may watch its files");
    // SAFETY: takes numbers only.
    let ours = unsafe { libc::inotify_init1(libc::IN_CLOEXEC) };
    assert!(
        ours >= 0,
        "{taken} taken: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: just made, and nobody else's.
    unsafe { libc::close(ours) };
    drop(connection);
    finish(sandbox).await;
    world.end().await;
}

async fn other_limits() {
    let world = World::new().await;
    let ask = "
import resource
for name in ('CORE', 'MEMLOCK', 'NPROC', 'SIGPENDING'):
    print(name, *resource.prlimit(0, getattr(resource, 'RLIMIT_' + name)))
";
    let (log, _) = finish(python(&world, ask).await).await;
    // A core of one byte is none, also where the host has a program for them.
    let expected = "CORE 1 1\nMEMLOCK 65536 65536\nNPROC 1024 1024\nSIGPENDING 4096 4096\n";
    assert_eq!(log, expected);
    world.end().await;
}

async fn open_files() {
    let world = World::new().await;
    let open = "
import os
n = 0
try:
    while True:
        os.open('/dev/null', os.O_RDONLY)
        n += 1
except OSError as e:
    print(n, e.errno)
";
    let (log, _) = finish(python(&world, open).await).await;
    assert_eq!(log, format!("1021 {}\n", libc::EMFILE));
    world.end().await;
}

async fn tmp_is_as_large_as_asked() {
    let world = World::new().await;
    let fill = "
import errno, os
total = 0
chunk = b'x' * (1 << 20)
with open('/tmp/fill', 'wb', buffering=0) as f:
    try:
        while True:
            total += f.write(chunk)
    except OSError as e:
        print(total >> 20, errno.errorcode[e.errno])
";
    let mut spec = spec(
        world
            .scratch
            .function("fill", &format!("#!/usr/bin/python3 -IS\n{fill}")),
    );
    // Smaller than its disk, as most functions are.
    spec.memory_mb = 128;
    let template = world.jail.prepare(spec).await.expect("prepare");
    let (log, exit) = finish(template.start(Vec::new()).await.expect("start")).await;
    assert_eq!(log, "512 ENOSPC\n", "{exit:?}");
    assert_eq!(
        exit,
        Exit {
            status: ExitStatus::Code(0),
            out_of_memory: false
        }
    );
    world.end().await;
}
