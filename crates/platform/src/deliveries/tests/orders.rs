//! Orders that are kept, and ends of the process.

use super::*;

fn ordered(target: &str, group: &str, number: usize) -> Delivery {
    Delivery {
        ordered_by: Some(group.into()),
        ..to_test(target, &format!("{group}{number}"))
    }
}

#[tokio::test]
async fn a_group_keeps_its_order_through_failures_and_others_go_on() {
    let world = World::new().await;
    world.target.set("t", Does::FailsFirst(7));
    let mut deliveries = Vec::new();
    for number in 0..10 {
        for group in ["a", "b", "c"] {
            deliveries.push(ordered("t", group, number));
        }
    }
    world.send(deliveries).await;
    world
        .until(async || world.target.taken("t").len() == 30)
        .await;
    let taken = world.target.taken("t");
    for group in ["a", "b", "c"] {
        let own: Vec<_> = taken
            .iter()
            .filter(|body| body.starts_with(group))
            .collect();
        let expected: Vec<String> = (0..10).map(|number| format!("{group}{number}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_comes_later_waits_behind_what_waits_already() {
    let world = World::new().await;
    let queue = world.queue_with("q.fifo", None).await;
    let deliver = |body: &str| Delivery {
        ordered_by: Some("g".into()),
        parameters: Parameters::Sqs(ToQueue {
            group: Some("g".into()),
            ..ToQueue::default()
        }),
        role: Some(format!("arn:aws:iam::{ACCOUNT}:role/r")),
        ..to_queue("q.fifo", body)
    };
    // As if its queue had not been there.
    let shared = &world.parts.deliveries.0;
    let first = shared.waiting(deliver("1")).await.unwrap();
    let queues = &world.parts.queues;
    let (lane, message) = (first.queue.clone(), first.message.clone());
    queues.send(&lane, vec![message]).await.unwrap();
    world.send(vec![deliver("2")]).await;
    for body in ["1", "2"] {
        let message = world.received(&queue).await;
        assert_eq!(message.content.body, body);
        queues.delete(&queue, &[message.receipt]).await[0].unwrap();
    }
}

#[tokio::test]
async fn no_delivery_is_lost_by_the_end_of_the_process() {
    const ENDS: usize = 6;
    const EACH: usize = 10;
    let mut world = World::new().await;
    let queue = world.queue("q").await;
    drop(queue);
    for end in 0..ENDS {
        world.target.set("t", Does::FailsFirst(4 + end));
        let numbers = end * EACH..(end + 1) * EACH;
        for number in numbers {
            let body = number.to_string();
            world
                .send(vec![to_test("t", &body), to_queue("q", &body)])
                .await;
        }
        let enough = world.target.tries.load(Ordering::SeqCst) + 3 + end;
        let tries = || world.target.tries.load(Ordering::SeqCst);
        let waits =
            || world.parts.deliveries.waiting().ready + world.parts.deliveries.waiting().held;
        world
            .until(async || tries() >= enough || waits() == 0)
            .await;
        world = world.crashed().await;
    }
    world.idle().await;
    let mut taken: Vec<usize> = world
        .target
        .taken("t")
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken, (0..ENDS * EACH).collect::<Vec<_>>());
    // What is a message comes once.
    let queue = world.parts.queues.find(&key("q")).unwrap();
    assert_eq!(queue.counts().visible, (ENDS * EACH) as u64);
}
