//! An environment's life: start, output, Runtime API, exit, freeze, kill.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use lambent_sandbox::{Backend, Error, Exit, ExitStatus, Sandbox, jail::JailConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::world::{World, finish, python, spec, write_executable};

crate::tests![
    output_and_environment,
    exit_codes_and_signals,
    bad_bootstraps,
    layers,
    runtime_api,
    platform,
    freeze_and_thaw,
    kill_while_frozen,
    nothing_outlives_the_first_process,
    dropping_it_ends_it,
    slots_come_back,
    the_next_tenant_finds_all_ports_free,
    no_more_than_allowed,
    burst,
    the_jailer_is_replaced,
];

async fn output_and_environment() {
    let world = World::new().await;
    assert!(world.jail.guarantees().summary.starts_with("process jail"));
    let code = world
        .scratch
        .function("f", "#!/usr/bin/env -S /bin/sh\n/usr/bin/env; echo bad >&2");
    let mut spec = spec(code);
    spec.env = vec![("FROM_TEMPLATE".into(), "1".into())];
    let template = world.jail.prepare(spec).await.expect("prepare");
    let start = template.start(vec![("FROM_START".into(), "two words".into())]);
    let (log, exit) = finish(start.await.expect("start")).await;
    assert_eq!(
        exit,
        Exit {
            status: ExitStatus::Code(0),
            out_of_memory: false
        }
    );
    let mut lines: Vec<_> = log
        .lines()
        .filter(|line| !line.starts_with("PWD=") && !line.starts_with("_="))
        .collect();
    lines.sort_unstable();
    let expected = [
        "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
        "FROM_START=two words",
        "FROM_TEMPLATE=1",
        "bad",
    ];
    assert_eq!(lines, expected);
    world.end().await;
}

async fn exit_codes_and_signals() {
    let world = World::new().await;
    for (script, status) in [
        ("exit 3", ExitStatus::Code(3)),
        ("kill -9 $$", ExitStatus::Signal(9)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
        ("kill -SEGV $$", ExitStatus::Signal(11)),
        (
            "exec /usr/bin/python3 -c 'import os; os.abort()'",
            ExitStatus::Signal(6),
        ),
    ] {
        let (_, exit) = world.run(script).await;
        assert_eq!(
            exit,
            Exit {
                status,
                out_of_memory: false
            },
            "{script}"
        );
    }
    world.end().await;
}

async fn bad_bootstraps() {
    let world = World::new().await;
    let empty = world.scratch.directory("empty");
    let forbidden = world.scratch.function("forbidden", "#!/bin/sh\n");
    fs::set_permissions(
        forbidden.join("bootstrap"),
        fs::Permissions::from_mode(0o644),
    )
    .expect("chmod");
    let garbage = world.scratch.function("garbage", "not a program");
    let lost = world.scratch.function("lost", "#!/no/such/interpreter\n");
    for (code, expected) in [
        (
            empty,
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        ),
        (
            forbidden,
            "fork/exec /var/task/bootstrap: permission denied",
        ),
        (garbage, "fork/exec /var/task/bootstrap: exec format error"),
        (
            lost,
            "fork/exec /var/task/bootstrap: no such file or directory",
        ),
    ] {
        let template = world.jail.prepare(spec(code)).await.expect("prepare");
        match template.start(Vec::new()).await {
            Err(Error::InvalidEntrypoint(text)) => assert_eq!(text, expected),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("started, instead of: {expected}"),
        }
    }
    world.end().await;
}

async fn layers() {
    let world = World::new().await;
    let empty = world.scratch.directory("empty");
    let first = world
        .scratch
        .function("first", "#!/bin/sh\ncat /opt/name /opt/only-first\n");
    fs::write(first.join("name"), "first ").expect("write");
    fs::write(first.join("only-first"), "kept").expect("write");
    let second = world.scratch.directory("second");
    fs::write(second.join("name"), "second ").expect("write");
    for (layers, expected) in [
        (vec![first.clone()], "first kept"),
        (vec![first, second], "second kept"),
    ] {
        let mut spec = spec(empty.clone());
        spec.layers = layers;
        let template = world.jail.prepare(spec).await.expect("prepare");
        let (log, _) = finish(template.start(Vec::new()).await.expect("start")).await;
        assert_eq!(log, expected);
    }
    world.end().await;
}

/// Connects to the Runtime API and sends back what it gets.
const ECHO: &str = "
import os, socket
host, port = os.environ['AWS_LAMBDA_RUNTIME_API'].split(':')
s = socket.create_connection((host, int(port)))
s.sendall(b'!')
while data := s.recv(100):
    s.sendall(data)
";

async fn echo(world: &World) -> (Sandbox, TcpStream) {
    let sandbox = python(world, ECHO).await;
    let (mut connection, _) = sandbox.runtime_api.accept().await.expect("a connection");
    assert_eq!(connection.read_u8().await.expect("a greeting"), b'!');
    (sandbox, connection)
}

async fn runtime_api() {
    let world = World::new().await;
    let (sandbox, mut connection) = echo(&world).await;
    connection.write_all(b"ping").await.expect("send");
    let mut answer = [0; 4];
    connection.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"ping");
    let listener = sandbox.runtime_api.clone();
    drop(connection);
    let (_, exit) = finish(sandbox).await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    // The slot's next tenant must not be heard on the last one's listener.
    listener.accept().await.expect_err("it is shut");
    world.end().await;
}

/// Connects to the platform, by address and by name, and stays until it is let go: with its end its
/// listeners are shut.
const CALLS: &str = "
import socket
for host in ('127.0.0.1', 'localhost'):
    connection = socket.create_connection((host, 4566))
    connection.sendall(b'!')
    connection.recv(1)
";

async fn platform() {
    let change = |config: &mut JailConfig| {
        config.platform_port = Some(4566);
        (config.slots_ahead, config.slots_max) = (1, 1);
    };
    let world = World::with(change).await;
    for _tenant in 0..2 {
        let sandbox = python(&world, CALLS).await;
        let listener = sandbox.platform.clone().expect("there is one");
        for _ in 0..2 {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            assert_eq!(connection.read_u8().await.expect("a greeting"), b'!');
        }
        finish(sandbox).await;
        // The slot's next tenant must not be heard on the last one's listener.
        listener.accept().await.expect_err("it is shut");
    }
    world.end().await;
}

async fn freeze_and_thaw() {
    let world = World::new().await;
    let (sandbox, mut connection) = echo(&world).await;
    for _ in 0..3 {
        sandbox.control.freeze();
        sandbox.control.freeze();
        // Signals, where there is no cgroup, take their way through the helper.
        tokio::time::sleep(Duration::from_millis(20)).await;
        connection.write_all(b"x").await.expect("send");
        let silence = timeout(Duration::from_millis(100), connection.read_u8()).await;
        assert!(silence.is_err(), "it runs while frozen");
        sandbox.control.thaw();
        let answer = timeout(Duration::from_secs(5), connection.read_u8()).await;
        assert_eq!(answer.expect("in time").expect("an answer"), b'x');
    }
    drop(connection);
    let (_, exit) = finish(sandbox).await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    world.end().await;
}

async fn kill_while_frozen() {
    let world = World::new().await;
    let (sandbox, _connection) = echo(&world).await;
    sandbox.control.freeze();
    sandbox.control.kill();
    sandbox.control.kill();
    let (_, exit) = finish(sandbox).await;
    assert_eq!(
        exit,
        Exit {
            status: ExitStatus::Signal(9),
            out_of_memory: false
        }
    );
    // A slot that was left frozen would hold up its next tenant.
    let (_, exit) = world.run("exit 0").await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    world.end().await;
}

async fn nothing_outlives_the_first_process() {
    let world = World::new().await;
    // The log ends when nobody holds its other end any more: that the run finishes is the proof.
    let outlive = "
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('still here', flush=True)
        time.sleep(86400)
    os._exit(0)
os.wait()
os._exit(7)
";
    let (log, exit) = finish(python(&world, outlive).await).await;
    assert_eq!(exit.status, ExitStatus::Code(7));
    assert!(log.is_empty() || log == "still here\n", "{log}");
    world.end().await;
}

async fn dropping_it_ends_it() {
    let world = World::new().await;
    let Sandbox { exit, control, .. } = world
        .script("sleep 86400")
        .await
        .start(Vec::new())
        .await
        .expect("start");
    drop(control);
    let exit = exit.await.expect("an exit");
    assert_eq!(exit.status, ExitStatus::Signal(9));
    world.end().await;
}

async fn slots_come_back() {
    let world = World::with(|config| config.slots_max = 2).await;
    let template = world.script("echo $$").await;
    for round in 0..20 {
        let (log, exit) = finish(template.start(Vec::new()).await.expect("start")).await;
        assert_eq!(exit.status, ExitStatus::Code(0), "round {round}");
        assert_eq!(log, "2\n");
    }
    world.end().await;
}

/// A connection closed by its server is remembered for a minute, at the server's port; and the
/// kernel remembers for longer whom it has spoken to.
async fn the_next_tenant_finds_all_ports_free() {
    let world = World::with(|config| config.slots_max = 1).await;
    let serve = "
import socket
listener = socket.socket()
listener.bind(('127.0.0.1', 8080))
listener.listen()
client = socket.create_connection(('127.0.0.1', 8080))
server, _ = listener.accept()
server.sendall(b'bye')
server.close()
while client.recv(10):
    pass
client.close()
states = [line.split()[3] for line in list(open('/proc/net/tcp'))[1:]]
listening = '0A'
print(len([state for state in states if state != listening]))
";
    for round in 0..3 {
        let (log, exit) = finish(python(&world, serve).await).await;
        assert_eq!(
            (log.as_str(), exit.status),
            ("0\n", ExitStatus::Code(0)),
            "round {round}"
        );
    }
    world.end().await;
}

async fn no_more_than_allowed() {
    let world = World::with(|config| config.slots_max = 2).await;
    let template = world.script("sleep 86400").await;
    let first = template.start(Vec::new()).await.expect("start");
    let _second = template.start(Vec::new()).await.expect("start");
    match template.start(Vec::new()).await {
        Err(Error::Exhausted(_)) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a third one"),
    }
    first.control.kill();
    finish(first).await;
    template
        .start(Vec::new())
        .await
        .expect("there is room again");
    world.end().await;
}

async fn burst() {
    let world = World::new().await;
    let template = world
        .script("read line < /dev/zero & echo $NUMBER; wait")
        .await;
    let starts = (0..100).map(|number| {
        let template = template.clone();
        tokio::spawn(async move {
            let number = format!("{number}");
            let env = vec![("NUMBER".into(), number.clone())];
            let sandbox = template.start(env).await.expect("start");
            sandbox.control.kill();
            let (log, exit) = finish(sandbox).await;
            assert_eq!(exit.status, ExitStatus::Signal(9));
            assert!(log.is_empty() || log == format!("{number}\n"), "{log}");
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic");
    }
    world.end().await;
}

async fn the_jailer_is_replaced() {
    let world = World::new().await;
    let template = world.script("sleep 86400").await;
    let sandbox = template.start(Vec::new()).await.expect("start");
    let jailer = crate::processes::with_argument(&world.scratch.0.join("jail"));
    assert!(!jailer.is_empty(), "the jailer is found");
    for pid in jailer {
        crate::processes::kill(pid);
    }
    let (_, exit) = finish(sandbox).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
    // The template is still good.
    write_executable(
        &world.scratch.0.join("script/bootstrap"),
        "#!/bin/sh\nexit 5\n",
    );
    let sandbox = template
        .start(Vec::new())
        .await
        .expect("start with another jailer");
    let (_, exit) = finish(sandbox).await;
    assert_eq!(exit.status, ExitStatus::Code(5));
    world.end().await;
}
