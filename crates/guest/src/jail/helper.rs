//! Executing a helper of ours beside the station: an interpreter that will be a station itself.
//! It has the station's rights and root, but none of the user's code or variables.

use core::ffi::{c_char, c_int, c_void};
use std::ffi::CString;

use super::{
    message::Program,
    process,
    sys::{self, Errno},
};

const STACK_SIZE: usize = 16 * 1024;
/// Where the helper finds its socket.
pub const SOCKET: i32 = 3;

struct Launch {
    path: *const c_char,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    socket: i32,
}

/// Starts it as a child of the caller; returns its pid. That it could not be executed shows in
/// its end.
pub fn launch(program: &Program, environment: &[CString], socket: i32) -> Result<i32, Errno> {
    let mut launch = Launch {
        path: program.path.as_ptr(),
        arguments: null_terminated(&program.arguments),
        environment: null_terminated(environment),
        socket,
    };
    let mut stack = vec![0u128; STACK_SIZE / size_of::<u128>()];
    let flags = sys::CLONE_VM | sys::CLONE_VFORK;
    // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so the child
    // alone uses `launch` and the stack meanwhile.
    let made = unsafe {
        process::clone_on(
            child,
            &raw mut stack[..],
            flags,
            (&raw mut launch).cast(),
            None,
        )
    };
    made.map(|(pid, _)| pid)
}

fn null_terminated(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([core::ptr::null()])
        .collect()
}

extern "C" fn child(launch: *mut c_void) -> c_int {
    // SAFETY: `launch` passes a `Launch` and is suspended.
    let launch = unsafe { &*launch.cast::<Launch>() };
    let _ = sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize);
    sys::set_signal_mask(0);
    if launch.socket == SOCKET {
        return 127; // The station's own is there; this cannot be.
    }
    if sys::dup3(launch.socket, SOCKET, 0).is_err() {
        return 127;
    }
    // SAFETY: null-terminated arrays of terminated strings.
    let _ = unsafe {
        sys::execve(
            launch.path,
            launch.arguments.as_ptr(),
            launch.environment.as_ptr(),
        )
    };
    127
}
