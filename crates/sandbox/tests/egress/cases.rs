//! What a function sees of the world.

use std::{
    fmt::Debug,
    io::{ErrorKind, Read, Write},
    net::{
        IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
    },
    os::fd::AsRawFd,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use lambent_sandbox::{
    Destination, DestinationHost,
    NetworkPolicy::{self, Allow, Off, World},
    egress::{GATEWAY_ADDRESS, HOST_NAME, Reason},
};

use crate::{
    Case,
    lab::{ELSEWHERE, HOST, HOST_OTHER, HOST_RANGE, HOST_SERVICE, Lab, METADATA, WORLD},
    world,
};

pub const ALL: &[Case] = cases![
    http_by_address_and_by_name,
    ten_megabytes_each_way,
    two_hundred_connections_at_once,
    a_thousand_and_twenty_four_and_no_more,
    each_direction_closes_by_itself,
    what_is_not_read_is_not_fetched,
    what_is_not_taken_stops_the_sender,
    refusals_and_resets_come_through,
    udp_echo,
    datagrams_sent_in_one_go,
    udp_to_nobody_is_refused,
    names_over_tcp,
    unknown_names_fail_at_once,
    off_refuses_everything_at_once,
    allow_list_by_network_and_port,
    allow_list_by_name,
    a_name_does_not_open_the_host,
    the_host_is_out_of_reach,
    what_the_operator_opens_is_reached_by_the_hosts_name,
    other_environments_are_out_of_reach,
    ipv6_fails_at_once,
    recycling_leaks_nothing,
    dropping_cuts_everything,
    many_connections_one_after_the_other,
];

pub fn connect(ip: impl Into<IpAddr>, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(ip.into(), port).into(), Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// One request on a connection of its own.
fn http(to: SocketAddr, method: &str, path: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(to.ip(), to.port())?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or(ErrorKind::InvalidData)?;
    Ok(answer.split_off(split + 4))
}

pub fn hello(to: SocketAddr) -> std::io::Result<Vec<u8>> {
    http(to, "GET", "/hello", b"")
}

/// Through the C library, as a program would.
fn resolve(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    (name, world::HTTP).to_socket_addrs().map(Iterator::collect)
}

fn errno<T>(result: std::io::Result<T>) -> i32 {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0)
}

fn assert_denied<T: Debug>(result: std::io::Result<T>) {
    let code = result.as_ref().err().and_then(std::io::Error::raw_os_error);
    assert_eq!(code, Some(libc::ECONNREFUSED), "{result:?}");
}

/// Runs `job`, which must not take long.
fn at_once<T>(job: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = job();
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "took {:?}",
        start.elapsed()
    );
    value
}

fn http_by_address_and_by_name(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        assert_eq!(
            hello((WORLD, world::HTTP).into()).expect("by address"),
            b"hello"
        );
        assert_eq!(
            hello((ELSEWHERE, world::HTTP).into()).expect("by address"),
            b"hello"
        );
        for name in ["world.test", "WORLD.test", "alias.test"] {
            let to = resolve(name).expect("resolved")[0];
            assert_eq!(to.ip(), IpAddr::from(WORLD));
            assert_eq!(hello(to).expect("by name"), b"hello");
        }
    });
}

fn ten_megabytes_each_way(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let to = (WORLD, world::HTTP).into();
        let expected = world::bytes(10 << 20);
        let down = http(to, "GET", &format!("/bytes/{}", 10 << 20), b"").expect("down");
        assert!(down == expected, "what came down differs");
        let up = http(to, "POST", "/sum", &expected).expect("up");
        assert_eq!(up, world::checksum(&expected).to_string().as_bytes());
    });
}

fn two_hundred_connections_at_once(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let mut streams: Vec<_> = (0..200)
            .map(|_| connect(WORLD, world::ECHO).expect("connected"))
            .collect();
        let threads: Vec<_> = streams
            .drain(..)
            .zip(0u32..)
            .map(|(mut stream, index)| {
                thread::spawn(move || {
                    let data = world::bytes(10_000 + index as usize);
                    let mut writer = stream.try_clone().expect("cloned");
                    let copy = data.clone();
                    let sender = thread::spawn(move || {
                        writer.write_all(&copy).expect("written");
                        writer.shutdown(Shutdown::Write).expect("shut");
                    });
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).expect("read");
                    sender.join().expect("sent");
                    assert!(back == data, "connection {index}");
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no connection differs");
        }
    });
    lab.eventually("all flows end", || {
        lab.shared.counters().flows_open.load(Relaxed) == 0
    });
    assert_eq!(lab.shared.counters().bytes_buffered.load(Relaxed), 0);
}

fn a_thousand_and_twenty_four_and_no_more(lab: &Lab) {
    let environment = lab.environment(World);
    let mut streams = environment.run(|| {
        let open = |_| connect(WORLD, world::ECHO).expect("connected");
        (0..1024).map(open).collect::<Vec<_>>()
    });
    environment.run(|| assert_denied(connect(WORLD, world::ECHO)));
    assert!(lab.shared.counters().flows_over_limit.load(Relaxed) >= 1);
    drop(streams.pop());
    lab.eventually("its place is free", || {
        lab.shared.counters().flows_open.load(Relaxed) < 1024
    });
    drop(environment.run(|| connect(WORLD, world::ECHO).expect("connected")));
    drop(streams);
    lab.eventually("all flows end", || {
        lab.shared.counters().flows_open.load(Relaxed) == 0
    });
}

fn each_direction_closes_by_itself(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        // We close ours first; the answer comes after.
        let mut stream = connect(WORLD, world::REVERSER).expect("connected");
        let data = world::bytes(300_000);
        stream.write_all(&data).expect("written");
        stream.shutdown(Shutdown::Write).expect("shut");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("read");
        back.reverse();
        assert!(back == data);
        // They close theirs first; we go on sending.
        let mut stream = connect(WORLD, world::LISTENER).expect("connected");
        assert_eq!(stream.read(&mut [0; 10]).expect("the end"), 0);
        stream.write_all(&world::bytes(100_000)).expect("written");
    });
    lab.eventually("the listener heard it all", || {
        lab.world.listener_bytes.swap(0, Relaxed) == 100_000
    });
}

/// How much the source got rid of once it stands still.
fn standstill(lab: &Lab) -> usize {
    let mut last = (lab.world.source_bytes.load(Relaxed), Instant::now());
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = lab.world.source_bytes.load(Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > Duration::from_millis(500) && now > 0 {
            return now;
        }
    }
}

fn what_is_not_read_is_not_fetched(lab: &Lab) {
    lab.world.source_bytes.store(0, Relaxed);
    let environment = lab.environment(World);
    let mut stream = environment.run(|| connect(WORLD, world::SOURCE).expect("connected"));
    let sent = standstill(lab);
    let held = lab.shared.counters().bytes_buffered.load(Relaxed);
    assert!(held <= 512 << 10, "{held} bytes held");
    assert!(sent < 64 << 20, "{sent} bytes fetched without being read");
    // All of it is still there, in order, and more comes.
    let pattern = world::bytes(1 << 16);
    let mut buf = vec![0; 1 << 16];
    for _ in 0..(sent + (4 << 20)) >> 16 {
        stream.read_exact(&mut buf).expect("read");
        assert!(buf == pattern);
    }
}

fn what_is_not_taken_stops_the_sender(lab: &Lab) {
    let environment = lab.environment(World);
    let written = environment.run(|| {
        let mut stream = connect(WORLD, world::WALL).expect("connected");
        stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("set");
        let block = vec![7; 1 << 16];
        let mut written = 0;
        while let Ok(count) = stream.write(&block) {
            written += count;
            assert!(written < 256 << 20, "a wall that takes everything");
        }
        written
    });
    let held = lab.shared.counters().bytes_buffered.load(Relaxed);
    assert!(held <= 513 << 10, "{held} bytes held of {written} written");
}

fn refusals_and_resets_come_through(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let refused = at_once(|| connect(WORLD, world::CLOSED));
        assert_eq!(errno(refused), libc::ECONNREFUSED);
        let refused = at_once(|| connect(GATEWAY_ADDRESS, 80));
        assert_eq!(errno(refused), libc::ECONNREFUSED);
        // What was sent before the reset arrives before it.
        let mut stream = connect(WORLD, world::RESETTER).expect("connected");
        stream.write_all(b"?").expect("written");
        let mut words = vec![0; world::LAST_WORDS.len()];
        stream.read_exact(&mut words).expect("the last words");
        assert_eq!(words, world::LAST_WORDS);
        assert_eq!(errno(stream.read(&mut words)), libc::ECONNRESET);
    });
}

fn udp_echo(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        for len in [0, 1, 1400, 20_000, 65_507] {
            let data = world::bytes(len);
            socket
                .send_to(&data, (WORLD, world::UDP_ECHO))
                .expect("sent");
            let mut buf = vec![0; 65_535];
            let (count, from) = socket.recv_from(&mut buf).expect("the echo");
            assert_eq!(from, (WORLD, world::UDP_ECHO).into());
            assert!(buf[..count] == data, "{len} bytes came back as {count}");
        }
    });
}

/// As QUIC stacks do it: the kernel cuts, or leaves that to the device.
fn datagrams_sent_in_one_go(lab: &Lab) {
    const UDP_SEGMENT: libc::c_int = 103;
    let environment = lab.environment(World);
    environment.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        let len: libc::c_int = 1200;
        // SAFETY: the value is a c_int of the length given.
        let set = unsafe {
            let value = (&raw const len).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, UDP_SEGMENT, value, 4)
        };
        assert_eq!(set, 0);
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        let data = world::bytes(10_000);
        socket
            .send_to(&data, (WORLD, world::UDP_ECHO))
            .expect("sent");
        let (mut back, mut buf) = (Vec::<u8>::new(), [0; 2000]);
        for part in data.chunks(1200) {
            let len = socket.recv(&mut buf).expect("the echo");
            assert_eq!(len, part.len());
            back.extend(&buf[..len]);
        }
        assert!(back == data);
    });
}

fn udp_to_nobody_is_refused(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("set");
        socket.connect((WORLD, world::CLOSED)).expect("connected");
        socket.send(b"?").expect("sent");
        assert_eq!(
            errno(at_once(|| socket.recv(&mut [0; 8]))),
            libc::ECONNREFUSED
        );
    });
}

fn names_over_tcp(lab: &Lab) {
    let environment = lab.environment(World);
    // Cut off over UDP, so the library asks again over TCP.
    let found = environment.run(|| resolve("big.test").expect("resolved"));
    assert!(found.len() >= 48, "{} addresses", found.len());
}

fn unknown_names_fail_at_once(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| assert!(at_once(|| resolve("nowhere.test")).is_err()));
}

fn off_refuses_everything_at_once(lab: &Lab) {
    let queries = lab.world.dns_queries.load(Relaxed);
    let environment = lab.environment(Off);
    environment.run(|| {
        assert_denied(at_once(|| connect(WORLD, world::HTTP)));
        assert_denied(at_once(|| connect(GATEWAY_ADDRESS, 53)));
        assert!(at_once(|| resolve("world.test")).is_err());
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket.connect((WORLD, world::UDP_ECHO)).expect("connected");
        socket.send(b"?").expect("sent");
        assert_eq!(
            errno(at_once(|| socket.recv(&mut [0; 8]))),
            libc::ENETUNREACH
        );
    });
    assert_eq!(
        lab.world.dns_queries.load(Relaxed),
        queries,
        "a query got out"
    );
    assert!(lab.shared.counters().denied(Reason::Off) >= 2);
}

fn net(ip: Ipv4Addr, len: u8, port: Option<u16>) -> Destination {
    Destination {
        host: DestinationHost::Net(ip.into(), len),
        port,
    }
}

fn name(name: &str, port: Option<u16>) -> Destination {
    Destination {
        host: DestinationHost::Name(name.into()),
        port,
    }
}

fn allow(rules: impl Into<Vec<Destination>>) -> NetworkPolicy {
    Allow(rules.into())
}

fn allow_list_by_network_and_port(lab: &Lab) {
    let policy = allow([
        net(ELSEWHERE, 24, Some(world::HTTP)),
        net(WORLD, 32, Some(world::UDP_ECHO)),
    ]);
    let environment = lab.environment(policy);
    environment.run(|| {
        assert_eq!(
            hello((ELSEWHERE, world::HTTP).into()).expect("allowed"),
            b"hello"
        );
        let denied = at_once(|| connect(ELSEWHERE, world::ECHO));
        assert_denied(denied);
        let denied = at_once(|| connect(WORLD, world::HTTP));
        assert_denied(denied);
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket.connect((WORLD, world::UDP_ECHO)).expect("connected");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("set");
        socket.send(b"x").expect("sent");
        assert_eq!(socket.recv(&mut [0; 8]).expect("the echo"), 1);
        socket.connect((WORLD, world::UDP_SINK)).expect("connected");
        socket.send(b"x").expect("sent");
        assert_eq!(
            errno(at_once(|| socket.recv(&mut [0; 8]))),
            libc::EHOSTUNREACH
        );
        assert!(
            at_once(|| resolve("world.test")).is_err(),
            "no name is on the list"
        );
    });
}

fn allow_list_by_name(lab: &Lab) {
    let policy = allow([
        name("*.world.test", Some(world::HTTP)),
        name("alias.test", Some(world::ECHO)),
    ]);
    let environment = lab.environment(policy);
    let queries = lab.world.dns_queries.load(Relaxed);
    environment.run(|| {
        let denied = at_once(|| connect(WORLD, world::HTTP));
        assert_denied(denied);
        assert!(
            at_once(|| resolve("world.test")).is_err(),
            "only names below it"
        );
        assert!(at_once(|| resolve("elsewhere.test")).is_err());
    });
    assert_eq!(
        lab.world.dns_queries.load(Relaxed),
        queries,
        "a query got out"
    );
    environment.run(|| {
        let to = resolve("www.world.test").expect("allowed")[0];
        assert_eq!(hello(to).expect("allowed"), b"hello");
        assert_denied(at_once(|| connect(WORLD, world::ECHO)));
        resolve("alias.test").expect("allowed");
        connect(WORLD, world::ECHO).expect("allowed through an alias");
        assert_denied(at_once(|| connect(ELSEWHERE, world::HTTP)));
    });
    assert!(lab.shared.counters().names_denied() >= 2);
}

fn a_name_does_not_open_the_host(lab: &Lab) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let environment = lab.environment(allow([
        name("rebind.test", None),
        name("metadata.test", None),
    ]));
    environment.run(move || {
        resolve("rebind.test").expect("it resolves");
        resolve("metadata.test").expect("it resolves");
        // 127.0.0.1 inside is the environment itself.
        assert_eq!(
            errno(connect(Ipv4Addr::LOCALHOST, port)),
            libc::ECONNREFUSED
        );
        assert_denied(at_once(|| connect(METADATA, world::HTTP)));
    });
    assert_untouched(&listener);
}

fn assert_untouched(listener: &TcpListener) {
    listener.set_nonblocking(true).expect("set");
    let accepted = listener.accept().map_err(|error| error.kind());
    assert_eq!(
        accepted.err(),
        Some(ErrorKind::WouldBlock),
        "something got through"
    );
}

fn the_host_is_out_of_reach(lab: &Lab) {
    let listener = TcpListener::bind("0.0.0.0:0").expect("bound");
    let udp = UdpSocket::bind("0.0.0.0:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let udp_port = udp.local_addr().expect("bound").port();
    // The host itself reaches all of these; so the denials below are denials.
    for ip in [HOST, HOST_OTHER, HOST_RANGE] {
        drop(connect(ip, port).expect("the host reaches itself"));
        listener.accept().expect("accepted");
    }
    connect(METADATA, world::HTTP).expect("the host reaches its metadata service");
    let everything = allow([net(Ipv4Addr::UNSPECIFIED, 0, None)]);
    for policy in [World, everything] {
        let environment = lab.environment(policy);
        environment.run(move || {
            for ip in [HOST, HOST_OTHER, HOST_RANGE] {
                assert_denied(at_once(|| connect(ip, port)));
            }
            assert_denied(at_once(|| connect(METADATA, world::HTTP)));
            assert_ne!(errno(at_once(|| connect(Ipv4Addr::LOCALHOST, port))), 0);
            for ip in [HOST, HOST_OTHER, HOST_RANGE, Ipv4Addr::new(10, 99, 0, 255)] {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
                socket.set_broadcast(true).expect("set");
                socket.connect((ip, udp_port)).expect("connected");
                socket.send(b"?").expect("sent");
                assert_eq!(
                    errno(at_once(|| socket.recv(&mut [0; 8]))),
                    libc::EHOSTUNREACH,
                    "{ip}"
                );
            }
        });
    }
    assert_untouched(&listener);
    udp.set_nonblocking(true).expect("set");
    assert!(udp.recv(&mut [0; 8]).is_err(), "a datagram got through");
}

fn what_the_operator_opens_is_reached_by_the_hosts_name(lab: &Lab) {
    let service = TcpListener::bind(HOST_SERVICE).expect("bound");
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let closed = other.local_addr().expect("bound").port();
    let open = HOST_SERVICE.port();
    let by_name = |port| allow([name(HOST_NAME, port)]);
    let queries = lab.world.dns_queries.load(Relaxed);
    for policy in [World, by_name(None), by_name(Some(open))] {
        let environment = lab.environment(policy);
        let answer = thread::scope(|scope| {
            let served = scope.spawn(|| {
                let mut stream = service.accept().expect("accepted").0;
                stream.write_all(b"hello").expect("written");
            });
            let answer = environment.run(move || {
                let to = resolve(HOST_NAME).expect("the host has a name");
                let [SocketAddr::V4(to)] = to[..] else {
                    panic!("{to:?}");
                };
                let mut answer = Vec::new();
                let mut stream = connect(*to.ip(), open).expect("it is open");
                stream.read_to_end(&mut answer).expect("read");
                assert_denied(at_once(|| connect(*to.ip(), closed)));
                // Nor by an address of the host's.
                assert_denied(at_once(|| connect(HOST, open)));
                answer
            });
            served.join().expect("served");
            answer
        });
        assert_eq!(answer, b"hello");
    }
    for policy in [
        NetworkPolicy::Off,
        by_name(Some(1)),
        allow([net(Ipv4Addr::UNSPECIFIED, 0, None)]),
    ] {
        let environment = lab.environment(policy);
        environment.run(move || at_once(|| connect(GATEWAY_ADDRESS, open)).expect_err("closed"));
    }
    assert_eq!(lab.world.dns_queries.load(Relaxed), queries, "nobody asked");
    assert_untouched(&service);
    assert_untouched(&other);
}

fn other_environments_are_out_of_reach(lab: &Lab) {
    use lambent_sandbox::egress::ENVIRONMENT_ADDRESS;
    let (one, other) = (lab.environment(World), lab.environment(World));
    let listener = other.run(|| TcpListener::bind((ENVIRONMENT_ADDRESS, 0)).expect("bound"));
    let port = listener.local_addr().expect("bound").port();
    one.run(move || {
        assert_eq!(
            errno(at_once(|| connect(ENVIRONMENT_ADDRESS, port))),
            libc::ECONNREFUSED
        );
        let near = Ipv4Addr::new(169, 254, 100, 3);
        assert_denied(at_once(|| connect(near, port)));
    });
    assert_untouched(&listener);
}

fn ipv6_fails_at_once(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        let to: IpAddr = "2001:db8::1".parse().expect("an address");
        let code = errno(at_once(|| connect(to, 80)));
        assert!(
            [libc::ENETUNREACH, libc::EAFNOSUPPORT].contains(&code),
            "{code}"
        );
    });
}

fn recycling_leaks_nothing(lab: &Lab) {
    let mut environment = lab.environment(World);
    let closed = lab.world.echo_closed.load(Relaxed);
    let reset = lab.world.echo_reset.load(Relaxed);
    let mut stream = environment.run(|| {
        let mut stream = connect(WORLD, world::ECHO).expect("connected");
        stream.write_all(b"ping").expect("written");
        stream.read_exact(&mut [0; 4]).expect("the echo");
        stream
    });
    let device = environment.detach();
    lab.eventually("the world sees the end", || {
        lab.world.echo_closed.load(Relaxed) == closed + 1
    });
    assert_eq!(lab.world.echo_reset.load(Relaxed), reset + 1, "as a reset");
    assert_eq!(
        errno(stream.read(&mut [0; 4])),
        libc::ECONNRESET,
        "inside too"
    );
    assert_eq!(lab.shared.counters().flows_open.load(Relaxed), 0);
    // Sent while nobody is attached: these must never arrive.
    let drained = lab.shared.counters().packets_drained.load(Relaxed);
    environment.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        for _ in 0..50 {
            socket
                .send_to(b"late", (WORLD, world::UDP_SINK))
                .expect("sent");
        }
    });
    environment.attach(device, World);
    assert!(lab.shared.counters().packets_drained.load(Relaxed) >= drained + 50);
    // The next one works, and by the time it has the earlier one's would have arrived.
    environment.run(|| assert_eq!(hello((WORLD, world::HTTP).into()).expect("next"), b"hello"));
    assert_eq!(
        lab.world.sink_datagrams.load(Relaxed),
        0,
        "a packet of the earlier one got out"
    );
    // Nor does a policy outlive its environment.
    let device = environment.detach();
    environment.attach(device, Off);
    environment.run(|| assert_denied(connect(WORLD, world::HTTP)));
}

fn dropping_cuts_everything(lab: &Lab) {
    let mut environment = lab.environment(World);
    let (open, closed) = (
        lab.world.echo_open.load(Relaxed),
        lab.world.echo_closed.load(Relaxed),
    );
    let _streams = environment.run(|| {
        (0..20)
            .map(|_| connect(WORLD, world::ECHO).expect("connected"))
            .collect::<Vec<_>>()
    });
    lab.eventually("twenty are open", || {
        lab.world.echo_open.load(Relaxed) == open + 20
    });
    environment.drop_attachment();
    lab.eventually("twenty are cut", || {
        lab.world.echo_closed.load(Relaxed) == closed + 20
    });
    lab.eventually("none is left", || {
        lab.shared.counters().flows_open.load(Relaxed) == 0
    });
}

fn many_connections_one_after_the_other(lab: &Lab) {
    let environment = lab.environment(World);
    environment.run(|| {
        for _ in 0..1000 {
            assert_eq!(hello((WORLD, world::HTTP).into()).expect("hello"), b"hello");
        }
    });
    lab.eventually("all flows end", || {
        lab.shared.counters().flows_open.load(Relaxed) == 0
    });
}
