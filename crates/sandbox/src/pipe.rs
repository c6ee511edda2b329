//! The pipe that a function's output goes through.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// The read end, which does not block, and the write end, which does: a function that writes
/// faster than its log is read waits.
pub fn log_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
    // SAFETY: takes numbers only.
    if unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok((read, write))
}
