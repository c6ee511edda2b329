//! The spawner's way to make a process: `clone` with borrowed memory, then `exec`. No page table
//! is copied, so it costs the same however large anything is.

use core::ffi::{c_char, c_int, c_void};
use std::ffi::CString;

use super::{
    entry::{self, Entry},
    message::{Configuration, Failure, Program, Start, Step},
    process,
    station::{Born, Maker},
    sys::{self, Errno},
};

const STACK_SIZE: usize = 64 * 1024;

/// Makes environments by executing the configured programs.
pub struct Exec {
    stack: Box<[u128]>,
}

impl Exec {
    pub fn new() -> Self {
        Exec {
            stack: vec![0; STACK_SIZE / size_of::<u128>()].into_boxed_slice(),
        }
    }
}

impl Default for Exec {
    fn default() -> Self {
        Self::new()
    }
}

/// What the child works on, in the memory it shares with the suspended parent.
struct Birth<'a> {
    entry: Entry<'a>,
    programs: &'a [(*const c_char, Vec<*const c_char>)],
    environment: &'a [*const c_char],
    failure: Option<Failure>,
}

impl Maker for Exec {
    fn make(
        &mut self,
        configuration: &Configuration,
        start: &Start,
        entry: Entry<'_>,
    ) -> Result<Born, Failure> {
        let programs: Vec<_> = configuration.programs.iter().map(pointers).collect();
        let environment =
            null_terminated(configuration.environment.iter().chain(&start.environment));
        let mut birth = Birth {
            entry,
            programs: &programs,
            environment: &environment,
            failure: None,
        };
        let flags = sys::CLONE_VM | sys::CLONE_VFORK;
        let group = birth.entry.group.filter(|_| !birth.entry.moves);
        // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so the
        // child alone uses `birth` and the stack meanwhile.
        let made = unsafe {
            process::clone_on(
                child,
                &raw mut self.stack[..],
                flags,
                (&raw mut birth).cast(),
                group,
            )
        };
        let (pid, _) = made.map_err(|errno| Failure {
            step: Step::Clone,
            errno: errno.0,
            program: 0,
        })?;
        match birth.failure {
            None => Ok(Born::Parent { pid }),
            Some(failure) => {
                let _ = sys::wait4(pid, 0);
                Err(failure)
            }
        }
    }
}

fn pointers(program: &Program) -> (*const c_char, Vec<*const c_char>) {
    (
        program.path.as_ptr(),
        null_terminated(program.arguments.iter()),
    )
}

fn null_terminated<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*const c_char> {
    strings
        .map(|string| string.as_ptr())
        .chain([core::ptr::null()])
        .collect()
}

extern "C" fn child(birth: *mut c_void) -> c_int {
    // SAFETY: `make` passes a `Birth` and is suspended.
    let birth = unsafe { &mut *birth.cast::<Birth<'_>>() };
    birth.failure = Some(match entry::enter(&birth.entry) {
        Err((step, errno)) => Failure {
            step,
            errno: errno.0,
            program: 0,
        },
        Ok(()) => execute(birth),
    });
    127
}

/// Executes the first program that is there; says why not when it comes back.
fn execute(birth: &mut Birth<'_>) -> Failure {
    let mut number = 0;
    for (path, arguments) in birth.programs {
        // Leaving `failure` empty is what tells the parent that `exec` has happened.
        birth.failure = None;
        // SAFETY: null-terminated arrays of terminated strings that outlive the child's need.
        let errno = unsafe { sys::execve(*path, arguments.as_ptr(), birth.environment.as_ptr()) };
        if errno != sys::ENOENT || is_there(*path) {
            return Failure {
                step: Step::Exec,
                errno: errno.0,
                program: number,
            };
        }
        number += 1;
    }
    Failure {
        step: Step::Missing,
        errno: sys::ENOENT.0,
        program: number,
    }
}

/// Tells a program that is not there from one whose own interpreter is not.
fn is_there(path: *const c_char) -> bool {
    // SAFETY: a terminated string from the configuration.
    let path = unsafe { core::ffi::CStr::from_ptr(path) };
    let opened: Result<i32, Errno> = sys::open(path, sys::O_PATH | sys::O_CLOEXEC);
    opened.is_ok_and(|fd| sys::close(fd).is_ok())
}
