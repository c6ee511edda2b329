//! FIFO queues: order within a group, groups side by side.

use std::collections::{HashMap, HashSet};

use tokio::sync::watch;

use super::*;

/// `group-number`
fn split(body: &str) -> (String, usize) {
    let (group, number) = body.split_once('-').unwrap();
    (group.to_owned(), number.parse().unwrap())
}

#[tokio::test]
async fn each_group_is_handled_in_order_and_by_one_at_a_time() {
    const GROUPS: usize = 12;
    const EACH: usize = 25;
    let busy: Arc<Mutex<HashSet<String>>> = Arc::default();
    let function = Closure::new(move |event: Value| {
        let busy = busy.clone();
        async move {
            let records = event["Records"].as_array().unwrap();
            let groups = records
                .iter()
                .map(|it| split(it["body"].as_str().unwrap()).0);
            let groups: HashSet<String> = groups.collect();
            for group in &groups {
                assert!(
                    busy.lock().unwrap().insert(group.clone()),
                    "{group} is with two at once"
                );
            }
            tokio::task::yield_now().await;
            busy.lock().unwrap().retain(|group| !groups.contains(group));
            Ok("null".into())
        }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world
        .map("q.fifo", |input| input.batch_size = Some(4))
        .await;
    for number in 0..EACH {
        let of_group =
            |group: usize| message(format!("{group}-{number}"), Some(&group.to_string()));
        world
            .send(&queue, (0..GROUPS).map(of_group).collect())
            .await;
    }
    until(async || is_empty(&queue)).await;
    let mut next: HashMap<String, usize> = HashMap::new();
    for body in function.bodies() {
        let (group, number) = split(&body);
        let next = next.entry(group).or_default();
        assert_eq!(number, *next, "{body}");
        *next += 1;
    }
    assert_eq!(next.len(), GROUPS);
    assert!(next.values().all(|seen| *seen == EACH));
}

#[tokio::test]
async fn groups_run_side_by_side() {
    let gate = watch::channel(false).0;
    let open = gate.clone();
    let function = Closure::new(move |_| {
        let mut open = open.subscribe();
        async move {
            let _ = open.wait_for(|open| *open).await;
            Ok("null".into())
        }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world
        .map("q.fifo", |input| input.batch_size = Some(1))
        .await;
    let of_group = |number: usize| message(number.to_string(), Some(&(number % 20).to_string()));
    world.send(&queue, (0..60).map(of_group).collect()).await;
    until(async || function.running.load(Ordering::SeqCst) == 20).await;
    gate.send_replace(true);
    until(async || is_empty(&queue)).await;
    assert_eq!(function.most.load(Ordering::SeqCst), 20);
}

/// Fails events that begin with a message that has not been received before.
fn failing_first(body: &'static str) -> Arc<Closure> {
    Closure::new(move |event: Value| async move {
        let first = &event["Records"][0];
        let is_it = first["body"].as_str().unwrap().starts_with(body);
        match is_it && first["attributes"]["ApproximateReceiveCount"] == "1" {
            true => Err(Failure::Error),
            false => Ok("null".into()),
        }
    })
}

#[tokio::test]
async fn nothing_overtakes_a_message_that_failed() {
    let function = failing_first("0");
    let world = World::new(&function).await;
    let queue = world.queue("q.fifo", |_| {}).await;
    let of_group = |number: usize| message(number.to_string(), Some("g"));
    world.send(&queue, (0..5).map(of_group).collect()).await;
    world
        .map("q.fifo", |input| input.batch_size = Some(2))
        .await;
    until(async || function.seen().len() == 1).await;
    until(async || function.running.load(Ordering::SeqCst) == 0).await;
    world.parts.clock.advance(31_000);
    until(async || is_empty(&queue)).await;
    assert_eq!(function.bodies(), ["0", "1", "0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn nor_does_the_rest_of_what_was_too_much_for_one_event() {
    let function = failing_first("0");
    let world = World::new(&function).await;
    let queue = world.queue("q.fifo", |_| {}).await;
    // Ten of these are more than an event may have.
    let large = |number: usize| message(format!("{number}{}", "x".repeat(1_000_000)), Some("g"));
    world.send(&queue, (0..10).map(large).collect()).await;
    world.map("q.fifo", |_| {}).await;
    until(async || function.seen().len() == 1).await;
    until(async || function.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!(queue.counts().in_flight, 10);
    world.parts.clock.advance(31_000);
    until(async || is_empty(&queue)).await;
    let firsts = function.bodies();
    let firsts: String = firsts.iter().map(|body| &body[..1]).collect();
    assert_eq!(firsts, "0123450123456789");
}
