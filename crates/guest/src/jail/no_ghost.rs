//! Snapshots, where there are none: the same face, and a refusal.

use super::{
    entry::Entry,
    message::{Failure, Step},
    sys::Errno,
};

const NOT_IMPLEMENTED: Errno = Errno(38);

pub struct Ghost {
    pub pid: i32,
}

pub enum Split {
    Aside(Ghost),
    First,
}

/// What is the same in all entries of a station.
pub struct Locks<'a> {
    pub landlock_abi: u32,
    pub seccomp: &'a [u64],
    pub tasks_max: u64,
}

impl Ghost {
    /// # Safety
    /// None is needed.
    pub unsafe fn split(_: &Entry<'_>) -> Result<Split, Errno> {
        Err(NOT_IMPLEMENTED)
    }

    pub fn first(&self) -> Option<i32> {
        None
    }

    pub fn arm(&mut self) -> Result<Option<i32>, Errno> {
        Err(NOT_IMPLEMENTED)
    }

    pub fn stopped(&mut self, _: i32, _: i32) -> bool {
        false
    }

    pub fn settle(&mut self, _: &Locks<'_>) -> Result<(), Failure> {
        Err(failure(Step::Freeze, NOT_IMPLEMENTED))
    }

    pub fn restore(&self, _: &Entry<'_>) -> Result<i32, (Failure, bool)> {
        Err((failure(Step::Restore, NOT_IMPLEMENTED), true))
    }

    pub fn end(&self) {}
}

pub fn failure(step: Step, errno: Errno) -> Failure {
    Failure {
        step,
        errno: errno.0,
        program: 0,
    }
}
