//! The way into the jail: what a new process does between its birth and the user's first
//! instruction.
//!
//! It runs in a child that may share its parent's memory (the spawner's) or be a copy of a Python
//! interpreter (the zygote's), so there is no allocation, no lock and no panic here: prepared
//! values in, system calls out. The order matters: what needs privileges comes first, then the
//! identity is given up, then the doors are locked (Landlock, seccomp) from inside.

use core::ffi::CStr;

use super::{
    init, landlock,
    message::{LINE, Step},
    sys::{self, Errno},
};

/// The user and group that a function sees itself as: those of Lambda's own sandboxes.
pub const GUEST_UID: u32 = 993;
pub const GUEST_GID: u32 = 990;

/// `RLIMIT_NPROC`.
pub const LIMIT_TASKS: u32 = 6;
/// No root, no set-id fix-up, no keeping, no ambient; all of it locked.
pub const LOCKED_SECUREBITS: usize = 0b1110_1111;

/// At most: v1 memory, cpu, pids and the v2 group.
pub const CGROUPS_MAX: usize = 4;

/// Everything `enter` needs, made ready beforehand.
pub struct Entry<'a> {
    /// A pidfd of the init, whose namespaces these are to be.
    pub init: i32,
    /// The version 2 group to be born in.
    pub group: Option<i32>,
    /// It was not born there, and has to move.
    pub moves: bool,
    /// Open `tasks` files of version 1 groups.
    pub cgroups: &'a [i32],
    pub net: i32,
    pub user: i32,
    pub log: i32,
    /// What it will be told by whose it is, if it waits for that.
    pub line: Option<i32>,
    pub null: i32,
    /// Where the process begins.
    pub directory: &'a CStr,
    /// Who owns `/tmp`, as the station's user namespace numbers users.
    pub owner: u32,
    /// How many tasks it may have.
    pub tasks_max: u64,
    /// The newest ABI the kernel speaks; 0 for none.
    pub landlock_abi: u32,
    pub seccomp: &'a [u64],
}

type Failed = (Step, Errno);

/// Turns the calling process, fresh from `clone`, into an environment's first process.
pub fn enter(entry: &Entry<'_>) -> Result<(), Failed> {
    sys::set_signal_mask(0);
    at(Step::Cgroup, into_groups(entry))?;
    at(Step::Net, sys::setns(entry.net, sys::CLONE_NEWNET))?;
    at(Step::Enter, sys::setns(entry.init, init::NAMESPACES))?;
    at(Step::Tmp, sys::chown(c"/tmp", entry.owner))?;
    at(Step::Directory, sys::chdir(entry.directory))?;
    streams(entry)?;
    identity(entry)?;
    lock(entry)
}

/// Into the control groups that it was not born in.
pub fn into_groups(entry: &Entry<'_>) -> Result<usize, Errno> {
    if entry.moves {
        move_into(entry.group)?;
    }
    for cgroup in entry.cgroups {
        // "0" is the writer itself. For a single thread, as `tasks` takes it, the kernel need not
        // wait for all processes to hold still.
        sys::write(*cgroup, b"0")?;
    }
    Ok(0)
}

fn move_into(group: Option<i32>) -> Result<usize, Errno> {
    let Some(group) = group else { return Ok(0) };
    let flags = sys::O_WRONLY | sys::O_CLOEXEC;
    let processes = sys::open_at(group, c"cgroup.procs", flags)?;
    let moved = sys::write(processes, b"0");
    let _ = sys::close(processes);
    moved
}

fn streams(entry: &Entry<'_>) -> Result<(), Failed> {
    at(Step::Streams, sys::dup3(entry.null, 0, 0))?;
    at(Step::Streams, sys::dup3(entry.log, 1, 0))?;
    at(Step::Streams, sys::dup3(entry.log, 2, 0))?;
    if let Some(line) = entry.line {
        // The station's socket has had this number; this process has no use for it.
        at(Step::Streams, sys::dup3(line, LINE, 0))?;
    }
    let _ = sys::setsid();
    let _ = sys::umask(0o022);
    Ok(())
}

fn identity(entry: &Entry<'_>) -> Result<(), Failed> {
    // An ordinary user's namespace does not allow it; the server says so at start.
    let _ = sys::setgroups_none();
    at(Step::User, sys::setns(entry.user, sys::CLONE_NEWUSER))?;
    at(Step::Ids, sys::setresgid(GUEST_GID, GUEST_GID, GUEST_GID))?;
    at(Step::Ids, sys::setresuid(GUEST_UID, GUEST_UID, GUEST_UID))?;
    // Only here, where the environment's own user namespace is what counts: an ordinary user's
    // stations share one count, which a single fork bomb would fill for all of them.
    at(Step::Ids, sys::limit_to(LIMIT_TASKS, entry.tasks_max))?;
    capabilities()?;
    at(
        Step::NoNewPrivileges,
        sys::prctl(sys::PR_SET_NO_NEW_PRIVS, 1),
    )?;
    // A change of identity clears it, so it comes last.
    at(
        Step::NoNewPrivileges,
        sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize),
    )
}

/// Entering a user namespace gave all capabilities in it, and a full bounding set.
fn capabilities() -> Result<(), Failed> {
    for capability in 0..64 {
        match sys::prctl(sys::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            // One past the kernel's last.
            Err(sys::EINVAL) => break,
            Err(errno) => return Err((Step::Capabilities, errno)),
        }
    }
    at(
        Step::Capabilities,
        sys::prctl(sys::PR_SET_SECUREBITS, LOCKED_SECUREBITS),
    )?;
    at(Step::Capabilities, sys::drop_capabilities())
}

fn lock(entry: &Entry<'_>) -> Result<(), Failed> {
    match landlock::ruleset(entry.landlock_abi) {
        Ok(Some(ruleset)) => {
            at(Step::Landlock, sys::landlock_restrict_self(ruleset, 0))?;
            let _ = sys::close(ruleset);
        }
        Ok(None) => {}
        Err(errno) => return Err((Step::Landlock, errno)),
    }
    // SAFETY: the program is whole instructions, made by the server.
    at(Step::Seccomp, unsafe { sys::seccomp_filter(entry.seccomp) })
}

fn at(step: Step, result: Result<usize, Errno>) -> Result<(), Failed> {
    match result {
        Ok(_) => Ok(()),
        Err(errno) => Err((step, errno)),
    }
}
