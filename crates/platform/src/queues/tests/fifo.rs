use super::*;

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

/// What a receiver gives back before what it keeps may go to another.
#[tokio::test]
async fn what_stands_before_a_message_in_flight_is_handed_out() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "a", &["a1", "a2", "a3"]).await;
    let first = world.receive(&queue, 3).await;
    assert_eq!(bodies(&first), ["a1", "a2", "a3"]);
    assert_eq!(world.change(&queue, &first[2..], 0).await, [Ok(())]);
    assert!(world.receive(&queue, 10).await.is_empty(), "a1 is before");
    assert_eq!(world.change(&queue, &first[..1], 0).await, [Ok(())]);
    let second = world.receive(&queue, 10).await;
    assert_eq!(bodies(&second), ["a1"], "a2 is in flight");
    assert!(world.receive(&queue, 10).await.is_empty());
    let world = world.restarted().await;
    let queue = world.found("q.fifo");
    assert!(world.receive(&queue, 10).await.is_empty());
    world.delete(&queue, &first[1..2]).await;
    assert!(world.receive(&queue, 10).await.is_empty(), "a1 is again");
    world.delete(&queue, &second).await;
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["a3"]);
}

#[tokio::test]
async fn groups_come_in_the_order_in_which_they_became_free() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")] {
        world.send_to(&queue, group, &[body]).await;
    }
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["a1"]);
    world.clock.advance(1_000);
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["b1"]);
    world.clock.advance(30_000);
    world.send_to(&queue, "d", &["d1"]).await;
    let peek = Receive {
        visibility_timeout_ms: Some(0),
        ..receive(10)
    };
    let expected = ["c1", "a1", "a2", "b1", "d1"];
    let received = world.queues.receive(&queue, peek.clone()).await;
    assert_eq!(bodies(&received.expect("an answer")), expected);
    // All became free at once by that, in the order of their messages.
    let received = world.queues.receive(&queue, peek).await;
    let expected = ["a1", "a2", "b1", "c1", "d1"];
    assert_eq!(bodies(&received.expect("an answer")), expected);
}

#[tokio::test]
async fn a_restart_keeps_the_groups_in_order_as_far_as_it_can_know() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    for (group, body) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1")] {
        world.send_to(&queue, group, &[body]).await;
    }
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["a1"]);
    world.clock.advance(1_000);
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["b1"]);
    let world = world.restarted().await;
    world.clock.advance(30_000);
    let world = world.restarted().await;
    let queue = world.found("q.fifo");
    let received = world.receive(&queue, 10).await;
    assert_eq!(bodies(&received), ["c1", "a1", "a2", "b1"]);
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
