//! Other platforms under the same load as ours, in the same run: their invokes by the same function,
//! the same event and the same clients.
//!
//! Each is installed by `benches/peers.sh`, runs on loopback for as long as it is measured, and is
//! stopped by its own process group. A peer that cannot be installed, does not start or answers
//! wrongly is shown with the reason and never left out. Nothing here drives a peer that would need
//! an account or a network beyond loopback.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::{Value, json};

use super::{
    Args,
    function::{self, Function},
    load::{Client, Expected},
    measures::{Bench, WARM_HOLD, environments},
    platform,
    stats::{Samples, median},
    table::{PeerRow, Unit, render_peers},
};
use crate::{exec, repo};

const FUNCTIONS: [Function; 2] = [Function::Python, Function::Node];
const NAME: &str = "bench";
const MEMORY_MB: u32 = 1769;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// For a peer to start its environments and to be measured; one that hangs must not hold the bench.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Measures every peer's lines that the filter lets through, and prints them; whether there were any.
pub fn run(bench: &Bench, args: &Args) -> Result<bool> {
    let filter = args.filter.as_deref().unwrap_or("");
    let mut peers: Vec<_> = Peer::ALL.map(|peer| (peer, series(peer, filter))).into();
    peers.retain(|(_, series)| !series.is_empty());
    for (peer, series) in &mut peers {
        if let Err(why) = peer.install() {
            series.iter_mut().for_each(|one| one.fail(&why));
        }
    }
    let mut ours: Vec<Series> = Vec::new();
    for one in peers.iter().flat_map(|(_, series)| series) {
        if !ours.iter().any(|other| other.is_like(one)) {
            ours.push(one.clone_empty());
        }
    }
    for function in FUNCTIONS {
        for _ in 0..args.runs.max(1) {
            for one in of(&mut ours, function) {
                one.record(bench.warm(function, one.load.clients));
            }
            for (peer, series) in &mut peers {
                peer.take(bench, function, of(series, function).collect());
            }
        }
    }
    let rows: Vec<_> = peers
        .iter()
        .flat_map(|(peer, series)| series.iter().map(|one| one.row(*peer, &ours)))
        .collect();
    if !rows.is_empty() {
        println!("\n{}", render_peers(&rows));
        println!(
            "ratio: how many times worse than ours in the same run; below 1 where it is better"
        );
    }
    Ok(!rows.is_empty())
}

/// How a peer is asked, and what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    clients: usize,
    unit: Unit,
}

const LOADS: [Load; 3] = [
    Load {
        clients: 1,
        unit: Unit::Ms,
    },
    Load {
        clients: 8,
        unit: Unit::PerSecond,
    },
    Load {
        clients: 64,
        unit: Unit::PerSecond,
    },
];

impl Load {
    fn measure(self, function: Function) -> String {
        let (clients, function) = (self.clients, function.name());
        match self.unit {
            Unit::Ms => format!("warm invoke p50, {clients} client, {function}"),
            _ => format!("warm invokes, {clients} clients, {function}"),
        }
    }

    fn figure(self, samples: &Samples) -> f64 {
        match self.unit {
            Unit::Ms => samples.percentile_ms(50.0),
            _ => samples.per_second(),
        }
    }
}

/// One line's figures, a run each, or why there are none: the first failure ends it.
#[derive(Debug)]
struct Series {
    function: Function,
    load: Load,
    figures: Result<Vec<f64>, String>,
}

/// The lines of a peer whose "peer, measure" contains the filter.
fn series(peer: Peer, filter: &str) -> Vec<Series> {
    let of_function = |function| {
        LOADS.map(|load| Series {
            function,
            load,
            figures: Ok(Vec::new()),
        })
    };
    let wanted = |one: &Series| {
        format!("{}, {}", peer.name(), one.load.measure(one.function)).contains(filter)
    };
    FUNCTIONS
        .into_iter()
        .flat_map(of_function)
        .filter(wanted)
        .collect()
}

fn of(series: &mut [Series], function: Function) -> impl Iterator<Item = &mut Series> {
    series
        .iter_mut()
        .filter(move |one| one.function == function && one.figures.is_ok())
}

impl Series {
    fn clone_empty(&self) -> Self {
        Series {
            figures: Ok(Vec::new()),
            ..*self
        }
    }

    fn is_like(&self, other: &Series) -> bool {
        (self.function, self.load) == (other.function, other.load)
    }

    fn fail(&mut self, why: &anyhow::Error) {
        self.figures = Err(one_line(&format!("{why:#}")));
    }

    fn record(&mut self, taken: Result<Samples>) {
        match (taken, &mut self.figures) {
            (Ok(samples), Ok(figures)) => figures.push(self.load.figure(&samples)),
            (Err(why), _) => self.fail(&why),
            (Ok(_), Err(_)) => {}
        }
    }

    fn median(&self) -> Result<f64, String> {
        let figures = self.figures.as_ref().map_err(Clone::clone)?;
        median(figures).ok_or_else(|| "it was not asked".to_owned())
    }

    fn row(&self, peer: Peer, ours: &[Series]) -> PeerRow {
        let ours = ours.iter().find(|one| one.is_like(self));
        PeerRow {
            peer: peer.name(),
            measure: self.load.measure(self.function),
            unit: self.load.unit,
            figure: self.median(),
            ours: ours.map_or_else(|| Err("it was not asked".to_owned()), Series::median),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    MiniStack,
    ServerlessOffline,
}

impl Peer {
    const ALL: [Peer; 2] = [Peer::MiniStack, Peer::ServerlessOffline];

    fn name(self) -> &'static str {
        match self {
            Peer::MiniStack => "MiniStack",
            Peer::ServerlessOffline => "serverless-offline",
        }
    }

    /// As `benches/peers.sh` calls it.
    fn folder(self) -> &'static str {
        match self {
            Peer::MiniStack => "ministack",
            Peer::ServerlessOffline => "serverless-offline",
        }
    }

    fn install(self) -> Result<()> {
        install(self.folder())
    }

    /// One run: the peer is started for it and stopped after it, so that it shares the machine with
    /// nothing else that is measured.
    fn take(self, bench: &Bench, function: Function, mut series: Vec<&mut Series>) {
        if series.is_empty() {
            return;
        }
        match Running::start(self, bench, function) {
            Ok(running) => {
                for one in series {
                    one.record(running.measure(bench, one.load.clients));
                }
            }
            Err(why) => series.iter_mut().for_each(|one| one.fail(&why)),
        }
    }

    /// The peer's command, to run in `dir`, with the address at which it will take invokes.
    fn command(self, dir: &Path, function: Function) -> Result<(Command, SocketAddr)> {
        let installed = repo::target().join("peers").join(self.folder());
        let [port, http_port, websocket_port] = free_ports()?;
        let command = match self {
            Peer::MiniStack => {
                let mut command = dying_with_us(&installed.join("bin/ministack"));
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port.to_string())
                    .env("TMPDIR", dir)
                    .env("S3_DATA_DIR", dir.join("s3"))
                    .env("LAMBDA_EXECUTOR", "local")
                    // AWS's own default, rather than what it derives from the machine's memory.
                    .env("LAMBDA_ACCOUNT_CONCURRENCY", "1000");
                command
            }
            Peer::ServerlessOffline => {
                let modules = installed.join("node_modules");
                write_service(dir, &modules, function)?;
                let mut command = dying_with_us(&modules.join(".bin/serverless"));
                command
                    .args(["offline", "start", "--host", "127.0.0.1"])
                    .args(["--lambdaPort", &port.to_string()])
                    .args(["--httpPort", &http_port.to_string()])
                    .args(["--websocketPort", &websocket_port.to_string()])
                    // Else it keeps what it has compiled in the user's home.
                    .env("SLS_SCHEMA_CACHE_BASE_DIR", &installed)
                    .env("SLS_TELEMETRY_DISABLED", "1")
                    .env("SLS_TRACKING_DISABLED", "1")
                    .env("SLS_NOTIFICATIONS_MODE", "off")
                    .env("CI", "1")
                    // Else it looks for credentials at the address of EC2's metadata.
                    .env("AWS_EC2_METADATA_DISABLED", "true")
                    .env("AWS_ACCESS_KEY_ID", "test")
                    .env("AWS_SECRET_ACCESS_KEY", "test");
                command
            }
        };
        Ok((command, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }
}

/// Installs a peer as `benches/peers.sh` calls it.
pub(super) fn install(folder: &str) -> Result<()> {
    let mut script = exec::command(repo::root().join("benches/peers.sh"));
    script.arg(folder).env("CARGO_TARGET_DIR", repo::target());
    let said = exec::output(&mut script).context("not installed")?;
    print!("{said}");
    Ok(())
}

/// A service of one function, as serverless-offline reads it; it looks for itself in the service's
/// own `node_modules`.
fn write_service(dir: &Path, modules: &Path, function: Function) -> Result<()> {
    for (name, content, _) in function.files()? {
        fs::write(dir.join(name), content).with_context(|| format!("write {name}"))?;
    }
    let (runtime, handler) = function.runtime()?;
    let text = service(&runtime, handler).to_string();
    fs::write(dir.join("serverless.yml"), text).context("write serverless.yml")?;
    std::os::unix::fs::symlink(modules, dir.join("node_modules")).context("link node_modules")
}

/// JSON, which is YAML too.
fn service(runtime: &str, handler: &str) -> Value {
    json!({
        "service": NAME,
        "frameworkVersion": "3",
        "plugins": ["serverless-offline"],
        "provider": {"name": "aws", "region": "us-east-1", "stage": "dev", "runtime": runtime},
        "functions": {
            NAME: {"name": NAME, "handler": handler, "timeout": 60, "memorySize": MEMORY_MB},
        },
    })
}

/// Ports that nobody listens on now, none twice. Another may take one before the peer does; then the
/// peer does not start, and says so.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        *port = listener.local_addr().context("read a port")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// A peer that runs and has answered rightly.
struct Running {
    _group: Group,
    address: SocketAddr,
    /// What it answers to the event, byte for byte.
    answer: Expected,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start(peer: Peer, bench: &Bench, function: Function) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder")?;
        let (mut command, address) = peer.command(dir.path(), function)?;
        let log = dir.path().join("peer.log");
        let output = fs::File::create(&log).context("make a log")?;
        command
            .current_dir(dir.path())
            .stdout(output.try_clone().context("share a log")?)
            .stderr(output);
        let group = Group::spawn(&mut command)?;
        let begun = group.until_listening(address).and_then(|()| {
            bench.runtime.block_on(async {
                let all = async {
                    if peer == Peer::MiniStack {
                        platform::create(address, NAME, function, MEMORY_MB).await?;
                    }
                    right_answer(address).await
                };
                tokio::time::timeout(MEASURE_TIMEOUT, all)
                    .await
                    .context("it does not answer")?
            })
        });
        let answer = begun.with_context(|| {
            let said = fs::read(&log).unwrap_or_default();
            format!("its log ends: {}", tail(&String::from_utf8_lossy(&said)))
        })?;
        Ok(Running {
            _group: group,
            address,
            answer,
            _dir: dir,
        })
    }

    fn measure(&self, bench: &Bench, clients: usize) -> Result<Samples> {
        let measured = async {
            let hold = platform::invoke(self.address, NAME, function::holding_event(WARM_HOLD))?;
            let any = Expected {
                status: StatusCode::OK,
                body: None,
            };
            environments(self.address, hold, any, clients).await?;
            let invoke = platform::invoke(self.address, NAME, function::event())?;
            bench
                .warmed(self.address, &invoke, &self.answer, clients)
                .await
        };
        bench
            .runtime
            .block_on(async { tokio::time::timeout(MEASURE_TIMEOUT, measured).await })
            .context("it takes too long")?
    }
}

/// The answer to the event, which must be the event itself, whatever blanks the JSON has.
async fn right_answer(address: SocketAddr) -> Result<Expected> {
    let invoke = platform::invoke(address, NAME, function::event())?;
    let (status, body) = Client::connect(address).await?.send(&invoke).await?;
    let text = String::from_utf8_lossy(&body);
    ensure!(
        status == StatusCode::OK && is_event(&text),
        "a wrong answer: {status} {}",
        one_line(&text)
    );
    Ok(Expected::ok(body))
}

fn is_event(answer: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    parse(answer).is_some_and(|answer| Some(answer) == parse(&function::event()))
}

/// A peer's process and all that it starts, as a process group; dropping it ends them.
pub(super) struct Group {
    leader: Child,
}

impl Group {
    pub(super) fn spawn(command: &mut Command) -> Result<Self> {
        let shown = exec::shown(command);
        let leader = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start `{shown}`"))?;
        Ok(Group { leader })
    }

    pub(super) fn id(&self) -> Option<Pid> {
        Pid::from_raw(self.leader.id().cast_signed())
    }

    pub(super) fn until_listening(&self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            ensure!(!self.has_ended(), "it ended before it listened");
            ensure!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether the leader has ended; it is not reaped, so that its id stays the group's.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.id()
            .is_none_or(|id| !matches!(waitid(WaitId::Pid(id), options), Ok(None)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(id) = self.id() else { return };
        let _ = kill_process_group(id, Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let _ = kill_process_group(id, Signal::KILL);
        let _ = self.leader.wait();
    }
}

/// A command that is told to end where this program is killed, as nothing is dropped then.
pub(super) fn dying_with_us(program: &Path) -> Command {
    let Some(setpriv) = exec::which("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The last lines of a log, as one.
pub(super) fn tail(log: &str) -> String {
    const LINES: usize = 3;
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    one_line(&lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

/// Text for a table's cell: on one line, and not without end.
pub(super) fn one_line(text: &str) -> String {
    const CHARS: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_by_peer_and_measure() {
        assert_eq!(series(Peer::MiniStack, "").len(), 6);
        assert_eq!(
            series(Peer::MiniStack, "MiniStack, warm invoke p50").len(),
            2
        );
        assert_eq!(series(Peer::MiniStack, "64 clients, Node.js").len(), 1);
        assert!(series(Peer::MiniStack, "serverless").is_empty());
    }

    #[test]
    fn the_first_failure_is_what_a_line_shows() {
        let mut lines = series(Peer::MiniStack, "8 clients, Python");
        let line = &mut lines[0];
        line.record(Ok(Samples {
            latencies: vec![Duration::from_millis(1); 10],
            elapsed: Duration::from_secs(2),
        }));
        assert_eq!(line.median(), Ok(5.0));
        line.record(Err(anyhow::anyhow!("refused\nat once").context("connect")));
        line.record(Ok(Samples::default()));
        let row = line.row(Peer::MiniStack, &[]);
        assert_eq!(row.figure, Err("connect: refused at once".to_owned()));
        assert!(row.ours.is_err());
    }

    #[test]
    fn an_answer_is_the_event_whatever_its_blanks() {
        assert!(is_event(&function::event().replace(':', ": ")));
        assert!(!is_event("{}"));
        assert!(!is_event("not JSON"));
    }

    #[test]
    fn a_service_has_the_function_under_its_own_name() {
        let service = service("python3.12", "index.handler");
        assert_eq!(service["functions"][NAME]["name"], NAME);
        assert_eq!(service["functions"][NAME]["handler"], "index.handler");
        assert_eq!(service["provider"]["runtime"], "python3.12");
    }

    #[test]
    fn ports_are_not_given_twice() {
        let [a, b, c] = free_ports().expect("there are ports");
        assert!(a != b && b != c && a != c && a > 0);
    }

    #[test]
    fn a_log_is_told_by_its_end() {
        assert_eq!(tail("one\ntwo\n\nthree\nfour\n"), "two three four");
        assert_eq!(tail(""), "");
        assert_eq!(one_line(&"x".repeat(400)).len(), 303);
    }

    #[test]
    fn a_group_ends_with_its_children() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("child");
        let script = "sleep 1000 & echo $! > child.new; mv child.new child; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(dir.path());
        let group = Group::spawn(&mut command).expect("sh starts");
        let deadline = Instant::now() + READY_TIMEOUT;
        while !file.exists() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let child = fs::read_to_string(&file).expect("the child is told");
        drop(group);
        let status = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        // Where nobody reaps orphans it stays as a zombie.
        assert!(status.is_err() || status.is_ok_and(|stat| stat.contains(") Z ")));
    }
}
