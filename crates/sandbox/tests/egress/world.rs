//! The world: servers that speak real protocols, on threads in the world's network namespace.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::lab::{ELSEWHERE, METADATA, WORLD};

pub const HTTP: u16 = 8080;
/// Reads to the end, then sends back what it read.
pub const REVERSER: u16 = 7001;
/// Sends without end.
pub const SOURCE: u16 = 7002;
/// Accepts and never reads.
pub const WALL: u16 = 7003;
pub const UDP_ECHO: u16 = 7004;
/// Nobody.
pub const CLOSED: u16 = 7005;
/// Sends [`LAST_WORDS`] and resets.
pub const RESETTER: u16 = 7006;
/// Echoes until it is closed; counts how connections end.
pub const ECHO: u16 = 7007;
/// Counts datagrams, answers none.
pub const UDP_SINK: u16 = 7008;
/// Closes its side at once and then reads to the end.
pub const LISTENER: u16 = 7009;
pub const LAST_WORDS: &[u8] = b"so long, and thanks";

/// What the world has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub source_bytes: AtomicUsize,
    pub echo_open: AtomicUsize,
    pub echo_closed: AtomicUsize,
    pub echo_reset: AtomicUsize,
    pub sink_datagrams: AtomicUsize,
    pub listener_bytes: AtomicUsize,
    pub dns_queries: AtomicUsize,
}

pub fn serve() -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    tcp(HTTP, &seen, |stream, _| http(stream));
    tcp(REVERSER, &seen, |stream, _| reverse(stream));
    tcp(SOURCE, &seen, source);
    tcp(WALL, &seen, |stream, _| {
        // Held until the peer is gone, without a byte read.
        let mut poll = libc::pollfd {
            fd: stream.as_raw_fd(),
            events: 0,
            revents: 0,
        };
        // SAFETY: poll is valid for the call.
        unsafe { libc::poll(&mut poll, 1, 20_000) };
    });
    tcp(RESETTER, &seen, |mut stream, _| {
        let _ = stream.read(&mut [0u8; 1]);
        let _ = stream.write_all(LAST_WORDS);
        linger_zero(&stream);
    });
    tcp(ECHO, &seen, echo);
    tcp(LISTENER, &seen, |mut stream, seen| {
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        seen.listener_bytes.fetch_add(all.len(), Relaxed);
    });
    udp_echo();
    udp_sink(&seen);
    dns_udp(&seen);
    tcp(53, &seen, |stream, _| dns_tcp(stream));
    seen
}

fn tcp(port: u16, seen: &Arc<Seen>, each: fn(TcpStream, &Seen)) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("the world's port");
    let seen = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let seen = seen.clone();
            if let Ok(stream) = stream {
                thread::spawn(move || each(stream, &seen));
            }
        }
    });
}

/// `GET /hello`, `GET /bytes/N`, `POST /sum`, keep-alive and all.
fn http(stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) <= 2 {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let path = line.split(' ').nth(1).unwrap_or("/");
        let body = match path.strip_prefix("/bytes/") {
            Some(count) => bytes(count.parse().expect("a count")),
            None if path == "/sum" => {
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    return;
                }
                checksum(&body).to_string().into_bytes()
            }
            None => b"hello".to_vec(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if writer
            .write_all(&[head.as_bytes(), &body].concat())
            .is_err()
        {
            return;
        }
    }
}

fn reverse(mut stream: TcpStream) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).is_ok() {
        all.reverse();
        let _ = stream.write_all(&all);
    }
}

fn source(mut stream: TcpStream, seen: &Seen) {
    let block = bytes(1 << 16);
    while let Ok(written) = stream.write(&block) {
        seen.source_bytes.fetch_add(written, Relaxed);
        if written < block.len() {
            return;
        }
    }
}

fn echo(mut stream: TcpStream, seen: &Seen) {
    seen.echo_open.fetch_add(1, Relaxed);
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => break,
            Ok(len) if stream.write_all(&buf[..len]).is_ok() => {}
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                seen.echo_reset.fetch_add(1, Relaxed);
                break;
            }
        }
    }
    seen.echo_closed.fetch_add(1, Relaxed);
}

fn udp_echo() {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, UDP_ECHO)).expect("the world's port");
    thread::spawn(move || {
        let mut buf = vec![0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..len], from);
        }
    });
}

fn udp_sink(seen: &Arc<Seen>) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, UDP_SINK)).expect("the world's port");
    let seen = seen.clone();
    thread::spawn(move || {
        while socket.recv(&mut [0; 64]).is_ok() {
            seen.sink_datagrams.fetch_add(1, Relaxed);
        }
    });
}

fn dns_udp(seen: &Arc<Seen>) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).expect("the world's port");
    let seen = seen.clone();
    thread::spawn(move || {
        let mut buf = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            seen.dns_queries.fetch_add(1, Relaxed);
            let _ = socket.send_to(&answer(&buf[..len], false), from);
        }
    });
}

fn dns_tcp(mut stream: TcpStream) {
    let mut len = [0; 2];
    while stream.read_exact(&mut len).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        let reply = answer(&query, true);
        let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
        if stream.write_all(&framed).is_err() {
            return;
        }
    }
}

/// A records for the names of the tests; `big.test` has many and is cut off over UDP.
fn answer(query: &[u8], tcp: bool) -> Vec<u8> {
    let mut name = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let len = usize::from(query[at]);
        name.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).to_lowercase());
        at += 1 + len;
    }
    let (kind, end) = (query[at + 2], at + 5);
    let addresses: Vec<Ipv4Addr> = match name.join(".").as_str() {
        "world.test" | "www.world.test" | "alias.test" => vec![WORLD],
        "elsewhere.test" => vec![ELSEWHERE],
        "rebind.test" => vec![Ipv4Addr::LOCALHOST],
        "metadata.test" => vec![METADATA],
        "big.test" if tcp => (0..60).map(|i| Ipv4Addr::new(10, 99, 2, i)).collect(),
        "big.test" => vec![],
        _ => {
            let mut reply = query[..end].to_vec();
            reply[2..4].copy_from_slice(&[0x81, 0x83]);
            reply[6..12].fill(0);
            return reply;
        }
    };
    let cut = name == ["big", "test"] && !tcp;
    let alias = name == ["alias", "test"];
    let addresses = if kind == 1 { addresses } else { Vec::new() };
    let mut reply = query[..end].to_vec();
    reply[2..4].copy_from_slice(&[if cut { 0x83 } else { 0x81 }, 0x80]);
    reply[6..12].copy_from_slice(&[0, addresses.len() as u8 + u8::from(alias), 0, 0, 0, 0]);
    let mut owner = vec![0xc0, 12];
    if alias {
        reply.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0c\x05world\x04test\0");
        owner = b"\x05world\x04test\0".to_vec();
    }
    for address in addresses {
        reply.extend(&owner);
        reply.extend(b"\0\x01\0\x01\0\0\0\x3c\0\x04");
        reply.extend(address.octets());
    }
    reply
}

fn linger_zero(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: linger is valid and its size is given.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        );
    }
}

/// Bytes that do not repeat soon.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// FNV-1a.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100000001b3)
    })
}
