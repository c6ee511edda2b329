//! Outbound network of execution environments.
//!
//! An environment's network namespace holds one device (`eth0`) with a default route and nothing
//! else; its packets arrive on a file descriptor in the server, where a small TCP/IP end turns
//! every flow into an ordinary socket of the host, if the function's [`NetworkPolicy`] lets it.
//! Nothing on the host is changed: no bridge, no address, no packet filter, and root and an
//! ordinary user get the same.
//!
//! ```text
//!  environment's netns            server
//!  socket ─ kernel TCP ─ eth0 ══ fd ══ stack (policy, TCP end, DNS proxy) ─ host socket ─ world
//! ```
//!
//! What a jail's author needs to know:
//!
//! 1. With the slot's network namespace as its own, a single-threaded process with
//!    `CAP_NET_ADMIN` and `CAP_NET_RAW` there calls [`device::create_in_current_netns`] once and
//!    passes the descriptor ([`Device::into_fd`]) to the server. `lo` is the caller's to bring up.
//! 2. The environment's `/etc/resolv.conf` is [`RESOLV_CONF`]; its `/etc/hosts` needs `localhost`
//!    and nothing more.
//! 3. When an environment starts in the slot the server calls [`attach`]; when its last process is
//!    gone, [`Attachment::detach`] gives the device back, with every flow cut and every waiting
//!    packet thrown away. Dropping an attachment closes the device with it.
//!
//! 4. Where a device cannot be had, [`unavailable`] is the word for the operator; an environment
//!    without one sees a network that is unreachable.
//! 5. Flows need file descriptors: raise the process's soft limit before [`EgressShared::new`].
//!
//! The environment's address is [`ENVIRONMENT_ADDRESS`], the same in all of them; the name server
//! is [`GATEWAY_ADDRESS`]. Both are link-local, a range that is denied as a destination, so they
//! hide nothing. IPv4 only: a connection to an IPv6 address fails at once with `ENETUNREACH`, as in
//! a function outside a dual-stack VPC.
//!
//! What is refused by policy fails at once: TCP with `ECONNREFUSED`, UDP with `EHOSTUNREACH`
//! (`ENETUNREACH` when the policy is `Off`). What the world refuses comes through as it is. Denied under every policy: loopback,
//! link-local with the metadata services in it, some clouds' metadata addresses elsewhere,
//! multicast, broadcast, reserved ranges, every address that the host's kernel takes for its own,
//! and what the operator adds. Private networks are open under `World`. ICMP is not forwarded and
//! nothing from outside reaches an environment.
//!
//! The operator may open services of the host ([`EgressConfig::host_services`]). They are behind the
//! gateway's address, which [`HOST_NAME`] leads to, each at its port, and nothing else of the host is.
//!
//! Names are resolved by the host's name servers. With an allow-list only the names on it resolve,
//! others do not exist (NXDOMAIN); connections to an address count as to a name once the
//! environment has resolved it, for the answer's time to live and at least ten minutes.
//!
//! An environment that is frozen keeps its flows: its kernel goes on acknowledging until its
//! receive buffers are full, then at most two bounded buffers per flow fill up here, and the other
//! side is no longer read.

mod attachment;
mod counters;
pub mod device;
mod dns;
mod dns_flow;
mod dns_stream;
mod host;
mod limits;
mod names;
mod netlink;
mod packet;
mod policy;
mod resolvers;
mod shared;
mod stack;
mod tcp;
mod tcp_flow;
mod udp_flow;

pub use attachment::{Attachment, attach};
pub use counters::Counters;
pub use device::{Device, ENVIRONMENT_ADDRESS, GATEWAY_ADDRESS, INTERFACE, Kind, MTU};
pub use policy::{HOST_NAME, Reason};
pub use shared::{EgressConfig, EgressShared};

/// What `/etc/resolv.conf` of an environment says.
pub const RESOLV_CONF: &str = "nameserver 169.254.100.1\n";

/// What to tell the operator when [`device::create_in_current_netns`] has failed.
pub fn unavailable(error: &std::io::Error) -> String {
    format!(
        "outbound network: functions have none, because no network device can be made for them \
         ({error}). It needs /dev/net/tun to be readable and writable, or the kernel's veth and \
         packet socket modules"
    )
}
