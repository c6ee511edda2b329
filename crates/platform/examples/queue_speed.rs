//! How fast queues are by themselves, without HTTP: full cycles of send, receive and delete.
//!
//!     cargo run --release --example queue_speed -- STORE CLIENTS BATCH [SECONDS] [fifo]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lambent_platform::{
    clock::Clock,
    queues::{
        self, Created, Queue, Queues,
        definition::{Attributes, Definition, QueueKey},
        message::{Content, NewMessage, Receive},
    },
    secrets::Secrets,
};
use store::{Store, StoreConfig};

const BODY_BYTES: usize = 1024;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let location = args.next().expect("a directory or postgres://...");
    let mut number = |usual| {
        args.next()
            .map_or(usual, |text| text.parse().expect("a number"))
    };
    let (clients, batch, seconds) = (number(1), number(1), number(3));
    let is_fifo = args.next().is_some();
    let store = Store::open(StoreConfig::new(&location), &queues::migrations(1)).await;
    let store = store.expect("the store opens");
    let dir = tempfile::tempdir().expect("a directory");
    let secrets = Secrets::open(&dir.path().join("key")).expect("a key");
    let open = Queues::open(
        store.clone(),
        Arc::new(secrets),
        Arc::new(Clock::new()),
        "http://localhost",
    );
    let (queues, _keeping) = open.await.expect("the queues open");
    let queue = create(&queues, is_fifo).await;
    let done = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + Duration::from_secs(seconds);
    let before = store.stats();
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (queues, queue, done) = (queues.clone(), queue.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let mut turn = 0;
            while Instant::now() < until {
                turn += 1;
                cycle(&queues, &queue, batch as usize, (client, turn), is_fifo).await;
                done.fetch_add(batch, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.expect("a client ends");
    }
    let (stats, messages) = (store.stats(), done.load(Ordering::Relaxed));
    let commits = stats.commits - before.commits;
    println!(
        "{clients} clients, batch {batch}: {} messages/s, {} commits/s, {:.1} messages a commit",
        messages / seconds,
        commits / seconds,
        messages as f64 / commits as f64,
    );
    store.close().await;
}

async fn create(queues: &Queues, is_fifo: bool) -> Arc<Queue> {
    let key = QueueKey {
        account_id: "000000000000".into(),
        region: "us-east-1".into(),
        name: format!(
            "speed-{}{}",
            std::process::id(),
            if is_fifo { ".fifo" } else { "" }
        ),
    };
    let definition = Definition {
        id: queues.new_id(&key),
        key,
        created_s: 0,
        modified_s: 0,
        attributes: Attributes::new(is_fifo),
        tags: Default::default(),
        purged_until: 0,
        purged_at_ms: None,
    };
    match queues.create(definition).await.expect("a queue") {
        Created::New(queue) | Created::There(queue) => queue,
    }
}

async fn cycle(queues: &Queues, queue: &Arc<Queue>, batch: usize, id: (u64, u64), is_fifo: bool) {
    let message = |n: usize| NewMessage {
        content: Content {
            body: "x".repeat(BODY_BYTES),
            ..Content::default()
        },
        delay_s: None,
        group: is_fifo.then(|| id.0.to_string()),
        deduplication_id: is_fifo.then(|| format!("{id:?} {n}")),
    };
    let messages = (0..batch).map(message).collect();
    queues.send(queue, messages).await.expect("they are sent");
    let receive = Receive {
        max: batch,
        visibility_timeout_ms: None,
        wait_ms: 0,
        attempt_id: None,
    };
    let received = queues.receive(queue, receive).await.expect("an answer");
    let receipts: Vec<_> = received.iter().map(|message| message.receipt).collect();
    if !receipts.is_empty() {
        queues.delete(queue, &receipts).await;
    }
}
