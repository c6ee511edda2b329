//! Timers whose owner does as it is told.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use store::StoreConfig;
use tempfile::TempDir;

use super::*;
use crate::{platform, queues::Queues, secrets::Secrets};

/// Ticks every second, and fails where it is told to.
#[derive(Default)]
struct Told {
    ticks: Mutex<Vec<(String, i64)>>,
    fails: AtomicBool,
}

#[async_trait]
impl Owner for Told {
    async fn tick(&self, due: &Due, _: i64) -> store::Result<Tick> {
        if due.id == "bad" && self.fails.load(Ordering::SeqCst) {
            return Err(store::Error::Closed);
        }
        let tick = (due.id.clone(), due.scheduled_ms);
        self.ticks.lock().unwrap().push(tick);
        Ok(Tick {
            next: (due.scheduled_ms < 3_000).then_some(at(due.scheduled_ms + 1_000)),
            ..Tick::default()
        })
    }
}

fn at(ms: i64) -> Next {
    Next {
        scheduled_ms: ms,
        due_ms: ms,
    }
}

struct World {
    _dir: TempDir,
    store: Store,
    clock: Arc<Clock>,
    timers: Timers,
    background: Background,
    told: Arc<Told>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.path().join("functions.key")).unwrap());
        let clock = Arc::new(Clock::from(0));
        let queues = Queues::open(store.clone(), secrets, clock.clone(), "http://h");
        let (queues, _) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues);
        let timers = Timers::open(store.clone(), clock.clone(), deliveries);
        let told = Arc::new(Told::default());
        timers.register("told", told.clone());
        let background = Background::default();
        timers.begin(&background);
        Self {
            _dir: dir,
            store,
            clock,
            timers,
            background,
            told,
        }
    }

    async fn set(&self, owner: &'static str, id: &'static str, next: Option<Next>) {
        let written = self.store.write(move |tx| set(tx, owner, id, next));
        written.await.unwrap();
        self.timers.ring(next);
    }

    async fn until(&self, what: impl Fn(&[(String, i64)]) -> bool) {
        let done = async {
            while !what(&self.told.ticks.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(60), done);
        within.await.expect("it ticks");
    }
}

#[tokio::test]
async fn a_timer_ticks_when_the_clock_gets_there_and_until_it_is_over() {
    let world = World::new().await;
    world.set("told", "one", Some(at(1_000))).await;
    world.set("told", "never", Some(at(1_000))).await;
    world.set("told", "never", None).await;
    world.clock.advance(10_000);
    let all: Vec<_> = (1..4).map(|s| ("one".to_owned(), s * 1_000)).collect();
    world.until(|ticks| ticks == all).await;
    while world.timers.count().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn one_that_fails_holds_up_no_other_and_is_tried_again() {
    let world = World::new().await;
    world.told.fails.store(true, Ordering::SeqCst);
    world.clock.advance(5_000);
    world.set("told", "bad", Some(at(0))).await;
    // Nobody knows those: they stay, and nothing waits for them.
    world.set("nobody", "theirs", Some(at(0))).await;
    world.set("told", "good", Some(at(3_000))).await;
    world
        .until(|ticks| ticks == [("good".to_owned(), 3_000)])
        .await;
    world.told.fails.store(false, Ordering::SeqCst);
    world.until(|ticks| ticks.len() == 5).await;
    assert!(world.background.tasks()[0].failures > 0);
    while world.timers.count().await.unwrap() > 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn more_than_are_looked_at_at_once_all_tick() {
    let world = World::new().await;
    let many = 3 * limits::DUE_AT_ONCE + 7;
    let written = world.store.write(move |tx| {
        (0..many).try_for_each(|n| set(tx, "told", &format!("t{n}"), Some(at(3_000))))
    });
    written.await.unwrap();
    world.clock.advance(3_000);
    world.timers.ring(Some(at(3_000)));
    world.until(|ticks| ticks.len() == many as usize).await;
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_decided_anew() {
    let world = World::new().await;
    let due = Due {
        id: "one".into(),
        due_ms: 1_000,
        scheduled_ms: 1_000,
    };
    world.set("told", "one", Some(at(2_000))).await;
    let found = Found {
        owner: "told".into(),
        due,
    };
    world
        .timers
        .0
        .commit(&found, Tick::default())
        .await
        .unwrap();
    let held = world.store.read(|tx| get(tx, "told", "one")).await.unwrap();
    assert_eq!(held, Some(at(2_000)));
}
