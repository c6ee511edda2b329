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
//! The environment's address is [`ENVIRONMENT_ADDRESS`], the same in all of them; the name server
//! is [`GATEWAY_ADDRESS`]. Both are link-local, a range that is denied as a destination, so they
//! hide nothing. IPv4 only: a connection to an IPv6 address fails at once with `ENETUNREACH`.
//! What is refused by policy fails at once too, with `EHOSTUNREACH` (`ENETUNREACH` when the policy
//! is `Off`). ICMP is not forwarded.

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
pub use policy::Reason;
pub use shared::{EgressConfig, EgressShared};

/// What `/etc/resolv.conf` of an environment says.
pub const RESOLV_CONF: &str = "nameserver 169.254.100.1\n";
