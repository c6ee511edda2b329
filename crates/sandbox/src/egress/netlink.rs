//! As much of rtnetlink as the outbound network needs: a batch of requests sent in one system
//! call, and one route lookup. Written by hand because the crates for it are large and change
//! often; it knows no more than attributes, nesting and acknowledgements.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libc::c_int;

const HEADER_LEN: usize = 16;
const RTMSG_LEN: usize = 12;

/// A socket to the kernel's routing tables of the network namespace the caller is in.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Netlink> {
        // SAFETY: socket takes no pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_ROUTE,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fd was just returned by the kernel and nobody else holds it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Netlink { fd })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends the whole batch and reads its acknowledgements; the first refusal is the error.
    pub(super) fn run(&self, batch: Batch) -> io::Result<()> {
        let count = batch.count;
        self.send(&batch.buf)?;
        let mut first_error = None;
        let mut seen = 0;
        let mut buf = [0u8; 4096];
        while seen < count {
            let len = self.recv(&mut buf)?;
            for message in Messages(&buf[..len]) {
                if message.kind != libc::NLMSG_ERROR as u16 {
                    continue;
                }
                seen += 1;
                let errno = read_i32(message.body, 0).unwrap_or(-libc::EPROTO);
                if errno != 0 && first_error.is_none() {
                    first_error = Some(io::Error::from_raw_os_error(-errno));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// How this machine would route to `to`: the route's type (`RTN_UNICAST`, `RTN_LOCAL`, ...).
    /// Costs a few microseconds and is exact for every address the kernel itself would take as
    /// its own, whatever interface, range or rule makes it so.
    pub(super) fn route_type(&self, to: Ipv4Addr) -> io::Result<u8> {
        let mut batch = Batch::default();
        let mut body = [0u8; RTMSG_LEN];
        body[0] = libc::AF_INET as u8;
        body[1] = 32;
        batch.begin(libc::RTM_GETROUTE, 0, &body);
        batch.attr(libc::RTA_DST, &to.octets());
        batch.end();
        self.send(&batch.buf)?;
        let mut buf = [0u8; 4096];
        let len = self.recv(&mut buf)?;
        let message = Messages(&buf[..len])
            .next()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        if message.kind == libc::NLMSG_ERROR as u16 {
            let errno = read_i32(message.body, 0).unwrap_or(-libc::EPROTO);
            return Err(io::Error::from_raw_os_error(-errno));
        }
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type.
        message
            .body
            .get(7)
            .copied()
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn send(&self, buf: &[u8]) -> io::Result<()> {
        // SAFETY: buf is valid for its length; a netlink socket without an address speaks to the
        // kernel.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), 0) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: buf is valid for writes of its length.
            let len =
                unsafe { libc::recv(self.fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), 0) };
            if len >= 0 {
                return Ok(len as usize);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Requests that are sent together. Every one asks for an acknowledgement unless it is a lookup.
#[derive(Default)]
pub(super) struct Batch {
    buf: Vec<u8>,
    start: usize,
    count: usize,
}

impl Batch {
    /// Starts a request; `body` is its fixed part (`ifinfomsg`, `ifaddrmsg`, `rtmsg`).
    pub(super) fn begin(&mut self, kind: u16, flags: c_int, body: &[u8]) {
        self.start = self.buf.len();
        self.count += 1;
        let lookup = kind == libc::RTM_GETROUTE;
        let ack = if lookup { 0 } else { libc::NLM_F_ACK };
        self.buf.extend_from_slice(&0u32.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf
            .extend_from_slice(&((flags | ack | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        self.buf
            .extend_from_slice(&(self.count as u32).to_ne_bytes());
        self.buf.extend_from_slice(&0u32.to_ne_bytes());
        self.buf.extend_from_slice(body);
        self.pad();
    }

    pub(super) fn end(&mut self) {
        let len = (self.buf.len() - self.start) as u32;
        self.buf[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    pub(super) fn attr(&mut self, kind: u16, value: &[u8]) {
        self.buf
            .extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(value);
        self.pad();
    }

    pub(super) fn attr_u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// An attribute whose value is what `fill` appends.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Batch)) {
        let start = self.buf.len();
        self.attr(kind, &[]);
        fill(self);
        let len = (self.buf.len() - start) as u16;
        self.buf[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }

    /// Bytes as they are: the fixed part that some nested values begin with.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        let len = self.buf.len().next_multiple_of(4);
        self.buf.resize(len, 0);
    }
}

/// `struct ifinfomsg`.
pub(super) fn link_body(index: u32, flags: c_int, change: c_int) -> [u8; 16] {
    let mut body = [0u8; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..16].copy_from_slice(&change.to_ne_bytes());
    body
}

struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

/// The messages of one datagram from the kernel; stops at the first that is malformed.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let len = read_i32(self.0, 0)? as usize;
        if len < HEADER_LEN || len > self.0.len() {
            return None;
        }
        let kind = u16::from_ne_bytes([self.0[4], self.0[5]]);
        let body = &self.0[HEADER_LEN..len];
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message { kind, body })
    }
}

fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(i32::from_ne_bytes(
        bytes.try_into().expect("the slice has four bytes"),
    ))
}
