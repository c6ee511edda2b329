//! The same tests once more as an ordinary user.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, process::Command};

use crate::world::Scratch;

/// An account that need not exist.
const USER: u32 = 54_321;

/// Whether this process is an ordinary user's.
pub fn is_ordinary() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() != 0 }
}

/// As root: runs this executable as an ordinary user. Whether that went well.
pub fn run_again() -> bool {
    if is_ordinary() || std::env::args().any(|one| one == "--list") {
        return true;
    }
    let scratch = Scratch::new();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).expect("open it");
    // Where it was built, the user may not be able to reach it.
    let program = scratch.0.join("jail-tests");
    fs::copy("/proc/self/exe", &program).expect("copy the test program");
    println!("\nas an ordinary user:");
    Command::new(&program)
        .args(std::env::args().skip(1))
        .uid(USER)
        .gid(USER)
        .current_dir("/")
        .status()
        .expect("run as an ordinary user")
        .success()
}
