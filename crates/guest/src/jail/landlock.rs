//! The Landlock ruleset of an environment: a second lock on the file system, behind the mounts.
//!
//! It is made anew for each environment: a rule about a directory says nothing of what is mounted
//! over it, and `/tmp` and `/proc` are each environment's own.
//!
//! Best effort: a right that the kernel's ABI does not know is left to the mounts (which are
//! read-only) and to seccomp. Files of the root can be read and executed, `/tmp` is the
//! environment's own, the few devices can be written, and nothing else. Signals and abstract Unix
//! sockets stay inside.

use core::ffi::CStr;

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
    let Some(plan) = plan(abi) else {
        return Ok(None);
    };
    let [fs, _, scoped] = plan.attributes;
    let ruleset = sys::landlock_ruleset(fs, scoped, abi)?;
    for (path, rights) in plan.rules {
        let parent = sys::open(path, sys::O_PATH | sys::O_CLOEXEC)?;
        let allowed = sys::landlock_allow(ruleset, parent, rights);
        let _ = sys::close(parent);
        allowed?;
    }
    Ok(Some(ruleset))
}

/// What a ruleset consists of.
pub struct Plan {
    /// The kernel's `landlock_ruleset_attr`: files, network, scopes.
    pub attributes: [u64; 3],
    /// How many bytes of it the kernel knows.
    pub size: usize,
    pub rules: [(&'static CStr, u64); 4],
}

/// `None` where the kernel's `abi` is none at all.
pub fn plan(abi: u32) -> Option<Plan> {
    let handled = handled(abi)?;
    let own = handled & !(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV);
    let rules = [
        (c"/", READ),
        (c"/tmp", own),
        (c"/proc", READ | WRITE_FILE | TRUNCATE),
        (c"/dev", READ | WRITE_FILE | TRUNCATE | IOCTL_DEV),
    ];
    Some(Plan {
        attributes: [handled, 0, scoped(abi)],
        size: sys::landlock_ruleset_size(abi),
        rules: rules.map(|(path, rights)| (path, rights & handled)),
    })
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
