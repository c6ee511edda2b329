//! Everything at once: answers of all kinds, throttles, mappings that are switched off and on, and
//! crashes. In the end every message was done, and groups kept their order.

use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use serde_json::json;

use super::*;

/// What a FIFO queue's messages went through.
#[derive(Default)]
struct History {
    /// In the order in which they were done first, by group.
    done: HashMap<String, Vec<usize>>,
    busy: HashSet<String>,
    /// Over all crashes, or each would be followed by the same.
    tries: usize,
}

/// As good as random, and the same each time.
fn dice(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish() % 10
}

/// `group-number`
fn split(body: &str) -> (String, usize) {
    let (group, number) = body.split_once('-').unwrap();
    (group.to_owned(), number.parse().unwrap())
}

fn capricious(history: &Arc<Mutex<History>>) -> Arc<Closure> {
    let history = history.clone();
    Closure::new(move |event: Value| {
        let history = history.clone();
        let tries = {
            let mut history = history.lock().unwrap();
            history.tries += 1;
            history.tries
        };
        async move {
            let records = event["Records"].as_array().unwrap();
            let body = |record: &Value| record["body"].as_str().unwrap().to_owned();
            let groups: HashSet<String> = records.iter().map(|it| split(&body(it)).0).collect();
            let luck = dice((tries, body(&records[0])));
            if luck < 1 {
                return Err(Failure::Throttled);
            }
            for group in &groups {
                let alone = history.lock().unwrap().busy.insert(group.clone());
                assert!(alone, "{group} is with two at once");
            }
            for _ in 0..luck {
                tokio::task::yield_now().await;
            }
            let mut history = history.lock().unwrap();
            history.busy.retain(|busy| !groups.contains(busy));
            if luck < 4 {
                return Err(Failure::Error);
            }
            let failed = |record: &&Value| luck < 7 && dice((tries, body(record))) < 3;
            let mut bad_groups = HashSet::new();
            for record in records {
                let (group, number) = split(&body(record));
                if failed(&record) || bad_groups.contains(&group) {
                    bad_groups.insert(group);
                    continue;
                }
                let done = history.done.entry(group).or_default();
                if !done.contains(&number) {
                    done.push(number);
                }
            }
            let failed = records.iter().filter(failed);
            let failed = failed.map(|record| json!({"itemIdentifier": record["messageId"]}));
            Ok(json!({"batchItemFailures": failed.collect::<Vec<_>>()}).to_string())
        }
    })
}

#[tokio::test]
async fn whatever_happens_each_message_is_done_and_groups_keep_their_order() {
    const GROUPS: usize = 8;
    const EACH: usize = 15;
    let history = Arc::<Mutex<History>>::default();
    let mut function = capricious(&history);
    let mut world = World::new(&function).await;
    world.queue("q.fifo", |_| {}).await;
    let uuid = world.map("q.fifo", |input| {
        input.batch_size = Some(3);
        input.function_response_types = Some(vec!["ReportBatchItemFailures".into()]);
    });
    let uuid = uuid.await;
    for number in 0..EACH {
        let of_group =
            |group: usize| message(format!("{group}-{number}"), Some(&group.to_string()));
        let queue = world.found("q.fifo");
        world
            .send(&queue, (0..GROUPS).map(of_group).collect())
            .await;
    }
    for turn in 0.. {
        let queue = world.found("q.fifo");
        if is_empty(&queue) {
            break;
        }
        assert!(
            turn < 5000,
            "it does not come to an end: {:?}",
            queue.counts()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
        // What failed comes back; nothing that runs outlasts its time.
        if turn % 20 == 0 && function.running.load(Ordering::SeqCst) == 0 {
            world.parts.clock.advance(31_000);
        }
        match turn % 400 {
            50 => drop(
                world
                    .update(&uuid, |input| input.enabled = Some(false))
                    .await,
            ),
            60 => drop(
                world
                    .update(&uuid, |input| input.enabled = Some(true))
                    .await,
            ),
            100 => drop(
                world
                    .update(&uuid, |input| input.batch_size = Some(7))
                    .await,
            ),
            150 => {
                world
                    .parts
                    .mappings
                    .0
                    .stopping
                    .store(true, Ordering::SeqCst);
                world
                    .parts
                    .mappings
                    .0
                    .mappings
                    .all()
                    .iter()
                    .for_each(|mapping| {
                        if let Some(poller) = mapping.poller().take() {
                            poller.kill();
                        }
                    });
                history.lock().unwrap().busy.clear();
                function = capricious(&history);
                world = world.crashed(&function).await;
            }
            _ => {}
        }
    }
    let history = history.lock().unwrap();
    assert_eq!(history.done.len(), GROUPS);
    for (group, done) in &history.done {
        assert_eq!(*done, (0..EACH).collect::<Vec<_>>(), "{group}");
    }
}
