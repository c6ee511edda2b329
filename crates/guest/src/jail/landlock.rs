//! The Landlock ruleset of an environment: a second lock on the file system, behind the mounts.
//!
//! It is made anew for each environment: a rule about a directory says nothing of what is mounted
//! over it, and `/tmp` and `/proc` are each environment's own.
//!
//! Best effort: a right that the kernel's ABI does not know is left to the mounts (which are
//! read-only) and to seccomp. Files of the root can be read and executed, `/tmp` is the
//! environment's own, the few devices can be written, and nothing else. Signals and abstract Unix
//! sockets stay inside.

use super::sys::{self, Errno};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 1 << 1;

const READ: u64 = EXECUTE | READ_FILE | READ_DIR;

/// Makes the ruleset as seen from the calling process's root; `None` where the kernel's `abi` is
/// none at all.
pub fn ruleset(abi: u32) -> Result<Option<i32>, Errno> {
    let Some(handled) = handled(abi) else {
        return Ok(None);
    };
    let ruleset = sys::landlock_ruleset(handled, scoped(abi), abi)?;
    let own = handled & !(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV);
    let rules = [
        (c"/", READ),
        (c"/tmp", own),
        (c"/proc", READ | WRITE_FILE | TRUNCATE),
        (c"/dev", READ | WRITE_FILE | TRUNCATE | IOCTL_DEV),
    ];
    for (path, rights) in rules {
        let parent = sys::open(path, sys::O_PATH | sys::O_CLOEXEC)?;
        let allowed = sys::landlock_allow(ruleset, parent, rights & handled);
        let _ = sys::close(parent);
        allowed?;
    }
    Ok(Some(ruleset))
}

/// The file rights that an ABI knows.
fn handled(abi: u32) -> Option<u64> {
    let rights = match abi {
        0 => return None,
        1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    Some((1 << rights) - 1)
}

fn scoped(abi: u32) -> u64 {
    if abi >= 6 {
        SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_abi_handles_what_it_knows() {
        assert_eq!(handled(0), None);
        assert_eq!(handled(1).map(|all| all & TRUNCATE), Some(0));
        assert_eq!(
            handled(3).map(|all| all & (TRUNCATE | IOCTL_DEV)),
            Some(TRUNCATE)
        );
        assert_eq!(handled(7).map(|all| all & IOCTL_DEV), Some(IOCTL_DEV));
        assert_eq!(scoped(5), 0);
    }
}
