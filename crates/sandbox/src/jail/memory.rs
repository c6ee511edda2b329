//! The memory limit, where `/tmp` is memory too.
//!
//! In Lambda `/tmp` is a disk: a function of 128 MB may write 512 MB to it. Here it is a tmpfs,
//! whose pages the kernel charges to the environment's control group. So the group's hard limit is
//! memory plus `/tmp`, and what the function itself uses is watched: when the group's total reaches
//! the memory size an alarm rings, and if `/tmp` and page cache are not the reason, the environment
//! is killed as out of memory, as the kernel would. If they are, the alarm is set anew, as far up
//! as there is room left. A late answer lets a function have a little more for a moment; it never
//! kills one that is within its limits.
//!
//! To the kernel memory shared between processes is a tmpfs too; only `/tmp` itself says how much
//! of it is in `/tmp`.
//!
//! One thread sleeps on all alarms. An alarm belongs to a slot and outlives environments, so that
//! starting one costs nothing here.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::environment::Environment;
use crate::cgroup::{Alarm, Groups, MemoryUse, Slot as Number};

/// The alarm is set at multiples of this, and never closer above the present use.
const STEP_BYTES: u64 = 4 << 20;
const EVENTS_AT_A_TIME: usize = 64;

/// Watches the memory of all environments. Dropped, it stops.
pub struct MemoryWatch {
    shared: Arc<Shared>,
}

struct Shared {
    epoll: OwnedFd,
    /// Ends the thread.
    end: OwnedFd,
    watched: Mutex<HashMap<Number, Watched>>,
}

struct Watched {
    alarm: Arc<Alarm>,
    groups: Weak<dyn Groups>,
    limit_bytes: u64,
    environment: Weak<Environment>,
    /// Where else the alarm has been set since the environment began, in steps of
    /// [`STEP_BYTES`]. Version 1 keeps every mark, so each is set once: a function that goes up
    /// and down between two must not make them pile up.
    marks: BTreeSet<u64>,
}

const END: u64 = u64::MAX;

impl MemoryWatch {
    pub fn start() -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: takes numbers only.
        let end = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let shared = Arc::new(Shared {
            epoll,
            end,
            watched: Mutex::default(),
        });
        shared.add(&shared.end, END)?;
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("memory-watch".into())
            .spawn(move || thread.run())?;
        Ok(MemoryWatch { shared })
    }

    /// Listens for a slot's new alarm from now on, and sets it. That is done in the background:
    /// in version 1 the kernel waits until all readers of the old marks are gone, which takes
    /// milliseconds, and a start need not. What happens until then is looked at afterwards.
    pub fn add(
        &self,
        slot: Number,
        alarm: &Arc<Alarm>,
        groups: &Arc<dyn Groups>,
        bytes: u64,
    ) -> io::Result<()> {
        self.shared.add(alarm.fd(), u64::from(slot))?;
        let (shared, groups, alarm) = (self.shared.clone(), groups.clone(), alarm.clone());
        tokio::task::spawn_blocking(move || match groups.set_alarm(slot, &alarm, bytes) {
            Ok(()) => shared.look(slot, &alarm),
            // The slot may be gone already.
            Err(error) => tracing::debug!("set a memory alarm: {error}"),
        });
        Ok(())
    }

    /// The environment that moves into `slot`.
    pub fn begin(
        &self,
        slot: Number,
        alarm: Arc<Alarm>,
        groups: &Arc<dyn Groups>,
        limit_bytes: u64,
        environment: &Arc<Environment>,
    ) {
        let watched = Watched {
            alarm,
            groups: Arc::downgrade(groups),
            limit_bytes,
            environment: Arc::downgrade(environment),
            marks: BTreeSet::new(),
        };
        self.shared.lock().insert(slot, watched);
    }

    /// The environment is gone. The slot's alarm, if it is still set as it was.
    pub fn end(&self, slot: Number) -> Option<Arc<Alarm>> {
        let watched = self.shared.lock().remove(&slot)?;
        watched.marks.is_empty().then_some(watched.alarm)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        let _ = guest::jail::sys::write(self.shared.end.as_raw_fd(), &1u64.to_ne_bytes());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Number, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, fd: &OwnedFd, key: u64) -> io::Result<()> {
        // Version 1 rings with an eventfd (readable), version 2 with a changed file (priority).
        let events = (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: key };
        // SAFETY: an event that lives through the call.
        let added = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &raw mut event,
            )
        };
        if added == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    fn run(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_AT_A_TIME];
        loop {
            // SAFETY: room for as many events as said.
            let count = unsafe {
                libc::epoll_wait(
                    self.epoll.as_raw_fd(),
                    events.as_mut_ptr(),
                    EVENTS_AT_A_TIME as i32,
                    -1,
                )
            };
            let count = usize::try_from(count).unwrap_or(0);
            for event in &events[..count] {
                match event.u64 {
                    END => return,
                    slot => self.ring(slot as Number),
                }
            }
        }
    }

    /// What may have happened before the alarm was set.
    fn look(&self, slot: Number, alarm: &Arc<Alarm>) {
        let table = self.lock();
        let Some(watched) = table
            .get(&slot)
            .filter(|one| Arc::ptr_eq(&one.alarm, alarm))
        else {
            return;
        };
        let limit_bytes = watched.limit_bytes;
        let used = watched
            .groups
            .upgrade()
            .and_then(|groups| groups.memory_use(slot));
        drop(table);
        if used.is_some_and(|used| used.total_bytes > limit_bytes) {
            self.ring(slot);
        }
    }

    fn ring(&self, slot: Number) {
        let mut table = self.lock();
        let Some(watched) = table.get_mut(&slot) else {
            return;
        };
        watched.alarm.clear();
        let (Some(environment), Some(groups)) =
            (watched.environment.upgrade(), watched.groups.upgrade())
        else {
            return;
        };
        let Some(used) = groups.memory_use(slot) else {
            return;
        };
        match judge(used, environment.tmp_bytes(), watched.limit_bytes) {
            Judgement::OutOfMemory => {
                drop(table);
                environment.kill_for_memory();
            }
            Judgement::WatchFrom(bytes) => {
                if !watched.marks.insert(bytes / STEP_BYTES) && groups.keeps_alarms() {
                    return;
                }
                if let Err(error) = groups.set_alarm(slot, &watched.alarm, bytes) {
                    tracing::warn!("set a memory alarm: {error}");
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    OutOfMemory,
    /// Look again when the total has come this far.
    WatchFrom(u64),
}

/// `tmp_bytes` is what is in `/tmp`; if that is not known, everything that could be.
fn judge(used: MemoryUse, tmp_bytes: Option<u64>, limit_bytes: u64) -> Judgement {
    let own_bytes = used.own_bytes(tmp_bytes.unwrap_or(used.shared_bytes));
    if own_bytes > limit_bytes {
        return Judgement::OutOfMemory;
    }
    let room = (limit_bytes - own_bytes).max(STEP_BYTES);
    let mark = (used.total_bytes + room).max(limit_bytes);
    Judgement::WatchFrom(mark.next_multiple_of(STEP_BYTES))
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// With this much page cache, this much in `/tmp`, and this much shared between processes.
    fn judge_mb(total: u64, cache: u64, tmp: u64, shared: u64) -> Judgement {
        let used = MemoryUse {
            total_bytes: total * MB,
            files_bytes: (cache + tmp + shared) * MB,
            shared_bytes: (tmp + shared) * MB,
        };
        judge(used, Some(tmp * MB), 128 * MB)
    }

    #[test]
    fn what_a_function_itself_uses_counts() {
        assert_eq!(judge_mb(129, 0, 0, 0), Judgement::OutOfMemory);
        assert_eq!(judge_mb(640, 0, 511, 0), Judgement::OutOfMemory);
    }

    #[test]
    fn what_its_processes_share_counts() {
        assert_eq!(judge_mb(129, 0, 0, 100), Judgement::OutOfMemory);
        assert_eq!(judge_mb(640, 300, 211, 100), Judgement::OutOfMemory);
        assert_eq!(
            judge_mb(600, 0, 500, 72),
            Judgement::WatchFrom(628 * MB),
            "28 of its own and 72 shared"
        );
    }

    #[test]
    fn its_tmp_does_not() {
        assert_eq!(judge_mb(600, 0, 572, 0), Judgement::WatchFrom(700 * MB));
        assert_eq!(judge_mb(600, 472, 0, 0), Judgement::WatchFrom(604 * MB));
    }

    #[test]
    fn what_cannot_be_told_apart_is_its_tmp() {
        let used = MemoryUse {
            total_bytes: 600 * MB,
            files_bytes: 572 * MB,
            shared_bytes: 572 * MB,
        };
        let judgement = judge(used, None, 128 * MB);
        assert_eq!(judgement, Judgement::WatchFrom(700 * MB));
    }

    #[test]
    fn the_alarm_is_never_below_the_limit() {
        assert_eq!(judge_mb(20, 0, 0, 0), Judgement::WatchFrom(128 * MB));
    }

    #[test]
    fn there_are_few_marks() {
        let marks: BTreeSet<u64> = (100..640)
            .filter_map(|total| match judge_mb(total, total - 1, 0, 0) {
                Judgement::WatchFrom(bytes) => Some(bytes),
                Judgement::OutOfMemory => None,
            })
            .collect();
        assert!(marks.len() <= 640 / 4, "{}", marks.len());
    }
}
