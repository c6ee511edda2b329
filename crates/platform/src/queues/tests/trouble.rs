//! What becomes of messages when the store refuses, the clock is set back, a backlog is purged.

use super::*;
use crate::queues::{EngineError, message::Counts, receipt::ReceiptError};

fn counts(visible: u64, in_flight: u64, delayed: u64) -> Counts {
    Counts {
        visible,
        in_flight,
        delayed,
    }
}

impl World {
    /// From now on what changes of a message cannot be written.
    async fn refuse_standings(&self) {
        let sql = "CREATE TRIGGER refuse BEFORE UPDATE ON queue_messages \
                   BEGIN SELECT RAISE(ABORT, 'refused'); END";
        self.execute(sql).await;
    }

    async fn take_standings(&self) {
        self.execute("DROP TRIGGER refuse").await;
    }

    async fn execute(&self, sql: &'static str) {
        let done = self
            .store
            .write(move |tx| tx.execute(sql, store::params![]));
        done.await.expect("it is done");
    }

    /// Started again by a clock that goes right, after one that was ahead.
    async fn set_back(self) -> Self {
        self.keeping.abort();
        self.store.close().await;
        Self::within(self.dir, Arc::new(Clock::new())).await
    }
}

#[tokio::test]
async fn what_was_received_stays_so_when_it_cannot_be_written() {
    let world = World::new().await;
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["a", "b"]).await;
    world.refuse_standings().await;
    for body in ["a", "b"] {
        let received = world.receive(&queue, 1).await;
        assert_eq!(bodies(&received), [body]);
        // Answered after the receive was refused: the queue is to be read anew.
        let change = [(received[0].receipt, 60_000)];
        let changed = world.queues.change_visibility(&queue, &change).await;
        assert_eq!(changed, [Err(ReceiptError::Platform)]);
    }
    world.take_standings().await;
    world.clock.advance(60_000);
    let again = world.receive(&queue, 10).await;
    assert_eq!(again.len(), 2, "both are back");
    assert!(again.iter().all(|message| message.receive_count == 2));
    world.delete(&queue, &again).await;
    assert_eq!(world.restarted().await.found("q").counts(), counts(0, 0, 0));
}

#[tokio::test]
async fn a_fifo_queue_hands_out_nothing_that_cannot_be_written() {
    let world = World::new().await;
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "g", &["a", "b"]).await;
    world.refuse_standings().await;
    for _ in 0..3 {
        let refused = world.queues.receive(&queue, receive(1)).await;
        assert!(matches!(refused, Err(EngineError::Store(_))));
    }
    world.take_standings().await;
    let received = world.receive(&queue, 10).await;
    assert_eq!(bodies(&received), ["a", "b"]);
    assert_eq!(received[0].receive_count, 1);
}

#[tokio::test]
async fn a_purged_backlog_is_not_counted_any_more() {
    let world = World::new().await;
    let queue = world
        .queue("q", |attributes| attributes.managed_sse = false)
        .await;
    for chunk in 0..45 {
        let numbers = (0..500).map(|n| message(&(chunk * 500 + n).to_string(), None));
        let sent = world.queues.send(&queue, numbers.collect()).await;
        sent.expect("they are sent");
    }
    assert_eq!(world.receive(&queue, 100).await.len(), 100);
    world.queues.purge(&queue).await.expect("it is purged");
    assert_eq!(queue.counts(), counts(0, 0, 0));
    world.send(&queue, &["a"]).await;
    assert_eq!(queue.counts(), counts(1, 0, 0));
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["a"]);
}

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn a_clock_set_back_over_a_restart_makes_nothing_wait_longer() {
    let world = World::new().await;
    world.clock.advance(10 * DAY_MS);
    let queue = world.queue("q", |_| {}).await;
    world.send(&queue, &["in flight"]).await;
    assert_eq!(world.receive(&queue, 1).await.len(), 1);
    let later = NewMessage {
        delay_s: Some(60),
        ..message("delayed", None)
    };
    let sent = world.queues.send(&queue, vec![later]).await;
    sent.expect("it is sent");
    let world = world.set_back().await;
    let queue = world.found("q");
    assert_eq!(queue.counts(), counts(0, 1, 1));
    world.clock.advance(30_000);
    assert_eq!(bodies(&world.receive(&queue, 10).await), ["in flight"]);
    world.clock.advance(30_000);
    let all = world.receive(&queue, 10).await;
    assert_eq!(all.len(), 2, "both are due");
    world.send(&queue, &["new"]).await;
    let new = world.receive(&queue, 10).await;
    assert!(all.iter().all(|old| old.sequence < new[0].sequence));
}

#[tokio::test]
async fn a_clock_set_back_over_a_restart_keeps_no_deduplication_id_for_long() {
    let world = World::new().await;
    world.clock.advance(10 * DAY_MS);
    let queue = world.queue("q.fifo", |_| {}).await;
    world.send_to(&queue, "g", &["a"]).await;
    let world = world.set_back().await;
    let queue = world.found("q.fifo");
    world.send_to(&queue, "g", &["a"]).await;
    assert_eq!(queue.counts(), counts(1, 0, 0));
    world.clock.advance(300_000);
    world.send_to(&queue, "g", &["a"]).await;
    assert_eq!(queue.counts(), counts(2, 0, 0));
}

#[tokio::test]
async fn messages_of_a_clock_that_was_ahead_are_moved() {
    let world = World::new().await;
    world.clock.advance(10 * DAY_MS);
    let queue = world.queue("from", |_| {}).await;
    world.send(&queue, &["a"]).await;
    let world = world.set_back().await;
    let (from, to) = (world.found("from"), world.queue("to", |_| {}).await);
    let moved = world.queues.move_messages(&from, Some(&to), 10).await;
    assert_eq!(moved.expect("it is moved"), 1);
    assert_eq!(bodies(&world.receive(&to, 10).await), ["a"]);
}
