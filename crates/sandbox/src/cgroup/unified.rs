//! Version 2 for everything.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use guest::jail::message::{Reader, Writer};

use super::{
    Alarm, CPU_PERIOD_US, Cpu, Freezer, FreezerKind, Groups, MemoryUse, Slot, TASKS_MAX, files,
};

/// More than this left charged by a dead tenant is given back before the next one comes.
const RESIDUE_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// The instance's directory.
    pub dir: PathBuf,
    /// The controllers that its children have.
    pub memory: bool,
    pub cpu: bool,
    pub pids: bool,
}

impl Unified {
    pub const TAG: u8 = 2;

    fn slot(&self, slot: Slot) -> PathBuf {
        self.dir.join(format!("s{slot}"))
    }

    pub fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let dir = super::detect::path_of(from.bytes()?);
        let mut flag = || Some(from.u8()? != 0);
        Some(Unified {
            dir,
            memory: flag()?,
            cpu: flag()?,
            pids: flag()?,
        })
    }

    /// Hands the controllers that `parent` has down to its children, as far as it may.
    pub fn delegate(parent: &Path) -> (bool, bool, bool) {
        let give =
            |name: &str| files::write(parent, "cgroup.subtree_control", format!("+{name}")).is_ok();
        (give("memory"), give("cpu"), give("pids"))
    }
}

impl Groups for Unified {
    fn open(&self) -> io::Result<()> {
        files::make(&self.dir)?;
        Self::delegate(&self.dir);
        Ok(())
    }

    /// The instance's group holds slots and nothing else.
    fn confine(&self, tasks_max: u64) -> io::Result<()> {
        if !self.pids {
            return Ok(());
        }
        files::write(&self.dir, "pids.max", tasks_max.to_string())
    }

    fn make(&self, slot: Slot) -> io::Result<()> {
        let dir = self.slot(slot);
        files::make(&dir)?;
        if self.pids {
            files::write(&dir, "pids.max", TASKS_MAX.to_string())?;
        }
        if self.memory {
            // One process over the limit takes the environment with it, as in Lambda.
            let _ = files::write(&dir, "memory.oom.group", "1");
            let _ = files::write(&dir, "memory.swap.max", "0");
        }
        Ok(())
    }

    fn group(&self, slot: Slot) -> Option<OwnedFd> {
        files::directory(&self.slot(slot))
    }

    fn entrances(&self, _: Slot) -> io::Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn freezer(&self, slot: Slot) -> Option<Freezer> {
        let file = files::open_write(&self.slot(slot), "cgroup.freeze").ok()?;
        Some(Freezer {
            file,
            kind: FreezerKind::V2,
        })
    }

    fn limit_memory(&self, slot: Slot, bytes: u64) -> io::Result<()> {
        if !self.memory {
            return Ok(());
        }
        files::write(&self.slot(slot), "memory.max", bytes.to_string())
    }

    fn limit_cpu(&self, slot: Slot, cpu: Cpu) -> io::Result<()> {
        if !self.cpu {
            return Ok(());
        }
        files::write(
            &self.slot(slot),
            "cpu.max",
            format!("{} {CPU_PERIOD_US}", cpu.quota_us()),
        )
    }

    fn memory_peak(&self, slot: Slot) -> Option<OwnedFd> {
        files::open_read_write(&self.slot(slot), "memory.peak")
    }

    fn memory_alarm(&self, slot: Slot) -> Option<Alarm> {
        let events = std::fs::File::open(self.slot(slot).join("memory.events")).ok()?;
        Some(Alarm { fd: events.into() })
    }

    /// Past `memory.high` the kernel slows the group down, and counts that as an event.
    fn set_alarm(&self, slot: Slot, _: &Alarm, bytes: u64) -> io::Result<()> {
        files::write(&self.slot(slot), "memory.high", bytes.to_string())
    }

    fn keeps_alarms(&self) -> bool {
        false
    }

    fn memory_use(&self, slot: Slot) -> Option<MemoryUse> {
        let dir = self.slot(slot);
        let total_bytes = files::read_number(&dir, "memory.current")?;
        let [files_bytes, shared_bytes] = files::read_keys(&dir, "memory.stat", ["file", "shmem"])?;
        Some(MemoryUse {
            total_bytes,
            files_bytes,
            shared_bytes,
        })
    }

    fn out_of_memory_kills(&self, slot: Slot) -> u64 {
        files::read_key(&self.slot(slot), "memory.events", "oom_kill").unwrap_or(0)
    }

    fn renew(&self, slot: Slot) -> io::Result<()> {
        let dir = self.slot(slot);
        files::write(&dir, "cgroup.freeze", "0")?;
        let left = files::read_number(&dir, "memory.current").unwrap_or(0);
        if left > RESIDUE_BYTES_MAX {
            let _ = files::write(&dir, "memory.reclaim", left.to_string());
        }
        Ok(())
    }

    fn remove(&self, slot: Slot) -> io::Result<()> {
        files::destroy(&self.slot(slot))
    }

    fn parents(&self) -> Vec<PathBuf> {
        vec![self.dir.clone()]
    }

    fn summary(&self) -> &'static str {
        "cgroup v2 limits and freezer"
    }

    fn missing(&self) -> Vec<String> {
        let lacks = |there: bool, what: &str, name: &str| {
            (!there).then(|| format!("{what}: the cgroup {name} controller is not delegated to it"))
        };
        [
            lacks(self.memory, "memory limit per environment", "memory"),
            lacks(self.cpu, "CPU share by memory size", "cpu"),
            lacks(self.pids, "process limit by cgroup", "pids"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(Self::TAG)
            .bytes(self.dir.as_os_str().as_encoded_bytes());
        out.u8(self.memory.into())
            .u8(self.cpu.into())
            .u8(self.pids.into());
        out.0
    }

    fn limits_memory(&self) -> bool {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Control files are files; a directory of them shows what is written.
    fn world(name: &str) -> (PathBuf, Unified) {
        let dir = std::env::temp_dir().join(format!("lambent-v2-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("make directory");
        let unified = Unified {
            dir: dir.clone(),
            memory: true,
            cpu: true,
            pids: true,
        };
        (dir, unified)
    }

    fn read(dir: &Path, file: &str) -> String {
        fs::read_to_string(dir.join(file)).unwrap_or_else(|error| format!("{file}: {error}"))
    }

    #[test]
    fn a_slot_is_limited_from_the_beginning() {
        let (dir, unified) = world("make");
        unified.open().expect("open");
        unified.confine(24_576).expect("confine");
        unified.make(3).expect("make");
        unified.limit_memory(3, 640 << 20).expect("limit");
        unified
            .limit_cpu(3, Cpu::Share { memory_mb: 128 })
            .expect("limit");
        assert_eq!(read(&dir, "pids.max"), "24576");
        for (file, expected) in [
            ("pids.max", "1024"),
            ("memory.oom.group", "1"),
            ("memory.swap.max", "0"),
            ("memory.max", "671088640"),
            ("cpu.max", "1447 20000"),
        ] {
            assert_eq!(read(&dir.join("s3"), file), expected, "{file}");
        }
        fs::remove_dir_all(&dir).expect("clean up");
    }

    #[test]
    fn memory_is_told_apart() {
        let (dir, unified) = world("use");
        unified.make(0).expect("make");
        let slot = dir.join("s0");
        fs::write(slot.join("memory.current"), "500\n").expect("write");
        fs::write(slot.join("memory.stat"), "anon 100\nfile 400\nshmem 300\n").expect("write");
        fs::write(slot.join("memory.events"), "oom 9\noom_kill 2\n").expect("write");
        let used = unified.memory_use(0).expect("is there");
        let expected = MemoryUse {
            total_bytes: 500,
            files_bytes: 400,
            shared_bytes: 300,
        };
        assert_eq!(used, expected);
        assert_eq!(used.own_bytes(250), 150, "50 are shared, not in /tmp");
        assert_eq!(unified.out_of_memory_kills(0), 2);
        fs::remove_dir_all(&dir).expect("clean up");
    }

    #[test]
    fn a_slot_is_thawed_and_emptied_for_the_next() {
        let (dir, unified) = world("renew");
        unified.make(0).expect("make");
        let slot = dir.join("s0");
        fs::write(slot.join("cgroup.freeze"), "1").expect("write");
        fs::write(slot.join("memory.current"), "1000\n").expect("write");
        unified.renew(0).expect("renew");
        assert_eq!(read(&slot, "cgroup.freeze"), "0");
        assert!(!slot.join("memory.reclaim").exists(), "not worth it");
        fs::write(slot.join("memory.current"), "9000000\n").expect("write");
        unified.renew(0).expect("renew");
        assert_eq!(read(&slot, "memory.reclaim"), "9000000");
        fs::remove_dir_all(&dir).expect("clean up");
    }

    #[test]
    fn what_is_not_delegated_is_told() {
        let unified = Unified {
            dir: PathBuf::new(),
            memory: true,
            cpu: false,
            pids: false,
        };
        let missing = unified.missing();
        assert_eq!(missing.len(), 2, "{missing:?}");
    }
}
