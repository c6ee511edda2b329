//! Looking at the machine's processes, as somebody outside.

use std::{fs, path::Path};

/// The processes that have this path among their arguments.
pub fn with_argument(path: &Path) -> Vec<i32> {
    let wanted = path.as_os_str().as_encoded_bytes();
    matching(|command| command.split(|byte| *byte == 0).any(|one| one == wanted))
}

/// The processes in whose command line this text occurs.
pub fn mentioning(text: &str) -> Vec<i32> {
    matching(|command| {
        command
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

/// Of these, those that come from this process.
pub fn ours_mentioning(text: &str) -> Vec<i32> {
    let mut all = mentioning(text);
    all.retain(|pid| is_ours(*pid));
    all
}

/// Whether it comes from this process.
fn is_ours(pid: i32) -> bool {
    let mut pid = pid;
    while pid > 1 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The second field is the name in brackets and may contain anything.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let parent = after_name.split(' ').nth(1);
        pid = parent.and_then(|parent| parent.parse().ok()).unwrap_or(0);
        if pid == std::process::id() as i32 {
            return true;
        }
    }
    false
}

fn matching(wanted: impl Fn(&[u8]) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = |pid: &i32| *pid != std::process::id() as i32;
    pids.filter(ours)
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| wanted(&command))
        })
        .collect()
}

/// What it calls itself.
pub fn name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

pub fn kill(pid: i32) {
    signal(pid, libc::SIGKILL);
}

pub fn signal(pid: i32, signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(pid, signal) };
}
