//! Control files: small reads and writes, and the end of a group.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use guest::jail::sys;

/// How long the processes of a group may take to be gone once killed.
const DEATH_MAX: Duration = Duration::from_secs(5);

pub fn write(dir: &Path, file: &str, value: impl AsRef<[u8]>) -> io::Result<()> {
    fs::write(dir.join(file), value).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("write {}: {error}", dir.join(file).display()),
        )
    })
}

pub fn read_number(dir: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// The value of `key` in a file of `key value` lines.
pub fn read_key(dir: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(file)).ok()?;
    keyed(&text, key)
}

/// The values of several keys, as of one moment.
pub fn read_keys<const N: usize>(dir: &Path, file: &str, keys: [&str; N]) -> Option<[u64; N]> {
    let text = fs::read_to_string(dir.join(file)).ok()?;
    let mut values = [0; N];
    for (value, key) in values.iter_mut().zip(keys) {
        *value = keyed(&text, key)?;
    }
    Some(values)
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

pub fn open_write(dir: &Path, file: &str) -> io::Result<OwnedFd> {
    let path = dir.join(file);
    let opened = fs::OpenOptions::new().write(true).open(&path);
    opened
        .map(OwnedFd::from)
        .map_err(|error| io::Error::new(error.kind(), format!("open {}: {error}", path.display())))
}

/// A descriptor of the group itself.
pub fn directory(dir: &Path) -> Option<OwnedFd> {
    fs::File::open(dir).ok().map(OwnedFd::from)
}

pub fn open_read_write(dir: &Path, file: &str) -> Option<OwnedFd> {
    let path = dir.join(file);
    let writable = fs::OpenOptions::new().read(true).write(true).open(&path);
    writable
        .or_else(|_| fs::File::open(&path))
        .ok()
        .map(OwnedFd::from)
}

pub fn write_fd(fd: &OwnedFd, value: &[u8]) -> io::Result<()> {
    sys::write(fd.as_raw_fd(), value)
        .map(drop)
        .map_err(io::Error::from)
}

pub fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io::Error::new(
            error.kind(),
            format!("make control group {}: {error}", dir.display()),
        )),
        _ => Ok(()),
    }
}

pub fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ends a group: kills what is in it and below, waits for that, and removes the directories.
pub fn destroy(dir: &Path) -> io::Result<()> {
    let deadline = Instant::now() + DEATH_MAX;
    loop {
        match remove_tree(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                if Instant::now() > deadline {
                    return Err(error);
                }
                kill_tree(dir);
                thread::sleep(Duration::from_millis(1));
            }
            outcome => return outcome,
        }
    }
}

fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let entries = entries.flatten();
    entries
        .filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|one| one.path())
        .collect()
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for child in children(dir) {
        outcome = outcome.and(remove_tree(&child));
    }
    outcome.and(remove(dir))
}

fn kill_tree(dir: &Path) {
    if write(dir, "cgroup.kill", "1").is_ok() {
        return;
    }
    for child in children(dir) {
        kill_tree(&child);
    }
    let _ = write(dir, "freezer.state", "THAWED");
    let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in listed
        .lines()
        .filter_map(|line| line.parse::<i32>().ok())
        .filter(|pid| *pid > 1)
    {
        // SAFETY: takes numbers only.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "oom"), None);
    }
}
