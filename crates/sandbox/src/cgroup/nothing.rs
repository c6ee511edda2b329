//! No control group at all: an ordinary user to whom none is delegated.

use std::{io, os::fd::OwnedFd, path::PathBuf};

use guest::jail::message::Writer;

use super::{Alarm, Cpu, Freezer, Groups, MemoryUse, Slot};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nothing;

impl Nothing {
    pub const TAG: u8 = 0;
}

impl Groups for Nothing {
    fn open(&self) -> io::Result<()> {
        Ok(())
    }

    fn confine(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn make(&self, _: Slot) -> io::Result<()> {
        Ok(())
    }

    fn group(&self, _: Slot) -> Option<OwnedFd> {
        None
    }

    fn entrances(&self, _: Slot) -> io::Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn freezer(&self, _: Slot) -> Option<Freezer> {
        None
    }

    fn limit_memory(&self, _: Slot, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn limit_cpu(&self, _: Slot, _: Cpu) -> io::Result<()> {
        Ok(())
    }

    fn memory_peak(&self, _: Slot) -> Option<OwnedFd> {
        None
    }

    fn memory_alarm(&self, _: Slot) -> Option<Alarm> {
        None
    }

    fn set_alarm(&self, _: Slot, _: &Alarm, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn keeps_alarms(&self) -> bool {
        false
    }

    fn memory_use(&self, _: Slot) -> Option<MemoryUse> {
        None
    }

    fn out_of_memory_kills(&self, _: Slot) -> u64 {
        0
    }

    fn renew(&self, _: Slot) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: Slot) -> io::Result<()> {
        Ok(())
    }

    fn parents(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn summary(&self) -> &'static str {
        "no control groups"
    }

    fn missing(&self) -> Vec<String> {
        let why = "no writable control group; run as root, or under the user's own systemd (systemd-run --user)";
        [
            "memory limit per environment (the private memory of each process is limited instead, shared \
             memory and socket buffers are not)",
            "CPU share by memory size",
            "memory peak in reports",
            "freeze by the kernel (idle environments are stopped by signals instead)",
        ]
        .map(|what| format!("{what}: {why}"))
        .to_vec()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(Self::TAG);
        out.0
    }

    fn limits_memory(&self) -> bool {
        false
    }
}
