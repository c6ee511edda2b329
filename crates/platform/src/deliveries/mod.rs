//! Deliveries: "this happened, so tell that". The one durable way from a rule, schedule, topic, bucket,
//! log group or alarm to a target. Knows queues; what targets there are is registered, and those
//! know their services.
//!
//! What a target makes of a delivery ([`Plan`]) is mostly a message: for a queue, or for the events of
//! a function. Such a message is stored in the very transaction in which the delivery is asked for, and
//! that is all there is to it. Whatever has to be tried, or could not be done at once, goes into the
//! lane of its target: an internal queue with a worker of its own ([`lane`]), so that a target which is
//! slow or broken holds up nobody else. From there it is tried as its [`Retry`] says; its removal and
//! what comes in its place (a message, a dead letter) are one transaction.

mod counts;
mod delivery;
mod lane;
mod lanes;
mod limits;
mod outgoing;
mod queue_target;
mod retry;
mod staged;
mod stored;
mod target;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use store::Store;
use tokio::sync::Semaphore;

pub use counts::{Counts, Waiting};
pub use delivery::{
    Attribute, DeadLetter, Delivery, Parameters, Sender, ToBus, ToDestination, ToEndpoint, ToLogs,
    ToQueue, ToTopic, Value, kind_of,
};
pub use queue_target::QueueTarget;
pub use retry::{Backoff, Growth, Retry};
pub use staged::{DeliveryMessages, StagedDeliveries, StagedDeliveryRows};
pub use target::{Failure, Plan, Target};

use crate::{
    background::{Background, Wake},
    queues::{EngineError, Queues},
};
use lanes::Lanes;

/// The deliveries of this platform; a cheap handle.
#[derive(Clone)]
pub struct Deliveries(Arc<Shared>);

struct Shared {
    store: Store,
    queues: Queues,
    targets: RwLock<HashMap<&'static str, Arc<dyn Target>>>,
    lanes: Lanes,
    counts: Counts,
    tries: Arc<Semaphore>,
    /// Nothing is tried before every kind of target is registered.
    has_begun: AtomicBool,
}

/// Why deliveries were not taken. None of them was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeliveryError {
    #[error("there are as many targets as there may be")]
    TooManyLanes,
    #[error(transparent)]
    Engine(EngineError),
}

impl From<EngineError> for DeliveryError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::TooManyQueues => Self::TooManyLanes,
            other => Self::Engine(other),
        }
    }
}

impl From<store::Error> for DeliveryError {
    fn from(error: store::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl Deliveries {
    /// Takes deliveries from now on; nothing is tried before [`Deliveries::begin`].
    pub fn open(store: Store, queues: Queues) -> Self {
        let shared = Shared {
            store,
            lanes: Lanes::default(),
            targets: RwLock::default(),
            counts: Counts::default(),
            tries: Arc::new(Semaphore::new(limits::TRIES_MAX)),
            has_begun: AtomicBool::new(false),
            queues: queues.clone(),
        };
        let deliveries = Self(Arc::new(shared));
        deliveries.register("sqs", Arc::new(QueueTarget::new(queues)));
        deliveries
    }

    /// Says who makes deliveries to ARNs of a service, or to `http`.
    pub fn register(&self, service: &'static str, target: Arc<dyn Target>) {
        let mut targets = self
            .0
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        targets.insert(service, target);
    }

    /// Whether there is a target for this ARN or URL: what a sender asks before it stores one.
    pub fn takes(&self, target: &str) -> bool {
        self.0.target(kind_of(target)).is_some()
    }

    /// Whether a delivery could be made now, as far as its target says without being tried.
    pub async fn check(&self, delivery: &Delivery) -> Result<(), Failure> {
        self.0.plan(delivery).await.map(|_| ())
    }

    /// Goes on with what the last process left. Once, after every kind of target is registered.
    pub async fn begin(&self, background: &Background) {
        let shared = &self.0;
        shared.lanes.reopen(&shared.queues).await;
        shared.has_begun.store(true, Ordering::SeqCst);
        let shared = shared.clone();
        background.keep(
            "deliveries",
            limits::RECONCILE_EVERY,
            Wake::default(),
            move || {
                let shared = shared.clone();
                async move { shared.reconcile().await }
            },
        );
    }

    /// Takes deliveries; all are durable when this answers. What is a message of the platform's
    /// own queues has arrived then.
    pub async fn send(&self, deliveries: Vec<Delivery>) -> Result<(), DeliveryError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let staged = self.stage(deliveries).await?;
        let rows = staged.rows();
        // To its end: what was given a number is told how that ended.
        let shared = self.0.clone();
        let writing = tokio::spawn(async move {
            let written = shared.store.write(move |tx| rows.insert(tx)).await;
            // What became of a failed write is for the store to say: dropped, the queues are read anew.
            if written.is_ok() {
                staged.committed(true);
            }
            written
        });
        let ended = writing.await;
        ended.unwrap_or(Err(store::Error::Closed))?;
        Ok(())
    }

    /// Makes deliveries at once, or says why one cannot be made: for who keeps what it sends until
    /// then. What needs no try is durable when this answers, and all of it or nothing.
    pub async fn make(&self, deliveries: Vec<Delivery>) -> Result<(), Failure> {
        let mut placed = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match (
                self.0.plan(&delivery).await?,
                self.0.target(delivery.kind()),
            ) {
                (Plan::Try, Some(target)) => target.deliver(&delivery).await?,
                _ => placed.push(delivery),
            }
        }
        let sent = self.send(placed).await;
        sent.map_err(|error| Failure::again("INTERNAL_ERROR", error.to_string()))
    }

    /// Makes deliveries part of somebody else's transaction: what happens and those who are told of
    /// it are durable together, or neither is.
    pub async fn stage(
        &self,
        deliveries: Vec<Delivery>,
    ) -> Result<StagedDeliveries, DeliveryError> {
        self.0.stage(deliveries).await
    }

    /// Deliveries as messages, for who sends by a transaction of the queues' own.
    pub async fn messages(
        &self,
        deliveries: Vec<Delivery>,
    ) -> Result<DeliveryMessages, DeliveryError> {
        self.0.messages(deliveries).await
    }

    /// Tries no more; tries that run go on.
    pub fn begin_stop(&self) {
        self.0.lanes.begin_stop();
    }

    /// Waits for the tries that run. What is not done by then is tried again after the next start.
    pub async fn stop(&self, within: Duration) {
        self.begin_stop();
        if !self.0.lanes.stop(within).await {
            tracing::warn!("deliveries were still being tried at the end; they will be again");
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub fn waiting(&self) -> Waiting {
        self.0.lanes.waiting()
    }
}

impl Shared {
    fn target(&self, kind: &str) -> Option<Arc<dyn Target>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.get(kind).cloned()
    }

    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure> {
        match self.target(delivery.kind()) {
            Some(target) => target.plan(delivery).await,
            None => Err(Failure::last(
                "INVALID_PARAMETER",
                format!("{} cannot be delivered to", delivery.target),
            )),
        }
    }

    /// Every lane has its worker, and those without deliveries go.
    async fn reconcile(self: &Arc<Self>) -> Result<(), EngineError> {
        let now_ms = self.queues.clock().now_ms();
        self.lanes.keep_working(self);
        self.lanes.close_idle(&self.queues, now_ms).await
    }
}
