//! Raw system calls, for code that runs where the C library must not be trusted to help.
//!
//! Between `clone` and `exec` a child borrows its parent's memory: `errno`, locks and stdio are
//! the parent's. So these calls go straight to the kernel and hand the error back as a value.
//! This file has no dependency, because it is also compiled into the Python extension.

use core::{
    arch::asm,
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::numbers::{nr, shared_nr};

/// A kernel error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

pub const EPERM: Errno = Errno(1);
pub const ENOENT: Errno = Errno(2);
pub const EINTR: Errno = Errno(4);
pub const EAGAIN: Errno = Errno(11);
pub const ECHILD: Errno = Errno(10);
pub const EINVAL: Errno = Errno(22);

impl From<Errno> for std::io::Error {
    fn from(error: Errno) -> Self {
        std::io::Error::from_raw_os_error(error.0)
    }
}

pub const CLONE_VM: c_int = 0x100;
pub const CLONE_SIGHAND: c_int = 0x800;
pub const CLONE_PARENT: c_int = 0x8000;
pub const CLONE_FILES: c_int = 0x400;
pub const CLONE_PIDFD: c_int = 0x1000;
pub const CLONE_VFORK: c_int = 0x4000;
pub const CLONE_NEWNS: c_int = 0x2_0000;
pub const CLONE_NEWCGROUP: c_int = 0x200_0000;
pub const CLONE_NEWUTS: c_int = 0x400_0000;
pub const CLONE_NEWIPC: c_int = 0x800_0000;
pub const CLONE_NEWUSER: c_int = 0x1000_0000;
pub const CLONE_NEWPID: c_int = 0x2000_0000;
pub const CLONE_NEWNET: c_int = 0x4000_0000;

pub const SIGTRAP: i32 = 5;
pub const SIGKILL: i32 = 9;
pub const SIGUSR1: i32 = 10;
pub const SIGUSR2: i32 = 12;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
pub const SIGCONT: i32 = 18;
pub const SIGSTOP: i32 = 19;

pub const MS_NOSUID: usize = 2;
pub const MS_NODEV: usize = 4;
pub const MS_NOEXEC: usize = 8;

pub const WNOHANG: i32 = 1;
pub const POLLIN: i16 = 1;
pub const POLLHUP: i16 = 0x10;
pub const O_CLOEXEC: i32 = 0o2000000;
pub const O_RDONLY: i32 = 0;
pub const O_WRONLY: i32 = 1;
pub const O_RDWR: i32 = 2;
pub const O_PATH: i32 = 0o10000000;
pub const MSG_DONTWAIT: i32 = 0x40;
pub const MSG_NOSIGNAL: i32 = 0x4000;
pub const MSG_CMSG_CLOEXEC: i32 = 0x4000_0000;

pub const PR_SET_PDEATHSIG: usize = 1;
pub const PR_SET_DUMPABLE: usize = 4;
pub const PR_SET_NAME: usize = 15;
pub const PR_CAPBSET_DROP: usize = 24;
pub const PR_SET_SECUREBITS: usize = 28;
pub const PR_SET_NO_NEW_PRIVS: usize = 38;

/// The kernel's `sigset_t`.
pub type Signals = u64;

pub const fn signal_bit(signal: i32) -> Signals {
    1 << (signal - 1)
}

/// One system call.
///
/// # Safety
/// The arguments must be what call `number` wants, and pointers among them valid for it.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention; rcx and r11 are what `syscall` destroys.
    unsafe {
        asm!("syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            in("r10") arguments[3], in("r8") arguments[4], in("r9") arguments[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    outcome(result)
}

/// One system call.
///
/// # Safety
/// The arguments must be what call `number` wants, and pointers among them valid for it.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention.
    unsafe {
        asm!("svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => result,
            in("x1") arguments[1], in("x2") arguments[2], in("x3") arguments[3],
            in("x4") arguments[4], in("x5") arguments[5], options(nostack));
    }
    outcome(result)
}

pub(super) fn outcome(result: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&result) {
        Err(Errno(-result as i32))
    } else {
        Ok(result as usize)
    }
}

macro_rules! plain {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) = $number:expr;)*) => {
        $($(#[$doc])* pub fn $name($($argument: $kind),*) -> Result<usize, Errno> {
            let mut all = [0usize; 6];
            let given: &[usize] = &[$($argument as usize),*];
            all[..given.len()].copy_from_slice(given);
            // SAFETY: none of these calls takes a pointer.
            unsafe { call($number, all) }
        })*
    };
}

plain! {
    fn close(fd: i32) = nr::CLOSE;
    fn dup3(from: i32, to: i32, flags: i32) = nr::DUP3;
    fn setns(fd: i32, kinds: c_int) = nr::SETNS;
    fn unshare(kinds: c_int) = nr::UNSHARE;
    fn pidfd_send_signal(pidfd: i32, signal: i32) = shared_nr::PIDFD_SEND_SIGNAL;
    /// A descriptor of process `pid`, close-on-exec.
    fn pidfd_open(pid: u32, flags: u32) = shared_nr::PIDFD_OPEN;
    fn setsid() = nr::SETSID;
    fn umask(mask: u32) = nr::UMASK;
    fn kill(pid: i32, signal: i32) = nr::KILL;
    fn setresuid(real: u32, effective: u32, saved: u32) = nr::SETRESUID;
    fn setresgid(real: u32, effective: u32, saved: u32) = nr::SETRESGID;
    fn close_range(first: u32, last: u32, flags: u32) = shared_nr::CLOSE_RANGE;
    fn landlock_restrict_self(ruleset: i32, flags: u32) = shared_nr::LANDLOCK_RESTRICT_SELF;
}

/// `prctl` for the options whose arguments are numbers.
pub fn prctl(option: usize, value: usize) -> Result<usize, Errno> {
    debug_assert_ne!(option, PR_SET_NAME, "takes a pointer");
    // SAFETY: the options used through this take numbers only.
    unsafe { call(nr::PRCTL, [option, value, 0, 0, 0, 0]) }
}

pub fn set_name(name: &core::ffi::CStr) {
    // SAFETY: a terminated string; the kernel copies 16 bytes at most.
    let _ = unsafe { call(nr::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0, 0, 0]) };
}

pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: takes a number and does not return.
        let _ = unsafe { call(nr::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

pub fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: a live slice.
    unsafe {
        call(
            nr::WRITE,
            [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0],
        )
    }
}

/// The calling thread's number, as its process namespace has it.
pub fn gettid() -> i32 {
    // SAFETY: takes nothing.
    unsafe { call(nr::GETTID, [0; 6]) }.map_or(0, |tid| tid as i32)
}

pub fn read(fd: i32, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: a live slice.
    unsafe {
        call(
            nr::READ,
            [fd as usize, into.as_mut_ptr() as usize, into.len(), 0, 0, 0],
        )
    }
}

pub fn open(path: &core::ffi::CStr, flags: i32) -> Result<i32, Errno> {
    const HERE: i32 = -100;
    open_at(HERE, path, flags)
}

pub fn open_at(directory: i32, path: &core::ffi::CStr, flags: i32) -> Result<i32, Errno> {
    let directory = directory as isize as usize;
    // SAFETY: a terminated string.
    unsafe {
        call(
            nr::OPENAT,
            [directory, path.as_ptr() as usize, flags as usize, 0, 0, 0],
        )
    }
    .map(|fd| fd as i32)
}

pub fn chdir(path: &core::ffi::CStr) -> Result<usize, Errno> {
    // SAFETY: a terminated string.
    unsafe { call(nr::CHDIR, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) }
}

pub fn chown(path: &core::ffi::CStr, owner: u32) -> Result<usize, Errno> {
    let here = -100isize as usize; // AT_FDCWD
    let owner = owner as usize;
    // SAFETY: a terminated string.
    unsafe {
        call(
            nr::FCHOWNAT,
            [here, path.as_ptr() as usize, owner, owner, 0, 0],
        )
    }
}

/// Sleeps for as long as `word` has this value.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    const WAIT: usize = 0;
    while word.load(Ordering::Acquire) == value {
        let place = core::ptr::from_ref(word) as usize;
        // SAFETY: a live word; no timeout.
        let _ = unsafe { call(nr::FUTEX, [place, WAIT, value as usize, 0, 0, 0]) };
    }
}

/// Changes `word` and wakes who sleeps on it, in whatever process that shares this memory.
pub fn futex_set(word: &AtomicU32, value: u32) {
    const WAKE: usize = 1;
    word.store(value, Ordering::Release);
    let place = core::ptr::from_ref(word) as usize;
    // SAFETY: a live word.
    let _ = unsafe { call(nr::FUTEX, [place, WAKE, 1, 0, 0, 0]) };
}

pub fn setgroups_none() -> Result<usize, Errno> {
    // SAFETY: a count of zero, so the list is not read.
    unsafe { call(nr::SETGROUPS, [0; 6]) }
}

pub fn mount(
    kind: &core::ffi::CStr,
    target: &core::ffi::CStr,
    flags: usize,
    options: &core::ffi::CStr,
) -> Result<usize, Errno> {
    // SAFETY: terminated strings.
    unsafe {
        call(
            nr::MOUNT,
            [
                kind.as_ptr() as usize,
                target.as_ptr() as usize,
                kind.as_ptr() as usize,
                flags,
                options.as_ptr() as usize,
                0,
            ],
        )
    }
}

/// Gives up every capability of the three sets.
pub fn drop_capabilities() -> Result<usize, Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0u32];
    let none = [0u32; 6];
    // SAFETY: both arrays have the kernel's layout for version 3.
    unsafe {
        call(
            nr::CAPSET,
            [header.as_ptr() as usize, none.as_ptr() as usize, 0, 0, 0, 0],
        )
    }
}

pub fn set_signal_mask(signals: Signals) {
    const SIG_SETMASK: usize = 2;
    let set = signals;
    // SAFETY: one kernel sigset, eight bytes.
    let _ = unsafe {
        call(
            nr::RT_SIGPROCMASK,
            [
                SIG_SETMASK,
                &raw const set as usize,
                0,
                size_of::<Signals>(),
                0,
                0,
            ],
        )
    };
}

/// Gives a signal back its default action.
pub fn default_action(signal: i32) {
    // struct kernel_sigaction: handler, flags, restorer, mask; all zero is SIG_DFL.
    let action = [0usize; 4];
    // SAFETY: the kernel's layout, zeroed.
    let _ = unsafe {
        call(
            nr::RT_SIGACTION,
            [
                signal as usize,
                action.as_ptr() as usize,
                0,
                size_of::<Signals>(),
                0,
                0,
            ],
        )
    };
}

/// Waits for one of `signals`, which are blocked, and takes it.
pub fn wait_signal(signals: Signals) -> Result<i32, Errno> {
    let set = signals;
    // SAFETY: one kernel sigset; no siginfo, no timeout.
    unsafe {
        call(
            nr::RT_SIGTIMEDWAIT,
            [&raw const set as usize, 0, 0, size_of::<Signals>(), 0, 0],
        )
    }
    .map(|signal| signal as i32)
}

/// A descriptor that becomes readable when one of `signals` is pending.
pub fn signalfd(signals: Signals) -> Result<i32, Errno> {
    let set = signals;
    let flags = (O_CLOEXEC | 0o4000) as usize;
    // SAFETY: one kernel sigset.
    unsafe {
        call(
            nr::SIGNALFD4,
            [
                usize::MAX,
                &raw const set as usize,
                size_of::<Signals>(),
                flags,
                0,
                0,
            ],
        )
    }
    .map(|fd| fd as i32)
}

/// A dead child: its pid and wait status. `None` when none is dead and `WNOHANG` was given.
pub fn wait4(pid: i32, options: i32) -> Result<Option<(i32, i32)>, Errno> {
    let mut status = 0i32;
    // SAFETY: `status` outlives the call; no rusage.
    let got = unsafe {
        call(
            nr::WAIT4,
            [
                pid as isize as usize,
                &raw mut status as usize,
                options as usize,
                0,
                0,
                0,
            ],
        )
    }?;
    Ok((got != 0).then_some((got as i32, status)))
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PollFd {
    pub fd: i32,
    pub events: i16,
    pub happened: i16,
}

/// Waits until one of the descriptors is ready, without a limit or for less than a second; 0 when
/// the time is over.
pub fn poll(fds: &mut [PollFd], within: Option<Duration>) -> Result<usize, Errno> {
    // The kernel writes the time that is left into it.
    let mut time = within.map(|within| [0, i64::from(within.subsec_nanos())]);
    let time = time.as_mut().map_or(0, |time| time.as_mut_ptr() as usize);
    // SAFETY: `fds` and `time` are live and of the kernel's layout.
    unsafe {
        call(
            nr::PPOLL,
            [fds.as_mut_ptr() as usize, fds.len(), time, 0, 0, 0],
        )
    }
}

/// Sets soft and hard limit of one resource of the calling process.
pub fn set_limit(resource: u32, value: u64) -> Result<usize, Errno> {
    let limit = [value, value];
    // SAFETY: struct rlimit64 is two 64-bit numbers.
    unsafe {
        call(
            nr::PRLIMIT64,
            [0, resource as usize, limit.as_ptr() as usize, 0, 0, 0],
        )
    }
}

/// As [`set_limit`]; where the calling process already has a lower one that it may not raise, that
/// stays.
pub fn limit_to(resource: u32, value: u64) -> Result<usize, Errno> {
    match set_limit(resource, value) {
        Err(EPERM) => set_limit(resource, hard_limit(resource)?.min(value)),
        outcome => outcome,
    }
}

pub fn hard_limit(resource: u32) -> Result<u64, Errno> {
    let mut limit = [0u64; 2];
    // SAFETY: struct rlimit64 is two 64-bit numbers.
    unsafe {
        call(
            nr::PRLIMIT64,
            [0, resource as usize, 0, limit.as_mut_ptr() as usize, 0, 0],
        )
    }?;
    Ok(limit[1])
}

/// Installs a seccomp program for the calling thread.
///
/// # Safety
/// `program` must be whole `sock_filter` instructions.
pub unsafe fn seccomp_filter(program: &[u64]) -> Result<usize, Errno> {
    #[repr(C)]
    struct Program {
        count: u16,
        instructions: *const u64,
    }
    const SET_MODE_FILTER: usize = 1;
    let Ok(count) = u16::try_from(program.len()) else {
        return Err(EINVAL);
    };
    let program = Program {
        count,
        instructions: program.as_ptr(),
    };
    // SAFETY: struct sock_fprog; an instruction is eight bytes.
    unsafe {
        call(
            nr::SECCOMP,
            [SET_MODE_FILTER, 0, &raw const program as usize, 0, 0, 0],
        )
    }
}

/// Executes `path`; returns only with an error.
///
/// # Safety
/// `arguments` and `environment` must be null-terminated arrays of terminated strings.
pub unsafe fn execve(
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> Errno {
    // SAFETY: as the caller promises.
    match unsafe {
        call(
            nr::EXECVE,
            [
                path as usize,
                arguments as usize,
                environment as usize,
                0,
                0,
                0,
            ],
        )
    } {
        Err(errno) => errno,
        Ok(_) => EINVAL,
    }
}

#[repr(C)]
struct IoVec {
    base: *mut c_void,
    length: usize,
}

#[repr(C)]
struct MsgHdr {
    name: *mut c_void,
    name_length: u32,
    iov: *mut IoVec,
    iov_count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

/// The most descriptors one message carries in this protocol.
pub const FDS_MAX: usize = 16;
const CMSG_HEADER: usize = 16;
const SCM_RIGHTS: u32 = 1;
const SOL_SOCKET: u32 = 1;

#[repr(C, align(8))]
struct Control([u8; CMSG_HEADER + FDS_MAX * 4]);

/// Receives one message and its descriptors (close-on-exec). Length 0 is the end.
pub fn receive(
    socket: i32,
    buffer: &mut [u8],
    fds: &mut Vec<i32>,
    flags: i32,
) -> Result<usize, Errno> {
    let mut iov = IoVec {
        base: buffer.as_mut_ptr().cast(),
        length: buffer.len(),
    };
    let mut control = Control([0; CMSG_HEADER + FDS_MAX * 4]);
    let mut header = MsgHdr {
        name: core::ptr::null_mut(),
        name_length: 0,
        iov: &raw mut iov,
        iov_count: 1,
        control: (&raw mut control.0).cast(),
        control_length: control.0.len(),
        flags: 0,
    };
    // SAFETY: everything the header points to outlives the call.
    let length = unsafe {
        call(
            nr::RECVMSG,
            [
                socket as usize,
                &raw mut header as usize,
                (flags | MSG_CMSG_CLOEXEC) as usize,
                0,
                0,
                0,
            ],
        )
    }?;
    collect_fds(&control.0, header.control_length, fds);
    Ok(length)
}

fn collect_fds(control: &[u8], length: usize, fds: &mut Vec<i32>) {
    let word = |at: usize| {
        u32::from_ne_bytes([
            control[at],
            control[at + 1],
            control[at + 2],
            control[at + 3],
        ])
    };
    if length < CMSG_HEADER || word(8) != SOL_SOCKET || word(12) != SCM_RIGHTS {
        return;
    }
    let end = (word(0) as usize).min(length);
    fds.extend(
        (CMSG_HEADER..end)
            .step_by(4)
            .filter(|at| at + 4 <= end)
            .map(|at| word(at) as i32),
    );
}

/// Sends one message with descriptors, in one piece or not at all.
pub fn send(socket: i32, bytes: &[u8], fds: &[i32], flags: i32) -> Result<usize, Errno> {
    if fds.len() > FDS_MAX {
        return Err(EINVAL);
    }
    let mut iov = IoVec {
        base: bytes.as_ptr().cast_mut().cast(),
        length: bytes.len(),
    };
    let mut control = Control([0; CMSG_HEADER + FDS_MAX * 4]);
    let used = CMSG_HEADER + fds.len() * 4;
    control.0[..8].copy_from_slice(&(used as u64).to_ne_bytes());
    control.0[8..12].copy_from_slice(&SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&SCM_RIGHTS.to_ne_bytes());
    for (place, fd) in control.0[CMSG_HEADER..].chunks_exact_mut(4).zip(fds) {
        place.copy_from_slice(&fd.to_ne_bytes());
    }
    let (control, control_length) = match fds {
        [] => (core::ptr::null_mut(), 0),
        // The kernel wants the length rounded up to its alignment at most, and takes it exact.
        _ => ((&raw mut control.0).cast(), used),
    };
    let header = MsgHdr {
        name: core::ptr::null_mut(),
        name_length: 0,
        iov: &raw mut iov,
        iov_count: 1,
        control,
        control_length,
        flags: 0,
    };
    // SAFETY: everything the header points to outlives the call.
    unsafe {
        call(
            nr::SENDMSG,
            [
                socket as usize,
                &raw const header as usize,
                (flags | MSG_NOSIGNAL) as usize,
                0,
                0,
                0,
            ],
        )
    }
}

#[repr(C)]
struct LandlockRuleset {
    fs: u64,
    net: u64,
    scoped: u64,
}

/// The newest Landlock ABI the kernel speaks; 0 where there is none.
pub fn landlock_abi() -> u32 {
    const VERSION: usize = 1;
    // SAFETY: the version query takes no pointer.
    unsafe { call(shared_nr::LANDLOCK_CREATE_RULESET, [0, 0, VERSION, 0, 0, 0]) }
        .map_or(0, |abi| abi as u32)
}

/// How much of `landlock_ruleset_attr` an ABI knows.
pub fn landlock_ruleset_size(abi: u32) -> usize {
    match abi {
        0..4 => 8,
        4..6 => 16,
        _ => 24,
    }
}

/// A ruleset that handles these rights; `size` says how much of the struct this ABI knows.
pub fn landlock_ruleset(fs: u64, scoped: u64, abi: u32) -> Result<i32, Errno> {
    let ruleset = LandlockRuleset { fs, net: 0, scoped };
    let size = landlock_ruleset_size(abi);
    // SAFETY: `size` is within the struct.
    unsafe {
        call(
            shared_nr::LANDLOCK_CREATE_RULESET,
            [&raw const ruleset as usize, size, 0, 0, 0, 0],
        )
    }
    .map(|fd| fd as i32)
}

/// Allows `fs` rights beneath the directory or file behind `parent`.
pub fn landlock_allow(ruleset: i32, parent: i32, fs: u64) -> Result<usize, Errno> {
    #[repr(C, packed)]
    struct PathBeneath {
        allowed: u64,
        parent: i32,
    }
    const PATH_BENEATH: usize = 1;
    let rule = PathBeneath {
        allowed: fs,
        parent,
    };
    // SAFETY: the kernel's packed layout.
    unsafe {
        call(
            shared_nr::LANDLOCK_ADD_RULE,
            [
                ruleset as usize,
                PATH_BENEATH,
                &raw const rule as usize,
                0,
                0,
                0,
            ],
        )
    }
}
