//! Whether an environment may reach an address: one pure function.
//!
//! Some destinations are denied to every function because reaching them would be reaching into the
//! host rather than out of it. Private networks are not among them: like a function in a VPC, one
//! under [`NetworkPolicy::World`] may call the databases and services around the host.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::{Destination, DestinationHost, NetworkPolicy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Allow,
    Deny(Reason),
}

/// Why a destination is denied; also a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The function's policy is [`NetworkPolicy::Off`].
    Off,
    /// The function's allow-list does not have it.
    NotAllowed,
    Loopback,
    /// Link-local, which holds most clouds' metadata services and the gateway itself.
    LinkLocal,
    /// A metadata service outside the link-local range.
    Metadata,
    Multicast,
    /// Unspecified, broadcast, reserved, or an IPv6 form that hides another address.
    Special,
    /// One of the host's own addresses, or a broadcast address of its networks.
    Host,
    /// Where the platform listens.
    Platform,
    /// Denied by the operator.
    Operator,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::Off,
        Reason::NotAllowed,
        Reason::Loopback,
        Reason::LinkLocal,
        Reason::Metadata,
        Reason::Multicast,
        Reason::Special,
        Reason::Host,
        Reason::Platform,
        Reason::Operator,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Reason::Off => "off",
            Reason::NotAllowed => "not_allowed",
            Reason::Loopback => "loopback",
            Reason::LinkLocal => "link_local",
            Reason::Metadata => "metadata",
            Reason::Multicast => "multicast",
            Reason::Special => "special",
            Reason::Host => "host",
            Reason::Platform => "platform",
            Reason::Operator => "operator",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What else the decision rests on.
pub(super) struct Facts<'a> {
    /// The kernel would take the address as the host's own, or as a broadcast.
    pub(super) host_owns: bool,
    /// The operator's denied networks.
    pub(super) denied: &'a [(IpAddr, u8)],
    /// Where the platform listens.
    pub(super) platform: &'a [SocketAddr],
    /// Names of the allow-list, as indices into it, that resolved to the address.
    pub(super) named: &'a [u16],
}

pub(super) fn decide(policy: &NetworkPolicy, to: SocketAddr, facts: &Facts<'_>) -> Decision {
    let rules = match policy {
        NetworkPolicy::Off => return Decision::Deny(Reason::Off),
        NetworkPolicy::World => None,
        NetworkPolicy::Allow(rules) => Some(rules.as_slice()),
    };
    if let Some(reason) = never(to.ip()) {
        return Decision::Deny(reason);
    }
    if facts.host_owns {
        return Decision::Deny(Reason::Host);
    }
    if facts
        .platform
        .iter()
        .any(|p| p.port() == to.port() && same_address(p.ip(), to.ip()))
    {
        return Decision::Deny(Reason::Platform);
    }
    if facts
        .denied
        .iter()
        .any(|(net, len)| contains(*net, *len, to.ip()))
    {
        return Decision::Deny(Reason::Operator);
    }
    match rules {
        Some(rules) if !allowed(rules, to, facts.named) => Decision::Deny(Reason::NotAllowed),
        _ => Decision::Allow,
    }
}

/// Under this name functions find the host's services that the operator has opened to them.
pub const HOST_NAME: &str = "host.lambent.internal";

/// Whether an environment may reach such a service. Its name is what an allow-list has to have: its
/// address is nobody's.
pub(super) fn reaches_host(policy: &NetworkPolicy, port: u16) -> bool {
    match policy {
        NetworkPolicy::World => true,
        NetworkPolicy::Off => false,
        NetworkPolicy::Allow(rules) => matching_names(policy, HOST_NAME).any(|index| {
            let rule = &rules[usize::from(index)];
            rule.port.is_none_or(|allowed| allowed == port)
        }),
    }
}

/// Whether a name may be resolved under the policy.
pub(super) fn resolves(policy: &NetworkPolicy, name: &str) -> bool {
    match policy {
        NetworkPolicy::World => true,
        NetworkPolicy::Off => false,
        NetworkPolicy::Allow(_) => matching_names(policy, name).next().is_some(),
    }
}

/// The allow-list's entries (their indices) that name `name`.
pub(super) fn matching_names<'a>(
    policy: &'a NetworkPolicy,
    name: &'a str,
) -> impl Iterator<Item = u16> + 'a {
    let rules: &[Destination] = match policy {
        NetworkPolicy::Allow(rules) => rules,
        _ => &[],
    };
    rules
        .iter()
        .zip(0u16..)
        .filter_map(move |(rule, index)| match &rule.host {
            DestinationHost::Name(pattern) if name_matches(pattern, name) => Some(index),
            _ => None,
        })
}

fn allowed(rules: &[Destination], to: SocketAddr, named: &[u16]) -> bool {
    rules.iter().zip(0u16..).any(|(rule, index)| {
        let host = match &rule.host {
            DestinationHost::Net(net, len) => contains(*net, *len, to.ip()),
            DestinationHost::Name(_) => named.contains(&index),
        };
        host && rule.port.is_none_or(|port| port == to.port())
    })
}

/// `*.example.com` matches every name below `example.com`, not itself. Case does not matter, nor
/// does the final dot.
fn name_matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    let name = name.strip_suffix('.').unwrap_or(name);
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(name),
        Some(parent) => {
            let Some(split) = name.len().checked_sub(parent.len() + 1) else {
                return false;
            };
            split > 0
                && name.as_bytes()[split] == b'.'
                && name.as_bytes()[split + 1..].eq_ignore_ascii_case(parent.as_bytes())
        }
    }
}

/// Why no function ever reaches this address.
fn never(ip: IpAddr) -> Option<Reason> {
    match ip {
        IpAddr::V4(ip) => never_v4(ip),
        IpAddr::V6(ip) => never_v6(ip),
    }
}

fn never_v4(ip: Ipv4Addr) -> Option<Reason> {
    // Microsoft's, Alibaba's and Oracle's hosts answer their guests at public-looking addresses.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    match ip.octets() {
        [127, ..] => Some(Reason::Loopback),
        [169, 254, ..] => Some(Reason::LinkLocal),
        [0, ..] | [240..=255, ..] => Some(Reason::Special),
        [224..=239, ..] => Some(Reason::Multicast),
        _ if METADATA.contains(&ip) => Some(Reason::Metadata),
        _ => None,
    }
}

fn never_v6(ip: Ipv6Addr) -> Option<Reason> {
    // Amazon's and Google's metadata services.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if let Some(inner) = embedded_v4(ip) {
        return never_v4(inner);
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reason::Loopback),
        // Unspecified and IPv4-compatible; Teredo, whose inner address is scrambled.
        [0, 0, 0, 0, 0, 0, ..] | [0x2001, 0, ..] => Some(Reason::Special),
        [0xfe80..=0xfebf, ..] => Some(Reason::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Reason::Multicast),
        _ if METADATA.contains(&ip) => Some(Reason::Metadata),
        _ => None,
    }
}

/// The IPv4 address that a mapped, NAT64 or 6to4 address leads to.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |a: u16, b: u16| Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] => Some(join(a, b)),
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some(join(a, b)),
        [0x64, 0xff9b, 1, _, _, _, a, b] => Some(join(a, b)),
        [0x2002, a, b, ..] => Some(join(a, b)),
        _ => None,
    }
}

fn same_address(a: IpAddr, b: IpAddr) -> bool {
    canonical(a) == canonical(b)
}

fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn contains(net: IpAddr, len: u8, ip: IpAddr) -> bool {
    match (net, canonical(ip)) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(len.min(32));
            let bits = net.to_bits() ^ ip.to_bits();
            bits.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(len.min(128));
            let bits = net.to_bits() ^ ip.to_bits();
            bits.checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Facts<'static> = Facts {
        host_owns: false,
        denied: &[],
        platform: &[],
        named: &[],
    };

    fn world(to: &str) -> Decision {
        decide(
            &NetworkPolicy::World,
            to.parse().expect("an address"),
            &NOTHING,
        )
    }

    fn allow(host: DestinationHost, port: Option<u16>) -> NetworkPolicy {
        NetworkPolicy::Allow(vec![Destination { host, port }])
    }

    #[test]
    fn the_world_and_private_networks_are_reached() {
        for to in [
            "1.1.1.1:443",
            "10.1.2.3:5432",
            "172.17.0.2:80",
            "100.64.0.9:22",
            "[2606::1]:1",
        ] {
            assert_eq!(world(to), Decision::Allow, "{to}");
        }
    }

    #[test]
    fn what_leads_into_the_host_is_never_reached() {
        let cases = [
            ("127.0.0.1:80", Reason::Loopback),
            ("127.255.1.1:80", Reason::Loopback),
            ("[::1]:80", Reason::Loopback),
            ("[::ffff:127.0.0.1]:80", Reason::Loopback),
            ("[64:ff9b::7f00:1]:80", Reason::Loopback),
            ("[64:ff9b:1::7f00:1]:80", Reason::Loopback),
            ("[2002:7f00:1::]:80", Reason::Loopback),
            ("169.254.169.254:80", Reason::LinkLocal),
            ("169.254.100.1:80", Reason::LinkLocal),
            ("[::ffff:169.254.169.254]:80", Reason::LinkLocal),
            ("[fe80::1]:80", Reason::LinkLocal),
            ("0.0.0.0:80", Reason::Special),
            ("0.1.2.3:80", Reason::Special),
            ("[::]:80", Reason::Special),
            ("[::7f00:1]:80", Reason::Special),
            ("[2001::1]:80", Reason::Special),
            ("255.255.255.255:80", Reason::Special),
            ("240.0.0.1:80", Reason::Special),
            ("224.0.0.1:80", Reason::Multicast),
            ("[ff02::1]:80", Reason::Multicast),
            ("168.63.129.16:80", Reason::Metadata),
            ("100.100.100.200:80", Reason::Metadata),
            ("[fd00:ec2::254]:80", Reason::Metadata),
        ];
        let everything = NetworkPolicy::Allow(vec![
            Destination {
                host: DestinationHost::Net(Ipv4Addr::UNSPECIFIED.into(), 0),
                port: None,
            },
            Destination {
                host: DestinationHost::Net(Ipv6Addr::UNSPECIFIED.into(), 0),
                port: None,
            },
        ]);
        for (to, reason) in cases {
            assert_eq!(world(to), Decision::Deny(reason), "{to}");
            let to = to.parse().expect("an address");
            assert_eq!(
                decide(&everything, to, &NOTHING),
                Decision::Deny(reason),
                "{to}"
            );
        }
    }

    #[test]
    fn host_platform_and_operator_come_before_the_allow_list() {
        let policy = allow(
            DestinationHost::Net("10.0.0.0".parse().expect("ip"), 8),
            None,
        );
        let to = "10.0.0.1:4566".parse().expect("an address");
        let check = |facts: Facts<'_>| decide(&policy, to, &facts);
        assert_eq!(check(NOTHING), Decision::Allow);
        assert_eq!(
            check(Facts {
                host_owns: true,
                ..NOTHING
            }),
            Decision::Deny(Reason::Host)
        );
        let platform = ["10.0.0.1:4566".parse().expect("an address")];
        let facts = Facts {
            platform: &platform,
            ..NOTHING
        };
        assert_eq!(check(facts), Decision::Deny(Reason::Platform));
        let denied = [("10.0.0.0".parse().expect("ip"), 24)];
        assert_eq!(
            check(Facts {
                denied: &denied,
                ..NOTHING
            }),
            Decision::Deny(Reason::Operator)
        );
    }

    #[test]
    fn an_allow_list_matches_network_and_port() {
        let policy = allow(
            DestinationHost::Net("10.1.0.0".parse().expect("ip"), 16),
            Some(443),
        );
        let check = |to: &str| decide(&policy, to.parse().expect("an address"), &NOTHING);
        assert_eq!(check("10.1.255.1:443"), Decision::Allow);
        assert_eq!(check("[::ffff:10.1.0.1]:443"), Decision::Allow);
        assert_eq!(check("10.1.255.1:80"), Decision::Deny(Reason::NotAllowed));
        assert_eq!(check("10.2.0.1:443"), Decision::Deny(Reason::NotAllowed));
        let off = decide(
            &NetworkPolicy::Off,
            "1.1.1.1:1".parse().expect("an address"),
            &NOTHING,
        );
        assert_eq!(off, Decision::Deny(Reason::Off));
    }

    #[test]
    fn an_allow_list_matches_names_that_resolved_to_the_address() {
        let policy = allow(DestinationHost::Name("api.example.com".into()), Some(443));
        let facts = Facts {
            named: &[0],
            ..NOTHING
        };
        let check = |to: &str, facts| decide(&policy, to.parse().expect("an address"), facts);
        assert_eq!(check("1.1.1.1:443", &facts), Decision::Allow);
        assert_eq!(
            check("1.1.1.1:80", &facts),
            Decision::Deny(Reason::NotAllowed)
        );
        assert_eq!(
            check("1.1.1.1:443", &NOTHING),
            Decision::Deny(Reason::NotAllowed)
        );
        // A name that resolves into the host does not open the host.
        assert_eq!(
            check("127.0.0.1:443", &facts),
            Decision::Deny(Reason::Loopback)
        );
    }

    #[test]
    fn the_hosts_services_are_reached_by_their_name_alone() {
        let named = |name: &str, port| allow(DestinationHost::Name(name.into()), port);
        let everywhere = DestinationHost::Net("0.0.0.0".parse().expect("ip"), 0);
        for (policy, expect) in [
            (NetworkPolicy::World, true),
            (NetworkPolicy::Off, false),
            (named(HOST_NAME, None), true),
            (named("*.lambent.internal", Some(5432)), true),
            (named(HOST_NAME, Some(80)), false),
            (named("db.example.com", None), false),
            (allow(everywhere, None), false),
        ] {
            assert_eq!(reaches_host(&policy, 5432), expect, "{policy:?}");
        }
    }

    #[test]
    fn names_match_whole_labels_without_regard_to_case() {
        let cases = [
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com.", "a.b.Example.COM", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "com", false),
        ];
        for (pattern, name, expect) in cases {
            assert_eq!(name_matches(pattern, name), expect, "{pattern} {name}");
        }
    }
}
