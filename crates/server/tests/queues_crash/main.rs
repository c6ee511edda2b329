//! The real server is killed at random moments while clients send, receive, delete and change
//! visibility on standard and FIFO queues; what they saw is written down, and a checker looks in it
//! for what a queue must never do.
//!
//! `LAMBENT_CRASH_SEED` repeats the clients' choices, `LAMBENT_CRASH_ROUNDS` asks for more kills.

mod checker;
mod client;
mod history;
mod load;
mod platform;
mod random;
mod sqs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::postgres::Server;
use tokio::task::{JoinSet, spawn_blocking};

use client::Client;
use history::{History, Span};
use load::Scene;
use platform::Platform;
use random::Random;

const ROUNDS: u64 = 20;
const PRODUCERS: u64 = 6;
const CONSUMERS: u64 = 14;
/// Between two kills: steps of clients, and a time that no step ends.
const STEPS_MAX: u64 = 250;
const SHOWN_OF_A_KIND: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_queues_keep_their_word() {
    let mut run = Run::begin(None).await;
    for _ in 0..number("LAMBENT_CRASH_ROUNDS", ROUNDS) {
        run.load_a_while().await;
        run.kill().await;
    }
    run.end("SQLite").await;
}

/// As above, and one time in five it is the database that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_queues_keep_their_word() {
    let server = Arc::new(spawn_blocking(Server::scratch).await.expect("a server"));
    let database = server.database().await;
    let mut run = Run::begin(Some(database.url.clone())).await;
    for _ in 0..number("LAMBENT_CRASH_ROUNDS", ROUNDS) {
        run.load_a_while().await;
        if run.random.one_in(5) {
            let server = server.clone();
            let crash = spawn_blocking(move || {
                server.crash();
                server.start();
            });
            crash.await.expect("the database is there again");
        } else {
            run.kill().await;
        }
    }
    run.end("PostgreSQL").await;
}

fn number(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given
        .and_then(|number| number.parse().ok())
        .unwrap_or(usual)
}

struct Run {
    platform: Platform,
    scene: Arc<Scene>,
    clients: JoinSet<History>,
    history: History,
    clock: Instant,
    random: Random,
    _data: tempfile::TempDir,
}

impl Run {
    async fn begin(store: Option<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = number(
            "LAMBENT_CRASH_SEED",
            now.map_or(1, |now| now.as_nanos() as u64),
        );
        println!("LAMBENT_CRASH_SEED={seed}");
        let data = tempfile::tempdir().expect("a temporary directory");
        let clock = Instant::now();
        let mut platform = Platform::new(data.path().join("data"), store);
        platform.start();
        let mut first = Client::new(platform.address(), clock, 0);
        let scene = Arc::new(Scene::make(&mut first).await);
        let mut clients = JoinSet::new();
        for number in 1..=PRODUCERS + CONSUMERS {
            let client = Client::new(platform.address(), clock, number);
            let random = Random::new(seed, number);
            if number <= PRODUCERS {
                clients.spawn(load::produce(scene.clone(), client, random));
            } else {
                clients.spawn(load::consume(scene.clone(), client, random));
            }
        }
        Self {
            history: History {
                queues: scene.queues(),
                ..History::default()
            },
            platform,
            scene,
            clients,
            clock,
            random: Random::new(seed, 0),
            _data: data,
        }
    }

    async fn load_a_while(&mut self) {
        self.scene.more(self.random.below(STEPS_MAX)).await;
        let pause = PAUSE_MAX.as_micros() as u64;
        let pause = Duration::from_micros(self.random.below(pause));
        tokio::time::sleep(pause).await;
    }

    async fn kill(&mut self) {
        let begin_us = self.clock.elapsed().as_micros() as i64;
        tokio::task::block_in_place(|| {
            self.platform.kill();
            self.platform.start();
        });
        let end_us = self.clock.elapsed().as_micros() as i64;
        self.history.kills.push(Span { begin_us, end_us });
    }

    async fn end(mut self, engine: &str) {
        self.scene.stop.store(true, Ordering::Relaxed);
        while let Some(history) = self.clients.join_next().await {
            self.history.append(history.expect("a client ends well"));
        }
        let last = Client::new(self.platform.address(), self.clock, u64::from(u32::MAX));
        let (history, left) = load::drain(self.scene.clone(), last).await;
        self.history.append(history);
        let drained = self.clock.elapsed();
        self.tell(engine, drained);
        let found = checker::check(&self.history);
        let mut kinds = BTreeMap::new();
        for violation in &found {
            let count = kinds.entry(format!("{:?}", violation.kind)).or_insert(0);
            *count += 1;
            if *count <= SHOWN_OF_A_KIND {
                println!("{:?}: {}", violation.kind, violation.told);
            }
        }
        assert!(found.is_empty(), "{engine}: {kinds:?}");
        assert!(
            left.is_empty(),
            "{engine} is not empty at the end: {left:?}"
        );
    }

    /// What the run came to, so that one without load does not pass for one.
    fn tell(&self, engine: &str, time: Duration) {
        let History {
            kills,
            sends,
            receives,
            acts,
            ..
        } = &self.history;
        let sent = sends
            .iter()
            .filter(|send| send.outcome.done().is_some())
            .count();
        let received = receives.iter().filter_map(|receive| receive.outcome.done());
        let received = received.map(Vec::len).sum::<usize>();
        let unknown = sends
            .iter()
            .filter(|send| send.outcome == history::Outcome::Unknown);
        println!(
            "{engine}: {} kills, {sent} messages sent and {} that nobody knows of, {received} \
             received, {} acts, in {time:.1?}",
            kills.len(),
            unknown.count(),
            acts.len()
        );
        assert!(
            sent as u64 > 10 * ROUNDS && received > sent / 2,
            "too little load"
        );
    }
}
