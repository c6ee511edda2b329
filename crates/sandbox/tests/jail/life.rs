//! An environment's life: start, output, exit, freeze, kill, limits.

use lambent_sandbox::{Backend, Error, Exit, ExitStatus};

use crate::world::{World, finish, spec};

crate::tests![says_hello, exit_codes_and_signals];

async fn says_hello() {
    let world = World::new().await;
    eprintln!("{:?}", world.jail.guarantees());
    let (log, exit) = world.run("echo hello; id; cat /proc/self/status; env; ls -la / /dev /tmp /var /proc/1; cat /proc/self/mountinfo; cat /proc/self/cgroup; ip a; echo err >&2").await;
    println!("{log}");
    assert_eq!(
        exit,
        Exit {
            status: ExitStatus::Code(0),
            out_of_memory: false
        }
    );
    assert!(log.starts_with("hello\n"), "{log}");
    world.end().await;
}

async fn exit_codes_and_signals() {
    let world = World::new().await;
    for (script, status) in [
        ("exit 3", ExitStatus::Code(3)),
        ("kill -9 $$", ExitStatus::Signal(9)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
    ] {
        let (_, exit) = world.run(script).await;
        assert_eq!(exit.status, status, "{script}");
    }
    world.end().await;
}
