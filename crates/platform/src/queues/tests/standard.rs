use super::*;
use crate::queues::{EngineError, definition::Redrive, message::Counts};

fn counts(visible: u64, in_flight: u64, delayed: u64) -> Counts {
    Counts {
        visible,
        in_flight,
        delayed,
    }
}

#[tokio::test]
async fn a_message_is_received_once_until_its_timeout_is_over() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b"]).await;
    let first = world.receive(&queue, 10).await;
    assert_eq!(bodies(&first), ["a", "b"]);
    assert_eq!(queue.counts(), counts(0, 2, 0));
    assert!(world.receive(&queue, 10).await.is_empty());
    world.clock.advance(30_000);
    let second = world.receive(&queue, 1).await;
    assert_eq!((second[0].receive_count, second[0].receipt.receive), (2, 2));
    assert_eq!(
        second[0].first_received_at_ms,
        first[0].first_received_at_ms
    );
    // The first receiver's receipt is of before: the message stays, and nobody is told.
    assert_eq!(
        world.queues.delete(&queue, &[first[0].receipt]).await,
        [Ok(())]
    );
    world.delete(&queue, &second).await;
    world.delete(&queue, &first[1..]).await;
    assert_eq!(queue.counts(), counts(0, 0, 0));
}

#[tokio::test]
async fn what_is_acknowledged_survives_a_restart() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b", "c"]).await;
    let taken = world.receive(&queue, 2).await;
    world.delete(&queue, &taken[..1]).await;
    let world = world.restarted().await;
    let queue = world.found("q");
    assert_eq!(queue.counts(), counts(1, 1, 0));
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["c"]);
    // A receipt of before is good, too.
    world.delete(&queue, &taken[1..]).await;
    assert_eq!(queue.counts(), counts(0, 1, 0));
}

#[tokio::test]
async fn a_receiver_that_waits_is_woken_by_what_comes() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    let waiting = {
        let (queues, queue) = (world.queues.clone(), queue.clone());
        let waits = Receive {
            wait_ms: 20_000,
            ..receive(10)
        };
        tokio::spawn(async move { queues.receive(&queue, waits).await })
    };
    // It waits, or will find the message: both are to end the same way.
    world.send(&queue, &["a"]).await;
    let received = waiting.await.expect("it ends").expect("an answer");
    assert_eq!(bodies(&received), ["a"]);
    // And by a timeout that runs out.
    let waits = Receive {
        wait_ms: 20_000,
        ..receive(10)
    };
    let changes = [(received[0].receipt, 50)];
    assert_eq!(
        world.queues.change_visibility(&queue, &changes).await,
        [Ok(())]
    );
    let again = world
        .queues
        .receive(&queue, waits)
        .await
        .expect("an answer");
    assert_eq!(again[0].receive_count, 2);
}

#[tokio::test]
async fn visibility_is_changed_by_whoever_has_a_receipt() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a"]).await;
    let first = world.receive(&queue, 1).await;
    assert_eq!(world.change(&queue, &first, 0).await, [Ok(())]);
    // It is visible: it is hidden once more, without another receive.
    assert_eq!(world.change(&queue, &first, 5_000).await, [Ok(())]);
    assert_eq!(queue.counts(), counts(0, 1, 0));
    assert!(world.receive(&queue, 1).await.is_empty());
    world.clock.advance(5_000);
    assert_eq!(world.change(&queue, &first, 0).await, [Ok(())]);
    assert_eq!(queue.counts(), counts(1, 0, 0), "that changes nothing");
    // Somebody else has it: it is not asked who.
    let second = world.receive(&queue, 1).await;
    assert_eq!(second[0].receive_count, 2);
    assert_eq!(world.change(&queue, &first, 0).await, [Ok(())]);
    let third = world.receive(&queue, 1).await;
    assert_eq!(third[0].receive_count, 3);
    assert_eq!(
        world.change(&queue, &third, 43_200_001).await,
        [Err(ReceiptError::TooLong)]
    );
    world.delete(&queue, &third).await;
    assert_eq!(
        world.change(&queue, &third, 1).await,
        [Err(ReceiptError::NotInFlight)]
    );
}

#[tokio::test]
async fn what_is_hidden_again_is_hidden_after_a_restart() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b"]).await;
    let first = world.receive(&queue, 1).await;
    world.clock.advance(30_000);
    assert_eq!(queue.counts(), counts(2, 0, 0));
    assert_eq!(world.change(&queue, &first, 60_000).await, [Ok(())]);
    let world = world.restarted().await;
    let queue = world.found("q");
    assert_eq!(queue.counts(), counts(1, 1, 0));
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["b"]);
    world.delete(&queue, &first).await;
    assert_eq!(queue.counts(), counts(0, 1, 0));
}

#[tokio::test]
async fn who_asks_whether_they_have_a_message_is_told() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a"]).await;
    let first = world.receive(&queue, 1).await;
    let changes = [(first[0].receipt, 1_000)];
    let renewed = async || {
        world
            .queues
            .change_visibility_if_held(&queue, &changes)
            .await
    };
    assert_eq!(renewed().await, [Ok(())]);
    world.clock.advance(1_000);
    assert_eq!(renewed().await, [Err(ReceiptError::NotInFlight)]);
    assert_eq!(world.receive(&queue, 1).await.len(), 1);
    assert_eq!(renewed().await, [Err(ReceiptError::NotInFlight)]);
}

#[tokio::test]
async fn what_comes_back_is_older_than_what_was_sent_since() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b"]).await;
    world.receive(&queue, 1).await;
    world.send(&queue, &["c"]).await;
    world.clock.advance(30_000);
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["a"]);
    // One that is refused over and over does not keep the others back.
    let refused = world.receive(&queue, 1).await;
    assert_eq!(bodies(&refused), ["b"]);
    assert_eq!(world.change(&queue, &refused, 0).await, [Ok(())]);
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["c"]);
    assert_eq!(bodies(&world.receive(&queue, 1).await), ["b"]);
}

#[tokio::test]
async fn delayed_messages_come_when_they_are_due_also_after_a_restart() {
    let world = World::new().await;
    let queue = world.queue("q", |attributes| attributes.delay_s = 60).await;
    world.send(&queue, &["a"]).await;
    let at_once = NewMessage {
        delay_s: Some(0),
        ..message("b", None)
    };
    world
        .queues
        .send(&queue, vec![at_once])
        .await
        .expect("it is sent");
    assert_eq!(queue.counts(), counts(1, 0, 1));
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["b"]);
    let world = world.restarted().await;
    let queue = world.found("q");
    assert_eq!(queue.counts(), counts(0, 1, 1));
    world.clock.advance(60_000);
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["a", "b"]);
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let world = World::new().await;
    let dead = world.queue("dead", |_| {}).await;
    let redrive = Redrive {
        dead_letter_queue: dead.key.clone(),
        receives_max: 2,
    };
    let queue = world
        .queue("q", |attributes| attributes.redrive = Some(redrive))
        .await;
    world.send(&queue, &["bad"]).await;
    for _ in 0..2 {
        let received = world.receive(&queue, 10).await;
        assert_eq!(bodies(&received), ["bad"]);
        world.clock.advance(30_000);
    }
    let id = {
        assert!(world.receive(&queue, 10).await.is_empty());
        assert_eq!(
            (queue.counts(), dead.counts()),
            (counts(0, 0, 0), counts(1, 0, 0))
        );
        queue.key.arn().to_string()
    };
    let world = world.restarted().await;
    let (queue, dead) = (world.found("q"), world.found("dead"));
    assert_eq!(
        (queue.counts(), dead.counts()),
        (counts(0, 0, 0), counts(1, 0, 0))
    );
    let received = world.receive(&dead, 10).await;
    assert_eq!(received[0].content.body, "bad");
    assert_eq!(received[0].dead_letter_source.as_deref(), Some(id.as_str()));
    assert_eq!(
        received[0].receive_count, 3,
        "SQS counts them across queues"
    );
}

#[tokio::test]
async fn queues_that_are_each_others_dead_letter_queue_hand_a_message_out_in_between() {
    let world = World::new().await;
    let to = |name: &str| {
        Some(Redrive {
            dead_letter_queue: key(name),
            receives_max: 1,
        })
    };
    for name in ["q", "q.fifo"] {
        let other = format!("other-{name}");
        let own = format!("own-{name}");
        let queue = world.queue(name, |a| a.redrive = to(&other)).await;
        let other = world.queue(&other, |a| a.redrive = to(name)).await;
        let own = world.queue(&own, |a| a.redrive = to(&own)).await;
        world.send_to(&queue, "g", &["a"]).await;
        world.send_to(&own, "g", &["a"]).await;
        assert_eq!(bodies(&world.receive(&queue, 10).await), ["a"]);
        for (from, at) in [(&queue, &other), (&other, &queue), (&queue, &other)] {
            world.clock.advance(30_000);
            assert!(world.receive(from, 10).await.is_empty());
            assert_eq!(bodies(&world.receive(at, 10).await), ["a"]);
        }
        for _ in 0..3 {
            assert_eq!(bodies(&world.receive(&own, 10).await), ["a"]);
            world.clock.advance(30_000);
        }
    }
}

#[tokio::test]
async fn what_is_too_old_is_deleted() {
    let world = World::new().await;
    let queue = world
        .queue("q", |attributes| attributes.retention_s = 60)
        .await;
    world.send(&queue, &["a", "b"]).await;
    world.clock.advance(59_000);
    world.send(&queue, &["c"]).await;
    world.clock.advance(1_500);
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["c"]);
    let world = world.restarted().await;
    assert_eq!(world.found("q").counts(), counts(0, 1, 0));
}

#[tokio::test]
async fn a_purged_or_deleted_queue_gives_nothing_back() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b"]).await;
    let taken = world.receive(&queue, 1).await;
    world.queues.purge(&queue).await.expect("it is purged");
    world.send(&queue, &["c"]).await;
    assert_eq!(queue.counts(), counts(1, 0, 0));
    world.delete(&queue, &taken).await;
    let world = world.restarted().await;
    let queue = world.found("q");
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["c"]);
    world
        .queues
        .delete_queue(&queue)
        .await
        .expect("it is deleted");
    let sent = world.queues.send(&queue, vec![message("d", None)]).await;
    assert!(matches!(sent, Err(EngineError::Gone)));
    let deleted = world.queues.delete(&queue, &[taken[0].receipt]).await;
    assert_eq!(deleted, [Err(ReceiptError::Gone)]);
    let again = world.queue("q", |_| {}).await;
    assert!(world.receive(&again, 10).await.is_empty());
}

#[tokio::test]
async fn a_backlog_longer_than_memory_is_received_whole() {
    const COUNT: usize = 45_000;
    let world = World::new().await;
    let queue = world
        .queue("q", |attributes| attributes.managed_sse = false)
        .await;
    for chunk in 0..COUNT / 500 {
        let numbers = (chunk * 500..(chunk + 1) * 500).map(|n| message(&n.to_string(), None));
        world
            .queues
            .send(&queue, numbers.collect())
            .await
            .expect("they are sent");
    }
    assert_eq!(queue.counts(), counts(COUNT as u64, 0, 0));
    let world = world.restarted().await;
    let queue = world.found("q");
    assert_eq!(queue.counts(), counts(COUNT as u64, 0, 0));
    let mut next = 0;
    while next < COUNT {
        let received = world.receive(&queue, 1000).await;
        assert!(
            !received.is_empty(),
            "a short poll finds what is there, at {next}"
        );
        for message in &received {
            assert_eq!(message.content.body, next.to_string());
            next += 1;
        }
        world.delete(&queue, &received).await;
        if next == 20_000 {
            world.send(&queue, &["45000"]).await;
        }
    }
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["45000"]);
    assert_eq!(queue.counts(), counts(0, 1, 0));
}

#[tokio::test]
async fn a_staged_message_is_there_if_its_transaction_is() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    for commits in [true, false] {
        let body = commits.to_string();
        let staged = world
            .queues
            .stage(&queue, message(&body, None))
            .await
            .expect("it is staged");
        let rows = staged.rows();
        let written = world.store.write(move |tx| {
            rows.insert(tx)?;
            match commits {
                true => Ok(()),
                false => Err(store::Error::Closed),
            }
        });
        assert_eq!(written.await.is_ok(), commits);
        let known = u64::from(!commits);
        assert_eq!(queue.counts().visible, known, "nobody is told yet");
        staged.committed(commits);
    }
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["true"]);
    let world = world.restarted().await;
    assert_eq!(world.found("q").counts(), counts(0, 1, 0));
}
