//! The engine over a real store: what is acknowledged is there after a restart, in its order.

mod fifo;
mod moving;
mod standard;
mod trouble;

use std::sync::Arc;

use store::{Store, StoreConfig};
use tempfile::TempDir;

use super::{
    Created, Queue, Queues,
    definition::{Attributes, Definition, QueueKey},
    message::{Content, NewMessage, Receive, Received},
    receipt::ReceiptError,
};
use crate::{clock::Clock, secrets::Secrets};

const BASE_URL: &str = "http://localhost:4566";

/// Queues in a directory of their own, with a clock that is moved by hand.
struct World {
    dir: TempDir,
    store: Store,
    clock: Arc<Clock>,
    queues: Queues,
    keeping: tokio::task::JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        Self::within(
            tempfile::tempdir().expect("a directory"),
            Arc::new(Clock::new()),
        )
        .await
    }

    async fn within(dir: TempDir, clock: Arc<Clock>) -> Self {
        let location = dir.path().to_str().expect("a path of text");
        let migrations = super::migrations(1);
        let store = Store::open(StoreConfig::new(location), &migrations).await;
        let store = store.expect("the store opens");
        let secrets = Secrets::open(&dir.path().join("key")).expect("a key");
        let open = Queues::open(store.clone(), Arc::new(secrets), clock.clone(), BASE_URL);
        let (queues, keeping) = open.await.expect("the queues open");
        Self {
            dir,
            store,
            clock,
            queues,
            keeping,
        }
    }

    /// As after the end of the process: memory is lost. What was decided is written before that,
    /// which the answer to a receive from a standard queue does not wait for.
    async fn restarted(self) -> Self {
        for queue in self.queues.all() {
            self.queues.change_visibility(&queue, &[]).await;
        }
        self.keeping.abort();
        self.store.close().await;
        Self::within(self.dir, self.clock).await
    }

    async fn queue(&self, name: &str, set: impl FnOnce(&mut Attributes)) -> Arc<Queue> {
        let key = key(name);
        let mut attributes = Attributes::new(key.is_fifo());
        set(&mut attributes);
        let definition = Definition {
            id: self.queues.new_id(&key),
            key,
            created_s: 0,
            modified_s: 0,
            attributes,
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.queues.create(definition).await.expect("it is made") {
            Created::New(queue) => queue,
            Created::There(_) => panic!("there was one of that name"),
        }
    }

    fn found(&self, name: &str) -> Arc<Queue> {
        self.queues.find(&key(name)).expect("the queue is there")
    }

    async fn send(&self, queue: &Arc<Queue>, bodies: &[&str]) {
        let messages = bodies.iter().map(|body| message(body, None)).collect();
        let sent = self.queues.send(queue, messages).await;
        assert_eq!(sent.expect("they are sent").len(), bodies.len());
    }

    async fn send_to(&self, queue: &Arc<Queue>, group: &str, bodies: &[&str]) {
        let messages = bodies
            .iter()
            .map(|body| message(body, Some(group)))
            .collect();
        self.queues
            .send(queue, messages)
            .await
            .expect("they are sent");
    }

    async fn receive(&self, queue: &Arc<Queue>, max: usize) -> Vec<Received> {
        self.queues
            .receive(queue, receive(max))
            .await
            .expect("an answer")
    }

    async fn change(
        &self,
        queue: &Arc<Queue>,
        received: &[Received],
        timeout_ms: i64,
    ) -> Vec<Result<(), ReceiptError>> {
        let changes = received.iter().map(|message| (message.receipt, timeout_ms));
        let changes: Vec<_> = changes.collect();
        self.queues.change_visibility(queue, &changes).await
    }

    async fn delete(&self, queue: &Arc<Queue>, received: &[Received]) {
        let receipts: Vec<_> = received.iter().map(|message| message.receipt).collect();
        for result in self.queues.delete(queue, &receipts).await {
            result.expect("it is deleted");
        }
    }
}

fn key(name: &str) -> QueueKey {
    QueueKey {
        account_id: "000000000000".into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

fn message(body: &str, group: Option<&str>) -> NewMessage {
    NewMessage {
        content: Content {
            body: body.into(),
            ..Content::default()
        },
        delay_s: None,
        group: group.map(str::to_owned),
        deduplication_id: group.map(|_| body.to_owned()),
    }
}

fn receive(max: usize) -> Receive {
    Receive {
        max,
        visibility_timeout_ms: None,
        wait_ms: 0,
        attempt_id: None,
    }
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|message| message.content.body.as_str())
        .collect()
}
