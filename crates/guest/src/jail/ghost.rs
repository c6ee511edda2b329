//! Snapshots: a process that has run a function's init, kept so that environments can begin as its
//! copies.
//!
//! Whoever makes environments has rights that no function may have, and a process that has run a
//! function's code can be trusted with none. So two processes share one memory:
//!
//! ```text
//!   zygote ──traces──> ghost     has the zygote's rights, and never runs again
//!                        │ same memory
//!                      first     an environment like any other, in its own jail; runs the init
//! ```
//!
//! Before the init begins the ghost has stopped, in the kernel, for good. When the init is done the
//! first process forks, and at the door of that call it ends, with everything in its environment.
//! The ghost is then the only process that has the memory. It is used by making it execute system
//! calls, one instruction of its text and the loop of [`script`](super::script) apart: the first
//! is looked at before, the second lies where the function has never been. One of the calls is a
//! fork. The copy makes the calls that jail it, and only then gets the registers of the process that
//! forked, of which it is the child as far as it can tell.
//!
//! What the function left in memory is never executed with rights, nor read by anything but itself.

use super::{
    entry::{self, Entry},
    init,
    message::{Failure, Step},
    numbers::{shared_nr, trace_nr as nr},
    process,
    restore::Image,
    script::{self, wait, wait_status},
    sys::{self, Errno, SIGKILL},
    trace::{self, Floats, Registers, Stop},
};

/// What the init's process is called in its own process namespace. Another than that of all copies:
/// libraries tell a fork by its number.
const FIRST_PID: i32 = 9;
/// The two bytes of `syscall`.
const INSTRUCTION: u64 = 0x050f;
const INSTRUCTION_BYTES: u64 = 2;
/// For the loop, tables and what they point to.
pub const REGION_BYTES: u64 = 256 * 1024;
const CLONE_VM: u64 = 0x100;

/// A process set aside.
pub struct Ghost {
    pub pid: i32,
    stage: Stage,
    /// Descriptors go to it here.
    socket: i32,
    /// What it has the other end as.
    theirs: i32,
}

enum Stage {
    /// The init runs.
    Init {
        first: i32,
        armed: bool,
    },
    /// It has ended.
    Ended(Box<Moment>),
    Frozen(Box<Image>),
}

/// What the first process was about to do, and what it had open.
pub struct Moment {
    pub registers: Registers,
    pub floats: Floats,
    pub signal_mask: u64,
    pub open: Vec<i32>,
}

/// As which of the two the caller of [`Ghost::split`] goes on.
pub enum Split {
    /// The zygote.
    Aside(Ghost),
    /// The first process, before its jail.
    First,
}

impl Ghost {
    /// Makes both processes; comes back in the zygote and in the first. `entry` is the first's.
    ///
    /// # Safety
    /// The caller has one thread, and renews what the C library keeps of its identity.
    pub unsafe fn split(entry: &Entry<'_>) -> Result<Split, Errno> {
        let [ours, theirs] = socket_pair()?;
        let born_in = entry.group.filter(|_| !entry.moves);
        // SAFETY: as the caller promises.
        let made = match unsafe { process::fork_into(born_in) } {
            Ok(None) => {
                let _ = sys::close(ours);
                haunt(entry);
                return Ok(Split::First);
            }
            Ok(Some(pid)) => witness(pid).map(|first| (pid, first)).inspect_err(|_| {
                let _ = sys::kill(pid, SIGKILL);
                let _ = sys::wait4(pid, 0);
            }),
            Err(errno) => Err(errno),
        };
        let _ = sys::close(theirs);
        match made {
            Ok((pid, first)) => Ok(Split::Aside(Ghost {
                pid,
                stage: Stage::Init {
                    first,
                    armed: false,
                },
                socket: ours,
                theirs,
            })),
            Err(errno) => {
                let _ = sys::close(ours);
                Err(errno)
            }
        }
    }

    /// The process that runs the init.
    pub fn first(&self) -> Option<i32> {
        match self.stage {
            Stage::Init { first, .. } => Some(first),
            _ => None,
        }
    }

    /// Watches the first process from now on for its next fork. If it turns out to have ended, its
    /// wait status.
    pub fn arm(&mut self) -> Result<Option<i32>, Errno> {
        let Stage::Init {
            first,
            armed: armed @ false,
        } = &mut self.stage
        else {
            return Err(sys::EINVAL);
        };
        trace::seize(*first)?;
        trace::interrupt(*first)?;
        let status = wait_status(*first)?;
        let signal = match trace::stop(status) {
            Stop::End => return Ok(Some(status)),
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        trace::go_on_to_call(*first, signal)?;
        *armed = true;
        Ok(None)
    }

    /// A process has stopped. Whether it is the first, at the door of a fork; else it goes on.
    pub fn stopped(&mut self, pid: i32, wait_status: i32) -> bool {
        let Stage::Init { first, armed: true } = self.stage else {
            return false;
        };
        if pid != first {
            return false;
        }
        let signal = match trace::stop(wait_status) {
            Stop::Call => match self.look(first) {
                Some(moment) => {
                    self.stage = Stage::Ended(Box::new(moment));
                    return true;
                }
                None => 0,
            },
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        let _ = trace::go_on_to_call(first, signal);
        false
    }

    fn look(&self, first: i32) -> Option<Moment> {
        const NOT_YET_DONE: i64 = -38;
        let registers = trace::registers(first).ok()?;
        let forks = match registers.orig_rax as usize {
            nr::FORK => true,
            nr::CLONE => registers.rdi & CLONE_VM == 0,
            _ => false,
        };
        if !forks || registers.rax as i64 != NOT_YET_DONE {
            return None;
        }
        Some(Moment {
            registers,
            floats: trace::floats(first).ok()?,
            signal_mask: trace::signal_mask(first).ok()?,
            open: open_files(first).ok()?,
        })
    }

    /// The first process and all of its environment have ended: gets ready to make copies.
    pub fn settle(&mut self, entry: &Locks<'_>) -> Result<(), Failure> {
        let stage = core::mem::replace(
            &mut self.stage,
            Stage::Init {
                first: 0,
                armed: false,
            },
        );
        let Stage::Ended(moment) = stage else {
            return Err(failure(Step::Freeze, sys::EINVAL));
        };
        let image = self
            .take(*moment, entry)
            .map_err(|errno| failure(Step::Freeze, errno))?;
        self.stage = Stage::Frozen(Box::new(image));
        Ok(())
    }

    fn take(&self, moment: Moment, locks: &Locks<'_>) -> Result<Image, Errno> {
        // It has stopped at its own birth of the first process; on to the end of that call.
        trace::go_on_to_call(self.pid, 0)?;
        if wait(self.pid)? != Stop::Call {
            return Err(sys::EINVAL);
        }
        if trace::has_restartable_sequences(self.pid) {
            // The kernel could be made to send it elsewhere.
            return Err(sys::EPERM);
        }
        let base = trace::registers(self.pid)?;
        let instruction = base.rip.wrapping_sub(INSTRUCTION_BYTES);
        let word = trace::peek(self.pid, instruction)?;
        trace::poke(self.pid, instruction, word & !0xffff | INSTRUCTION)?;
        let inject = |number, arguments| inject(self.pid, &base, instruction, number, arguments);
        // Of all that it has open it needs this.
        let (theirs, socket) = (self.theirs as u64, super::restore::SOCKET as u64);
        inject(nr::DUP3, [theirs, socket, 0, 0, 0, 0])?;
        let above = [socket + 1, u32::MAX.into(), 0, 0, 0, 0];
        inject(shared_nr::CLOSE_RANGE, above)?;
        let region = self.region(&base, instruction)?;
        trace::write(self.pid, region, script::code())?;
        Image::new(moment, base, instruction, region, locks)
    }

    /// Memory that the function has never seen.
    fn region(&self, base: &Registers, instruction: u64) -> Result<u64, Errno> {
        const READ_WRITE_EXECUTE: u64 = 7;
        const PRIVATE_ANONYMOUS: u64 = 0x22;
        let arguments = [
            0,
            REGION_BYTES,
            READ_WRITE_EXECUTE,
            PRIVATE_ANONYMOUS,
            u64::MAX,
            0,
        ];
        inject(self.pid, base, instruction, nr::MMAP, arguments)
    }

    /// Makes an environment of it: the pid.
    ///
    /// # Errors
    /// The second value says whether the ghost is of use still.
    pub fn restore(&self, entry: &Entry<'_>) -> Result<i32, (Failure, bool)> {
        match &self.stage {
            Stage::Frozen(image) => image.restore(self.pid, self.socket, entry),
            _ => Err((failure(Step::Restore, sys::EINVAL), true)),
        }
    }

    pub fn end(&self) {
        let _ = sys::kill(self.pid, SIGKILL);
    }
}

impl Drop for Ghost {
    fn drop(&mut self) {
        let _ = sys::close(self.socket);
    }
}

/// What is the same in all entries of a station.
pub struct Locks<'a> {
    pub landlock_abi: u32,
    pub seccomp: &'a [u64],
    pub tasks_max: u64,
}

pub fn failure(step: Step, errno: Errno) -> Failure {
    Failure {
        step,
        errno: errno.0,
        program: 0,
    }
}

/// Makes a stopped process do one system call by an instruction of its own text, which is looked at
/// once more before.
pub fn inject(
    pid: i32,
    base: &Registers,
    instruction: u64,
    number: usize,
    arguments: [u64; 6],
) -> Result<u64, Errno> {
    if trace::peek(pid, instruction)? & 0xffff != INSTRUCTION {
        return Err(sys::EPERM);
    }
    let [rdi, rsi, rdx, r10, r8, r9] = arguments;
    let registers = Registers {
        rip: instruction,
        rax: number as u64,
        orig_rax: u64::MAX,
        rdi,
        rsi,
        rdx,
        r10,
        r8,
        r9,
        ..*base
    };
    trace::set_registers(pid, &registers)?;
    for _ in ["begin", "end"] {
        trace::go_on_to_call(pid, 0)?;
        if wait(pid)? != Stop::Call {
            return Err(sys::EINVAL);
        }
    }
    sys::outcome(trace::registers(pid)?.rax as isize).map(|value| value as u64)
}

/// What the new process does: it makes the first process and stops for ever. Comes back in that.
///
/// All of it happens before any of the function's code is there.
fn haunt(entry: &Entry<'_>) {
    let made = || -> Result<usize, Errno> {
        sys::prctl(sys::PR_SET_PDEATHSIG, SIGKILL as usize)?;
        // The memory is charged to the environment that fills it.
        entry::into_groups(entry)?;
        sys::setns(entry.init, sys::CLONE_NEWPID)?;
        trace::trace_me()?;
        // SAFETY: takes nothing.
        let own = unsafe { sys::call(nr::GETPID, [0; 6]) }?;
        sys::kill(own as i32, sys::SIGSTOP)?;
        let pids = [FIRST_PID];
        let flags = sys::CLONE_VM | sys::CLONE_SIGHAND | sys::CLONE_PARENT;
        // struct clone_args.
        let mut arguments = [0u64; 11];
        arguments[0] = flags as u64;
        arguments[8] = pids.as_ptr() as u64;
        arguments[9] = 1;
        let size = size_of_val(&arguments);
        let place = arguments.as_ptr() as usize;
        // SAFETY: the kernel's layout. Both would go on from here on one stack; this one stops
        // inside the call and never comes out of it.
        unsafe { sys::call(nr::CLONE3, [place, size, 0, 0, 0, 0]) }
    };
    match made() {
        Ok(0) => {}
        _ => sys::exit_group(127),
    }
}

/// What the zygote does meanwhile: the first process, which runs.
fn witness(ghost: i32) -> Result<i32, Errno> {
    if wait(ghost)? != Stop::Signal(sys::SIGSTOP) {
        return Err(sys::EPERM);
    }
    trace::follow(ghost)?;
    trace::go_on(ghost, 0)?;
    if wait(ghost)? != Stop::Birth {
        return Err(sys::EINVAL);
    }
    let first = trace::born(ghost)?;
    match wait(first)? {
        Stop::End => Err(sys::ECHILD),
        _ => trace::detach(first).map(|_| first),
    }
}

fn socket_pair() -> Result<[i32; 2], Errno> {
    const UNIX: usize = 1;
    const SEQUENCED_CLOSED_ON_EXEC: usize = 5 | 0o2_000_000;
    let mut pair = [0i32; 2];
    let arguments = [
        UNIX,
        SEQUENCED_CLOSED_ON_EXEC,
        0,
        pair.as_mut_ptr() as usize,
        0,
        0,
    ];
    // SAFETY: room for two descriptors.
    unsafe { sys::call(nr::SOCKETPAIR, arguments) }?;
    Ok(pair)
}

/// The numbers of what another process has open, beside its streams.
fn open_files(pid: i32) -> Result<Vec<i32>, Errno> {
    const FILES_MAX: i32 = 1024;
    let pidfd = sys::pidfd_open(pid as u32, 0)?;
    let mut open = Vec::new();
    for number in 3..FILES_MAX {
        // SAFETY: takes numbers only.
        let got = unsafe { sys::call(nr::PIDFD_GETFD, [pidfd, number as usize, 0, 0, 0, 0]) };
        if let Ok(copy) = got {
            let _ = sys::close(copy as i32);
            open.push(number);
        }
    }
    let _ = sys::close(pidfd as i32);
    Ok(open)
}

/// The namespaces that a copy enters from its init.
pub const NAMESPACES: i32 = init::NAMESPACES;
