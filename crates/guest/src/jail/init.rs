//! Process 1 of an environment, and the ground it prepares.
//!
//! A function's process must not be process 1 itself: the kernel ignores signals that process 1
//! sends itself (so `abort` and self-kill would behave unlike Lambda), and orphans would pile up
//! as zombies. So each environment has a tiny init. It shares the memory of its station (a few
//! kilobytes of stack are its own), never runs foreign code, holds no descriptor, and belongs to
//! an identity that the function cannot signal, trace or read. When it ends, the kernel kills
//! every other process of the environment.
//!
//! It is made before there is an environment to move in: the namespaces and the mounts of `/tmp`
//! and `/proc` are its work, so that a start finds them done.

use core::{
    ffi::{CStr, c_int, c_void},
    mem::MaybeUninit,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    message::Step,
    process,
    sys::{self, Errno, SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2},
};

const STACK_SIZE: usize = 16 * 1024;

/// Stops all other processes of the environment.
pub const STOP: i32 = SIGUSR1;
/// Undoes that.
pub const CONTINUE: i32 = SIGUSR2;
/// Asks them to end.
pub const TERMINATE: i32 = SIGTERM;

/// Everything that an environment's first process enters from its init.
pub const NAMESPACES: c_int =
    sys::CLONE_NEWNS | sys::CLONE_NEWIPC | sys::CLONE_NEWUTS | sys::CLONE_NEWCGROUP;

/// An init and its namespaces, empty until an environment moves in.
pub struct Init {
    pub pid: i32,
    pub pidfd: i32,
    ground: Box<Ground>,
}

/// What the init needs while it lives; its owner keeps it until the init has been reaped.
pub struct Ground {
    stack: [MaybeUninit<u128>; STACK_SIZE / size_of::<u128>()],
    tmp_options: *const CStr,
    state: AtomicU32,
    failed: (Step, Errno),
}

const MAKING: u32 = 0;
const READY: u32 = 1;
const FAILED: u32 = 2;

impl Init {
    /// Makes an init. `tmp_options` is used until it is ready.
    pub fn make(tmp_options: &CStr, ground: Option<Box<Ground>>) -> Result<Self, (Step, Errno)> {
        let mut ground = ground.unwrap_or_else(Ground::new);
        ground.tmp_options = tmp_options;
        ground.state = AtomicU32::new(MAKING);
        let flags = sys::CLONE_VM | sys::CLONE_NEWPID | sys::CLONE_PIDFD | NAMESPACES;
        let ground_pointer: *mut Ground = &mut *ground;
        // SAFETY: the ground is on the heap and stays there until the init has been reaped.
        let stack: *mut [MaybeUninit<u128>] = unsafe { &raw mut (*ground_pointer).stack };
        // SAFETY: `main` makes system calls through registers, on a stack of its own, and touches
        // no memory but its ground.
        let made = unsafe {
            process::clone_on(
                main,
                stack as *mut [u128],
                flags,
                ground_pointer.cast(),
                None,
            )
        };
        let (pid, pidfd) = made.map_err(|errno| (Step::Init, errno))?;
        Ok(Init { pid, pidfd, ground })
    }

    /// Waits until everything is mounted, which it mostly is already.
    pub fn wait_ready(&self) -> Result<(), (Step, Errno)> {
        sys::futex_wait(&self.ground.state, MAKING);
        match self.ground.state.load(Ordering::Acquire) {
            READY => Ok(()),
            _ => Err(self.ground.failed),
        }
    }

    /// Once it has been reaped, its memory serves another.
    pub fn into_ground(self) -> Box<Ground> {
        self.ground
    }
}

impl Ground {
    fn new() -> Box<Self> {
        let mut ground = Box::<Self>::new_uninit();
        let pointer = ground.as_mut_ptr();
        // SAFETY: all fields but the stack are written, and that may hold anything: it is left as
        // it is so that only what is used of it takes memory.
        unsafe {
            (&raw mut (*pointer).tmp_options).write(c"");
            (&raw mut (*pointer).state).write(AtomicU32::new(FAILED));
            (&raw mut (*pointer).failed).write((Step::Init, sys::EINVAL));
            ground.assume_init()
        }
    }
}

extern "C" fn main(ground: *mut c_void) -> c_int {
    sys::set_signal_mask(!0);
    let _ = sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize);
    let _ = sys::close_range(0, u32::MAX, 0);
    sys::set_name(c"init");
    let ground: *mut Ground = ground.cast();
    // SAFETY: `make` passes a ground that outlives this process, and reads `failed` only after
    // `state` says so.
    unsafe {
        let state = match mount(&*(*ground).tmp_options) {
            Ok(()) => READY,
            Err(failed) => {
                (*ground).failed = failed;
                FAILED
            }
        };
        sys::futex_set(&(*ground).state, state);
    }
    watch()
}

fn mount(tmp_options: &CStr) -> Result<(), (Step, Errno)> {
    let flags = sys::MS_NOSUID | sys::MS_NODEV;
    sys::mount(c"tmpfs", c"/tmp", flags, tmp_options).map_err(|errno| (Step::Tmp, errno))?;
    let flags = flags | sys::MS_NOEXEC;
    sys::mount(c"proc", c"/proc", flags, c"hidepid=2").map_err(|errno| (Step::Proc, errno))?;
    Ok(())
}

/// Reaps orphans; stops and continues everybody where there is no freezer.
fn watch() -> ! {
    let wanted = [SIGCHLD, STOP, CONTINUE, TERMINATE];
    let wanted = wanted
        .into_iter()
        .fold(0, |all, one| all | sys::signal_bit(one));
    loop {
        match sys::wait_signal(wanted) {
            Ok(SIGCHLD) => while let Ok(Some(_)) = sys::wait4(-1, sys::WNOHANG) {},
            // To all processes of this namespace but this one.
            Ok(STOP) => {
                let _ = sys::kill(-1, sys::SIGSTOP);
            }
            Ok(CONTINUE) => {
                let _ = sys::kill(-1, sys::SIGCONT);
            }
            Ok(TERMINATE) => {
                let _ = sys::kill(-1, SIGTERM);
            }
            _ => {}
        }
    }
}
