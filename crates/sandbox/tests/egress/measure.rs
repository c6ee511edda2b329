//! Figures: what a device costs, what a connection costs, how fast bytes go.

use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lambent_sandbox::{
    NetworkPolicy::World,
    egress::{Device, attach},
};

use crate::{
    cases::connect,
    lab::{self, Lab, WORLD},
    world,
};

pub fn run(lab: &Lab) {
    println!("== {} ==", lab.setup.name());
    devices(lab);
    let environment = lab.environment(World);
    let direct = || (connect_latency(), echo_latency(), throughput(), upload());
    report("direct", direct());
    report("through egress", environment.run(direct));
    println!(
        "udp round trip: direct {:?}, through egress {:?}",
        udp_latency(),
        environment.run(udp_latency)
    );
    println!("16 uploads at once: {:.0} MB/s", environment.run(uploads));
    idle(lab);
}

fn report(what: &str, (connect, echo, down, up): (Duration, Duration, f64, f64)) {
    println!(
        "{what}: connect {connect:?}, round trip {echo:?}, down {down:.0} MB/s, up {up:.0} MB/s"
    );
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn connect_latency() -> Duration {
    let sample = || {
        let start = Instant::now();
        let stream = connect(WORLD, world::HTTP).expect("connected");
        let took = start.elapsed();
        drop(stream);
        took
    };
    median((0..500).map(|_| sample()).collect())
}

fn echo_latency() -> Duration {
    let mut stream = connect(WORLD, world::ECHO).expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut sample = || {
        let start = Instant::now();
        stream.write_all(b"ping").expect("written");
        stream.read_exact(&mut [0; 4]).expect("the echo");
        start.elapsed()
    };
    median((0..2000).map(|_| sample()).collect())
}

fn udp_latency() -> Duration {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
    socket.connect((WORLD, world::UDP_ECHO)).expect("connected");
    let sample = || {
        let start = Instant::now();
        socket.send(b"ping").expect("sent");
        socket.recv(&mut [0; 8]).expect("the echo");
        start.elapsed()
    };
    median((0..2000).map(|_| sample()).collect())
}

const AMOUNT: usize = 512 << 20;

fn uploads() -> f64 {
    let start = Instant::now();
    let one = || {
        let mut stream = connect(WORLD, world::LISTENER).expect("connected");
        for _ in 0..(AMOUNT / 16) >> 16 {
            stream.write_all(&[1; 1 << 16]).expect("written");
        }
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
    };
    let threads: Vec<_> = (0..16).map(|_| thread::spawn(one)).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("sent"));
    AMOUNT as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn throughput() -> f64 {
    let mut stream = connect(WORLD, world::SOURCE).expect("connected");
    let mut buf = vec![0; 1 << 18];
    let start = Instant::now();
    let mut read = 0;
    while read < AMOUNT {
        read += stream.read(&mut buf).expect("read");
    }
    read as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn upload() -> f64 {
    let mut stream = connect(WORLD, world::LISTENER).expect("connected");
    let block = vec![1; 1 << 18];
    let start = Instant::now();
    let mut written = 0;
    while written < AMOUNT {
        written += stream.write(&block).expect("written");
    }
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    written as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Creation, kernel memory, and the time to close one.
fn devices(lab: &Lab) {
    const COUNT: usize = 300;
    let setup = lab.setup;
    let bare = thread::spawn(move || {
        let before = available_kb();
        let netns: Vec<_> = (0..COUNT).map(|_| lab::new_netns()).collect();
        let used = before - available_kb();
        (used, netns)
    });
    let (bare_kb, netns) = bare.join().expect("namespaces");
    let with = thread::spawn(move || {
        let before = available_kb();
        let mut took = Vec::new();
        let mut made: Vec<(std::fs::File, Device)> = Vec::new();
        for _ in 0..COUNT {
            let netns = lab::new_netns();
            let start = Instant::now();
            let device = setup.create_device().expect("a device");
            took.push(start.elapsed());
            made.push((netns, device));
        }
        (before - available_kb(), took, made)
    });
    let (with_kb, took, made) = with.join().expect("devices");
    let min = took.iter().min().expect("some");
    println!(
        "device: created in {min:?} at best, {:?} median",
        median(took.clone())
    );
    println!(
        "kernel memory: namespace {} kB, with device {} kB",
        bare_kb / COUNT as i64,
        with_kb / COUNT as i64
    );
    let devices: Vec<Device> = made.into_iter().map(|(_, device)| device).collect();
    drop(netns);
    attachments(lab, devices);
}

/// What attaching costs, and how much an attachment holds while nothing happens.
fn attachments(lab: &Lab, devices: Vec<Device>) {
    let count = devices.len();
    let _runtime = lab.runtime.enter();
    let before = resident_kb();
    let mut took = Vec::new();
    let attached: Vec<_> = devices
        .into_iter()
        .map(|device| {
            let start = Instant::now();
            let attachment = attach(device, World, &lab.shared).expect("attached");
            took.push(start.elapsed());
            attachment
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    let used = resident_kb() - before;
    println!(
        "attach: {:?} median, {} B each",
        median(took),
        used * 1024 / count as i64
    );
    let cpu = cpu_time();
    let asleep = Instant::now();
    thread::sleep(Duration::from_secs(2));
    println!(
        "{count} idle: {:?} CPU in {:?}",
        cpu_time() - cpu,
        asleep.elapsed()
    );
    let start = Instant::now();
    let mut devices = Vec::new();
    for attachment in attached {
        devices.extend(lab.runtime.block_on(attachment.detach()));
    }
    println!("detach: {:?} each", start.elapsed() / count as u32);
    let start = Instant::now();
    devices.truncate(5);
    println!("close: {:?} each", start.elapsed() / (count as u32 - 5));
}

/// A hundred environments with an open connection each, none of which says anything.
fn idle(lab: &Lab) {
    let environments: Vec<_> = (0..100).map(|_| lab.environment(World)).collect();
    thread::sleep(Duration::from_millis(200));
    let before = resident_kb();
    let streams: Vec<TcpStream> = environments
        .iter()
        .map(|environment| environment.run(|| connect(WORLD, world::HTTP).expect("connected")))
        .collect();
    thread::sleep(Duration::from_millis(200));
    println!(
        "an open connection: {} B each (with the world's thread for it)",
        (resident_kb() - before) * 1024 / 100
    );
    let cpu = cpu_time();
    thread::sleep(Duration::from_secs(2));
    println!(
        "100 with an open connection: {:?} CPU in 2 s",
        cpu_time() - cpu
    );
    drop(streams);
}

fn available_kb() -> i64 {
    field("/proc/meminfo", "MemAvailable:")
}

fn resident_kb() -> i64 {
    field("/proc/self/status", "VmRSS:")
}

fn field(path: &str, name: &str) -> i64 {
    let text = std::fs::read_to_string(path).expect("proc");
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .expect("the field");
    line.split_whitespace()
        .nth(1)
        .expect("a value")
        .parse()
        .expect("a number")
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: time is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
