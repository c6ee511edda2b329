//! From a snapshot to an environment: the calls by which the ghost makes a copy of itself, and those
//! by which the copy goes into its jail, the same and in the same order as in
//! [`entry`](super::entry).
//!
//! Descriptors are known by number before they are there: the kernel gives the lowest that is free,
//! and what does not have the number it has to ends the copy.

use super::{
    entry::{Entry, GUEST_GID, GUEST_UID, LIMIT_TASKS, LOCKED_SECUREBITS},
    ghost::{Locks, Moment, NAMESPACES, failure, inject},
    landlock,
    message::{Failure, RESTORED_LINE, Step},
    numbers::{nr, shared_nr, trace_nr},
    script::{Script, Want, wait},
    sys::{self, Errno, SIGKILL},
    trace::{self, Registers, Stop},
};

/// Where the ghost has its end of the socket pair. It has nothing above when it rests.
pub const SOCKET: i32 = 3;
/// In the region: the loop lies before, what is written for each copy from here on.
const SCRIPT_AT: u64 = 0x1000;
const CHILD_SETTID: u64 = 0x0100_0000;
const CHILD_CLEARTID: u64 = 0x0020_0000;
const HERE: u64 = -100i64 as u64;
const CLOSE_ON_EXEC: u64 = sys::O_CLOEXEC as u64;

/// A snapshot that copies can be made of.
pub struct Image {
    moment: Moment,
    /// Registers of the ghost.
    base: Registers,
    /// Where its text has a `syscall`.
    instruction: u64,
    region: u64,
    filter: Vec<u64>,
    tasks_max: u64,
    landlock_abi: u32,
    capabilities: u64,
}

/// What an environment is entered through, by the numbers that the ghost gets it under.
struct Doors {
    init: u64,
    net: u64,
    user: u64,
    log: u64,
    null: u64,
    line: Option<u64>,
    group: Option<u64>,
    cgroups: Vec<u64>,
    next: u64,
}

impl Image {
    pub fn new(
        moment: Moment,
        base: Registers,
        instruction: u64,
        region: u64,
        locks: &Locks<'_>,
    ) -> Result<Self, Errno> {
        if moment.open.contains(&RESTORED_LINE) {
            return Err(Errno(24)); // EMFILE
        }
        Ok(Image {
            moment,
            base,
            instruction,
            region,
            filter: locks.seccomp.to_vec(),
            tasks_max: locks.tasks_max,
            landlock_abi: locks.landlock_abi,
            capabilities: capabilities(),
        })
    }

    /// A copy in its jail, going on: its pid. See [`Ghost::restore`](super::ghost::Ghost::restore).
    pub fn restore(
        &self,
        ghost: i32,
        socket: i32,
        entry: &Entry<'_>,
    ) -> Result<i32, (Failure, bool)> {
        let (doors, fds) = Doors::of(entry);
        let lost = |errno| (failure(Step::Restore, errno), false);
        sys::send(socket, b".", &fds, 0).map_err(lost)?;
        let birth = self.birth(&doors, entry);
        birth.begin(ghost, &self.base, self.region).map_err(lost)?;
        // The new process is there, or the loop has come to an early end.
        let copy = match wait(ghost).map_err(lost)? {
            Stop::Birth => trace::born(ghost).map_err(lost)?,
            _ => return Err(lost(sys::EINVAL)),
        };
        trace::go_on(ghost, 0).map_err(lost)?;
        let entered = self.enter(copy, &doors, entry);
        if entered.is_err() {
            let _ = sys::kill(copy, SIGKILL);
            let _ = sys::wait4(copy, 0);
        }
        match (birth.end(ghost), entered) {
            (Ok(()), Ok(())) => Ok(copy),
            (Ok(()), Err(failed)) => Err((failed, true)),
            (Err((_, errno)), entered) => {
                if entered.is_ok() {
                    let _ = sys::kill(copy, SIGKILL);
                    let _ = sys::wait4(copy, 0);
                }
                Err(lost(errno))
            }
        }
    }

    fn script(&self) -> Script {
        Script::at(self.region + SCRIPT_AT)
    }

    /// What the ghost does: it takes the descriptors and makes a copy.
    fn birth(&self, doors: &Doors, entry: &Entry<'_>) -> Script {
        let mut script = self.script();
        script.call(
            shared_nr::CLOSE_RANGE,
            &[SOCKET as u64 + 1, u32::MAX.into(), 0],
            Want::Good,
        );
        let byte = script.words(&[0]);
        let control_bytes = 16 + 4 * 16;
        let control = script.keep(&[0; 16 + 4 * 16]);
        let piece = script.words(&[byte, 1]);
        // struct msghdr.
        let header = script.words(&[0, 0, piece, 1, control, control_bytes, 0]);
        let flags = (sys::MSG_CMSG_CLOEXEC | sys::MSG_DONTWAIT) as u64;
        script.call(nr::RECVMSG, &[SOCKET as u64, header, flags], Want::This(1));
        script.call(
            nr::SETNS,
            &[doors.init, sys::CLONE_NEWPID as u64],
            Want::Good,
        );
        // struct clone_args.
        let mut arguments = [0u64; 11];
        const INTO_GROUP: u64 = 0x2_0000_0000;
        arguments[0] = sys::CLONE_PARENT as u64;
        if let Some(group) = doors.group.filter(|_| !entry.moves) {
            arguments[0] |= INTO_GROUP;
            arguments[10] = group;
        }
        let arguments = script.words(&arguments);
        script.call(trace_nr::CLONE3, &[arguments, 88], Want::Good);
        script.call(
            shared_nr::CLOSE_RANGE,
            &[SOCKET as u64 + 1, u32::MAX.into(), 0],
            Want::Good,
        );
        script
    }

    /// Sends the copy into its jail and lets it go.
    fn enter(&self, copy: i32, doors: &Doors, entry: &Entry<'_>) -> Result<(), Failure> {
        let restore = |errno| failure(Step::Restore, errno);
        // It begins with the stop that every process of a traced one begins with.
        match wait(copy).map_err(restore)? {
            Stop::Signal(_) | Stop::Asked => {}
            _ => return Err(restore(sys::EINVAL)),
        }
        let (script, steps) = self.entrance(doors, entry);
        script
            .begin(copy, &self.base, self.region)
            .map_err(restore)?;
        script.end(copy).map_err(|(number, errno)| {
            let step = steps.iter().rev().find(|(from, _)| *from <= number);
            failure(step.map_or(Step::Restore, |(_, step)| *step), errno)
        })?;
        self.release(copy).map_err(restore)
    }

    /// What is left has no rights any more: it becomes the child of the fork that was about to be.
    fn release(&self, copy: i32) -> Result<(), Errno> {
        let Moment {
            registers,
            floats,
            signal_mask,
            ..
        } = &self.moment;
        let gone = [self.region, super::ghost::REGION_BYTES, 0, 0, 0, 0];
        inject(copy, &self.base, self.instruction, trace_nr::MUNMAP, gone)?;
        if registers.orig_rax as usize == trace_nr::CLONE && registers.rdi & CHILD_SETTID != 0 {
            // A function may have had anything as the place: then it is not written.
            let own = inject(copy, &self.base, self.instruction, nr::GETTID, [0; 6])?;
            let _ = trace::write(copy, registers.r10, &(own as i32).to_le_bytes());
        }
        trace::set_floats(copy, floats)?;
        trace::set_signal_mask(copy, *signal_mask)?;
        let child = Registers {
            rax: 0,
            orig_rax: u64::MAX,
            ..*registers
        };
        trace::set_registers(copy, &child)?;
        trace::detach(copy)?;
        Ok(())
    }

    /// The calls of [`entry::enter`](super::entry::enter), and from which on they are what.
    fn entrance(&self, doors: &Doors, entry: &Entry<'_>) -> (Script, Vec<(usize, Step)>) {
        let mut calls = Calls {
            script: self.script(),
            steps: Vec::new(),
            count: 0,
        };
        let zero = calls.script.keep(b"0");
        calls.step(Step::Cgroup);
        if let Some(group) = doors.group.filter(|_| entry.moves) {
            let name = calls.script.text(c"cgroup.procs");
            let flags = (sys::O_WRONLY | sys::O_CLOEXEC) as u64;
            calls.call(nr::OPENAT, &[group, name, flags, 0], Want::This(doors.next));
            calls.call(nr::WRITE, &[doors.next, zero, 1], Want::Good);
            calls.call(nr::CLOSE, &[doors.next], Want::Good);
        }
        for cgroup in &doors.cgroups {
            calls.call(nr::WRITE, &[*cgroup, zero, 1], Want::Good);
        }
        calls.step(Step::Net);
        calls.call(
            nr::SETNS,
            &[doors.net, sys::CLONE_NEWNET as u64],
            Want::Good,
        );
        calls.step(Step::Enter);
        calls.call(nr::SETNS, &[doors.init, NAMESPACES as u64], Want::Good);
        calls.step(Step::Tmp);
        let (tmp, owner) = (calls.script.text(c"/tmp"), u64::from(entry.owner));
        calls.call(nr::FCHOWNAT, &[HERE, tmp, owner, owner, 0], Want::Good);
        calls.step(Step::Directory);
        let task = calls.script.text(c"/var/task");
        calls.call(nr::CHDIR, &[task], Want::Good);
        self.streams(&mut calls, doors);
        self.identity(&mut calls, doors);
        self.files(&mut calls);
        self.lock(&mut calls);
        (calls.script, calls.steps)
    }

    fn streams(&self, calls: &mut Calls, doors: &Doors) {
        calls.step(Step::Streams);
        for (from, to) in [(doors.null, 0), (doors.log, 1), (doors.log, 2)] {
            calls.call(nr::DUP3, &[from, to, 0], Want::Good);
        }
        if let Some(line) = doors.line {
            calls.call(
                nr::DUP3,
                &[line, RESTORED_LINE as u64, CLOSE_ON_EXEC],
                Want::Good,
            );
        }
        calls.call(nr::SETSID, &[], Want::Anything);
        calls.call(nr::UMASK, &[0o022], Want::Anything);
    }

    fn identity(&self, calls: &mut Calls, doors: &Doors) {
        // In the order of `entry::identity`, for its reasons.
        let (user, group) = (u64::from(GUEST_UID), u64::from(GUEST_GID));
        calls.step(Step::User);
        calls.call(nr::SETGROUPS, &[0, 0], Want::Anything);
        calls.call(
            nr::SETNS,
            &[doors.user, sys::CLONE_NEWUSER as u64],
            Want::Good,
        );
        calls.step(Step::Ids);
        calls.call(nr::SETRESGID, &[group, group, group], Want::Good);
        calls.call(nr::SETRESUID, &[user, user, user], Want::Good);
        let tasks = sys::hard_limit(LIMIT_TASKS)
            .unwrap_or(u64::MAX)
            .min(self.tasks_max);
        let limit = calls.script.words(&[tasks, tasks]);
        calls.call(
            nr::PRLIMIT64,
            &[0, LIMIT_TASKS.into(), limit, 0],
            Want::Good,
        );
        calls.step(Step::Capabilities);
        for capability in 0..self.capabilities {
            calls.call(
                nr::PRCTL,
                &[sys::PR_CAPBSET_DROP as u64, capability],
                Want::Good,
            );
        }
        let locked = LOCKED_SECUREBITS as u64;
        calls.call(
            nr::PRCTL,
            &[sys::PR_SET_SECUREBITS as u64, locked],
            Want::Good,
        );
        const VERSION_3: u64 = 0x2008_0522;
        let header = calls.script.words(&[VERSION_3]);
        let none = calls.script.words(&[0; 3]);
        calls.call(nr::CAPSET, &[header, none], Want::Good);
        calls.step(Step::NoNewPrivileges);
        calls.call(nr::PRCTL, &[sys::PR_SET_NO_NEW_PRIVS as u64, 1], Want::Good);
        calls.call(
            nr::PRCTL,
            &[sys::PR_SET_PDEATHSIG as u64, SIGKILL as u64],
            Want::Good,
        );
        // As after the exec of any other environment; see `Fork::enter`.
        calls.call(nr::PRCTL, &[sys::PR_SET_DUMPABLE as u64, 1], Want::Good);
    }

    /// Nothing of the doors stays. What the init had open is nobody's any more, but its numbers stay
    /// taken: whoever believes to hold one must not meet another's file there.
    fn files(&self, calls: &mut Calls) {
        calls.step(Step::Streams);
        let last = RESTORED_LINE as u64 - 1;
        calls.call(
            shared_nr::CLOSE_RANGE,
            &[SOCKET as u64, last, 0],
            Want::Good,
        );
        let after = u64::from(u32::MAX);
        calls.call(shared_nr::CLOSE_RANGE, &[last + 2, after, 0], Want::Good);
    }

    fn lock(&self, calls: &mut Calls) {
        calls.step(Step::Landlock);
        if let Some(plan) = landlock::plan(self.landlock_abi) {
            const PATH_BENEATH: u64 = 1;
            // The two lowest that are free now.
            let (ruleset, parent) = (3u64, 4u64);
            let attributes = calls.script.words(&plan.attributes);
            let create = [attributes, plan.size as u64, 0];
            calls.call(
                shared_nr::LANDLOCK_CREATE_RULESET,
                &create,
                Want::This(ruleset),
            );
            for (path, rights) in plan.rules {
                let path = calls.script.text(path);
                let flags = (sys::O_PATH | sys::O_CLOEXEC) as u64;
                calls.call(nr::OPENAT, &[HERE, path, flags, 0], Want::This(parent));
                let rule = calls.script.words(&[rights, parent]);
                let add = [ruleset, PATH_BENEATH, rule, 0];
                calls.call(shared_nr::LANDLOCK_ADD_RULE, &add, Want::Good);
                calls.call(nr::CLOSE, &[parent], Want::Good);
            }
            calls.call(shared_nr::LANDLOCK_RESTRICT_SELF, &[ruleset, 0], Want::Good);
            calls.call(nr::CLOSE, &[ruleset], Want::Good);
        }
        for number in &self.moment.open {
            calls.call(nr::DUP3, &[0, *number as u64, CLOSE_ON_EXEC], Want::Good);
        }
        let registers = &self.moment.registers;
        if registers.orig_rax as usize == trace_nr::CLONE && registers.rdi & CHILD_CLEARTID != 0 {
            calls.call(trace_nr::SET_TID_ADDRESS, &[registers.r10], Want::Anything);
        }
        calls.step(Step::Seccomp);
        const SET_MODE_FILTER: u64 = 1;
        let filter = calls.script.words(&self.filter);
        // struct sock_fprog.
        let program = calls.script.words(&[self.filter.len() as u64, filter]);
        calls.call(nr::SECCOMP, &[SET_MODE_FILTER, 0, program], Want::Good);
    }
}

struct Calls {
    script: Script,
    steps: Vec<(usize, Step)>,
    count: usize,
}

impl Calls {
    fn step(&mut self, step: Step) {
        self.steps.push((self.count, step));
    }

    fn call(&mut self, number: usize, arguments: &[u64], want: Want) {
        self.script.call(number, arguments, want);
        self.count += 1;
    }
}

impl Doors {
    /// What is sent to the ghost, and what it is there.
    fn of(entry: &Entry<'_>) -> (Self, Vec<i32>) {
        let mut fds = Vec::new();
        let mut next = SOCKET as u64;
        let mut send = |fd: i32| {
            fds.push(fd);
            next += 1;
            next
        };
        let doors = Doors {
            init: send(entry.init),
            net: send(entry.net),
            user: send(entry.user),
            log: send(entry.log),
            null: send(entry.null),
            line: entry.line.map(&mut send),
            group: entry.group.map(&mut send),
            cgroups: entry.cgroups.iter().map(|fd| send(*fd)).collect(),
            next: 0,
        };
        let next = next + 1;
        (Doors { next, ..doors }, fds)
    }
}

/// How many there are: one past the kernel's last.
fn capabilities() -> u64 {
    const PR_CAPBSET_READ: usize = 23;
    let known = |number: &u64| sys::prctl(PR_CAPBSET_READ, *number as usize).is_ok();
    (0..64).take_while(known).count() as u64
}
