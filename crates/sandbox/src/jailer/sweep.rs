//! What a crashed predecessor left: control groups, the one thing that outlives processes.
//!
//! Each instance writes a record (one directory a line) and holds a lock on it for as long as it
//! lives; the kernel gives the lock back however it dies. A record that can be locked is of a dead
//! one, and what it lists is ended and removed.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use crate::cgroup;

const SUFFIX: &str = "instance";

/// The record of a living instance; dropped, it counts as dead.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    _lock: File,
}

impl Record {
    /// Writes what `name` is about to use. To be called before any of it is made.
    pub fn write(dir: &Path, name: &str, groups: &[PathBuf]) -> io::Result<Self> {
        let path = dir.join(format!("{name}.{SUFFIX}"));
        let mut file = File::create_new(&path)?;
        lock(&file)?;
        for group in groups {
            writeln!(file, "{}", group.display())?;
        }
        file.flush()?;
        Ok(Record { path, _lock: file })
    }

    /// Everything is gone: nothing to sweep.
    pub fn erase(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Ends what dead instances left. Returns what it could not.
pub fn sweep(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let records = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX));
    records.flat_map(|record| bury(&record).err()).collect()
}

fn bury(record: &Path) -> Result<(), String> {
    let trouble = |error: io::Error| format!("sweep {}: {error}", record.display());
    let mut file = File::open(record).map_err(trouble)?;
    if lock(&file).is_err() {
        return Ok(()); // alive
    }
    let mut groups = String::new();
    file.read_to_string(&mut groups).map_err(trouble)?;
    for group in groups.lines().map(Path::new).filter(|group| is_ours(group)) {
        cgroup::destroy(group).map_err(trouble)?;
    }
    fs::remove_file(record).map_err(trouble)
}

/// A record is a file that somebody might have touched: only groups of our own name are ended.
fn is_ours(group: &Path) -> bool {
    let name = group
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    group.is_absolute() && name.starts_with(super::keeper::GROUP_PREFIX)
}

fn lock(file: &File) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    super::mounts::check(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_are_buried() {
        let dir = std::env::temp_dir().join(format!("lambent-sweep-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("make directory");
        let group = dir.join("lambent-x");
        fs::create_dir(&group).expect("make group");
        let other = dir.join("other");
        fs::create_dir(&other).expect("make group");
        let groups = [group.clone(), other.clone()];
        let record = Record::write(&dir, "a", &groups).expect("write");
        assert_eq!(sweep(&dir), Vec::<String>::new());
        assert!(group.exists(), "its owner lives");
        drop(record);
        assert_eq!(sweep(&dir), Vec::<String>::new());
        assert!(!group.exists());
        assert!(other.exists(), "not one of ours");
        assert!(!dir.join("a.instance").exists());
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
