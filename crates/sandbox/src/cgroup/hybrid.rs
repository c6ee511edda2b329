//! Version 1 controllers for limits, version 2 beside them for freezing.
//!
//! The pids controller is not among a slot's: the limit of processes per user namespace says the
//! same, and entering a group of every hierarchy is a good part of what a start costs. All slots
//! together are in one group of it, by birth: the jailer's.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use guest::jail::message::{Reader, Writer};

use super::{Alarm, CPU_PERIOD_US, Cpu, Freezer, FreezerKind, Groups, MemoryUse, Slot, files};

/// More than this left charged by a dead tenant (page cache, mostly) is given back before the
/// next one comes.
const RESIDUE_BYTES_MAX: u64 = 4 << 20;

/// 64 kB for each of the 1,024 connections that a function may have.
const SOCKET_BUFFERS_BYTES_MAX: u64 = 64 << 20;

/// The instance's directory in each hierarchy that is there and writable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hybrid {
    pub memory: Option<PathBuf>,
    pub cpu: Option<PathBuf>,
    pub freezer: Option<PathBuf>,
    /// In the version 2 mount.
    pub unified: Option<PathBuf>,
    /// The jailer's, and by birth that of all it makes.
    pub pids: Option<PathBuf>,
}

impl Hybrid {
    pub const TAG: u8 = 1;

    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        // The version 1 freezer only where there is no better.
        let freezer = if self.unified.is_some() {
            &None
        } else {
            &self.freezer
        };
        [&self.memory, &self.cpu, &self.unified, freezer]
            .into_iter()
            .flatten()
    }

    pub fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let mut dirs = std::iter::repeat_with(|| {
            let bytes = from.bytes()?;
            Some((!bytes.is_empty()).then(|| super::detect::path_of(bytes)))
        });
        let mut next = || dirs.next().flatten();
        Some(Hybrid {
            memory: next()?,
            cpu: next()?,
            freezer: next()?,
            unified: next()?,
            pids: next()?,
        })
    }
}

fn child(parent: &Path, slot: Slot) -> PathBuf {
    parent.join(format!("s{slot}"))
}

/// Version 1 does not count the buffers of TCP and UDP sockets as memory, and without a limit of
/// their own not at all: through its loopback a function of 128 MB could hold gigabytes.
fn limit_buffers(memory: &Path) -> io::Result<()> {
    let limit = SOCKET_BUFFERS_BYTES_MAX.to_string();
    match files::write(memory, "memory.kmem.tcp.limit_in_bytes", limit) {
        // A kernel without it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

impl Groups for Hybrid {
    fn open(&self) -> io::Result<()> {
        self.dirs().try_for_each(|dir| files::make(dir))
    }

    fn confine(&self, tasks_max: u64) -> io::Result<()> {
        let Some(dir) = &self.pids else {
            return Ok(());
        };
        files::write(dir, "pids.max", tasks_max.to_string())?;
        files::write(dir, "cgroup.procs", "0")
    }

    fn make(&self, slot: Slot) -> io::Result<()> {
        self.dirs()
            .try_for_each(|dir| files::make(&child(dir, slot)))?;
        if let Some(cpu) = &self.cpu {
            files::write(
                &child(cpu, slot),
                "cpu.cfs_period_us",
                CPU_PERIOD_US.to_string(),
            )?;
        }
        match &self.memory {
            Some(memory) => limit_buffers(&child(memory, slot)),
            None => Ok(()),
        }
    }

    fn group(&self, slot: Slot) -> Option<OwnedFd> {
        files::directory(&child(self.unified.as_ref()?, slot))
    }

    fn entrances(&self, slot: Slot) -> io::Result<Vec<OwnedFd>> {
        self.dirs()
            .filter(|dir| Some(*dir) != self.unified.as_ref())
            .map(|dir| files::open_write(&child(dir, slot), "tasks"))
            .collect()
    }

    fn freezer(&self, slot: Slot) -> Option<Freezer> {
        let (dir, file, kind) = match (&self.unified, &self.freezer) {
            (Some(dir), _) => (dir, "cgroup.freeze", FreezerKind::V2),
            (None, Some(dir)) => (dir, "freezer.state", FreezerKind::V1),
            (None, None) => return None,
        };
        let file = files::open_write(&child(dir, slot), file).ok()?;
        Some(Freezer { file, kind })
    }

    fn limit_memory(&self, slot: Slot, bytes: u64) -> io::Result<()> {
        let Some(dir) = &self.memory else {
            return Ok(());
        };
        let dir = child(dir, slot);
        // Memory and swap together may not be below memory alone at any moment.
        let lower = || files::write(&dir, "memory.limit_in_bytes", bytes.to_string());
        let upper = || match files::write(&dir, "memory.memsw.limit_in_bytes", bytes.to_string()) {
            // Not there when swap accounting is off.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        };
        if lower().is_ok() {
            return upper();
        }
        upper().and_then(|()| lower())
    }

    fn limit_cpu(&self, slot: Slot, cpu: Cpu) -> io::Result<()> {
        let Some(dir) = &self.cpu else { return Ok(()) };
        files::write(
            &child(dir, slot),
            "cpu.cfs_quota_us",
            cpu.quota_us().to_string(),
        )
    }

    fn memory_peak(&self, slot: Slot) -> Option<OwnedFd> {
        let dir = child(self.memory.as_ref()?, slot);
        files::open_read_write(&dir, "memory.max_usage_in_bytes")
    }

    fn memory_alarm(&self, _: Slot) -> Option<Alarm> {
        self.memory.as_ref()?;
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return None;
        }
        // SAFETY: just made, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Some(Alarm { fd })
    }

    fn set_alarm(&self, slot: Slot, alarm: &Alarm, bytes: u64) -> io::Result<()> {
        let Some(dir) = &self.memory else {
            return Ok(());
        };
        let dir = child(dir, slot);
        let usage = std::fs::File::open(dir.join("memory.usage_in_bytes"))?;
        let order = format!("{} {} {bytes}", alarm.fd.as_raw_fd(), usage.as_raw_fd());
        files::write(&dir, "cgroup.event_control", order)
    }

    fn keeps_alarms(&self) -> bool {
        true
    }

    fn memory_use(&self, slot: Slot) -> Option<MemoryUse> {
        let dir = child(self.memory.as_ref()?, slot);
        let total_bytes = files::read_number(&dir, "memory.usage_in_bytes")?;
        let [files_bytes, shared_bytes] =
            files::read_keys(&dir, "memory.stat", ["total_cache", "total_shmem"])?;
        Some(MemoryUse {
            total_bytes,
            files_bytes,
            shared_bytes,
        })
    }

    fn out_of_memory_kills(&self, slot: Slot) -> u64 {
        let Some(dir) = &self.memory else { return 0 };
        files::read_key(&child(dir, slot), "memory.oom_control", "oom_kill").unwrap_or(0)
    }

    fn renew(&self, slot: Slot) -> io::Result<()> {
        if let Some(freezer) = self.freezer(slot) {
            files::write_fd(&freezer.file, freezer.kind.thawed())?;
        }
        let Some(dir) = &self.memory else {
            return Ok(());
        };
        let dir = child(dir, slot);
        if files::read_number(&dir, "memory.usage_in_bytes").unwrap_or(0) > RESIDUE_BYTES_MAX {
            let _ = files::write(&dir, "memory.force_empty", "0");
        }
        files::write(&dir, "memory.max_usage_in_bytes", "0")
    }

    fn remove(&self, slot: Slot) -> io::Result<()> {
        self.dirs()
            .try_for_each(|dir| files::destroy(&child(dir, slot)))
    }

    fn parents(&self) -> Vec<PathBuf> {
        // Version 2 first: its kill is what empties the others.
        let mut dirs: Vec<_> = self.dirs().chain(&self.pids).cloned().collect();
        dirs.sort_by_key(|dir| Some(dir) != self.unified.as_ref());
        dirs
    }

    fn summary(&self) -> &'static str {
        match (&self.unified, &self.freezer) {
            (Some(_), _) => "cgroup v1 limits with the v2 freezer",
            (None, Some(_)) => "cgroup v1 limits with the v1 freezer",
            (None, None) => "cgroup v1 limits without a freezer",
        }
    }

    fn missing(&self) -> Vec<String> {
        let lacks = |dir: &Option<PathBuf>, what: &str, why: &str| {
            dir.is_none().then(|| format!("{what}: {why}"))
        };
        let counts_swap = |dir: &PathBuf| dir.join("memory.memsw.limit_in_bytes").exists();
        let swap = self
            .memory
            .as_ref()
            .filter(|dir| !counts_swap(dir))
            .map(|_| {
                "no swap for functions: the kernel does not account for it (swapaccount=1)"
                    .to_owned()
            });
        [
            lacks(
                &self.memory,
                "memory limit per environment",
                "no cgroup memory controller",
            ),
            lacks(
                &self.cpu,
                "CPU share by memory size",
                "no cgroup cpu controller",
            ),
            lacks(
                &self.unified,
                "fast freeze",
                "no cgroup v2 mount; idle environments are stopped by slower means",
            ),
            lacks(
                &self.pids,
                "limit of processes over all environments",
                "no cgroup pids controller",
            ),
            swap,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(Self::TAG);
        let dirs = [
            &self.memory,
            &self.cpu,
            &self.freezer,
            &self.unified,
            &self.pids,
        ];
        for dir in dirs {
            out.bytes(
                dir.as_ref()
                    .map_or(&[], |dir| dir.as_os_str().as_encoded_bytes()),
            );
        }
        out.0
    }

    fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_slot_is_limited_from_the_beginning() {
        let dir = std::env::temp_dir().join(format!("lambent-v1-{}", std::process::id()));
        let place = |name: &str| Some(dir.join(name));
        let hybrid = Hybrid {
            memory: place("memory"),
            cpu: place("cpu"),
            freezer: None,
            unified: place("unified"),
            pids: None,
        };
        fs::create_dir_all(&dir).expect("make directory");
        hybrid.open().expect("open");
        hybrid.make(3).expect("make");
        hybrid
            .limit_cpu(3, Cpu::Share { memory_mb: 128 })
            .expect("limit");
        hybrid.limit_memory(3, 640 << 20).expect("limit");
        for (file, expected) in [
            ("memory/s3/memory.kmem.tcp.limit_in_bytes", "67108864"),
            ("memory/s3/memory.limit_in_bytes", "671088640"),
            ("memory/s3/memory.memsw.limit_in_bytes", "671088640"),
            ("cpu/s3/cpu.cfs_period_us", "20000"),
            ("cpu/s3/cpu.cfs_quota_us", "1447"),
        ] {
            let written = fs::read_to_string(dir.join(file));
            assert_eq!(written.expect(file), expected, "{file}");
        }
        let missing = hybrid.missing().join("; ");
        assert!(missing.contains("processes over all"), "{missing}");
        assert!(missing.contains("swap"), "{missing}");
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
