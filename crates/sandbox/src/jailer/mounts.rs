//! The few mount calls that the jailer makes, with paths in place of pointers.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr::null,
};

pub const READ_ONLY: u64 = 1;
pub const NO_SUID: u64 = 2;
pub const NO_DEVICES: u64 = 4;
pub const NO_EXECUTION: u64 = 8;

pub fn path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path with a NUL"))
}

pub fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Nothing mounted from here on shows on the host, and nothing the host mounts shows here.
pub fn make_private() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: terminated strings or null.
    check(unsafe { libc::mount(null(), c"/".as_ptr(), null(), flags, null()) })
}

pub fn mount(kind: &str, target: &Path, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let (kind, options) = (CString::new(kind)?, CString::new(options)?);
    let target = path(target)?;
    // SAFETY: terminated strings.
    check(unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
}

/// Shows `source` at `target` with these attributes added. Mounts below `source` come along only
/// where the kernel will not show it without them (an ordinary user may not uncover what a mount
/// hides).
pub fn bind(source: &Path, target: &Path, attributes: u64) -> io::Result<()> {
    let (from, to) = (path(source)?, path(target)?);
    let bind = |flags| {
        // SAFETY: terminated strings.
        check(unsafe {
            libc::mount(
                from.as_ptr(),
                to.as_ptr(),
                null(),
                libc::MS_BIND | flags,
                null(),
            )
        })
    };
    match bind(0) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => bind(libc::MS_REC)?,
        outcome => outcome?,
    }
    set_attributes(target, attributes, true)
}

pub fn set_attributes(target: &Path, attributes: u64, recursive: bool) -> io::Result<()> {
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    mount_setattr(libc::AT_FDCWD, &path(target)?, flags, attributes)
}

/// As [`set_attributes`], of a tree that is mounted nowhere.
pub fn set_tree_attributes(tree: &OwnedFd, attributes: u64) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    mount_setattr(tree.as_raw_fd(), c"", flags, attributes)
}

fn mount_setattr(at: i32, target: &CStr, flags: i32, attributes: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let wanted = MountAttr {
        set: attributes,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: a terminated string and a struct of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            target.as_ptr(),
            flags,
            &raw const wanted,
            size_of::<MountAttr>(),
        )
    };
    check(result as libc::c_int)
}

/// Makes the current directory the root, and the old root vanish.
pub fn pivot_here() -> io::Result<()> {
    // SAFETY: terminated strings.
    unsafe {
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as libc::c_int)?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        check(libc::chdir(c"/".as_ptr()))
    }
}

pub fn detach(target: &Path) -> io::Result<()> {
    let target = path(target)?;
    // SAFETY: a terminated string.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })
}

/// A descriptor of one of the calling process's namespaces.
pub fn own_namespace(kind: &str) -> io::Result<OwnedFd> {
    std::fs::File::open(format!("/proc/self/ns/{kind}")).map(Into::into)
}
