//! The measures, as data: what each is called, how its figure and its floor are taken, and what it
//! must reach.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use super::{
    Args, floor,
    function::{self, Function},
    load::{Client, Expected, burst, closed_loop},
    paths, peers,
    platform::{self, Platform},
    request::Template,
    sandbox::{self, Yard},
    schedules,
    stats::{Samples, median},
    streaming,
    table::{Goals, Row, Unit, render},
};

/// How long a closed loop is measured, after it has been warmed.
const LOOP_TIME: Duration = Duration::from_secs(2);
const WARM_TIME: Duration = Duration::from_millis(500);
/// Cold starts per run: enough for a median, few enough for a machine of two cores.
const COLD_STARTS: u32 = 15;
const CLIENTS: usize = 64;
const BURST: usize = 500;
/// Long enough that all of a burst's environments are there before the first is free again.
const HOLD: Duration = Duration::from_secs(4);
/// The same for the environments of a closed loop, which are fewer.
pub(super) const WARM_HOLD: Duration = Duration::from_secs(1);
/// Environments from which the memory of one is told: as many as make it stand out from what else
/// moves on a machine.
fn resting_count(function: Function) -> usize {
    match function {
        Function::Rust => 500,
        Function::Python | Function::Node => 100,
    }
}
const RESTING_MEMORY_MB: f64 = 20.0 * 1024.0;

/// Takes one figure once.
type Take = Box<dyn Fn(&Bench) -> Result<f64>>;

struct Measure {
    name: String,
    unit: Unit,
    figure: Take,
    floor: Option<Take>,
    goals: Option<Goals>,
}

pub fn run(args: &Args) -> Result<()> {
    let bench = Bench::new(args)?;
    let measures = measures();
    let wanted = |measure: &&Measure| {
        args.filter
            .as_ref()
            .is_none_or(|filter| measure.name.contains(filter.as_str()))
    };
    let mut rows = Vec::new();
    for measure in measures.iter().filter(wanted) {
        let row = bench.take(measure, args.runs.max(1));
        println!(
            "{}",
            render(std::slice::from_ref(&row))
                .lines()
                .last()
                .unwrap_or("")
        );
        rows.push(row);
    }
    if !rows.is_empty() {
        println!("\n{}", render(&rows));
        println!(
            "medians of {} runs; floor and figure in turns",
            args.runs.max(1)
        );
    }
    let with_peers = args.peers && peers::run(&bench, args)?;
    ensure!(
        with_peers || !rows.is_empty(),
        "no measure has {:?} in its name",
        args.filter
    );
    Ok(())
}

fn measures() -> Vec<Measure> {
    let mut measures = sandbox_measures();
    for (function, goal, aim) in each([2.0, 10.0, 10.0], [0.5, 1.5, 2.5]) {
        measures.push(Measure {
            name: format!("cold invoke p50, {}", function.name()),
            unit: Unit::Ms,
            figure: Box::new(move |bench| bench.cold(function)),
            floor: Some(Box::new(move |bench| bench.bare_cold(function))),
            goals: Some(Goals { goal, aim }),
        });
    }
    for (function, goal, aim) in each([0.15, 0.25, 0.25], [0.04, 0.06, 0.06]) {
        measures.push(Measure {
            name: format!("warm invoke p50, 1 client, {}", function.name()),
            unit: Unit::Ms,
            figure: Box::new(move |bench| Ok(bench.warm(function, 1)?.percentile_ms(50.0))),
            floor: Some(Box::new(move |bench| {
                Ok(bench.bare_warm(function, 1)?.percentile_ms(50.0))
            })),
            goals: Some(Goals { goal, aim }),
        });
    }
    for (function, goal, aim) in each([12e3, 6e3, 6e3], [28e3, 15e3, 14e3]) {
        measures.push(Measure {
            name: format!("warm invokes, {CLIENTS} clients, {}", function.name()),
            unit: Unit::PerSecond,
            figure: Box::new(move |bench| Ok(bench.warm(function, CLIENTS)?.per_second())),
            floor: Some(Box::new(move |bench| {
                Ok(bench.bare_warm(function, CLIENTS)?.per_second())
            })),
            goals: Some(Goals { goal, aim }),
        });
    }
    measures.extend(path_measures());
    measures.push(Measure {
        name: format!("asynchronous events accepted, {CLIENTS} clients"),
        unit: Unit::PerSecond,
        figure: Box::new(|bench| bench.events_accepted(CLIENTS)),
        floor: Some(Box::new(|bench| Ok(bench.bare_http(CLIENTS)?.per_second()))),
        goals: None,
    });
    measures.push(Measure {
        name: "asynchronous events accepted and run, Rust".to_owned(),
        unit: Unit::PerSecond,
        figure: Box::new(|bench| bench.events_run(CLIENTS)),
        floor: None,
        goals: None,
    });
    measures.push(Measure {
        name: format!("events matched with 1,000 rules, {CLIENTS} clients"),
        unit: Unit::PerSecond,
        figure: Box::new(|bench| bench.events_matched(CLIENTS)),
        floor: Some(Box::new(|bench| Ok(bench.bare_http(CLIENTS)?.per_second()))),
        goals: None,
    });
    measures.push(Measure {
        name: "first byte of a streamed response p50, Rust".to_owned(),
        unit: Unit::Ms,
        figure: Box::new(streaming::first_byte),
        floor: Some(Box::new(streaming::bare_first_byte)),
        goals: None,
    });
    measures.push(Measure {
        name: format!("{BURST} environments in one burst, p50, Rust"),
        unit: Unit::Ms,
        figure: Box::new(|bench| Ok(bench.burst(Function::Rust)?.percentile_ms(50.0))),
        floor: None,
        // The cores' share of the work: half of the burst at 1,500 and at 4,000 made per second.
        goals: Some(Goals {
            goal: BURST as f64 / 2.0 / 1.5,
            aim: BURST as f64 / 2.0 / 4.0,
        }),
    });
    for (function, goal, aim) in each([5e3, 2e3, 500.0], [20e3, 8e3, 1.5e3]) {
        measures.push(Measure {
            name: format!("idle environments on 20 GiB, {}", function.name()),
            unit: Unit::Count,
            figure: Box::new(move |bench| bench.resting(function)),
            floor: None,
            goals: Some(Goals { goal, aim }),
        });
    }
    measures.push(Measure {
        name: "idle platform, memory".to_owned(),
        unit: Unit::Mb,
        figure: Box::new(|bench| resident_mb(Platform::start(&bench.binary)?.pid())),
        floor: None,
        goals: Some(Goals {
            goal: 40.0,
            aim: 25.0,
        }),
    });
    measures.push(Measure {
        name: "idle platform, processor".to_owned(),
        unit: Unit::CpuPercent,
        figure: Box::new(Bench::idle_cpu),
        floor: None,
        // One tick of the kernel's clock in three seconds is as fine as it can be read.
        goals: Some(Goals {
            goal: 0.34,
            aim: 0.34,
        }),
    });
    measures.push(Measure {
        name: format!("{} schedules at rest, memory", schedules::COUNT),
        unit: Unit::Mb,
        figure: Box::new(|bench| {
            let platform = Platform::start(&bench.binary)?;
            schedules::fill(&bench.runtime, &platform)?;
            resident_mb(platform.pid())
        }),
        floor: Some(Box::new(|bench| {
            resident_mb(Platform::start(&bench.binary)?.pid())
        })),
        goals: None,
    });
    measures.push(Measure {
        name: format!("{} schedules at rest, processor", schedules::COUNT),
        unit: Unit::CpuPercent,
        figure: Box::new(|bench| {
            let platform = Platform::start(&bench.binary)?;
            schedules::fill(&bench.runtime, &platform)?;
            at_rest(&platform)
        }),
        floor: Some(Box::new(Bench::idle_cpu)),
        goals: None,
    });
    measures.push(Measure {
        name: format!("bare HTTP, {CLIENTS} clients"),
        unit: Unit::PerSecond,
        figure: Box::new(|bench| Ok(bench.health(CLIENTS)?.per_second())),
        floor: Some(Box::new(|bench| Ok(bench.bare_http(CLIENTS)?.per_second()))),
        goals: None,
    });
    measures
}

/// Other ways to a function; what they are beside is the plain way.
fn path_measures() -> Vec<Measure> {
    let warm: fn(&Bench) -> Result<f64> =
        |bench| Ok(bench.warm(Function::Rust, 1)?.percentile_ms(50.0));
    let cold: fn(&Bench) -> Result<f64> = |bench| bench.cold(Function::Rust);
    let beside =
        |name: &str, figure: fn(&Bench) -> Result<f64>, plain: fn(&Bench) -> Result<f64>| Measure {
            name: name.to_owned(),
            unit: Unit::Ms,
            figure: Box::new(figure),
            floor: Some(Box::new(plain)),
            goals: None,
        };
    vec![
        beside(
            "weighted alias, warm invoke p50, beside the plain one, Rust",
            paths::weighted,
            warm,
        ),
        beside(
            "provisioned, warm invoke p50, beside the plain one, Rust",
            paths::provisioned,
            warm,
        ),
        beside(
            "container image, cold invoke p50, beside zip, Rust",
            paths::cold_image,
            cold,
        ),
    ]
}

fn sandbox_measures() -> Vec<Measure> {
    vec![
        Measure {
            name: "sandbox ready p50".to_owned(),
            unit: Unit::Ms,
            figure: Box::new(|bench| {
                bench.in_yard(async |yard| Ok(yard.ready().await?.percentile_ms(50.0)))
            }),
            floor: Some(Box::new(|bench| {
                Ok(bench.bare_ready()?.percentile_ms(50.0))
            })),
            goals: Some(Goals {
                goal: 0.5,
                aim: 0.15,
            }),
        },
        Measure {
            name: "sandboxes made".to_owned(),
            unit: Unit::PerSecond,
            figure: Box::new(|bench| {
                bench.in_yard(async |yard| Ok(yard.made().await?.per_second()))
            }),
            floor: Some(Box::new(|bench| Ok(bench.bare_ready()?.per_second()))),
            goals: Some(Goals {
                goal: 1500.0,
                aim: 4000.0,
            }),
        },
        Measure {
            name: "thaw on the path".to_owned(),
            unit: Unit::Ms,
            figure: Box::new(|bench| bench.in_yard(async |yard| yard.thaw().await)),
            floor: None,
            goals: Some(Goals {
                goal: 0.1,
                aim: 0.015,
            }),
        },
    ]
}

fn each(goals: [f64; 3], aims: [f64; 3]) -> impl Iterator<Item = (Function, f64, f64)> {
    Function::ALL
        .into_iter()
        .zip(goals)
        .zip(aims)
        .map(|((function, goal), aim)| (function, goal, aim))
}

pub(super) struct Bench {
    pub(super) runtime: Runtime,
    pub(super) binary: PathBuf,
    /// The Rust function.
    echo: PathBuf,
    names: AtomicU32,
}

impl Bench {
    fn new(args: &Args) -> Result<Self> {
        let binary = match &args.binary {
            Some(binary) => binary.clone(),
            None => platform::binary()?,
        };
        Ok(Bench {
            runtime: Runtime::new().context("start tokio")?,
            binary,
            echo: function::build_rust()?,
            names: AtomicU32::new(0),
        })
    }

    /// The medians of a measure's figure and floor, taken in turns so that both see the same noise.
    fn take(&self, measure: &Measure, runs: u32) -> Row {
        let (mut figures, mut floors, mut error) = (Vec::new(), Vec::new(), None);
        for _ in 0..runs {
            if let Some(floor) = measure.floor.as_ref().and_then(|floor| floor(self).ok()) {
                floors.push(floor);
            }
            match (measure.figure)(self) {
                Ok(figure) => figures.push(figure),
                Err(why) => {
                    error = Some(format!("{why:#}"));
                    break;
                }
            }
        }
        let figure = error.map_or_else(|| median(&figures).ok_or_else(String::new), Err);
        Row {
            name: measure.name.clone(),
            unit: measure.unit,
            figure,
            floor: median(&floors),
            goals: measure.goals,
        }
    }

    /// In a jail of its own, which ends whatever becomes of the measure.
    fn in_yard<T>(&self, work: impl AsyncFnOnce(&Yard) -> Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let yard = Yard::open().await?;
            let result = work(&yard).await;
            yard.close().await;
            result
        })
    }

    fn bare_ready(&self) -> Result<Samples> {
        sandbox::bare_ready(&self.echo)
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(super) fn fresh_name(&self) -> String {
        format!("bench-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Client to client, of a function that has rested at zero. Its first invoke of all is for what
    /// a version has but once, and does not count.
    fn cold(&self, function: Function) -> Result<f64> {
        let platform = Platform::start_with(&self.binary, &["--keep-alive", "0.05"])?;
        self.runtime.block_on(async {
            let name = self.fresh_name();
            platform.create(&name, function, 128).await?;
            self.cold_of(&platform, &name).await
        })
    }

    /// The same of a function that is there, on a platform that keeps nothing alive.
    pub(super) async fn cold_of(&self, platform: &Platform, name: &str) -> Result<f64> {
        let invoke = platform.invoke(name, "1".to_owned())?;
        let mut client = Client::connect(platform.address).await?;
        client.timed(&invoke, &Expected::ok("1")).await?;
        let mut samples = Samples::default();
        for _ in 0..COLD_STARTS {
            platform.until_at_zero().await?;
            samples
                .latencies
                .push(client.timed(&invoke, &Expected::ok("1")).await?);
        }
        Ok(samples.percentile_ms(50.0))
    }

    /// The same process from its start to its first answer, bare.
    fn bare_cold(&self, function: Function) -> Result<f64> {
        self.runtime.block_on(async {
            let mut samples = Samples::default();
            let runtime = floor::runtime().await?;
            let address = runtime.invoke.address;
            let invoke = Template::raw(http::Method::POST, &address.to_string(), "/", "1")?;
            for _ in 0..COLD_STARTS {
                let mut client = Client::connect(address).await?;
                let begun = Instant::now();
                let api = runtime.runtime_api.address.to_string();
                let process = function.start_bare(&api)?;
                client.timed(&invoke, &Expected::ok("1")).await?;
                samples.latencies.push(begun.elapsed());
                drop(process);
                // An ask that the dead process has left behind would take the next event with it.
                self.forget_dead_asks(address).await;
            }
            Ok(samples.percentile_ms(50.0))
        })
    }

    /// Swallows the events that connections of ended processes still take.
    async fn forget_dead_asks(&self, address: SocketAddr) {
        let Ok(template) = Template::raw(http::Method::POST, &address.to_string(), "/", "0") else {
            return;
        };
        if let Ok(mut client) = Client::connect(address).await {
            let _ = tokio::time::timeout(Duration::from_millis(20), client.send(&template)).await;
        }
    }

    pub(super) fn warm(&self, function: Function, clients: usize) -> Result<Samples> {
        let platform = Platform::start(&self.binary)?;
        self.runtime.block_on(async {
            let name = self.fresh_name();
            platform.create(&name, function, 1769).await?;
            let event = function::holding_event(WARM_HOLD);
            let invoke = platform.invoke(&name, event.clone())?;
            environments(platform.address, invoke, Expected::ok(event), clients).await?;
            let invoke = platform.invoke(&name, function::event())?;
            // Python's own JSON has blanks that ours has not: the answer is told by its status.
            let expected = Expected {
                status: http::StatusCode::OK,
                body: None,
            };
            self.warmed(platform.address, &invoke, &expected, clients)
                .await
        })
    }

    /// The same functions over a Runtime API with nothing between.
    fn bare_warm(&self, function: Function, clients: usize) -> Result<Samples> {
        self.runtime.block_on(async {
            let mut runtime = floor::runtime().await?;
            let api = runtime.runtime_api.address.to_string();
            let start = |_| function.start_bare(&api);
            let processes = (0..clients).map(start).collect::<Result<Vec<_>>>()?;
            runtime.until_asked(clients).await?;
            let address = runtime.invoke.address;
            let authority = address.to_string();
            let invoke = Template::raw(http::Method::POST, &authority, "/", function::event())?;
            let expected = Expected {
                status: http::StatusCode::OK,
                body: None,
            };
            let samples = self.warmed(address, &invoke, &expected, clients).await;
            drop(processes);
            samples
        })
    }

    pub(super) async fn warmed(
        &self,
        address: SocketAddr,
        template: &Template,
        expected: &Expected,
        clients: usize,
    ) -> Result<Samples> {
        closed_loop(address, template, expected, clients, WARM_TIME).await?;
        closed_loop(address, template, expected, clients, LOOP_TIME).await
    }

    /// As many environments as requests, as each keeps its own while the others come. What is left
    /// of a latency without that time is what the start of its environment took, among the others.
    fn burst(&self, function: Function) -> Result<Samples> {
        let platform = Platform::start(&self.binary)?;
        let mut samples = self.hold_environments(&platform, function, BURST)?;
        for latency in &mut samples.latencies {
            *latency = latency.saturating_sub(HOLD);
        }
        Ok(samples)
    }

    fn hold_environments(
        &self,
        platform: &Platform,
        function: Function,
        count: usize,
    ) -> Result<Samples> {
        self.runtime.block_on(async {
            let name = self.fresh_name();
            platform.create(&name, function, 128).await?;
            let event = function::holding_event(HOLD);
            let invoke = platform.invoke(&name, event.clone())?;
            burst(
                platform.address,
                &vec![(invoke, Expected::ok(event)); count],
            )
            .await
        })
    }

    /// How many environments at rest fit into 20 GiB, as told from the memory that some take.
    fn resting(&self, function: Function) -> Result<f64> {
        let platform = Platform::start(&self.binary)?;
        let before = available_mb()?;
        let count = resting_count(function);
        self.hold_environments(&platform, function, count)?;
        let taken = before - available_mb()?;
        ensure!(taken > 0.0, "the machine's memory moved too much to tell");
        Ok(RESTING_MEMORY_MB / (taken / count as f64))
    }

    fn health(&self, clients: usize) -> Result<Samples> {
        let platform = Platform::start(&self.binary)?;
        let authority = platform.address.to_string();
        let get = Template::raw(http::Method::GET, &authority, "/_lambent/health", "")?;
        let expected = Expected {
            status: http::StatusCode::OK,
            body: None,
        };
        self.runtime
            .block_on(self.warmed(platform.address, &get, &expected, clients))
    }

    fn bare_http(&self, clients: usize) -> Result<Samples> {
        self.runtime.block_on(async {
            let server = floor::echo().await?;
            let get = Template::raw(http::Method::GET, &server.address.to_string(), "/", "")?;
            self.warmed(server.address, &get, &Expected::ok(""), clients)
                .await
        })
    }

    /// Percent of one processor, over three seconds of rest after a moment to settle.
    fn idle_cpu(&self) -> Result<f64> {
        let platform = Platform::start(&self.binary)?;
        std::thread::sleep(Duration::from_secs(1));
        at_rest(&platform)
    }
}

/// Percent of one processor, over three seconds.
fn at_rest(platform: &Platform) -> Result<f64> {
    const REST: Duration = Duration::from_secs(3);
    let before = cpu_ticks(platform.pid())?;
    std::thread::sleep(REST);
    let ticks = cpu_ticks(platform.pid())? - before;
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(ticks as f64 / ticks_per_second / REST.as_secs_f64() * 100.0)
}

/// An environment for each client, all started before anything is measured, by events that each
/// hold their own.
pub(super) async fn environments(
    address: SocketAddr,
    invoke: Template,
    expected: Expected,
    clients: usize,
) -> Result<()> {
    let sent = vec![(invoke, expected); clients];
    burst(address, &sent).await.map(drop)
}

fn available_mb() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read the machine's memory")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kb = line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok());
    Ok(kb.context("read MemAvailable")? / 1024.0)
}

pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    let fields = process_status(pid)?;
    let kb: f64 = fields["VmRSS"]
        .trim_end_matches("kB")
        .trim()
        .parse()
        .context("read VmRSS")?;
    Ok(kb / 1000.0)
}

fn process_status(pid: u32) -> Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("read a process")?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

/// Processor time of a process and its threads, in the kernel's ticks.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process")?;
    let (_, fields) = text.rsplit_once(')').context("read a process's times")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Ok(next().context("read user time")? + next().context("read system time")?)
}
