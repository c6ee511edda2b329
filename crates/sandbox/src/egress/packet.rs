//! IPv4, TCP, UDP and ICMP headers: taken apart without trust, put together without copies.
//!
//! Checksums of what an environment sends are not looked at. The packet comes from a kernel on the
//! same machine through memory, and whoever could forge one would only deceive themselves.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::device::{Device, ENVIRONMENT_ADDRESS, GATEWAY_ADDRESS, VnetHeader};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMP: u8 = 1;
const IP_LEN: usize = 20;
const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;

/// The largest TCP payload that fits a packet; the MSS announced to environments.
pub(super) const MSS_MAX: u32 = super::device::MTU - (IP_LEN + TCP_LEN) as u32;
/// The largest datagram.
pub(super) const DATAGRAM_MAX: usize = super::device::MTU as usize - IP_LEN - UDP_LEN;

pub(super) struct Ipv4<'a> {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
    /// From the first byte of the header on, for ICMP to quote.
    pub(super) whole: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// `None` for what is no whole IPv4 packet; fragments are none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Ipv4<'a>> {
        let header = bytes.first_chunk::<IP_LEN>()?;
        let header_len = usize::from(header[0] & 15) * 4;
        let total_len = usize::from(be16(header, 2)?);
        let fragment = be16(header, 6)? & 0x3fff != 0;
        if header[0] >> 4 != 4 || header_len < IP_LEN || fragment {
            return None;
        }
        let whole = bytes.get(..total_len)?;
        Some(Ipv4 {
            source: address(header, 12),
            destination: address(header, 16),
            protocol: header[9],
            payload: whole.get(header_len..)?,
            whole,
        })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const PSH: u8 = 8;
    pub(super) const ACK: u8 = 16;

    pub(super) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// A TCP segment that arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segment<'a> {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) mss: Option<u16>,
    pub(super) window_scale: Option<u8>,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Segment<'a>> {
        let header = bytes.first_chunk::<TCP_LEN>()?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options = bytes.get(TCP_LEN..header_len)?;
        let mut segment = Segment {
            source_port: be16(header, 0)?,
            destination_port: be16(header, 2)?,
            seq: be32(header, 4)?,
            ack: be32(header, 8)?,
            flags: Flags(header[13]),
            window: be16(header, 14)?,
            mss: None,
            window_scale: None,
            payload: bytes.get(header_len..)?,
        };
        if segment.flags.has(Flags::SYN) {
            segment.read_options(options);
        }
        Some(segment)
    }

    fn read_options(&mut self, mut options: &[u8]) {
        while let [kind, rest @ ..] = options {
            options = match (kind, rest) {
                (0, _) => return,
                (1, _) => rest,
                (_, [len, ..]) if *len >= 2 && usize::from(*len) <= options.len() => {
                    let (option, after) = options.split_at(usize::from(*len));
                    match option {
                        [2, 4, a, b] => self.mss = Some(u16::from_be_bytes([*a, *b])),
                        // RFC 7323 caps the shift.
                        [3, 3, shift] => self.window_scale = Some((*shift).min(14)),
                        _ => {}
                    }
                    after
                }
                _ => return,
            };
        }
    }
}

/// A TCP header that goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// With SYN: the window scale we announce, if the other side announced one.
    pub(super) window_scale: Option<u8>,
}

/// Writes one segment from `from` to the environment's `port`. `false` when the device would not
/// take it; TCP sends it again.
pub(super) fn send_tcp(
    device: &Device,
    from: SocketAddrV4,
    port: u16,
    out: Outgoing,
    data: [&[u8]; 2],
) -> bool {
    let mut head = [0u8; IP_LEN + TCP_LEN + 8];
    let options_len = tcp_options(&out, &mut head[IP_LEN + TCP_LEN..]);
    let tcp_len = TCP_LEN + options_len;
    let data_len = data[0].len() + data[1].len();
    let head_len = IP_LEN + tcp_len;
    ipv4_header(&mut head, TCP, *from.ip(), tcp_len + data_len);
    let tcp = &mut head[IP_LEN..];
    put16(tcp, 0, from.port());
    put16(tcp, 2, port);
    tcp[4..8].copy_from_slice(&out.seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&out.ack.to_be_bytes());
    tcp[12] = ((tcp_len / 4) as u8) << 4;
    tcp[13] = out.flags;
    put16(tcp, 14, out.window);
    put16(
        tcp,
        16,
        pseudo_checksum(*from.ip(), TCP, tcp_len + data_len),
    );
    let vnet = VnetHeader {
        partial_checksum: Some((IP_LEN as u16, 16)),
        header_len: head_len as u16,
    };
    device
        .send(&vnet, &[&head[..head_len], data[0], data[1]])
        .is_ok()
}

/// Writes one datagram from `from` to the environment's `port`.
pub(super) fn send_udp(device: &Device, from: SocketAddrV4, port: u16, data: &[u8]) -> bool {
    let len = UDP_LEN + data.len();
    if data.len() > DATAGRAM_MAX {
        return false;
    }
    let mut head = [0u8; IP_LEN + UDP_LEN];
    ipv4_header(&mut head, UDP, *from.ip(), len);
    let udp = &mut head[IP_LEN..];
    put16(udp, 0, from.port());
    put16(udp, 2, port);
    put16(udp, 4, len as u16);
    put16(udp, 6, pseudo_checksum(*from.ip(), UDP, len));
    let vnet = VnetHeader {
        partial_checksum: Some((IP_LEN as u16, 6)),
        header_len: (IP_LEN + UDP_LEN) as u16,
    };
    device.send(&vnet, &[&head, data]).is_ok()
}

/// Codes of ICMP "destination unreachable", with what a program in the environment sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Unreachable {
    /// `ENETUNREACH`
    Net = 0,
    /// `EHOSTUNREACH`
    Host = 1,
    /// `ECONNREFUSED`
    Port = 3,
    /// `ENETUNREACH`, also for UDP
    NetProhibited = 9,
    /// `EHOSTUNREACH`, also for UDP
    Prohibited = 13,
}

/// Tells the environment's kernel that `packet` did not get through.
pub(super) fn send_unreachable(device: &Device, code: Unreachable, packet: &Ipv4<'_>) -> bool {
    send_unreachable_quoting(device, code, packet.whole)
}

/// As [`send_unreachable`] for a packet of which the header and eight bytes are kept.
pub(super) fn send_unreachable_quoting(device: &Device, code: Unreachable, quote: &[u8]) -> bool {
    let quote = &quote[..quote.len().min(IP_LEN + 40)];
    let mut head = [0u8; IP_LEN + 8 + IP_LEN + 40];
    let len = 8 + quote.len();
    ipv4_header(&mut head, ICMP, GATEWAY_ADDRESS, len);
    let icmp = &mut head[IP_LEN..IP_LEN + len];
    icmp[0] = 3;
    icmp[1] = code as u8;
    icmp[8..].copy_from_slice(quote);
    let sum = !fold(sum(icmp));
    put16(icmp, 2, sum);
    device
        .send(&VnetHeader::default(), &[&head[..IP_LEN + len]])
        .is_ok()
}

/// Header and first eight bytes of a packet from the environment, as ICMP quotes it.
pub(super) fn quote(protocol: u8, to: SocketAddrV4, port: u16, seq: u32) -> [u8; IP_LEN + 8] {
    let mut quote = [0u8; IP_LEN + 8];
    ipv4_header(&mut quote, protocol, ENVIRONMENT_ADDRESS, 8);
    quote[12..16].copy_from_slice(&ENVIRONMENT_ADDRESS.octets());
    quote[16..20].copy_from_slice(&to.ip().octets());
    put16(&mut quote, IP_LEN, port);
    put16(&mut quote, IP_LEN + 2, to.port());
    quote[IP_LEN + 4..].copy_from_slice(&seq.to_be_bytes());
    quote
}

fn tcp_options(out: &Outgoing, options: &mut [u8]) -> usize {
    if out.flags & Flags::SYN == 0 {
        return 0;
    }
    let [a, b] = (MSS_MAX as u16).to_be_bytes();
    options[..4].copy_from_slice(&[2, 4, a, b]);
    let Some(shift) = out.window_scale else {
        return 4;
    };
    options[4..8].copy_from_slice(&[1, 3, 3, shift]);
    8
}

/// An IPv4 header to the environment in the first twenty bytes of `head`.
fn ipv4_header(head: &mut [u8], protocol: u8, from: Ipv4Addr, payload_len: usize) {
    let head = &mut head[..IP_LEN];
    head[0] = 0x45;
    put16(head, 2, (IP_LEN + payload_len) as u16);
    head[6] = 0x40;
    head[8] = 64;
    head[9] = protocol;
    head[12..16].copy_from_slice(&from.octets());
    head[16..20].copy_from_slice(&ENVIRONMENT_ADDRESS.octets());
    let sum = !fold(sum(head));
    put16(head, 10, sum);
}

/// The sum over addresses, protocol and length that a checksum left to the kernel starts from.
fn pseudo_checksum(from: Ipv4Addr, protocol: u8, len: usize) -> u16 {
    let addresses = sum(&from.octets()) + sum(&ENVIRONMENT_ADDRESS.octets());
    fold(addresses + u32::from(protocol) + len as u32)
}

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A datagram that arrived.
pub(super) struct Datagram<'a> {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Datagram<'a>> {
        let header = bytes.first_chunk::<UDP_LEN>()?;
        let len = usize::from(be16(header, 4)?);
        Some(Datagram {
            source_port: be16(header, 0)?,
            destination_port: be16(header, 2)?,
            payload: bytes.get(UDP_LEN..len)?,
        })
    }
}

fn address(bytes: &[u8; IP_LEN], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN with MSS and window scale, as a kernel sends it.
    const SYN: [u8; 52] = [
        0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, 6, 0, 0, 169, 254, 100, 2, 10, 0, 0, 1, // IPv4
        0x9c, 0x40, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x80, 2, 0xfa, 0xf0, 0, 0, 0, 0, // TCP
        2, 4, 0xff, 0xd7, 1, 1, 4, 2, 1, 3, 3, 7, // options
    ];

    #[test]
    fn a_syn_is_read() {
        let packet = Ipv4::parse(&SYN).expect("a packet");
        assert_eq!(packet.source, ENVIRONMENT_ADDRESS);
        assert_eq!(packet.destination, Ipv4Addr::new(10, 0, 0, 1));
        let segment = Segment::parse(packet.payload).expect("a segment");
        assert_eq!(
            (segment.source_port, segment.destination_port, segment.seq),
            (40000, 80, 7)
        );
        assert_eq!((segment.mss, segment.window_scale), (Some(65495), Some(7)));
        assert!(segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK));
    }

    #[test]
    fn no_cut_or_changed_packet_panics() {
        for len in 0..SYN.len() {
            parse_all(&SYN[..len]);
        }
        let mut seed = 1u32;
        for _ in 0..200_000 {
            let mut packet = SYN;
            for _ in 0..3 {
                seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                packet[(seed >> 8) as usize % SYN.len()] = (seed >> 24) as u8;
            }
            parse_all(&packet);
        }
    }

    fn parse_all(bytes: &[u8]) {
        if let Some(packet) = Ipv4::parse(bytes) {
            let _ = Segment::parse(packet.payload);
            let _ = Datagram::parse(packet.payload);
        }
    }

    #[test]
    fn fragments_and_short_lengths_are_refused() {
        let changed = |at: usize, value: u8| {
            let mut packet = SYN;
            packet[at] = value;
            Ipv4::parse(&packet).is_some()
        };
        assert!(changed(8, 1));
        assert!(!changed(6, 0x20), "more fragments");
        assert!(!changed(7, 1), "a later fragment");
        assert!(!changed(0, 0x44), "a header of 16 bytes");
        assert!(!changed(0, 0x65), "another version");
        assert!(!changed(3, 53), "longer than what is there");
        assert!(!changed(3, 19), "shorter than its header");
    }

    #[test]
    fn checksums_are_right() {
        let mut head = [0u8; 20];
        ipv4_header(&mut head, TCP, Ipv4Addr::new(10, 0, 0, 1), 100);
        assert_eq!(fold(sum(&head)), 0xffff);
        assert_eq!(fold(0x1fffe), 0xffff);
        assert_eq!(sum(&[1, 2, 3]), 0x102 + 0x300);
    }
}
