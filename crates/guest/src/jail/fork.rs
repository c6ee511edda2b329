//! The zygote's way to make a process: a copy of itself, with everything loaded that it has.
//!
//! The copy finds its own way into the jail, and says itself how that went, so that the zygote
//! need not wait for it.

use super::{
    entry::{self, Entry},
    ghost::{self, Ghost, Locks, Split},
    message::{Configuration, Failure, Report, Start, Step},
    process::{self, ThreadId},
    station::{Born, Maker},
    sys::{self, Errno},
};

/// What an interpreter wants done around a fork.
pub trait Interpreter {
    fn before_fork(&mut self);
    fn after_fork_in_parent(&mut self);
    fn after_fork_in_child(&mut self);
}

/// Makes environments by forking.
pub struct Fork<I> {
    pub socket: i32,
    /// Without it, forks are made with the C library's knowledge, which takes longer.
    pub thread_id: Option<ThreadId>,
    pub interpreter: I,
    /// What copies are made of that are not the zygote's own.
    pub ghost: Option<Ghost>,
}

impl<I: Interpreter> Maker for Fork<I> {
    fn make(
        &mut self,
        _: &Configuration,
        start: &Start,
        mut entry: Entry<'_>,
    ) -> Result<Born, Failure> {
        self.interpreter.before_fork();
        let made = match self.thread_id {
            // SAFETY: a station has one thread, whose number the child renews.
            Some(_) => unsafe { process::fork_into(entry.group.filter(|_| !entry.moves)) },
            None => {
                entry.moves = true;
                // SAFETY: a station has one thread.
                unsafe { process::fork_plainly() }
            }
        };
        match made {
            Ok(None) => {
                if let Some(thread_id) = self.thread_id {
                    thread_id.renew();
                }
                self.enter(start.id, &entry);
                self.interpreter.after_fork_in_child();
                Ok(Born::Child)
            }
            Ok(Some(pid)) => {
                self.interpreter.after_fork_in_parent();
                Ok(Born::Reporting { pid })
            }
            Err(errno) => {
                self.interpreter.after_fork_in_parent();
                Err(Failure {
                    step: Step::Clone,
                    errno: errno.0,
                    program: 0,
                })
            }
        }
    }

    fn make_snapshot(&mut self, start: &Start, entry: Entry<'_>) -> Result<Born, Failure> {
        let aside = |errno| ghost::failure(Step::Aside, errno);
        // One at a time; and without its place the child's number could not be renewed.
        let (None, Some(thread_id)) = (&self.ghost, self.thread_id) else {
            return Err(aside(sys::EINVAL));
        };
        self.interpreter.before_fork();
        // SAFETY: a station has one thread, whose number the child renews.
        match unsafe { Ghost::split(&entry) } {
            Ok(Split::First) => {
                thread_id.renew();
                self.enter(start.id, &entry);
                self.interpreter.after_fork_in_child();
                Ok(Born::Child)
            }
            Ok(Split::Aside(ghost)) => {
                self.interpreter.after_fork_in_parent();
                let (pid, first) = (ghost.pid, ghost.first().unwrap_or_default());
                self.ghost = Some(ghost);
                Ok(Born::Haunted {
                    pid: first,
                    ghost: pid,
                })
            }
            Err(errno) => {
                self.interpreter.after_fork_in_parent();
                Err(aside(errno))
            }
        }
    }

    fn arm(&mut self, pid: i32) -> Result<Option<i32>, Errno> {
        match &mut self.ghost {
            Some(ghost) if ghost.first() == Some(pid) => ghost.arm(),
            _ => Err(sys::EINVAL),
        }
    }

    fn stopped(&mut self, pid: i32, wait_status: i32) -> bool {
        let ghost = self.ghost.as_mut();
        ghost.is_some_and(|ghost| ghost.stopped(pid, wait_status))
    }

    fn settle(&mut self, locks: &Locks<'_>) -> Result<(), Failure> {
        match &mut self.ghost {
            Some(ghost) => ghost.settle(locks),
            None => Err(ghost::failure(Step::Freeze, sys::EINVAL)),
        }
    }

    fn restore(&mut self, entry: Entry<'_>) -> Result<Born, Failure> {
        let Some(ghost) = &self.ghost else {
            return Err(ghost::failure(Step::Restore, sys::EINVAL));
        };
        match ghost.restore(&entry) {
            Ok(pid) => Ok(Born::Parent { pid }),
            Err((failure, usable)) => {
                if !usable {
                    ghost.end();
                }
                Err(failure)
            }
        }
    }

    fn gone(&mut self, pid: i32) {
        self.ghost.take_if(|ghost| ghost.pid == pid);
    }
}

impl<I> Fork<I> {
    /// Into the jail, or out of the world.
    fn enter(&self, id: u32, entry: &Entry<'_>) {
        match entry::enter(entry) {
            Ok(()) => self.report(&Report::Started { id }, &[entry.init]),
            Err((step, errno)) => {
                let failure = Failure {
                    step,
                    errno: errno.0,
                    program: 0,
                };
                self.report(&Report::NotStarted { id, failure }, &[]);
                sys::exit_group(127);
            }
        }
        // An executed program would lose them by itself.
        let _ = sys::close_range(3, u32::MAX, 0);
        // A change of identity made the process a secret to itself, /proc/self included.
        let _ = sys::prctl(sys::PR_SET_DUMPABLE, 1);
    }

    fn report(&self, report: &Report, fds: &[i32]) {
        let _ = sys::send(self.socket, &report.encode(), fds, 0);
    }
}
