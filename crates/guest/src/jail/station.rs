//! A station: the process that makes the environments of one function version.
//!
//! ```text
//!   server --orders--> station --clone--> init (process 1)
//!          <-reports-          --clone--> the function (process 2 and on)
//! ```
//!
//! It lives in the version's mount namespace, has one thread, and answers two things only: orders
//! on its socket and the deaths of its children. How a function's process is made is the
//! [`Maker`]'s: by `clone` and `exec` in a spawner, by `fork` in a Python zygote. When the server
//! goes away, so does everything here.

use std::{ffi::CString, time::Duration};

use super::{
    entry::{CGROUPS_MAX, Entry},
    ghost::{self, Locks},
    helper,
    init::{Ground, Init},
    message::{Configuration, Failure, Group, Help, Kind, MESSAGE_MAX, Order, Report, Start, Step},
    sys::{self, Errno, SIGCHLD, SIGKILL},
};

/// An init is made for the next environment once no order has come for this long: the one that has
/// just started is somebody's wait, and may have the processor first.
const SPARE_AFTER: Duration = Duration::from_millis(2);

/// How much memory of gone inits is kept.
const GROUNDS_MAX: usize = 64;

/// Makes the function's process inside the namespaces that are ready.
pub trait Maker {
    /// In the station: the pid. In the new process, if it comes back here at all: `Born::Child`.
    fn make(
        &mut self,
        configuration: &Configuration,
        start: &Start,
        entry: Entry<'_>,
    ) -> Result<Born, Failure>;

    /// Makes one whose own copies others are to be; see [`ghost`](super::ghost).
    fn make_snapshot(&mut self, _: &Start, _: Entry<'_>) -> Result<Born, Failure> {
        Err(ghost::failure(Step::Aside, sys::EINVAL))
    }

    /// Watches that one for its next fork. If it turns out to have ended, its wait status.
    fn arm(&mut self, _pid: i32) -> Result<Option<i32>, Errno> {
        Err(sys::EINVAL)
    }

    /// A process has stopped: whether it is that one, at its fork.
    fn stopped(&mut self, _pid: i32, _wait_status: i32) -> bool {
        false
    }

    /// It has ended there, and all of its environment.
    fn settle(&mut self, _: &Locks<'_>) -> Result<(), Failure> {
        Err(ghost::failure(Step::Freeze, sys::EINVAL))
    }

    /// Makes a copy of it.
    fn restore(&mut self, _: Entry<'_>) -> Result<Born, Failure> {
        Err(ghost::failure(Step::Restore, sys::EINVAL))
    }

    /// What was set aside of it has ended.
    fn gone(&mut self, _pid: i32) {}
}

pub enum Born {
    Child,
    /// It runs.
    Parent {
        pid: i32,
    },
    /// It will say itself whether it does.
    Reporting {
        pid: i32,
    },
    /// The same, and beside it a process that holds its memory.
    Haunted {
        pid: i32,
        ghost: i32,
    },
}

/// As what the caller of [`Station::run`] goes on.
#[derive(Debug)]
pub enum Role {
    /// The server has gone, and with it all environments.
    Ended,
    /// This is now the first process of the environment that was ordered.
    Environment(Start),
}

pub struct Station<M: Maker> {
    socket: i32,
    signals: i32,
    null: i32,
    own_pids: i32,
    landlock_abi: u32,
    configuration: Configuration,
    maker: M,
    environments: Vec<Environment>,
    spare: Option<Init>,
    spare_due: bool,
    /// Memory of inits that are gone, for those to come.
    grounds: Vec<Box<Ground>>,
    tmp_options: CString,
}

struct Environment {
    id: u32,
    pid: i32,
    init: Init,
    wait_status: Option<i32>,
    init_gone: bool,
    /// Holds its memory, and outlives it where a snapshot is made.
    ghost: Option<i32>,
}

impl<M: Maker> Station<M> {
    /// Reads the configuration from `socket` and settles in. `own_pids` is a pidfd of the calling
    /// process.
    pub fn new(socket: i32, own_pids: i32, maker: M) -> Result<Self, Errno> {
        let mut buffer = vec![0; MESSAGE_MAX];
        let length = sys::receive(socket, &mut buffer, &mut Vec::new(), 0)?;
        let Some(Order::Configure(configuration)) = Order::decode(&buffer[..length]) else {
            return Err(sys::EINVAL);
        };
        let null = sys::open(c"/dev/null", sys::O_RDWR | sys::O_CLOEXEC)?;
        // What is meant for the server (a service manager's SIGTERM) is not for us.
        sys::set_signal_mask(!0);
        let signals = sys::signalfd(sys::signal_bit(SIGCHLD))?;
        limits(&configuration)?;
        let tmp_options = tmp_options(configuration.tmp_kib);
        Ok(Station {
            socket,
            signals,
            null,
            own_pids,
            landlock_abi: sys::landlock_abi(),
            maker,
            environments: Vec::new(),
            // If it fails now, it is said when it is needed.
            spare: Init::make(&tmp_options, None).ok(),
            spare_due: false,
            grounds: Vec::new(),
            tmp_options,
            configuration: *configuration,
        })
    }

    /// Serves until the server goes away, or until this process becomes an environment.
    pub fn run(&mut self) -> Role {
        let mut buffer = vec![0; MESSAGE_MAX];
        loop {
            let mut fds = [self.socket, self.signals].map(|fd| sys::PollFd {
                fd,
                events: sys::POLLIN,
                happened: 0,
            });
            match sys::poll(&mut fds, self.spare_due.then_some(SPARE_AFTER)) {
                Ok(0) => self.make_spare(),
                Ok(_) | Err(sys::EINTR) => {}
                Err(_) => return self.end(),
            }
            if fds[1].happened != 0 {
                self.drain_signals();
                self.reap();
                // Whoever has ended does not need the processor.
                if self.spare_due {
                    self.make_spare();
                }
            }
            if fds[0].happened != 0 {
                let mut passed = Vec::new();
                match sys::receive(self.socket, &mut buffer, &mut passed, sys::MSG_DONTWAIT) {
                    Ok(0) => return self.end(),
                    Ok(length) => {
                        let role = self.obey(&buffer[..length], &passed);
                        for fd in passed {
                            let _ = sys::close(fd);
                        }
                        if let Some(role) = role {
                            return role;
                        }
                        self.spare_due = self.spare.is_none();
                    }
                    Err(sys::EAGAIN | sys::EINTR) => {}
                    Err(_) => return self.end(),
                }
            }
        }
    }

    fn obey(&mut self, order: &[u8], fds: &[i32]) -> Option<Role> {
        match Order::decode(order)? {
            Order::Configure(_) => None,
            Order::Help(helper) => self.help(&helper, fds),
            Order::Start(start) => self.start(start, fds),
            Order::Freeze { id } => self.freeze(id),
            Order::Discard { id } => self.discard_snapshot(id),
        }
    }

    /// Starts another kind of station beside this one. If it cannot run, its socket ends.
    fn help(&self, order: &Help, fds: &[i32]) -> Option<Role> {
        if let [socket] = fds {
            let _ = helper::launch(&order.program, &order.environment, *socket);
        }
        None
    }

    /// Of no use any more to a station that has become an environment.
    pub fn configuration_mut(&mut self) -> &mut Configuration {
        &mut self.configuration
    }

    fn start(&mut self, start: Start, fds: &[i32]) -> Option<Role> {
        let id = start.id;
        match self.make(&start, fds) {
            Ok((Born::Child, _)) => return Some(Role::Environment(start)),
            Ok((
                born @ (Born::Parent { pid } | Born::Reporting { pid } | Born::Haunted { pid, .. }),
                init,
            )) => {
                let ghost = match born {
                    Born::Haunted { ghost, .. } => Some(ghost),
                    _ => None,
                };
                if matches!(born, Born::Parent { .. }) {
                    let report = Report::Started { id };
                    let _ = sys::send(self.socket, &report.encode(), &[init.pidfd], 0);
                }
                let _ = sys::close(init.pidfd);
                self.environments.push(Environment {
                    id,
                    pid,
                    init,
                    wait_status: None,
                    init_gone: false,
                    ghost,
                });
            }
            Err(failure) => self.report(&Report::NotStarted { id, failure }),
        }
        None
    }

    fn make(&mut self, start: &Start, fds: &[i32]) -> Result<(Born, Init), Failure> {
        let failed = |step, errno: Errno| Failure {
            step,
            errno: errno.0,
            program: 0,
        };
        let [log, net, user, cgroups @ ..] = fds else {
            return Err(failed(Step::Receive, sys::EINVAL));
        };
        let (line, cgroups) = match cgroups {
            [line, cgroups @ ..] if start.waits => (Some(*line), cgroups),
            _ if start.waits => return Err(failed(Step::Receive, sys::EINVAL)),
            _ => (None, cgroups),
        };
        let (group, cgroups) = match (start.group, cgroups) {
            (Group::None, cgroups) => (None, cgroups),
            (_, [group, cgroups @ ..]) => (Some(*group), cgroups),
            (_, []) => return Err(failed(Step::Receive, sys::EINVAL)),
        };
        if cgroups.len() > CGROUPS_MAX {
            return Err(failed(Step::Receive, sys::EINVAL));
        }
        let init = match self.spare.take() {
            Some(init) => init,
            None => self
                .make_init()
                .map_err(|(step, errno)| failed(step, errno))?,
        };
        if let Err((step, errno)) = init.wait_ready() {
            self.discard(init);
            return Err(failed(step, errno));
        }
        let entry = Entry {
            init: init.pidfd,
            group,
            moves: start.group == Group::Move,
            cgroups,
            net: *net,
            user: *user,
            log: *log,
            line,
            null: self.null,
            directory: &self.configuration.directory,
            owner: start.owner,
            tasks_max: self.configuration.tasks_max,
            landlock_abi: self.landlock_abi,
            seccomp: &self.configuration.seccomp,
        };
        let born = match start.kind {
            Kind::Plain => sys::setns(init.pidfd, sys::CLONE_NEWPID)
                .map_err(|errno| failed(Step::Init, errno))
                .and_then(|_| self.maker.make(&self.configuration, start, entry)),
            // What stays behind of it must not be in its process namespace.
            Kind::Snapshot => self.maker.make_snapshot(start, entry),
            Kind::Restored => self.maker.restore(entry),
        };
        if matches!(born, Ok(Born::Child)) {
            return born.map(|born| (born, init));
        }
        // Back, or the next process namespace would be made inside this one.
        let _ = sys::setns(self.own_pids, sys::CLONE_NEWPID);
        match born {
            Ok(born) => Ok((born, init)),
            Err(failure) => {
                self.discard(init);
                Err(failure)
            }
        }
    }
}

impl<M: Maker> Station<M> {
    fn freeze(&mut self, id: u32) -> Option<Role> {
        let found = self.environments.iter().find(|one| one.id == id);
        let pid = found.map_or(0, |environment| environment.pid);
        match self.maker.arm(pid) {
            Ok(None) => self.report(&Report::Armed { id }),
            Ok(Some(wait_status)) => self.bury(pid, wait_status),
            Err(errno) => self.report(&Report::NotFrozen {
                id,
                failure: ghost::failure(Step::Arm, errno),
            }),
        }
        None
    }

    /// Its end is reported once it has come.
    fn discard_snapshot(&mut self, id: u32) -> Option<Role> {
        let found = self.environments.iter().find(|one| one.id == id);
        if let Some(ghost) = found.and_then(|environment| environment.ghost) {
            let _ = sys::kill(ghost, SIGKILL);
        }
        None
    }

    /// A process whose next fork is its snapshot is there. First everything ends that has its memory
    /// but what was set aside.
    fn take_snapshot(&mut self, pid: i32) {
        let Some(at) = self.environments.iter().position(|one| one.pid == pid) else {
            return;
        };
        let environment = &mut self.environments[at];
        let _ = sys::kill(environment.init.pid, SIGKILL);
        let ended = loop {
            match sys::wait4(pid, 0) {
                Ok(Some((_, status))) if has_stopped(status) => {}
                Err(sys::EINTR) => {}
                ended => break ended.ok().flatten(),
            }
        };
        let _ = sys::wait4(environment.init.pid, 0);
        environment.wait_status = Some(ended.map_or(SIGKILL, |(_, status)| status));
        environment.init_gone = true;
        let id = environment.id;
        let settled = self.maker.settle(&Locks {
            landlock_abi: self.landlock_abi,
            seccomp: &self.configuration.seccomp,
            tasks_max: self.configuration.tasks_max,
        });
        match settled {
            Ok(()) => self.report(&Report::Frozen { id }),
            Err(failure) => {
                self.report(&Report::NotFrozen { id, failure });
                self.discard_snapshot(id);
            }
        }
    }

    /// An init that no environment moved into: ended and waited for, which is quick, as nothing
    /// else is in its namespace.
    fn discard(&mut self, init: Init) {
        let _ = sys::close(init.pidfd);
        let _ = sys::kill(init.pid, SIGKILL);
        let _ = sys::wait4(init.pid, 0);
        self.keep(init);
    }

    fn keep(&mut self, init: Init) {
        if self.grounds.len() < GROUNDS_MAX {
            self.grounds.push(init.into_ground());
        }
    }

    /// If it fails, it is said when an init is needed.
    fn make_spare(&mut self) {
        self.spare = self.make_init().ok();
        self.spare_due = false;
    }

    fn make_init(&mut self) -> Result<Init, (Step, Errno)> {
        Init::make(&self.tmp_options, self.grounds.pop())
    }

    fn drain_signals(&self) {
        // Edges are merged anyway: who died is asked of wait4.
        let mut info = [0u8; 128 * 4];
        let _ = sys::read(self.signals, &mut info);
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, wait_status))) = sys::wait4(-1, sys::WNOHANG) {
            if has_stopped(wait_status) {
                if self.maker.stopped(pid, wait_status) {
                    self.take_snapshot(pid);
                }
            } else {
                self.bury(pid, wait_status);
            }
        }
    }

    fn bury(&mut self, pid: i32, wait_status: i32) {
        if self.spare.as_ref().is_some_and(|spare| spare.pid == pid) {
            // Nobody of ours: the machine ran out of memory, perhaps.
            if let Some(spare) = self.spare.take() {
                let _ = sys::close(spare.pidfd);
                self.keep(spare);
            }
            return;
        }
        let Some(at) = self
            .environments
            .iter()
            .position(|one| one.pid == pid || one.init.pid == pid || one.ghost == Some(pid))
        else {
            return;
        };
        let environment = &mut self.environments[at];
        if environment.ghost == Some(pid) {
            environment.ghost = None;
            self.maker.gone(pid);
            if !environment.init_gone {
                // There will be no snapshot of it.
                let _ = sys::kill(environment.init.pid, SIGKILL);
            }
        } else if environment.pid == pid {
            environment.wait_status = Some(wait_status);
            if let Some(ghost) = environment.ghost {
                let _ = sys::kill(ghost, SIGKILL);
            }
            if !environment.init_gone {
                // The first process has ended: so do all others. The kernel reports the init
                // dead only when its namespace is empty.
                let _ = sys::kill(environment.init.pid, SIGKILL);
            }
        } else {
            environment.init_gone = true;
        }
        let gone = environment.init_gone && environment.ghost.is_none();
        if let (Some(wait_status), true) = (environment.wait_status, gone) {
            let gone = self.environments.swap_remove(at);
            self.keep(gone.init);
            self.report(&Report::Exited {
                id: gone.id,
                wait_status,
            });
        }
    }

    fn report(&self, report: &Report) {
        // Blocking: the server reads all the time, and if it is gone the next poll says so.
        let _ = sys::send(self.socket, &report.encode(), &[], 0);
    }

    /// Ends everything that was made here, and waits for it: what an init uses of our memory must
    /// outlive it.
    fn end(&mut self) -> Role {
        for environment in &self.environments {
            if !environment.init_gone {
                let _ = sys::kill(environment.init.pid, SIGKILL);
            }
            if let Some(ghost) = environment.ghost {
                let _ = sys::kill(ghost, SIGKILL);
            }
        }
        if let Some(spare) = self.spare.take() {
            self.discard(spare);
        }
        while !self.environments.is_empty() {
            match sys::wait4(-1, 0) {
                Ok(Some((_, wait_status))) if has_stopped(wait_status) => {}
                Ok(Some((pid, wait_status))) => self.bury(pid, wait_status),
                Ok(None) | Err(sys::EINTR) => {}
                Err(_) => break,
            }
        }
        Role::Ended
    }
}

/// A traced process, and not dead.
fn has_stopped(wait_status: i32) -> bool {
    wait_status & 0xff == 0x7f
}

impl<M: Maker> Drop for Station<M> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Set once here and inherited: nothing an environment may raise.
fn limits(configuration: &Configuration) -> Result<(), Errno> {
    const DATA: u32 = 2;
    const CORE: u32 = 4;
    const NOFILE: u32 = 7;
    const MEMLOCK: u32 = 8;
    const SIGPENDING: u32 = 11;
    const NICE: u32 = 13;
    const RTPRIO: u32 = 14;
    // Lambda's quota of file descriptors.
    sys::limit_to(NOFILE, 1024)?;
    let limits = [
        // Not 0: that keeps the kernel from writing a file, but where the host has a program for
        // crashes it is still run, outside and as root, once for each crash of a function. One
        // byte is the kernel's word for neither.
        (CORE, 1),
        (MEMLOCK, 64 * 1024),
        // Signals and timers of an ordinary user are counted together with all of that user's.
        (SIGPENDING, 4096),
        (NICE, 0),
        (RTPRIO, 0),
    ];
    for (resource, value) in limits {
        sys::limit_to(resource, value)?;
    }
    if configuration.data_bytes_max > 0 {
        sys::limit_to(DATA, configuration.data_bytes_max)?;
    }
    Ok(())
}

fn tmp_options(kib: u64) -> CString {
    // One inode per 16 KiB, as ext4 does by default, so that empty files run out too.
    let inodes = kib / 16;
    let options = format!("size={kib}k,nr_inodes={inodes},mode=0700");
    CString::new(options).expect("numbers hold no terminator")
}
