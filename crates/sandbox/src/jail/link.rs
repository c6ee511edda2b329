//! A `SOCK_SEQPACKET` socket in a tokio runtime: whole messages with descriptors, both ways.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use guest::jail::sys;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub struct Link {
    fd: AsyncFd<OwnedFd>,
}

/// A connected pair: ours, and the one to hand to another process.
pub fn pair() -> io::Result<(Link, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: made right above, and nobody else's.
    let [ours, theirs] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: an owned descriptor keeps its number for as long as it lives.
    let fd = unsafe { AsyncFd::register(ours) }?;
    Ok((Link { fd }, theirs))
}

impl Link {
    pub async fn send(&self, message: &[u8], fds: &[i32]) -> io::Result<()> {
        loop {
            match self.try_send(message, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = self.fd.writable().await?;
                    // Asked for again by the next attempt.
                    ready.clear_ready();
                    match self.try_send(message, fds) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        outcome => return outcome,
                    }
                }
                outcome => return outcome,
            }
        }
    }

    pub fn try_send(&self, message: &[u8], fds: &[i32]) -> io::Result<()> {
        let socket = self.fd.get_ref().as_raw_fd();
        sys::send(socket, message, fds, sys::MSG_DONTWAIT)
            .map(drop)
            .map_err(io::Error::from)
    }

    /// The next message's length and descriptors; length 0 is the end.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            let mut ready = self.fd.readable().await?;
            let mut fds = Vec::new();
            let socket = self.fd.get_ref().as_raw_fd();
            match sys::receive(socket, buffer, &mut fds, sys::MSG_DONTWAIT) {
                Ok(length) => {
                    // SAFETY: received just now, and nobody else's.
                    let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
                    return Ok((length, fds.into_iter().map(own).collect()));
                }
                Err(sys::EAGAIN) => ready.clear_ready(),
                Err(sys::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Whether the other side has gone: also before that was read.
    pub fn is_closed(&self) -> bool {
        let fd = self.fd.get_ref().as_raw_fd();
        let mut one = libc::pollfd {
            fd,
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: one valid entry; no waiting.
        unsafe { libc::poll(&raw mut one, 1, 0) };
        one.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Ends it for both sides, whoever still holds it.
    pub fn close(&self) {
        // SAFETY: takes numbers only.
        unsafe { libc::shutdown(self.fd.get_ref().as_raw_fd(), libc::SHUT_RDWR) };
    }
}
