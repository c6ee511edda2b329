//! How fast sandboxes are: ready, made per second, thawed. Build with `--release`.
//!
//! The floor beside each figure is measured in the same run: the bare start of the same process,
//! and a call to a function that is not frozen. With the argument `burst` only that.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lambent_sandbox::{
    Backend, Interpreter, Launch, NetworkPolicy, Sandbox, Template, TemplateSpec,
    jail::{Jail, JailConfig},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 500;
const CALLERS: usize = 4;
const BURST: usize = 500;
const COLD_ROUNDS: usize = 30;
const COLD_PAUSE: Duration = Duration::from_millis(150);
const SPELL: Duration = Duration::from_secs(3);

fn main() {
    lambent_sandbox::run_helper_if_asked();
    let dir = std::env::temp_dir().join(format!("lambent-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("make a scratch directory");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(measure(&dir));
    let _ = fs::remove_dir_all(&dir);
}

async fn measure(dir: &Path) {
    let mut config = JailConfig::new(dir.join("jail"));
    config.slots_ahead = 32;
    config.platform_port = Some(4566);
    let jail = Jail::start(config).await.expect("the jail starts");
    println!("{}", jail.guarantees().summary);
    let still = function(dir, "still", &pausing_program());
    let template = jail.prepare(spec(still.clone())).await.expect("prepare");

    if std::env::args().any(|one| one == "burst") {
        burst(&template).await;
        return jail.shutdown().await;
    }
    let floor = (0..ROUNDS)
        .map(|_| bare_start(&still.join("bootstrap")))
        .collect();
    let mut ready = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let sandbox = template.start(Vec::new()).await.expect("start");
        ready.push(begun.elapsed());
        end(sandbox).await;
    }
    println!("bare process ready      {}", percentiles(floor));
    println!("sandbox ready           {}", percentiles(ready));
    println!(
        "sandboxes per second    {:.0} with one caller",
        rate(&template, 1).await
    );
    println!(
        "                        {:.0} with {CALLERS}",
        rate(&template, CALLERS).await
    );

    burst(&template).await;
    let echo = function(dir, "echo", ECHO.as_bytes());
    let template = jail.prepare(spec(echo)).await.expect("prepare");
    thaw(template.start(Vec::new()).await.expect("start")).await;
    snapshot(dir, &jail).await;
    for (name, launch, file, text) in managed() {
        let code = function(dir, name, b"");
        fs::write(code.join(file), text).expect("write");
        let mut spec = spec(code);
        spec.launch = launch;
        spec.env = vec![("_HANDLER".into(), "index.handler".into())];
        let template = jail.prepare(spec).await.expect("prepare");
        println!("{name:<24}{}", percentiles(cold(&template).await));
    }
    jail.shutdown().await;
}

/// From the order to the first question for an event, many times.
async fn cold(template: &Arc<dyn Template>) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..COLD_ROUNDS {
        // Time for what is made ahead to be made.
        tokio::time::sleep(COLD_PAUSE).await;
        let begun = Instant::now();
        let sandbox = template.start(Vec::new()).await.expect("start");
        asked(&sandbox).await;
        times.push(begun.elapsed());
        end(sandbox).await;
    }
    times
}

/// Waits for its first question.
async fn asked(sandbox: &Sandbox) -> tokio::net::TcpStream {
    let (mut connection, _) = sandbox.runtime_api.accept().await.expect("a connection");
    let mut first = [0; 512];
    let read = connection.read(&mut first).await.expect("a question");
    assert!(read > 0, "it hung up");
    connection
}

/// A function with a heavy init, each environment for itself and from a snapshot. Its packages are
/// those of a directory that `LAMBENT_BENCH_PACKAGES` names, with boto3 and numpy.
async fn snapshot(dir: &Path, jail: &Jail) {
    let Some(packages) = std::env::var_os("LAMBENT_BENCH_PACKAGES") else {
        return;
    };
    let code = function(dir, "heavy", b"");
    let text = "import boto3, numpy\nsqs = boto3.client('sqs', 'us-east-1')\n\
         def handler(event, context):\n    return event\n";
    fs::write(code.join("index.py"), text).expect("write");
    let mut spec = spec(code);
    spec.memory_mb = 1769;
    spec.launch = Launch::Python(Interpreter {
        path: "/usr/bin/python3".into(),
        version: "3.11.2".into(),
        roots: Vec::new(),
        packages: Some(packages.into()),
    });
    spec.env = vec![("_HANDLER".into(), "index.handler".into())];
    let template = jail.prepare(spec).await.expect("prepare");
    println!(
        "boto3 and numpy, init   {}",
        percentiles(cold(&template).await)
    );
    let started = template.clone().start_snapshot(Vec::new()).await;
    let (sandbox, mut snapshot) = started.expect("start");
    let mut connection = asked(&sandbox).await;
    snapshot.arm().await.expect("arm");
    let well = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    connection.write_all(well).await.expect("nod");
    let restored = snapshot.taken().await.expect("taken");
    println!(
        "the same, restored      {}",
        percentiles(cold(&restored).await)
    );
}

async fn end(sandbox: Sandbox) {
    sandbox.control.kill();
    sandbox.exit.await.expect("an exit");
}

async fn rate(template: &Arc<dyn Template>, callers: usize) -> f64 {
    let begun = Instant::now();
    let callers = (0..callers).map(|_| {
        let template = template.clone();
        tokio::spawn(async move {
            let mut made = 0;
            while begun.elapsed() < SPELL {
                end(template.start(Vec::new()).await.expect("start")).await;
                made += 1;
            }
            made
        })
    });
    let mut made = 0;
    for caller in callers.collect::<Vec<_>>() {
        made += caller.await.expect("no panic");
    }
    f64::from(made) / begun.elapsed().as_secs_f64()
}

/// Many at once, all alive together.
async fn burst(template: &Arc<dyn Template>) {
    let begun = Instant::now();
    let starts = (0..BURST).map(|_| {
        let template = template.clone();
        tokio::spawn(async move {
            let sandbox = template.start(Vec::new()).await.expect("start");
            (begun.elapsed(), sandbox)
        })
    });
    let (mut times, mut alive) = (Vec::new(), Vec::new());
    for start in starts.collect::<Vec<_>>() {
        let (took, sandbox) = start.await.expect("no panic");
        times.push(took);
        alive.push(sandbox);
    }
    println!("{BURST} in one burst         {}", percentiles(times));
    let begun = Instant::now();
    for sandbox in alive {
        end(sandbox).await;
    }
    println!(
        "and ended               after {:.1} ms",
        begun.elapsed().as_secs_f64() * 1e3
    );
}

async fn thaw(sandbox: Sandbox) {
    let (mut connection, _) = sandbox.runtime_api.accept().await.expect("a connection");
    let mut answer = [0];
    connection
        .read_exact(&mut answer)
        .await
        .expect("a greeting");
    let (mut plain, mut frozen, mut verb) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for freeze in [false, true] {
            if freeze {
                sandbox.control.freeze();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let begun = Instant::now();
            if freeze {
                sandbox.control.thaw();
                verb.push(begun.elapsed());
            }
            connection.write_all(b"x").await.expect("send");
            connection.read_exact(&mut answer).await.expect("an answer");
            if freeze { &mut frozen } else { &mut plain }.push(begun.elapsed());
        }
    }
    println!("call                    {}", percentiles(plain));
    println!("call, frozen before     {}", percentiles(frozen));
    println!("thaw itself             {}", percentiles(verb));
    end(sandbox).await;
}

/// Start of the same program as an ordinary child, to the point where it runs.
fn bare_start(program: &Path) -> Duration {
    let begun = Instant::now();
    let mut child = Command::new(program).spawn().expect("start");
    let took = begun.elapsed();
    child.kill().expect("kill");
    child.wait().expect("reap");
    took
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!(
        "p50 {:.3} ms, p90 {:.3}, p99 {:.3}, best {:.3}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.0)
    )
}

fn function(dir: &Path, name: &str, bootstrap: &[u8]) -> PathBuf {
    let dir = dir.join(name);
    fs::create_dir_all(&dir).expect("make a directory");
    let path = dir.join("bootstrap");
    fs::File::create(&path)
        .and_then(|mut file| file.write_all(bootstrap))
        .expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make executable");
    dir
}

fn spec(code: PathBuf) -> TemplateSpec {
    TemplateSpec {
        label: "bench".into(),
        launch: Launch::Bootstrap,
        code,
        layers: Vec::new(),
        env: Vec::new(),
        memory_mb: 128,
        tmp_mb: 512,
        network: NetworkPolicy::World,
    }
}

/// Functions of managed runtimes, timed from the order to their first question for an event.
fn managed() -> Vec<(&'static str, Launch, &'static str, &'static str)> {
    let interpreter = |path: &str| Interpreter {
        path: path.into(),
        version: "any".into(),
        roots: Vec::new(),
        packages: None,
    };
    let python = "def handler(event, context):\n    return event\n";
    let node = "exports.handler = async event => event;\n";
    let all = [
        (
            "python init done",
            Launch::Python(interpreter("/usr/bin/python3")),
            "index.py",
            python,
        ),
        (
            "node init done",
            Launch::Node(interpreter("/usr/bin/node")),
            "index.js",
            node,
        ),
    ];
    all.into_iter()
        .filter(|(_, launch, ..)| is_there(launch))
        .collect()
}

fn is_there(launch: &Launch) -> bool {
    match launch {
        Launch::Bootstrap | Launch::Image(_) => true,
        Launch::Python(interpreter) | Launch::Node(interpreter) => interpreter.path.exists(),
    }
}

const ECHO: &str = "#!/usr/bin/python3 -IS
import _socket
s = _socket.socket()
s.connect(('127.0.0.1', 9001))
s.send(b'!')
while data := s.recv(100):
    s.send(data)
";

/// The smallest static program that waits for a signal.
fn pausing_program() -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    // mov eax, 34 (pause); syscall; jmp back
    let (machine, code) = (
        62u16,
        [0xb8u8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7].as_slice(),
    );
    #[cfg(target_arch = "aarch64")]
    // mov x0..x4, 0; mov x8, 73 (ppoll without descriptors); svc 0
    let (machine, code) = (
        183u16,
        [
            0x00u8, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00,
            0x80, 0xd2, 0x04, 0x00, 0x80, 0xd2, 0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4,
        ]
        .as_slice(),
    );
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    for value in [BASE + HEADERS, 64, 0] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for value in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    for value in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(code);
    elf
}
