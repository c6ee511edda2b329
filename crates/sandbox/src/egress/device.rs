//! The device through which an environment's packets leave its network namespace.
//!
//! Two kinds, both with the same framing on the file descriptor (a `virtio_net_hdr`, so that
//! neither side spends time on checksums, then for the second kind an Ethernet header, then IPv4):
//!
//! - TUN, where `/dev/net/tun` may be opened;
//! - a veth pair whose far end lies in the same namespace and is read through an `AF_PACKET`
//!   socket: needs nothing but the capabilities an ordinary user has in a user namespace of their
//!   own.
//!
//! The device has IPv4 only. IPv6 is switched off on it before it comes up, so that it neither
//! sends router solicitations nor has an address, and a connection to an IPv6 address fails at
//! once with `ENETUNREACH`, as in a Lambda function outside a dual-stack VPC.

use std::{
    fmt,
    fs::File,
    io::{self, IoSlice},
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libc::{c_int, c_short};

use super::netlink::{Batch, Netlink, link_body};

/// The environment's own address. All environments have the same, each in its own namespace; it is
/// link-local, so it hides nothing that a function may reach.
pub const ENVIRONMENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 100, 2);
/// Where the environment finds its name server, UDP and TCP port 53. Nothing else answers there.
pub const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 100, 1);
/// The device's name inside the environment.
pub const INTERFACE: &str = "eth0";

/// The largest IPv4 packet. With it a TCP segment carries 64 KiB and no datagram is ever
/// fragmented on its way to us.
pub const MTU: u32 = 65_535;
/// `virtio_net_hdr` without the merged-buffers field, as TUN and `AF_PACKET` both use it.
pub(super) const VNET_HEADER_LEN: usize = 10;
pub(super) const ETHERNET_HEADER_LEN: usize = 14;

/// The far end of the veth pair; has no address and nothing listens on it.
const FAR_INTERFACE: &str = "egress0";
const ENVIRONMENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Packets the kernel keeps for us before it drops; at 64 KiB each that is 32 MiB, the most a
/// flooding environment can pin.
const QUEUE_LEN_PACKETS: u32 = 512;
/// Room for packets not yet read from the packet socket. The kernel grants an ordinary user less.
const PACKET_SOCKET_BUFFER_BYTES: c_int = 16 << 20;

const TUN_F_CSUM: libc::c_uint = 1;
const PACKET_VNET_HDR: c_int = 15;
const PACKET_QDISC_BYPASS: c_int = 20;
const PACKET_IGNORE_OUTGOING: c_int = 23;
const INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const VETH_INFO_PEER: u16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tun,
    /// A veth pair read through a packet socket.
    Packet,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Tun => "TUN",
            Kind::Packet => "veth with a packet socket",
        })
    }
}

/// The outer end of a device: the file descriptor its packets are read from and written to.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    kind: Kind,
}

/// Makes the device in the caller's network namespace, with its address and the default route, and
/// brings it up. The caller is single-threaded or at least stays on one thread, and has
/// `CAP_NET_ADMIN` (and for the second kind `CAP_NET_RAW`) in that namespace.
///
/// `tun` is `/dev/net/tun` opened ahead with `O_PATH`, for a caller whose root no longer has it
/// (it needs `/proc`); `None` opens the path. An ordinary descriptor will not do: a TUN descriptor
/// belongs to the namespace it was opened in and makes one device.
pub fn create_in_current_netns(tun: Option<BorrowedFd<'_>>) -> io::Result<Device> {
    match create_tun(tun) {
        Ok(device) => Ok(device),
        Err(tun_error) => create_veth().map_err(|veth_error| {
            io::Error::new(
                veth_error.kind(),
                format!("no outbound network device: TUN: {tun_error}; veth: {veth_error}"),
            )
        }),
    }
}

/// As [`create_in_current_netns`], of one kind only.
pub fn create_kind(kind: Kind, tun: Option<BorrowedFd<'_>>) -> io::Result<Device> {
    match kind {
        Kind::Tun => create_tun(tun),
        Kind::Packet => create_veth(),
    }
}

impl Device {
    /// A device from a descriptor that came from another process; its kind is found by looking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Device> {
        // SAFETY: an all-zero stat is valid, and is only read after the kernel filled it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: stat is valid for writes.
        check(unsafe { libc::fstat(fd.as_raw_fd(), &mut stat) })?;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFCHR => Kind::Tun,
            libc::S_IFSOCK => Kind::Packet,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not an egress device",
                ));
            }
        };
        Ok(Device { fd, kind })
    }

    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// About how many bytes of packets the kernel keeps until they are read. For a packet socket
    /// the half of its buffer, as the other half is the kernel's own use.
    pub(super) fn queue_bytes(&self) -> usize {
        match self.kind {
            Kind::Tun => QUEUE_LEN_PACKETS as usize * MTU as usize,
            Kind::Packet => receive_buffer(&self.fd).unwrap_or(0) / 2,
        }
    }

    /// How many bytes come before the IPv4 header in what is read and written.
    pub(super) fn headroom(&self) -> usize {
        match self.kind {
            Kind::Tun => VNET_HEADER_LEN,
            Kind::Packet => VNET_HEADER_LEN + ETHERNET_HEADER_LEN,
        }
    }

    /// One packet with its headroom; `WouldBlock` when there is none.
    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: buf is valid for writes of its length.
        let len = unsafe { libc::read(self.fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
        if len < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(len as usize)
        }
    }

    /// Sends one IPv4 packet, given in parts. `vnet` says how its checksum is to be completed,
    /// with offsets from the IPv4 header.
    pub(super) fn send(&self, vnet: &VnetHeader, parts: &[&[u8]]) -> io::Result<()> {
        let mut head = [0u8; VNET_HEADER_LEN + ETHERNET_HEADER_LEN];
        let link_len = self.headroom() - VNET_HEADER_LEN;
        head[..VNET_HEADER_LEN].copy_from_slice(&vnet.encode(link_len as u16));
        if self.kind == Kind::Packet {
            head[10..16].copy_from_slice(&ENVIRONMENT_MAC);
            head[16..22].copy_from_slice(&FAR_MAC);
            head[22..24].copy_from_slice(&(libc::ETH_P_IP as u16).to_be_bytes());
        }
        let mut slices = [IoSlice::new(&[]); 5];
        slices[0] = IoSlice::new(&head[..self.headroom()]);
        let count = 1 + parts.len();
        for (slice, part) in slices[1..].iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        // SAFETY: IoSlice has the layout of iovec, and all parts outlive the call.
        let sent = unsafe {
            libc::writev(
                self.fd.as_raw_fd(),
                slices.as_ptr().cast(),
                count.min(5) as c_int,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Throws away every packet that waits to be read; says how many there were.
    pub(super) fn drain(&self, scratch: &mut [u8]) -> usize {
        let mut count = 0;
        // The bound only guards against somebody who keeps sending, which cannot be between two
        // tenants: nothing of the earlier one runs any more.
        while count < 1 << 20 {
            match self.recv(scratch) {
                Ok(_) => count += 1,
                // Taken out of the queue all the same.
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => count += 1,
                Err(_) => break,
            }
        }
        count
    }
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> c_int {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The part of `virtio_net_hdr` that is ours to set on packets to the environment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct VnetHeader {
    /// Offset of the transport header and, in it, of the checksum that the kernel treats as good
    /// although only addresses and length are in it.
    pub(super) partial_checksum: Option<(u16, u16)>,
    /// How much of the packet is headers: the kernel keeps the rest in pages rather than in one
    /// large contiguous allocation.
    pub(super) header_len: u16,
}

impl VnetHeader {
    fn encode(&self, link_len: u16) -> [u8; VNET_HEADER_LEN] {
        let mut out = [0u8; VNET_HEADER_LEN];
        if let Some((start, offset)) = self.partial_checksum {
            out[0] = 1;
            out[6..8].copy_from_slice(&(start + link_len).to_ne_bytes());
            out[8..10].copy_from_slice(&offset.to_ne_bytes());
        }
        out[2..4].copy_from_slice(&(self.header_len + link_len).to_ne_bytes());
        out
    }
}

/// The length of the datagrams that `packet`, as read with its headroom, consists of, if a program
/// gave the kernel several at once (`UDP_SEGMENT`) and the kernel left it at that.
pub(super) fn udp_segment_len(packet: &[u8]) -> Option<usize> {
    const GSO_UDP_L4: u8 = 5;
    let header = packet.first_chunk::<VNET_HEADER_LEN>()?;
    let len = u16::from_ne_bytes([header[4], header[5]]);
    (header[1] & 0x7f == GSO_UDP_L4 && len > 0).then_some(usize::from(len))
}

fn create_tun(tun: Option<BorrowedFd<'_>>) -> io::Result<Device> {
    let fd = open_tun(tun).map_err(|e| step("open /dev/net/tun", e))?;
    let mut request = interface_request(INTERFACE);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
    // SAFETY: request is a valid ifreq, as TUNSETIFF wants.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &request) })
        .map_err(|e| step("make the TUN device", e))?;
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, TUN_F_CSUM) })
        .map_err(|e| step("set the TUN device's offloads", e))?;
    let netlink = Netlink::open().map_err(|e| step("open netlink", e))?;
    let index = interface_index(netlink.as_fd(), INTERFACE)?;
    configure(&netlink, index, None)?;
    Ok(Device {
        fd,
        kind: Kind::Tun,
    })
}

fn open_tun(tun: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = match tun {
        Some(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()),
        None => "/dev/net/tun".to_owned(),
    };
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    Ok(file.into())
}

fn create_veth() -> io::Result<Device> {
    let netlink = Netlink::open().map_err(|e| step("open netlink", e))?;
    netlink
        .run(veth_request())
        .map_err(|e| step("make the veth pair", e))?;
    let near = interface_index(netlink.as_fd(), INTERFACE)?;
    let far = interface_index(netlink.as_fd(), FAR_INTERFACE)?;
    configure(&netlink, near, Some(far))?;
    let fd = packet_socket(far).map_err(|e| step("open the packet socket", e))?;
    Ok(Device {
        fd,
        kind: Kind::Packet,
    })
}

fn veth_request() -> Batch {
    let end = |batch: &mut Batch, name: &str, mac: [u8; 6]| {
        batch.attr(libc::IFLA_IFNAME, name.as_bytes());
        batch.attr(libc::IFLA_ADDRESS, &mac);
        batch.attr_u32(libc::IFLA_MTU, MTU);
        batch.attr_u32(libc::IFLA_TXQLEN, QUEUE_LEN_PACKETS);
        // One queue each: the default is one per processor.
        batch.attr_u32(libc::IFLA_NUM_TX_QUEUES, 1);
        batch.attr_u32(libc::IFLA_NUM_RX_QUEUES, 1);
    };
    let mut batch = Batch::default();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.begin(libc::RTM_NEWLINK, flags, &link_body(0, 0, 0));
    end(&mut batch, INTERFACE, ENVIRONMENT_MAC);
    batch.nest(libc::IFLA_LINKINFO, |batch| {
        batch.attr(libc::IFLA_INFO_KIND, b"veth");
        batch.nest(libc::IFLA_INFO_DATA, |batch| {
            batch.nest(VETH_INFO_PEER, |batch| {
                batch.raw(&link_body(0, 0, 0));
                end(batch, FAR_INTERFACE, FAR_MAC);
            });
        });
    });
    batch.end();
    batch
}

/// IPv6 off, up, address, default route: one round of netlink.
fn configure(netlink: &Netlink, near: u32, far: Option<u32>) -> io::Result<()> {
    for index in [Some(near), far].into_iter().flatten() {
        // Refused where the kernel has no IPv6, which is as good.
        let _ = netlink.run(no_ipv6_request(index));
    }
    let mut batch = Batch::default();
    for index in [far, Some(near)].into_iter().flatten() {
        // Without ARP: there is nobody to ask, and the far end must not take a frame as its own.
        let flags = libc::IFF_UP | libc::IFF_NOARP;
        batch.begin(libc::RTM_SETLINK, 0, &link_body(index, flags, flags));
        batch.attr_u32(libc::IFLA_MTU, MTU);
        batch.attr_u32(libc::IFLA_TXQLEN, QUEUE_LEN_PACKETS);
        batch.end();
    }
    let mut address = [libc::AF_INET as u8, 32, 0, 0, 0, 0, 0, 0];
    address[4..].copy_from_slice(&near.to_ne_bytes());
    batch.begin(
        libc::RTM_NEWADDR,
        libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        &address,
    );
    batch.attr(libc::IFA_LOCAL, &ENVIRONMENT_ADDRESS.octets());
    batch.attr(libc::IFA_ADDRESS, &ENVIRONMENT_ADDRESS.octets());
    batch.end();
    let mut route = [0u8; 12];
    route[0] = libc::AF_INET as u8;
    route[4] = libc::RT_TABLE_MAIN;
    route[5] = libc::RTPROT_BOOT;
    route[6] = libc::RT_SCOPE_LINK;
    route[7] = libc::RTN_UNICAST;
    batch.begin(
        libc::RTM_NEWROUTE,
        libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        &route,
    );
    batch.attr_u32(libc::RTA_OIF, near);
    batch.attr(libc::RTA_PREFSRC, &ENVIRONMENT_ADDRESS.octets());
    batch.end();
    netlink
        .run(batch)
        .map_err(|e| step("give the device its address and route", e))
}

fn no_ipv6_request(index: u32) -> Batch {
    let mut batch = Batch::default();
    batch.begin(libc::RTM_SETLINK, 0, &link_body(index, 0, 0));
    batch.nest(libc::IFLA_AF_SPEC, |batch| {
        batch.nest(libc::AF_INET6 as u16, |batch| {
            batch.attr(INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
        });
    });
    batch.end();
    batch
}

/// A packet socket that sees what the environment sends, and nothing that we send.
fn packet_socket(interface: u32) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes no pointers. Protocol 0: nothing arrives before bind names one.
    let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
    check(fd)?;
    // SAFETY: fd was just returned by the kernel and nobody else holds it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&fd, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
    set_option(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
    // The far end's queue is set up some time after it is up, by a worker of the kernel's, and
    // swallows packets until then. There is nothing to queue for anyway.
    set_option(&fd, libc::SOL_PACKET, PACKET_QDISC_BYPASS, 1)?;
    if set_option(
        &fd,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        PACKET_SOCKET_BUFFER_BYTES,
    )
    .is_err()
    {
        set_option(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            PACKET_SOCKET_BUFFER_BYTES,
        )?;
    }
    // SAFETY: an all-zero sockaddr_ll is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
    address.sll_ifindex = interface as c_int;
    // SAFETY: address is a sockaddr_ll of the length given.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })?;
    Ok(fd)
}

fn set_option(fd: &OwnedFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the value is a c_int of the length given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    })
}

fn receive_buffer(fd: &OwnedFd) -> io::Result<usize> {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: value and len are valid for writes, and len is value's size.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw mut value).cast(),
            &mut len,
        )
    })?;
    Ok(usize::try_from(value).unwrap_or(0))
}

fn interface_index(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let mut request = interface_request(name);
    // SAFETY: request is a valid ifreq, as SIOCGIFINDEX wants.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFINDEX, &mut request) })
        .map_err(|e| step("find the device", e))?;
    // SAFETY: SIOCGIFINDEX fills ifru_ifindex.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex } as u32)
}

fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    request
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn step(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
