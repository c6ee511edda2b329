//! Version 1 controllers for limits, version 2 beside them for freezing.
//!
//! The pids controller is not among them: the limit of processes per user namespace says the same,
//! and entering a group of every hierarchy is a good part of what a start costs.

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

/// The instance's directory in each hierarchy that is there and writable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hybrid {
    pub memory: Option<PathBuf>,
    pub cpu: Option<PathBuf>,
    pub freezer: Option<PathBuf>,
    /// In the version 2 mount.
    pub unified: Option<PathBuf>,
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
        })
    }
}

fn child(parent: &Path, slot: Slot) -> PathBuf {
    parent.join(format!("s{slot}"))
}

impl Groups for Hybrid {
    fn open(&self) -> io::Result<()> {
        self.dirs().try_for_each(|dir| files::make(dir))
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
        Ok(())
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

    fn memory_use(&self, slot: Slot) -> Option<MemoryUse> {
        let dir = child(self.memory.as_ref()?, slot);
        let total_bytes = files::read_number(&dir, "memory.usage_in_bytes")?;
        let files = files::read_key(&dir, "memory.stat", "total_cache")?;
        Some(MemoryUse {
            total_bytes,
            own_bytes: total_bytes.saturating_sub(files),
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
        let mut dirs: Vec<_> = self.dirs().cloned().collect();
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
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(Self::TAG);
        for dir in [&self.memory, &self.cpu, &self.freezer, &self.unified] {
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
