//! Process 1 of an environment.
//!
//! A function's process must not be process 1 itself: the kernel ignores signals that process 1
//! sends itself (so `abort` and self-kill would behave unlike Lambda), and orphans would pile up
//! as zombies. So each environment has a tiny init. It shares the memory of its station (a few
//! kilobytes of stack are its own), never runs foreign code, holds no descriptor, and belongs to
//! an identity that the function cannot signal, trace or read. When it ends, the kernel kills
//! every other process of the environment.

use core::ffi::{c_int, c_void};

use super::sys::{self, Errno, SIGCHLD, SIGUSR1, SIGUSR2};

const STACK_SIZE: usize = 16 * 1024;

/// A process namespace with its init, empty until an environment moves in.
pub struct Init {
    pub pid: i32,
    pub pidfd: i32,
    pub stack: Stack,
}

/// The init's stack; its owner keeps it until the init has been reaped.
pub struct Stack(Box<[u128]>);

impl Stack {
    pub fn new() -> Self {
        Stack(vec![0; STACK_SIZE / size_of::<u128>()].into_boxed_slice())
    }

    fn top(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a process namespace.
pub fn make(mut stack: Stack) -> Result<Init, Errno> {
    let flags = sys::CLONE_VM | sys::CLONE_NEWPID | sys::CLONE_PIDFD | SIGCHLD;
    // SAFETY: `main` only makes system calls through registers and its own stack, which lives in
    // `Init` until the process has been reaped.
    let (pid, pidfd) = unsafe { sys::clone_on(main, stack.top(), flags, core::ptr::null_mut()) }?;
    Ok(Init { pid, pidfd, stack })
}

extern "C" fn main(_: *mut c_void) -> c_int {
    sys::set_signal_mask(!0);
    let _ = sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize);
    let _ = sys::close_range(0, u32::MAX, 0);
    sys::set_name(c"init");
    let wanted = sys::signal_bit(SIGCHLD) | sys::signal_bit(SIGUSR1) | sys::signal_bit(SIGUSR2);
    loop {
        match sys::wait_signal(wanted) {
            Ok(SIGCHLD) => while let Ok(Some(_)) = sys::wait4(-1, sys::WNOHANG) {},
            // To all processes of this namespace but this one.
            Ok(SIGUSR1) => {
                let _ = sys::kill(-1, sys::SIGSTOP);
            }
            Ok(SIGUSR2) => {
                let _ = sys::kill(-1, sys::SIGCONT);
            }
            _ => {}
        }
    }
}
