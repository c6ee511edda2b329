//! What a function must not be able to do, tried from inside. The attempts are in `probe.py`;
//! here are the things that it must not reach, and what counts as refused.

use std::{
    fs,
    net::{IpAddr, TcpListener, UdpSocket},
    os::{linux::net::SocketAddrExt, unix::net as unix},
};

use lambent_sandbox::{Backend, ExitStatus, NetworkPolicy};

use crate::world::{Scratch, World, finish, spec};

crate::tests![
    other_functions_code_and_environment,
    host_files,
    platform_ports_and_other_networks,
    other_processes,
    kernel_interfaces,
    probes_notice_what_is_possible,
];

const PROBE: &str = include_str!("probe.py");
const SECRET: &str = "6b1f-the-other-functions-secret";

macro_rules! numbers {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name).trim_start_matches("SYS_"), libc::$name)),*]
    };
}

fn syscalls() -> String {
    let numbers = numbers![
        SYS_acct,
        SYS_add_key,
        SYS_adjtimex,
        SYS_bpf,
        SYS_capset,
        SYS_clock_settime,
        SYS_clone,
        SYS_clone3,
        SYS_fanotify_init,
        SYS_finit_module,
        SYS_fsmount,
        SYS_fsopen,
        SYS_fspick,
        SYS_init_module,
        SYS_io_setup,
        SYS_io_uring_setup,
        SYS_ioctl,
        SYS_kcmp,
        SYS_kexec_file_load,
        SYS_kexec_load,
        SYS_keyctl,
        SYS_memfd_create,
        SYS_mount,
        SYS_mount_setattr,
        SYS_move_mount,
        SYS_move_pages,
        SYS_name_to_handle_at,
        SYS_open_by_handle_at,
        SYS_open_tree,
        SYS_perf_event_open,
        SYS_personality,
        SYS_pidfd_getfd,
        SYS_pivot_root,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_ptrace,
        SYS_quotactl,
        SYS_reboot,
        SYS_request_key,
        SYS_set_mempolicy,
        SYS_sethostname,
        SYS_setns,
        SYS_shmget,
        SYS_swapon,
        SYS_syslog,
        SYS_umount2,
        SYS_unshare,
        SYS_userfaultfd,
        SYS_vmsplice,
    ];
    let numbers = numbers.map(|(name, number)| format!("{name:?}:{number}"));
    format!("{{{}}}", numbers.join(","))
}

/// What is there to be reached, and is not to be.
struct Outside {
    port: TcpListener,
    abstract_name: String,
    _abstract_socket: unix::UnixListener,
}

impl Outside {
    fn new() -> Self {
        // On all addresses: worse than any platform would do.
        let port = TcpListener::bind("[::]:0").expect("listen");
        let abstract_name = format!("lambent-test-{}", std::process::id());
        let address = unix::SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let socket = unix::UnixListener::bind_addr(&address).expect("listen");
        Outside {
            port,
            abstract_name,
            _abstract_socket: socket,
        }
    }
}

/// The address that this machine goes out with, if it can.
fn own_addresses() -> Vec<IpAddr> {
    let out = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent: it only asks for a route.
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    out()
        .into_iter()
        .filter(|address| !address.is_loopback())
        .collect()
}

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

/// How the probes get into the jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Executed,
    /// As a Python function's module, in a fork of its zygote.
    Forked,
}

/// Runs a group of probes beside another function, and returns what they say.
async fn probe(group: &str, way: Way) -> Vec<(String, String)> {
    let world = World::new().await;
    let outside = Outside::new();
    let other = world.scratch.function(
        "other",
        &format!("#!/bin/bash\n# {SECRET}\nexec 3<>/dev/tcp/127.0.0.1/9001; read -u 3\n"),
    );
    let mut other_spec = spec(other.clone());
    other_spec.env.push(("SECRET".into(), SECRET.into()));
    let template = world.jail.prepare(other_spec).await.expect("prepare");
    let neighbour = template.start(Vec::new()).await.expect("start");
    let _up = neighbour.runtime_api.accept().await.expect("it is up");

    let code = world
        .scratch
        .function("probe", &format!("#!/usr/bin/python3 -IS\n{PROBE}"));
    let given = format!(
        "{{\"terces\":{:?},\"other_code\":{:?},\"own_code\":{:?},\"jail_dir\":{:?},\
         \"scratch\":{:?},\"port\":{},\"addresses\":{:?},\"abstract\":{:?},\"pids\":{:?},\
         \"ordinary\":{}}}",
        backwards(SECRET),
        other.join("bootstrap"),
        code.join("bootstrap"),
        world.scratch.0.join("jail"),
        world.scratch.0,
        outside.port.local_addr().expect("an address").port(),
        own_addresses()
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>(),
        outside.abstract_name,
        [std::process::id()],
        crate::ordinary::is_ordinary(),
    );
    let mut spec = match way {
        Way::Executed => spec(code),
        Way::Forked => {
            fs::copy(code.join("bootstrap"), code.join("index.py")).expect("copy");
            crate::interpreters::managed(&code, crate::interpreters::python())
        }
    };
    // The widest that there is.
    spec.network = NetworkPolicy::World;
    spec.env.push(("GIVEN".into(), given));
    spec.env.push(("SYSCALLS".into(), syscalls()));
    spec.env.push(("GROUP".into(), group.into()));
    let template = world.jail.prepare(spec).await.expect("prepare");
    let (log, exit) = finish(template.start(Vec::new()).await.expect("start")).await;
    assert_eq!(exit.status, ExitStatus::Code(0), "{log}");
    assert!(log.contains("\ndone\n"), "{log}");
    let outcomes = log.lines().filter_map(|line| line.split_once(" = "));
    let outcomes: Vec<_> = outcomes
        .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
        .collect();

    // The neighbour has noticed nothing.
    neighbour.control.kill();
    let (_, exit) = finish(neighbour).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
    world.end().await;
    outcomes
}

async fn assert_refused(group: &str, at_least: usize) {
    for way in [Way::Executed, Way::Forked] {
        let outcomes = probe(group, way).await;
        assert!(outcomes.len() >= at_least, "{way:?} {outcomes:#?}");
        let possible: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| !outcome.starts_with("refused"))
            .collect();
        assert!(possible.is_empty(), "{way:?} {possible:#?}");
    }
}

async fn other_functions_code_and_environment() {
    assert_refused("code", 3).await;
}

async fn host_files() {
    assert_refused("files", 32).await;
}

async fn platform_ports_and_other_networks() {
    assert_refused("network", 16).await;
}

async fn other_processes() {
    assert_refused("processes", 12).await;
}

async fn kernel_interfaces() {
    assert_refused("kernel", 55).await;
}

/// A probe that could not succeed anywhere would prove nothing: outside, the same looks work. Those
/// that are more than a look are never run there; the script sees to that itself.
async fn probes_notice_what_is_possible() {
    let scratch = Scratch::new();
    let script = scratch.0.join("probe.py");
    fs::write(&script, PROBE).expect("write");
    let outside = Outside::new();
    let given = format!(
        "{{\"terces\":\"\",\"other_code\":\"/etc/hosts\",\"own_code\":\"/etc/hosts\",\
         \"jail_dir\":\"/\",\"scratch\":\"/\",\"port\":0,\"addresses\":[],\
         \"abstract\":{:?},\"pids\":[]}}",
        outside.abstract_name,
    );
    for (group, expected) in [
        (
            "code",
            ["another function's code", "own code on the host"].as_slice(),
        ),
        ("network", ["the host's abstract sockets"].as_slice()),
        ("files", &[]),
        ("processes", &[]),
        ("kernel", &[]),
    ] {
        let output = std::process::Command::new("/usr/bin/python3")
            .arg(&script)
            .env("GIVEN", &given)
            .env("SYSCALLS", "{}")
            .env("GROUP", group)
            .output();
        let said = String::from_utf8_lossy(&output.expect("python").stdout).into_owned();
        let names: Vec<_> = said
            .lines()
            .filter_map(|line| line.split_once(" = POSSIBLE"))
            .collect();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{said}");
    }
}
