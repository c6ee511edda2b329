//! The host's side of a flow: non-blocking sockets, and the one epoll that says which of them have
//! something. An epoll per active environment keeps all its flows in one task, without a waker or
//! a task for each.

use std::{
    io,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libc::c_int;
use tokio::io::{Interest, unix::AsyncFd};

/// Begins a connection. The socket becomes writable when it is made or has failed.
pub(super) fn connect_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::from(socket(to, libc::SOCK_STREAM)?);
    // The environment's own kernel has done the gathering of small writes already.
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    match connect(&stream, to) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

pub(super) fn connect_udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(socket(to, libc::SOCK_DGRAM)?);
    connect(&socket, to)?;
    Ok(socket)
}

/// Whether a connected socket speaks to this very machine: the kernel then gives it the
/// destination as its own address. A second look after the policy's, for the case that the
/// address became the host's in between.
pub(super) fn speaks_to_itself(
    local: io::Result<SocketAddr>,
    peer: io::Result<SocketAddr>,
) -> bool {
    match (local, peer) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip(),
        _ => false,
    }
}

/// Makes the coming close a reset: the other side must not take a cut-off stream for a whole one.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _ = set_option(stream, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
}

/// Address translators on the way forget a silent connection after some minutes; a probe keeps it,
/// and finds out about a peer that is gone. The environment's own probes end at us.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let set = |level, name, value: c_int| set_option(stream, level, name, &value);
    set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 120)?;
    set(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 30)?;
    set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4)
}

fn set_option<T>(socket: &impl AsRawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: value points to a T and its size is given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

fn socket(to: SocketAddr, kind: c_int) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: socket takes no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: fd was just returned by the kernel and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn connect(socket: &impl AsRawFd, to: SocketAddr) -> io::Result<()> {
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: an all-zero sockaddr_in is valid.
            let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            address.sin_family = libc::AF_INET as u16;
            address.sin_port = to.port().to_be();
            address.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
            connect_to(socket, &address)
        }
        SocketAddr::V6(to) => {
            // SAFETY: an all-zero sockaddr_in6 is valid.
            let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            address.sin6_family = libc::AF_INET6 as u16;
            address.sin6_port = to.port().to_be();
            address.sin6_addr.s6_addr = to.ip().octets();
            address.sin6_scope_id = to.scope_id();
            connect_to(socket, &address)
        }
    }
}

fn connect_to<T>(socket: &impl AsRawFd, address: &T) -> io::Result<()> {
    // SAFETY: address points to a socket address whose size is given.
    check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const *address).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Edge-triggered readiness of an environment's host sockets.
#[derive(Debug)]
pub(super) struct Epoll {
    fd: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) token: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: epoll_create1 takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        check(fd)?;
        // SAFETY: fd was just returned by the kernel and nobody else holds it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    /// Watches a socket until it is closed.
    pub(super) fn add(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: event is valid for the call.
        check(unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &mut event,
            )
        })
    }

    /// What has happened so far, without waiting. An error or a hang-up counts as both, for
    /// reading and writing is how it is found out.
    pub(super) fn poll<const N: usize>(&self, mut each: impl FnMut(Event)) -> usize {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; N];
        // SAFETY: events is valid for writes of N entries.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events.as_mut_ptr(), N as c_int, 0) };
        let count = usize::try_from(count).unwrap_or(0);
        for event in &events[..count] {
            let bits = event.events as c_int;
            let broken = bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            each(Event {
                token: event.u64,
                readable: broken || bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: broken || bits & libc::EPOLLOUT != 0,
            });
        }
        count
    }
}

/// Has tokio say when `inner` is readable. `T` owns what it lends out, so it stays open for as long
/// as it is watched.
pub(super) fn watch<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the types this is called with own their descriptor and never replace it.
    Ok(unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }?)
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> c_int {
        self.fd.as_raw_fd()
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
