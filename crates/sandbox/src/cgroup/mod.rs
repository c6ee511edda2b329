//! Control groups: what limits, freezes and ends an environment's processes.
//!
//! One trait, three layouts:
//! - [`hybrid::Hybrid`]: version 1 controllers for the limits, with a version 2 mount beside them
//!   for `cgroup.freeze` (or the version 1 freezer where there is none);
//! - [`unified::Unified`]: version 2 for everything;
//! - [`nothing::Nothing`]: an ordinary user without delegation.
//!
//! All groups of one running instance lie under one parent, named after it, so that teardown and
//! the sweep of a crashed predecessor are exact. Nothing here touches a group it did not make.

mod detect;
mod files;
pub mod hybrid;
pub mod nothing;
pub mod unified;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

pub use detect::{choose, decode};

/// Lambda gives a function one vCPU's worth of time at this size.
pub const MEMORY_MB_PER_VCPU: u64 = 1_769;
/// The scheduler's accounting period. As short as Lambda's: a function with little CPU is stopped
/// for milliseconds, not for a tenth of a second.
pub const CPU_PERIOD_US: u64 = 20_000;
/// The kernel takes no quota below this.
const CPU_QUOTA_US_MIN: u64 = 1_000;
/// What Lambda gives every function during init.
const BOOST_VCPUS: u64 = 2;
/// Processes and threads of one environment, as in Lambda.
pub const TASKS_MAX: u64 = 1_024;

/// The group of one slot.
pub type Slot = u32;

/// How much CPU time an environment may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// Until init is done.
    Boost { memory_mb: u32 },
    /// By memory size.
    Share { memory_mb: u32 },
}

impl Cpu {
    pub fn quota_us(self) -> u64 {
        let share = |memory_mb| {
            (CPU_PERIOD_US * u64::from(memory_mb) / MEMORY_MB_PER_VCPU).max(CPU_QUOTA_US_MIN)
        };
        match self {
            Cpu::Boost { memory_mb } => share(memory_mb).max(CPU_PERIOD_US * BOOST_VCPUS),
            Cpu::Share { memory_mb } => share(memory_mb),
        }
    }
}

/// The file that freezes a group, kept open by who freezes it.
#[derive(Debug)]
pub struct Freezer {
    pub file: OwnedFd,
    pub kind: FreezerKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezerKind {
    V2,
    V1,
}

impl FreezerKind {
    pub fn frozen(self) -> &'static [u8] {
        match self {
            FreezerKind::V2 => b"1",
            FreezerKind::V1 => b"FROZEN",
        }
    }

    pub fn thawed(self) -> &'static [u8] {
        match self {
            FreezerKind::V2 => b"0",
            FreezerKind::V1 => b"THAWED",
        }
    }
}

/// Rings when a group's memory reaches a mark.
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
}

impl Alarm {
    /// What to wait on: an eventfd in version 1, the file of events in version 2.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Takes note of a ring.
    pub fn clear(&self) {
        use std::os::unix::fs::FileExt;
        let mut sink = [0; 512];
        // A changed file is read from its beginning; an eventfd knows no positions.
        let Ok(file) = self.fd.try_clone().map(std::fs::File::from) else {
            return;
        };
        if file.read_at(&mut sink, 0).is_err() {
            let _ = guest::jail::sys::read(std::os::fd::AsRawFd::as_raw_fd(&self.fd), &mut sink);
        }
    }
}

/// What a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    pub total_bytes: u64,
    /// Files: page cache, and what is in a tmpfs or shared between processes.
    pub files_bytes: u64,
    /// Of these, what is in a tmpfs (`/tmp`, here) or shared between processes.
    pub shared_bytes: u64,
}

impl MemoryUse {
    /// What the function itself uses, when `tmp_bytes` are in its `/tmp`. Memory shared between
    /// processes counts, though the kernel has it among files.
    pub fn own_bytes(self, tmp_bytes: u64) -> u64 {
        let shared = self.shared_bytes.saturating_sub(tmp_bytes);
        self.total_bytes.saturating_sub(self.files_bytes) + shared
    }
}

/// The groups of one instance.
pub trait Groups: Send + Sync + std::fmt::Debug {
    /// Makes the instance's parent groups.
    fn open(&self) -> io::Result<()>;
    /// Limits the processes of all slots together: the calling process and all that it will make,
    /// where the layout has no group of slots alone.
    fn confine(&self, tasks_max: u64) -> io::Result<()>;
    /// Makes a slot's groups, limited to [`TASKS_MAX`] and otherwise open.
    fn make(&self, slot: Slot) -> io::Result<()>;
    /// The version 2 group that a process is born into, if there is one.
    fn group(&self, slot: Slot) -> Option<OwnedFd>;
    /// The files of version 1 groups that its one thread writes "0" to in order to enter: at most
    /// [`CGROUPS_MAX`](guest::jail::entry::CGROUPS_MAX).
    fn entrances(&self, slot: Slot) -> io::Result<Vec<OwnedFd>>;
    fn freezer(&self, slot: Slot) -> Option<Freezer>;
    fn limit_memory(&self, slot: Slot, bytes: u64) -> io::Result<()>;
    fn limit_cpu(&self, slot: Slot, cpu: Cpu) -> io::Result<()>;
    /// The file to read the memory peak from, and to write to in order to begin anew.
    fn memory_peak(&self, slot: Slot) -> Option<OwnedFd>;
    /// An alarm for the group's memory, not yet set; `None` where there is no such thing.
    fn memory_alarm(&self, slot: Slot) -> Option<Alarm>;
    /// Lets it ring when the group's memory goes past `bytes`, beside earlier marks or in their
    /// place.
    fn set_alarm(&self, slot: Slot, alarm: &Alarm, bytes: u64) -> io::Result<()>;
    /// Whether earlier marks go on ringing.
    fn keeps_alarms(&self) -> bool;
    fn memory_use(&self, slot: Slot) -> Option<MemoryUse>;
    /// How often the kernel killed something in it for lack of memory, since it was made.
    fn out_of_memory_kills(&self, slot: Slot) -> u64;
    /// Makes an empty group as good as new for its next tenant.
    fn renew(&self, slot: Slot) -> io::Result<()>;
    fn remove(&self, slot: Slot) -> io::Result<()>;
    /// The directories that hold everything, for the record that a sweep reads.
    fn parents(&self) -> Vec<PathBuf>;
    fn summary(&self) -> &'static str;
    /// What this layout cannot enforce, for an operator.
    fn missing(&self) -> Vec<String>;
    /// Itself as a message.
    fn encode(&self) -> Vec<u8>;
    /// Whether memory is limited for the environment as a whole.
    fn limits_memory(&self) -> bool;
}

/// Processes and threads of all environments together, so that some thirty fork bombs do not take
/// the host's last process numbers. To be asked outside of the jailer's process namespace, which
/// has numbers of its own.
pub fn all_tasks_max() -> u64 {
    let setting = |name: &str| files::read_number(Path::new("/proc/sys/kernel"), name);
    let host = [setting("pid_max"), setting("threads-max")];
    all_tasks_of(host.into_iter().flatten().min().unwrap_or(32_768))
}

fn all_tasks_of(host: u64) -> u64 {
    host / 4 * 3
}

pub use files::destroy;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_follows_memory_as_lambda_gives_it() {
        assert_eq!(Cpu::Share { memory_mb: 1_769 }.quota_us(), CPU_PERIOD_US);
        assert_eq!(Cpu::Share { memory_mb: 10_240 }.quota_us(), 115_771);
        assert_eq!(Cpu::Share { memory_mb: 128 }.quota_us(), 1_447);
        assert_eq!(Cpu::Share { memory_mb: 1 }.quota_us(), CPU_QUOTA_US_MIN);
    }

    #[test]
    fn the_host_keeps_some_processes_for_itself() {
        assert_eq!(all_tasks_of(32_768), 24_576);
        assert!(all_tasks_max() > TASKS_MAX);
    }

    #[test]
    fn init_gets_two_vcpus_or_what_the_size_gives() {
        assert_eq!(Cpu::Boost { memory_mb: 128 }.quota_us(), 2 * CPU_PERIOD_US);
        assert_eq!(Cpu::Boost { memory_mb: 10_240 }.quota_us(), 115_771);
    }
}
