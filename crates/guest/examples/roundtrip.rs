//! What the runtime clients add to an invocation: the time from the event's write to the
//! response's arrival, beside that of a bare echo of the same bytes in another process.
//!
//! ```text
//! cargo run --release -p lambent-guest --example roundtrip [--rounds N]
//! ```
//!
//! Server and client share one core, as waking another costs more than all the rest.

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const WARM_UP: usize = 3000;
const BODY_SIZE: usize = 1024;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, word, address] = arguments.as_slice()
        && word == "echo"
    {
        return echo(address);
    }
    let rounds = arguments.windows(2).find(|pair| pair[0] == "--rounds");
    let rounds = rounds
        .and_then(|pair| pair[1].parse().ok())
        .unwrap_or(10_000);
    share_one_core();
    let folder = env::temp_dir().join(format!("lambent-roundtrip-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("make a folder");
    std::fs::write(
        folder.join("index.js"),
        "exports.handler = async event => event;\n",
    )
    .expect("write a handler");
    std::fs::write(
        folder.join("app.py"),
        "def handler(event, context): return event\n",
    )
    .expect("write a handler");
    println!(
        "{:<28}{:>9}{:>9}{:>10}",
        "µs per turn, 1 KB of JSON", "p50", "p99", "to start"
    );
    let own = env::current_exe().expect("this program has a path");
    report("bare echo", rounds, |address| {
        Command::new(own)
            .args(["echo", address])
            .spawn()
            .expect("start the echo")
    });
    for (name, program) in interpreters() {
        report(&name, rounds, |address| {
            client(&name, &program, address, &folder)
        });
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn interpreters() -> Vec<(String, PathBuf)> {
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let mut found = Vec::new();
    let mut versions: Vec<_> = std::fs::read_dir(home.join(".pyenv/versions"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort();
    for version in versions {
        let name = version
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let minor = name
            .split('.')
            .nth(1)
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(0);
        if name.starts_with("3.") && minor >= 9 {
            found.push((format!("python {name}"), version.join("bin/python3")));
        }
    }
    if found.is_empty() {
        found.push(("python".into(), "python3".into()));
    }
    found.push(("node".into(), "node".into()));
    found
}

fn client(name: &str, program: &Path, address: &str, folder: &Path) -> Child {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    if name.starts_with("python") {
        command
            .args(["-I", "-S", "-B"])
            .arg(clients.join("python/bootstrap.py"));
        command.env("_HANDLER", "app.handler");
    } else {
        command
            .arg(clients.join("node/bootstrap.cjs"))
            .env("_HANDLER", "index.handler");
    }
    command
        .env("LAMBDA_TASK_ROOT", folder)
        .env("AWS_LAMBDA_RUNTIME_API", address);
    command
        .stdin(Stdio::null())
        .spawn()
        .expect("start the interpreter")
}

fn report(name: &str, rounds: usize, start: impl FnOnce(&str) -> Child) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address")
        .to_string();
    let begin = Instant::now();
    let mut child = start(&address);
    let (mut stream, _) = listener.accept().expect("the client connects");
    stream.set_nodelay(true).expect("set an option");
    let ready = begin.elapsed();
    let mut turns = if name == "bare echo" {
        drive_echo(&mut stream, rounds)
    } else {
        drive(&mut stream, rounds)
    };
    drop(stream);
    child.wait().expect("the client ends");
    turns.sort_unstable();
    let micros = |at: usize| turns[turns.len() * at / 100].as_nanos() as f64 / 1000.0;
    let ready = format!("{:.1} ms", ready.as_secs_f64() * 1000.0);
    println!(
        "{name:<28}{:>9.1}{:>9.1}{ready:>10}",
        micros(50),
        micros(99)
    );
}

fn drive_echo(stream: &mut TcpStream, rounds: usize) -> Vec<Duration> {
    let (message, mut answer) = (vec![b'x'; BODY_SIZE], vec![0; BODY_SIZE]);
    measure(rounds, || {
        stream.write_all(&message).expect("write");
        stream.read_exact(&mut answer).expect("read");
    })
}

fn drive(stream: &mut TcpStream, rounds: usize) -> Vec<Duration> {
    let event = format!(
        "{{\"name\":\"value\",\"text\":\"{}\"}}",
        "x".repeat(BODY_SIZE - 32)
    );
    let answer = format!(
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n\
         HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\r\n\
         Lambda-Runtime-Deadline-Ms: 99999999999999\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:f\r\n\
         Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1\r\n\
         Content-Length: {}\r\n\r\n{event}",
        event.len()
    );
    read_question(stream);
    let mut first = Some(answer.split_once("\r\n\r\n").expect("two answers").1);
    measure(rounds, || {
        // The acceptance of the last response goes out with the next event.
        let answer = first.take().unwrap_or(&answer);
        stream.write_all(answer.as_bytes()).expect("write");
        read_question(stream);
    })
}

/// Reads until the question for an invocation has arrived, which follows the response.
fn read_question(stream: &mut TcpStream) {
    let mut received = Vec::with_capacity(16 * 1024);
    let mut part = [0; 16 * 1024];
    loop {
        let size = stream.read(&mut part).expect("read");
        assert!(size > 0, "the client has hung up");
        received.extend_from_slice(&part[..size]);
        let tail = &received[received.len().saturating_sub(120)..];
        let asks = tail
            .windows(21)
            .any(|window| window == b"/invocation/next HTTP");
        if asks && received.ends_with(b"\r\n\r\n") {
            return;
        }
    }
}

fn measure(rounds: usize, mut turn: impl FnMut()) -> Vec<Duration> {
    for _ in 0..WARM_UP {
        turn();
    }
    (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            turn();
            begin.elapsed()
        })
        .collect()
}

fn echo(address: &str) {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("set an option");
    let mut message = vec![0; BODY_SIZE];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message).expect("write");
    }
}

fn share_one_core() {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is initialised and 0 is within its bounds.
    unsafe { libc::CPU_SET(0, &mut set) };
    // SAFETY: the pointer and the size belong to the set, which outlives the call.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
    if result != 0 {
        println!(
            "(not pinned to one core: {})",
            std::io::Error::last_os_error()
        );
    }
}
