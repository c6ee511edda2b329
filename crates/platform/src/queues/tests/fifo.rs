use super::*;
use crate::queues::receipt::ReceiptError;

#[tokio::test]
async fn a_group_is_handed_out_in_order_and_never_twice_at_once() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "a", &["a1", "a2", "a3"]).await;
    world.send_to(&queue, "b", &["b1"]).await;
    let first = world.receive(&queue, 2).await;
    assert_eq!(bodies(&first), ["a1", "a2"]);
    assert_eq!(
        bodies(&world.receive(&queue, 10).await),
        ["b1"],
        "a is in flight"
    );
    world.delete(&queue, &first[..1]).await;
    assert!(world.receive(&queue, 10).await.is_empty(), "a2 still is");
    world.clock.advance(30_000);
    let again = world.receive(&queue, 10).await;
    assert_eq!(bodies(&again), ["a2", "a3", "b1"]);
    let stale = world.queues.delete(&queue, &[first[1].receipt]).await;
    assert_eq!(stale, [Err(ReceiptError::Expired)]);
    world.delete(&queue, &again).await;
    // A second time is as good.
    world.delete(&queue, &again).await;
}

#[tokio::test]
async fn a_restart_changes_nothing_of_what_is_in_flight() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "a", &["a1", "a2"]).await;
    world.send_to(&queue, "b", &["b1"]).await;
    let first = world.receive(&queue, 1).await;
    let world = world.restarted().await;
    let queue = world.found("q.fifo");
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["b1"]);
    world.delete(&queue, &first).await;
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["a2"]);
}

#[tokio::test]
async fn a_message_is_sent_once_within_five_minutes() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    let send = |queues: Queues, queue: Arc<Queue>| async move {
        let sent = queues.send(&queue, vec![message("a", Some("g"))]).await;
        sent.expect("it is sent")[0]
    };
    let first = send(world.queues.clone(), queue.clone()).await;
    assert_eq!(send(world.queues.clone(), queue.clone()).await, first);
    let received = world.receive(&queue, 10).await;
    world.delete(&queue, &received).await;
    let world = world.restarted().await;
    let queue = world.found("q.fifo");
    assert_eq!(send(world.queues.clone(), queue.clone()).await, first);
    assert!(world.receive(&queue, 10).await.is_empty());
    world.clock.advance(300_000);
    assert_ne!(send(world.queues.clone(), queue.clone()).await, first);
    assert_eq!(world.receive(&queue, 10).await.len(), 1);
}

#[tokio::test]
async fn an_attempt_that_is_repeated_gets_the_same_messages() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "a", &["a1", "a2"]).await;
    let attempt = |id: &str| Receive {
        attempt_id: Some(id.to_owned()),
        ..receive(1)
    };
    let first = world
        .queues
        .receive(&queue, attempt("x"))
        .await
        .expect("an answer");
    let again = world
        .queues
        .receive(&queue, attempt("x"))
        .await
        .expect("an answer");
    assert_eq!(first[0].receipt, again[0].receipt);
    assert!(
        world
            .queues
            .receive(&queue, attempt("y"))
            .await
            .expect("an answer")
            .is_empty()
    );
    world.delete(&queue, &again).await;
    let next = world
        .queues
        .receive(&queue, attempt("x"))
        .await
        .expect("an answer");
    assert_eq!(bodies(&next), ["a2"]);
}

#[tokio::test]
async fn a_dead_message_lets_its_group_go_on() {
    use crate::queues::definition::Redrive;
    let world = World::new().await;
    let dead = world.queue("dead.fifo", |_| {}).await;
    let redrive = Redrive {
        dead_letter_queue: dead.key.clone(),
        receives_max: 1,
    };
    let queue = world
        .queue("q.fifo", |attributes| attributes.redrive = Some(redrive))
        .await;
    world.send_to(&queue, "a", &["bad", "good"]).await;
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["bad"]);
    world.clock.advance(30_000);
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["good"]);
    assert_eq!(bodies(&world.receive(&dead, 10).await), ["bad"]);
}

#[tokio::test]
async fn twenty_thousand_groups_are_as_good_as_one() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    for chunk in 0..40 {
        let messages = (0..500).map(|n| {
            let group = (chunk * 500 + n).to_string();
            message(&group, Some(&group))
        });
        world
            .queues
            .send(&queue, messages.collect())
            .await
            .expect("they are sent");
    }
    let received = world.receive(&queue, 20_000).await;
    assert_eq!(received.len(), 20_000);
    assert!(
        received
            .windows(2)
            .all(|pair| pair[0].sequence < pair[1].sequence)
    );
}
