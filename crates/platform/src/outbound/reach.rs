//! Which addresses the platform connects to for its users. Pure.
//!
//! Whatever hands out credentials to who is on the machine, such as the metadata services of clouds,
//! is out of reach for good. Private networks are not: they are where one's own services are, as
//! for functions. The machine itself is in reach in development only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether the machine itself may be connected to.
    pub loopback: bool,
}

impl Reach {
    /// Why an address is out of reach, if it is.
    pub fn check(self, address: IpAddr) -> Result<(), &'static str> {
        let address = address.to_canonical();
        let denied = match address {
            IpAddr::V4(v4) => denied_v4(v4),
            IpAddr::V6(v6) => denied_v6(v6),
        };
        match denied {
            Some(why) => Err(why),
            None if address.is_loopback() && !self.loopback => Err("it is the machine's own"),
            None => Ok(()),
        }
    }
}

fn denied_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [169, 254, ..] => Some("it is link-local"),
        // Alibaba's and Oracle's.
        [100, 100, 100, 200] | [192, 0, 0, 192] => Some("it is a metadata service"),
        [0, ..] | [255, 255, 255, 255] => Some("it is special"),
        [224..=239, ..] => Some("it is multicast"),
        [240..=255, ..] => Some("it is reserved"),
        _ => None,
    }
}

fn denied_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0xfd00, 0x0ec2, ..] => Some("it is a metadata service"),
        [0xfe80..=0xfebf, ..] => Some("it is link-local"),
        [0xff00..=0xffff, ..] => Some("it is multicast"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("it is special"),
        // These hide an address of the other kind: NAT64, 6to4 and Teredo.
        [0x0064, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => Some("it hides another address"),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some("it hides another address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_and_private_networks_are_in_reach() {
        let reach = |address: &str, loopback| Reach { loopback }.check(address.parse().unwrap());
        for address in [
            "93.184.216.34",
            "10.1.2.3",
            "192.168.0.1",
            "2600::1",
            "fd12::1",
        ] {
            assert_eq!(reach(address, false), Ok(()), "{address}");
        }
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"] {
            assert_eq!(reach(address, true), Ok(()), "{address}");
            assert!(reach(address, false).is_err(), "{address}");
        }
        for address in [
            "169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "::",
            "::ffff:169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::7f00:1",
        ] {
            assert!(reach(address, true).is_err(), "{address}");
        }
    }
}
