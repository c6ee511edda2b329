//! What an environment may throw at us when nothing holds it back: raw packets of its own making,
//! more than it would get a capability for. A panic would show as an environment without network,
//! so each of these ends with an ordinary request.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::Ordering::Relaxed,
};

use lambent_sandbox::{
    NetworkPolicy::World,
    egress::{ENVIRONMENT_ADDRESS, GATEWAY_ADDRESS, INTERFACE, Reason},
};

use crate::{
    Case,
    cases::{connect, hello},
    lab::{self, Environment, Lab, WORLD},
    world,
};

pub const ALL: &[Case] = cases![
    random_packets,
    cut_and_changed_headers,
    segments_out_of_nowhere,
    a_flood_of_connections,
    a_flood_to_what_is_denied,
    a_flood_of_datagrams,
    a_flood_of_queries,
    other_source_addresses,
    small_bytes_in_a_closed_window,
];

fn random_packets(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        let mut dice = Dice(11);
        for _ in 0..30_000 {
            let mut packet: Vec<u8> = (0..dice.roll(300)).map(|_| dice.next() as u8).collect();
            if dice.roll(2) == 0 && packet.len() > 20 {
                // Of the right shape as far as the header goes.
                let len = packet.len() as u16;
                packet[0] = 0x45;
                packet[2..4].copy_from_slice(&len.to_be_bytes());
                packet[6..8].fill(0);
                packet[9] = [6, 17, 1][dice.roll(3)];
                packet[12..16].copy_from_slice(&ENVIRONMENT_ADDRESS.octets());
            }
            raw.send(&packet);
        }
    });
    still_works(lab, &environment, before);
}

fn cut_and_changed_headers(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        let syn = tcp(40_000, (WORLD, world::CLOSED), 1, 0, 2, b"");
        let query = udp(40_000, (GATEWAY_ADDRESS, 53), QUERY);
        for packet in [syn, query] {
            (0..packet.len()).for_each(|len| raw.send(&packet[..len]));
            let mut dice = Dice(5);
            for _ in 0..10_000 {
                let mut changed = packet.clone();
                for _ in 0..2 {
                    let at = dice.roll(changed.len());
                    // The destination stays, or this would be a scan of everywhere.
                    if !(16..20).contains(&at) {
                        changed[at] = dice.next() as u8;
                    }
                }
                raw.send(&changed);
            }
        }
    });
    still_works(lab, &environment, before);
}

/// Into a real connection, with its own ports.
fn segments_out_of_nowhere(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        let mut dice = Dice(9);
        for _ in 0..20 {
            let mut stream = connect(WORLD, world::ECHO).expect("connected");
            stream.write_all(b"ping").expect("written");
            let port = stream.local_addr().expect("its address").port();
            for _ in 0..500 {
                let data = vec![0; dice.roll(1000)];
                // No RST: that would only end it.
                let flags = dice.next() as u8 & !4;
                raw.send(&tcp(
                    port,
                    (WORLD, world::ECHO),
                    dice.next(),
                    dice.next(),
                    flags,
                    &data,
                ));
            }
            // The stream has not noticed: nothing was in its window.
            let mut echo = [0; 4];
            stream.read_exact(&mut echo).expect("the echo");
            assert_eq!(&echo, b"ping");
        }
    });
    still_works(lab, &environment, before);
}

fn a_flood_of_connections(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        for round in 0..3u32 {
            for port in 1024..16_000 {
                raw.send(&tcp(
                    port,
                    (WORLD, world::ECHO + round as u16),
                    round,
                    0,
                    2,
                    b"",
                ));
            }
        }
    });
    assert!(lab.shared.counters().flows_open.load(Relaxed) <= 1024 + 1);
    // The kernel inside knows of none of them and says so.
    lab.eventually("they end", || {
        lab.shared.counters().flows_open.load(Relaxed) == 0
    });
    still_works(lab, &environment, before);
}

fn a_flood_to_what_is_denied(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    let denied = lab.shared.counters().denied(Reason::Host);
    environment.run(|| {
        let raw = Raw::open();
        for port in 1024..20_000 {
            raw.send(&tcp(port, (lab::HOST, port), 1, 0, 2, b""));
        }
    });
    still_works(lab, &environment, before);
    assert!(lab.shared.counters().denied(Reason::Host) > denied + 1000);
}

fn a_flood_of_datagrams(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        for port in 1024..30_000 {
            raw.send(&udp(port, (WORLD, 10_000 + port % 7000), b"x"));
        }
    });
    assert!(lab.shared.counters().flows_open.load(Relaxed) <= 256 + 1);
    still_works(lab, &environment, before);
}

fn a_flood_of_queries(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let raw = Raw::open();
        for port in 1024..20_000 {
            raw.send(&udp(port, (GATEWAY_ADDRESS, 53), QUERY));
        }
    });
    assert!(lab.shared.counters().flows_open.load(Relaxed) <= 128 + 1);
    still_works(lab, &environment, before);
}

fn other_source_addresses(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    let ignored = lab.shared.counters().packets_ignored.load(Relaxed);
    let sunk = lab.world.sink_datagrams.load(Relaxed);
    environment.run(|| {
        let raw = Raw::open();
        for source in [Ipv4Addr::LOCALHOST, WORLD, lab::HOST, GATEWAY_ADDRESS] {
            let mut packet = udp(40_000, (WORLD, world::UDP_SINK), b"x");
            packet[12..16].copy_from_slice(&source.octets());
            raw.send(&packet);
        }
    });
    still_works(lab, &environment, before);
    assert!(lab.shared.counters().packets_ignored.load(Relaxed) >= ignored + 4);
    assert_eq!(lab.world.sink_datagrams.load(Relaxed), sunk);
}

/// A host that takes nothing, and a sender that adds byte after byte beyond the window.
fn small_bytes_in_a_closed_window(lab: &Lab) {
    let environment = lab.environment(World);
    let before = memory_kb();
    environment.run(|| {
        let mut stream = connect(WORLD, world::WALL).expect("connected");
        stream.set_nonblocking(true).expect("set");
        stream.set_nodelay(true).expect("set");
        for _ in 0..200_000 {
            if stream.write(b"x").is_err() {
                break;
            }
        }
        let block = vec![1; 1 << 20];
        while stream.write(&block).is_ok() {}
    });
    assert!(lab.shared.counters().bytes_buffered.load(Relaxed) <= 257 << 10);
    still_works(lab, &environment, before);
}

fn still_works(lab: &Lab, environment: &Environment<'_>, before_kb: i64) {
    // Until the last of a flood has been read, its connections take the places that ours needs.
    lab.eventually("an ordinary request is answered", || {
        let answer = environment.run(|| hello((WORLD, world::HTTP).into()));
        answer.is_ok_and(|answer| answer == b"hello")
    });
    assert!(lab.shared.counters().bytes_buffered.load(Relaxed) <= 1 << 20);
    let grown = memory_kb() - before_kb;
    assert!(grown < 48 << 10, "{grown} kB more");
}

/// `world.test` A.
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05world\x04test\0\0\x01\0\x01";

/// A packet socket inside the environment.
struct Raw(OwnedFd);

impl Raw {
    fn open() -> Raw {
        // SAFETY: socket takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: fd was just returned by the kernel and nobody else holds it.
        Raw(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Best effort: a full queue loses it.
    fn send(&self, packet: &[u8]) {
        // SAFETY: an all-zero sockaddr_ll is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
        address.sll_ifindex = lab::index(INTERFACE) as i32;
        address.sll_halen = 6;
        // SAFETY: packet and address are valid for the lengths given.
        unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            );
        }
    }
}

fn ipv4(protocol: u8, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(ENVIRONMENT_ADDRESS.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

fn tcp(port: u16, to: (Ipv4Addr, u16), seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let to = SocketAddrV4::new(to.0, to.1);
    let mut segment = [port.to_be_bytes(), to.port().to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    ipv4(6, *to.ip(), &segment)
}

fn udp(port: u16, to: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len()) as u16;
    let mut datagram = [
        port.to_be_bytes(),
        to.1.to_be_bytes(),
        len.to_be_bytes(),
        [0, 0],
    ]
    .concat();
    datagram.extend(data);
    ipv4(17, to.0, &datagram)
}

fn memory_kb() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("the field");
    line.split_whitespace()
        .nth(1)
        .expect("a value")
        .parse()
        .expect("a number")
}

struct Dice(u32);

impl Dice {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        self.0.rotate_right(16)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.next() as usize % sides
    }
}
