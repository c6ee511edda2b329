//! Asynchronous invocation: events that nobody waits for. They are durable before they are
//! acknowledged, run when there is room, are tried again, and in the end their destinations learn
//! what became of them. Knows functions and queues; neither knows this.
//!
//! Each function has a queue of its own that no client of SQS sees, made with its first event and
//! deleted with the function: [`worker`] takes events from it. What becomes of an event is decided in
//! `verdict.rs`; its end and what is sent to destinations are one transaction.

mod api;
mod counts;
mod deliver;
mod event;
mod limits;
mod record;
mod target;
#[cfg(test)]
mod tests;
mod verdict;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use api::owns;
pub use counts::{Counts, Measured, Waiting};

use crate::{
    background::{Background, Wake},
    deliveries::Deliveries,
    functions::{self, AsyncEvent, Functions, execution::FunctionKey},
    queues::{
        Created, EngineError, Queue, Queues,
        definition::{Attributes, Definition, QueueId, QueueKey},
    },
};
use counts::{add, one};
use event::Event;
use worker::Worker;

/// The asynchronous invocations of this platform; a cheap handle.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    workers: Mutex<HashMap<QueueId, Worker>>,
    stopping: AtomicBool,
}

/// What workers work with.
struct Shared {
    functions: Functions,
    queues: Queues,
    deliveries: Deliveries,
    counts: Counts,
    /// By function, for its metrics.
    measured: Mutex<HashMap<FunctionKey, Measured>>,
    /// Of the reconciler, which starts workers and deletes queues.
    wake: Wake,
}

impl Shared {
    /// Notes something of a function's events.
    fn measure(&self, key: &FunctionKey, note: impl FnOnce(&mut Measured)) {
        let measured = self.measured.lock();
        let mut measured = measured.unwrap_or_else(PoisonError::into_inner);
        note(measured.entry(key.clone()).or_default());
    }
}

impl Events {
    /// What was under way when the last process ended is begun anew with the first pass of the
    /// reconciler.
    pub async fn open(
        functions: Functions,
        queues: Queues,
        deliveries: Deliveries,
        background: &Background,
    ) -> Self {
        let shared = Arc::new(Shared {
            functions,
            queues,
            deliveries,
            counts: Counts::default(),
            measured: Mutex::default(),
            wake: Wake::default(),
        });
        for queue in shared.own_queues() {
            shared.queues.release_all(&queue).await;
        }
        let wake = shared.wake.clone();
        let events = Self(Arc::new(Inner {
            shared,
            workers: Mutex::default(),
            stopping: AtomicBool::new(false),
        }));
        let this = events.clone();
        background.keep(
            "asynchronous_events",
            limits::RECONCILE_EVERY,
            wake,
            move || {
                let this = this.clone();
                async move { this.reconcile().await }
            },
        );
        events
    }

    /// Takes an event; it is durable when this answers.
    async fn accept(&self, asked: AsyncEvent) -> functions::error::Result<()> {
        let shared = &self.0.shared;
        let (key, born) = (asked.key.clone(), asked.born);
        let event = Event::new(asked, shared.queues.clock().now_ms())?;
        let gone = || functions::Error::FunctionNotFound {
            arn: event.invoked_function_arn.clone(),
        };
        let queue = shared.queue_of(&key, born).await?;
        let sent = shared
            .queues
            .send(&queue, vec![event.clone().message(None)]);
        match sent.await {
            Ok(_) => {
                one(&shared.counts.received);
                shared.measure(&key, |measured| measured.received += 1);
                Ok(())
            }
            // The function was deleted since it was looked up.
            Err(EngineError::Gone) => Err(gone()),
            Err(EngineError::Store(error)) => Err(error.into()),
            Err(other) => Err(functions::Error::platform(other)),
        }
    }

    /// What was counted of each function's events since this was asked last.
    pub fn take_measured(&self) -> HashMap<FunctionKey, Measured> {
        let measured = self.0.shared.measured.lock();
        std::mem::take(&mut *measured.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes no more events out of their queues; those that run go on.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        for worker in self.workers().values() {
            worker.stop();
        }
    }

    /// Waits for what runs. What is not done by then is run again after the next start.
    pub async fn stop(&self, within: Duration) {
        self.begin_stop();
        let mut workers: Vec<Worker> = self.workers().drain().map(|(_, worker)| worker).collect();
        let finished = async {
            for worker in &mut workers {
                worker.finished().await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            tracing::warn!("events were still running at the end; they will be run again");
        }
        for worker in workers {
            worker.kill();
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.0.shared.counts
    }

    /// What all functions' events are doing.
    pub fn waiting(&self) -> Waiting {
        let queues = self.0.shared.own_queues();
        let mut all = Waiting {
            queues: queues.len(),
            ..Waiting::default()
        };
        for queue in queues {
            let counts = queue.counts();
            all.ready += counts.visible;
            all.running += counts.in_flight;
            all.delayed += counts.delayed;
        }
        all
    }

    /// Every queue has its worker, and none is without its function.
    async fn reconcile(&self) -> Result<(), EngineError> {
        let shared = &self.0.shared;
        let mut ended = Ok(());
        for queue in shared.own_queues() {
            if self.0.stopping.load(Ordering::SeqCst) {
                break;
            }
            let owner = owner_of(&queue.key);
            let is_there = owner
                .as_ref()
                .is_some_and(|(key, born)| shared.functions.born(key) == Some(*born));
            match owner {
                Some((key, _)) if is_there => self.keep_working(key, &queue),
                _ => {
                    if let Err(error) = self.dismiss(&queue).await {
                        ended = Err(error);
                    }
                }
            }
        }
        ended
    }

    fn keep_working(&self, function: FunctionKey, queue: &Arc<Queue>) {
        let mut workers = self.workers();
        let at_work = workers.get(&queue.id).is_some_and(|it| !it.is_finished());
        if !at_work && !self.0.stopping.load(Ordering::SeqCst) {
            let worker = Worker::start(self.0.shared.clone(), function, queue.clone());
            workers.insert(queue.id, worker);
        }
    }

    /// The function is gone, and its events with it. What runs is finished.
    async fn dismiss(&self, queue: &Arc<Queue>) -> Result<(), EngineError> {
        let worker = self.workers().remove(&queue.id);
        if let Some(worker) = &worker {
            worker.stop();
        }
        let counts = queue.counts();
        self.0.shared.queues.delete_queue(queue).await?;
        let dropped = counts.visible + counts.delayed + counts.in_flight;
        add(&self.0.shared.counts.dropped.deleted, dropped);
        Ok(())
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<QueueId, Worker>> {
        self.0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn own_queues(&self) -> Vec<Arc<Queue>> {
        let mut queues = self.queues.internal();
        queues.retain(|queue| owner_of(&queue.key).is_some());
        queues
    }

    /// The queue of a function's events, made if there is none yet.
    async fn queue_of(
        &self,
        function: &FunctionKey,
        born: i64,
    ) -> Result<Arc<Queue>, functions::Error> {
        let key = key_of(function, born);
        if let Some(queue) = self.queues.find(&key) {
            return Ok(queue);
        }
        let now_s = self.queues.clock().now_ms() / 1000;
        let definition = Definition {
            id: self.queues.new_id(&key),
            key,
            created_s: now_s,
            modified_s: now_s,
            attributes: Attributes {
                retention_s: limits::RETENTION_S,
                ..Attributes::new(false)
            },
            tags: std::collections::BTreeMap::new(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.queues.create(definition).await {
            Ok(Created::New(queue)) => {
                self.wake.wake();
                Ok(queue)
            }
            Ok(Created::There(queue)) => Ok(queue),
            Err(EngineError::Store(error)) => Err(error.into()),
            Err(other) => Err(functions::Error::platform(other)),
        }
    }
}

const SERVICE: &str = "lambda";

/// A function that was made again under its name has another queue: it gets none of the old events.
fn key_of(function: &FunctionKey, born: i64) -> QueueKey {
    let name = format!("{}:{born}", function.name);
    QueueKey::internal(SERVICE, &function.account_id, &function.region, &name)
}

fn owner_of(queue: &QueueKey) -> Option<(FunctionKey, i64)> {
    let (service, account_id) = queue.account_id.split_once(':')?;
    let (name, rest) = queue.name.split_once(':')?;
    let born = rest.trim_end_matches(':').parse().ok()?;
    let key = FunctionKey {
        account_id: account_id.to_owned(),
        region: queue.region.clone(),
        name: name.to_owned(),
    };
    (service == SERVICE).then_some((key, born))
}
