//! Every occurrence has its delivery, and no occurrence has two: across the end of the process, and
//! with a store that fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use store::Fate;

use super::*;

#[tokio::test]
async fn after_the_end_of_the_process_nothing_comes_twice() {
    let mut world = World::new().await;
    world.queue("q").await;
    world.create("often", "cron(* * * * ? *)", |_| {}).await;
    let mut looked_for = Vec::new();
    for round in 0..6 {
        world.pass(2 * MINUTE, MINUTE).await;
        // Back within a minute: all are there.
        world = world.crashed(20_000 + round * 5_000).await;
        world.settle().await;
    }
    let until = world.parts.clock.now_ms();
    let mut at = ms("2027-03-28T00:00:00Z");
    while at <= until {
        looked_for.push(Timestamp::from_millisecond(at).unwrap().to_string());
        at += MINUTE;
    }
    assert_eq!(world.bodies("q").await, looked_for);
}

#[tokio::test]
async fn of_what_was_missed_the_last_is_made_up_for_once() {
    let world = World::new().await;
    world.queue("q").await;
    world.create("often", "cron(0/10 * * * ? *)", |_| {}).await;
    world
        .create("once", "at(2027-03-28T01:00:00)", |_| {})
        .await;
    world
        .create("old", "at(2027-03-28T01:30:00)", |input| {
            input.target.retry_policy = Some(wire::scheduler::RetryPolicy {
                maximum_event_age_in_seconds: Some(3600),
                maximum_retry_attempts: None,
            });
        })
        .await;
    let world = world.crashed(5 * HOUR + 5 * MINUTE).await;
    world.settle().await;
    let mut bodies = world.bodies("q").await;
    bodies.sort();
    assert_eq!(bodies, ["2027-03-28T01:00:00Z", "2027-03-28T05:00:00Z"]);
    world.pass(10 * MINUTE, MINUTE).await;
    assert_eq!(world.bodies("q").await, ["2027-03-28T05:10:00Z"]);
}

/// Loses writes, or says that it does not know, by a fixed sequence.
#[derive(Default)]
struct Troubles {
    on: AtomicBool,
    drawn: AtomicU64,
}

impl Faults for Troubles {
    fn write(&self) -> (Fate, Duration) {
        let fate = match self.on.load(Ordering::SeqCst) {
            false => Fate::Kept,
            true => {
                let n = self.drawn.fetch_add(1, Ordering::SeqCst);
                match n.wrapping_mul(6_364_136_223_846_793_005) >> 61 {
                    0 | 1 => Fate::Lost,
                    2 | 3 => Fate::Unknown,
                    _ => Fate::Kept,
                }
            }
        };
        (fate, Duration::ZERO)
    }

    fn read(&self) -> (Fate, Duration) {
        (Fate::Kept, Duration::ZERO)
    }
}

#[tokio::test]
async fn with_a_store_that_fails_every_tick_is_one_delivery() {
    let troubles = Arc::new(Troubles::default());
    let world = World::with(Some(troubles.clone())).await;
    world.queue("q").await;
    for n in 0..5 {
        world
            .create(&format!("s{n}"), "cron(* * * * ? *)", |input| {
                input.target.input = Some(format!("{n} <aws.scheduler.scheduled-time>"));
            })
            .await;
    }
    troubles.on.store(true, Ordering::SeqCst);
    world.pass(12 * MINUTE, MINUTE).await;
    troubles.on.store(false, Ordering::SeqCst);
    let mut bodies = world.bodies("q").await;
    bodies.sort();
    let mut looked_for = Vec::new();
    for n in 0..5 {
        for minute in 0..12 {
            looked_for.push(format!("{n} 2027-03-28T00:{minute:02}:00Z"));
        }
    }
    assert_eq!(bodies, looked_for);
    assert!(troubles.drawn.load(Ordering::SeqCst) > 60);
}
