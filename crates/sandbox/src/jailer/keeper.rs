//! The keeper: prepares the ground for the jailer, waits for its end, and clears up.

use std::{
    fs, io,
    os::fd::{FromRawFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use guest::jail::sys;

use super::{During, SOCKET, Trouble, ids::Ids, message::Notice, mounts, serve, sweep};
use crate::cgroup::{self, Groups};

/// What every group of ours is called, followed by the instance.
pub const GROUP_PREFIX: &str = "lambent-";
/// Listeners, namespaces and groups of thousands of slots are held open.
const FILES_WANTED: u64 = 1 << 20;
/// How long the jailer may take to leave once the server is gone, in tenths of a second.
const LEAVE_TENTHS_MAX: u32 = 30;

pub fn run(state_dir: PathBuf, platform_port: Option<u16>) -> i32 {
    settle();
    let socket = match take_socket() {
        Ok(socket) => socket,
        Err(_) => return 1,
    };
    match keep(&socket, &state_dir, platform_port) {
        Ok(status) => status,
        Err(trouble) => {
            tell(&socket, &Notice::Refused(trouble.0));
            1
        }
    }
}

/// Not to be reached by what is meant for the server: Ctrl-C in its terminal, or a service
/// manager's SIGTERM to all its processes. Only the end of the socket ends us.
fn settle() {
    let _ = sys::setsid();
    sys::set_name(c"lambent-keeper");
    sys::set_signal_mask(
        [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT]
            .iter()
            .fold(0, |mask, signal| mask | sys::signal_bit(*signal)),
    );
    // What is ignored stays so through exec: functions must not inherit what Rust (SIGPIPE) or
    // whoever started the server ignores.
    (1..=64).for_each(sys::default_action);
}

/// The server passes the socket as standard input; here it makes room for /dev/null.
fn take_socket() -> Result<OwnedFd, sys::Errno> {
    const DUPLICATE_CLOEXEC: libc::c_int = libc::F_DUPFD_CLOEXEC;
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::fcntl(SOCKET, DUPLICATE_CLOEXEC, 3) };
    if socket < 0 {
        return Err(sys::EINVAL);
    }
    let null = sys::open(c"/dev/null", sys::O_RDWR)?;
    sys::dup3(null, 0, 0)?;
    sys::dup3(null, 1, 0)?;
    if null > 2 {
        let _ = sys::close(null);
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

pub fn tell(socket: &impl std::os::fd::AsRawFd, notice: &Notice) {
    let _ = sys::send(socket.as_raw_fd(), &notice.encode(), &[], 0);
}

fn keep(socket: &OwnedFd, state_dir: &Path, platform_port: Option<u16>) -> Result<i32, Trouble> {
    let server = parent();
    let files = raise_file_limit();
    fs::create_dir_all(state_dir.join("root"))
        .during(|| format!("make {}", state_dir.join("root").display()))?;
    let name = instance_name().during(|| "read /proc/self/stat".into())?;
    let mut missing = sweep::sweep(state_dir);
    let groups = cgroup::choose(&name);
    let record = sweep::Record::write(state_dir, &name, &groups.parents())
        .during(|| format!("write the instance record in {}", state_dir.display()))?;
    missing.extend(files);
    let outcome = namespaces().and_then(|ids| {
        missing.extend(groups.missing());
        missing.extend(ids.lack());
        let setup = serve::Setup {
            socket,
            state_dir,
            ids,
            platform_port,
            groups: groups.as_ref(),
            tasks_max: cgroup::all_tasks_max(),
            missing,
        };
        imprison(setup, server)
    });
    for dir in groups.parents() {
        let _ = cgroup::destroy(&dir);
    }
    record.erase();
    outcome
}

/// A pidfd of the server. If that has gone already, of whoever took over: the socket tells then.
fn parent() -> Option<i32> {
    let pidfd = sys::pidfd_open(std::os::unix::process::parent_id(), 0);
    pidfd.ok().map(|pidfd| pidfd as i32)
}

/// Unique among everything alive that could be confused with it.
fn instance_name() -> io::Result<String> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the name in brackets and may contain anything.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let started = after_name.split(' ').nth(19).unwrap_or("0");
    Ok(format!("{GROUP_PREFIX}{}-{started}", std::process::id()))
}

fn raise_file_limit() -> Option<String> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid struct.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let wanted = FILES_WANTED.max(limit.rlim_max);
    let highest = [wanted, 1 << 16, limit.rlim_max]
        .into_iter()
        .find(|value| sys::set_limit(libc::RLIMIT_NOFILE, *value).is_ok());
    let enough = highest.is_some_and(|value| value >= 16_384);
    (!enough).then(|| {
        format!(
            "thousands of environments: the limit of open files is {}; raise it (ulimit -n, or \
             LimitNOFILE= in the service)",
            limit.rlim_max
        )
    })
}

/// Enters the namespaces that the jailer will live in; as an ordinary user a user namespace first.
fn namespaces() -> Result<Ids, Trouble> {
    const KINDS: i32 = sys::CLONE_NEWNS
        | sys::CLONE_NEWPID
        | sys::CLONE_NEWNET
        | sys::CLONE_NEWIPC
        | sys::CLONE_NEWUTS;
    // SAFETY: takes nothing, cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    if user == 0 && sys::unshare(KINDS).is_ok() {
        return Ok(Ids::of_root());
    }
    sys::unshare(sys::CLONE_NEWUSER).map_err(|errno| refused("user namespace", errno))?;
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).during(|| format!("write /proc/self/{file}"))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("0 {user} 1"))?;
    map("gid_map", format!("0 {group} 1"))?;
    sys::unshare(KINDS).map_err(|errno| refused("mount, process and network namespace", errno))?;
    Ok(Ids::One)
}

/// Says what stands in the way, if that can be found out.
fn refused(what: &str, errno: sys::Errno) -> Trouble {
    let setting = |path: &str, bad: &str, advice: &str| {
        let value = fs::read_to_string(path).ok()?;
        (value.trim() == bad).then(|| advice.to_owned())
    };
    let advice = setting(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, \
         or a profile for this program",
    )
    .or_else(|| {
        setting(
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
        )
    })
    .or_else(|| {
        setting(
            "/proc/sys/user/max_user_namespaces",
            "0",
            "user namespaces are switched off: sysctl user.max_user_namespaces=15000",
        )
    })
    .unwrap_or_else(|| "run as root, or allow it (in a container: its seccomp profile)".into());
    Trouble(format!(
        "the kernel refuses a {what} ({}); {advice}",
        io::Error::from(errno)
    ))
}

/// Starts the jailer as process 1 of the new process namespace, and waits for its end.
fn imprison(setup: serve::Setup<'_>, server: Option<i32>) -> Result<i32, Trouble> {
    // SAFETY: this process has one thread, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => Err(Trouble::new("fork the jailer", io::Error::last_os_error())),
        0 => {
            let _ = sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize);
            sys::set_name(c"lambent-jailer");
            std::process::exit(serve::run(setup))
        }
        jailer => {
            // The jailer's end must be the only one, so that the server sees it die.
            let null = sys::open(c"/dev/null", sys::O_RDWR | sys::O_CLOEXEC);
            if let Ok(null) = null {
                use std::os::fd::AsRawFd;
                let _ = sys::dup3(null, setup.socket.as_raw_fd(), sys::O_CLOEXEC);
            }
            outlive(server, jailer);
            loop {
                match sys::wait4(jailer, 0) {
                    Ok(Some((_, status))) => return Ok(status),
                    Err(sys::EINTR) | Ok(None) => {}
                    Err(errno) => return Err(Trouble::new("wait for the jailer", errno)),
                }
            }
        }
    }
}

/// Waits for the jailer's end. When the server is gone the jailer goes by itself, at once; one that
/// does not (stopped, or stuck in the kernel) is killed.
fn outlive(server: Option<i32>, jailer: i32) {
    let Ok(jailer_pidfd) = sys::pidfd_open(jailer as u32, 0) else {
        return;
    };
    let jailer_pidfd = jailer_pidfd as i32;
    let ended = |pidfds: &[i32], within| {
        let mut fds: Vec<sys::PollFd> = pidfds
            .iter()
            .map(|fd| sys::PollFd {
                fd: *fd,
                events: sys::POLLIN,
                happened: 0,
            })
            .collect();
        let _ = sys::poll(&mut fds, within);
        fds.iter().map(|fd| fd.happened != 0).collect::<Vec<_>>()
    };
    if let Some(server) = server {
        while let [false, false] = ended(&[jailer_pidfd, server], None)[..] {}
        let _ = sys::close(server);
        for _ in 0..LEAVE_TENTHS_MAX {
            if ended(&[jailer_pidfd], Some(Duration::from_millis(100)))[0] {
                break;
            }
        }
        let _ = sys::pidfd_send_signal(jailer_pidfd, sys::SIGKILL);
    }
    let _ = sys::close(jailer_pidfd);
}

/// The jailer's own view: nothing propagates, and /proc is of its own process namespace.
pub fn own_view() -> Result<(), Trouble> {
    mounts::make_private().during(|| "make mounts private".into())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mounts::mount("proc", Path::new("/proc"), flags, "").during(|| {
        "mount /proc (in a container, it must not be masked: run with --privileged, or with \
         systempaths=unconfined)"
            .into()
    })
}

/// What the groups are, for the server.
pub fn open_notice(groups: &dyn Groups, ids: Ids, missing: Vec<String>) -> Notice {
    Notice::Open {
        groups: groups.encode(),
        ordinary: ids == Ids::One,
        missing,
    }
}
