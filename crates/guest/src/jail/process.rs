//! Making processes with `clone3`: born on a stack of their own, or as a copy, and straight into a
//! control group.
//!
//! Birth in a group matters: to move a process into one afterwards the kernel waits until no
//! process anywhere is being made or ended, which takes milliseconds.

use core::{
    arch::asm,
    ffi::{c_int, c_void},
};

use super::sys::{self, Errno, SIGCHLD};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[cfg(target_arch = "x86_64")]
const EXIT_GROUP: usize = 231;
#[cfg(target_arch = "aarch64")]
const EXIT_GROUP: usize = 94;
const CLONE3: usize = 435;

/// The kernel's `struct clone_args`.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl Arguments {
    fn new(flags: c_int, group: Option<i32>) -> Self {
        let into = if group.is_some() {
            CLONE_INTO_CGROUP
        } else {
            0
        };
        Arguments {
            flags: flags as u64 | into,
            exit_signal: SIGCHLD as u64,
            cgroup: group.unwrap_or(0) as u64,
            ..Arguments::default()
        }
    }
}

/// What the new process runs; what it returns is its exit status.
pub type Main = extern "C" fn(*mut c_void) -> c_int;

/// Makes a process that runs `main`. Returns its pid and, with `CLONE_PIDFD`, a pidfd.
///
/// # Safety
/// With `CLONE_VM` the child shares memory: `main` must not use what the parent uses at the same
/// time, and `stack` must stay the child's until it is gone.
pub unsafe fn clone_on(
    main: Main,
    stack: *mut [u128],
    flags: c_int,
    argument: *mut c_void,
    group: Option<i32>,
) -> Result<(i32, i32), Errno> {
    let mut pidfd: c_int = -1;
    let mut arguments = Arguments::new(flags, group);
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.stack = stack.cast::<u8>() as u64;
    arguments.stack_size = (stack.len() * size_of::<u128>()) as u64;
    // SAFETY: the arguments are the kernel's layout and live; the rest is as the caller promises.
    let pid = unsafe { enter_clone(&arguments, main, argument) }?;
    Ok((pid as i32, pidfd))
}

/// The call, and in the child the way to `main`: on a fresh stack there is nothing to return to.
#[cfg(target_arch = "x86_64")]
unsafe fn enter_clone(
    arguments: &Arguments,
    main: Main,
    argument: *mut c_void,
) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention. The child leaves through exit_group.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            exit = const EXIT_GROUP,
            inlateout("rax") CLONE3 as isize => result,
            in("rdi") core::ptr::from_ref(arguments),
            in("rsi") size_of::<Arguments>(),
            in("r12") main,
            in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    sys::outcome(result)
}

/// The call, and in the child the way to `main`: on a fresh stack there is nothing to return to.
#[cfg(target_arch = "aarch64")]
unsafe fn enter_clone(
    arguments: &Arguments,
    main: Main,
    argument: *mut c_void,
) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention. The child leaves through exit_group.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x21",
            "blr x20",
            "mov x8, {exit}",
            "svc 0",
            "brk 1",
            "2:",
            exit = const EXIT_GROUP,
            in("x8") CLONE3,
            inlateout("x0") core::ptr::from_ref(arguments) as isize => result,
            in("x1") size_of::<Arguments>(),
            in("x20") main,
            in("x21") argument,
            lateout("x30") _,
        );
    }
    sys::outcome(result)
}

/// Makes a copy of the calling process. The copy gets `None`.
///
/// # Safety
/// The C library does not learn of it: the caller has one thread, and makes good what the library
/// keeps of the thread's identity (see [`ThreadId`]).
pub unsafe fn fork_into(group: Option<i32>) -> Result<Option<i32>, Errno> {
    let arguments = Arguments::new(0, group);
    let place = core::ptr::from_ref(&arguments) as usize;
    // SAFETY: the kernel's layout; without a stack both return from here.
    let pid = unsafe { sys::call(CLONE3, [place, size_of::<Arguments>(), 0, 0, 0, 0]) }?;
    Ok((pid != 0).then_some(pid as i32))
}

unsafe extern "C" {
    fn pthread_self() -> *mut c_void;
    fn fork() -> i32;
}

/// Where the C library keeps the calling thread's number.
///
/// Its own `fork` renews it; where we fork without the library, we must, or a later thread could
/// be taken for this one. The place is no interface, so it is found by watching the library: what
/// held the parent's number and holds the child's after its `fork` is it.
#[derive(Clone, Copy)]
pub struct ThreadId(*mut i32);

impl ThreadId {
    /// How much of the library's thread record is looked at, in words.
    const WORDS: usize = 256;

    /// `None` if it cannot be found for sure. The caller has one thread.
    pub fn find() -> Option<Self> {
        let own = sys::gettid();
        // SAFETY: the library's record of this thread, which is far larger than what is read.
        let base: *mut i32 = unsafe { pthread_self() }.cast();
        // SAFETY: see above.
        let holds = |at: usize, value: i32| unsafe { base.add(at).read_volatile() } == value;
        let candidates: Vec<usize> = (0..Self::WORDS).filter(|at| holds(*at, own)).collect();
        // SAFETY: one thread, so the child is whole. It only looks and ends.
        let child = unsafe { fork() };
        if child == 0 {
            let own = sys::gettid();
            let mut renewed = (1..).zip(&candidates).filter(|(_, at)| holds(**at, own));
            let found = match (renewed.next(), renewed.next()) {
                (Some((number, _)), None) => number,
                _ => 0,
            };
            sys::exit_group(found);
        }
        let (_, status) = sys::wait4(child, 0).ok()??;
        let number = usize::try_from(status >> 8)
            .ok()
            .filter(|_| status & 0xff == 0)?;
        // SAFETY: within the record.
        Some(ThreadId(unsafe {
            base.add(*candidates.get(number.checked_sub(1)?)?)
        }))
    }

    /// To be called in a copy of the process.
    pub fn renew(self) {
        // SAFETY: the place that the library itself writes to after a fork.
        unsafe { self.0.write_volatile(sys::gettid()) };
    }
}

/// Forks with the library's knowledge, for where its record was not found.
///
/// # Safety
/// The caller has one thread.
pub unsafe fn fork_plainly() -> Result<Option<i32>, Errno> {
    // SAFETY: as the caller promises.
    match unsafe { fork() } {
        -1 => Err(sys::EAGAIN),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_on_its_own_stack() {
        extern "C" fn main(argument: *mut c_void) -> c_int {
            // SAFETY: the parent passes a number and waits.
            unsafe { *argument.cast::<i32>() + 1 }
        }
        let mut stack = vec![0u128; 1024];
        let mut number = 41;
        let flags = sys::CLONE_VM | sys::CLONE_VFORK;
        // SAFETY: the parent sleeps until the child is gone.
        let made = unsafe {
            clone_on(
                main,
                &raw mut stack[..],
                flags,
                (&raw mut number).cast(),
                None,
            )
        };
        let (pid, _) = made.expect("a process");
        assert_eq!(sys::wait4(pid, 0), Ok(Some((pid, 42 << 8))));
    }
}
