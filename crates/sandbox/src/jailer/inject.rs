//! Showing code in an environment that runs already: how a booted process from a pool becomes a
//! function's.
//!
//! The mounts are made here, as copies that belong nowhere yet, and carried into the environment's
//! mount namespace by its init's pidfd, which stays true however process numbers are reused.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use guest::jail::sys;

use super::{
    During, Trouble,
    message::Injection,
    mounts::{self, NO_DEVICES, NO_SUID, READ_ONLY, check},
};

pub fn inject(injection: &Injection, init: &OwnedFd, home: &OwnedFd) -> Result<(), Trouble> {
    let code = copy(&injection.code)?;
    let layer = injection.layer.as_deref().map(copy).transpose()?;
    sys::setns(init.as_raw_fd(), sys::CLONE_NEWNS).during(|| "enter the environment".into())?;
    let shown = place(&code, c"/var/task")
        .and_then(|()| layer.map_or(Ok(()), |layer| place(&layer, c"/opt")));
    // Not to come back would be the end of everything else: better to end at once.
    if let Err(errno) = sys::setns(home.as_raw_fd(), sys::CLONE_NEWNS) {
        eprintln!("the jailer cannot leave an environment: {errno:?}");
        sys::exit_group(1);
    }
    shown
}

/// A read-only copy of a mount, attached to nothing.
fn copy(source: &Path) -> Result<OwnedFd, Trouble> {
    let what = || format!("show {} in the sandbox", source.display());
    let path = mounts::path(source).during(what)?;
    let open = |recursive: libc::c_int| {
        let flags = libc::OPEN_TREE_CLONE as libc::c_int | libc::O_CLOEXEC | recursive;
        // SAFETY: a terminated string.
        let fd = unsafe {
            libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) as libc::c_int
        };
        // SAFETY: if it is one, it is new and nobody else's.
        check(fd.min(0)).map(|()| unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // An ordinary user may not uncover what a mount below hides, and must take it along.
    let tree = open(0).or_else(|_| open(libc::AT_RECURSIVE)).during(what)?;
    mounts::set_tree_attributes(&tree, READ_ONLY | NO_SUID | NO_DEVICES).during(what)?;
    Ok(tree)
}

fn place(tree: &OwnedFd, target: &CStr) -> Result<(), Trouble> {
    const FROM_EMPTY_PATH: libc::c_uint = 4;
    // SAFETY: terminated strings.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            FROM_EMPTY_PATH,
        )
    };
    check(moved as libc::c_int).during(|| format!("mount {}", target.to_string_lossy()))
}
