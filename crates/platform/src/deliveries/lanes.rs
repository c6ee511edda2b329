//! The lanes that are open: one for each target that has deliveries which wait. A lane is made with the
//! first and goes when it has been empty for a while; whoever is about to put something into it holds
//! its [`Arc`], and it stays as long.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{Delivery, Shared, counts::Waiting, lane::Worker, limits};
use crate::queues::{
    Created, EngineError, Queue, Queues,
    definition::{Attributes, Definition, QueueKey},
};

const SERVICE: &str = "deliveries";

#[derive(Default)]
pub struct Lanes {
    open: Mutex<HashMap<QueueKey, Arc<Lane>>>,
    /// Held while a lane is made or deleted.
    naming: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
}

pub struct Lane {
    pub queue: Arc<Queue>,
    used_at_ms: AtomicI64,
    worker: Mutex<Option<Worker>>,
}

impl Lane {
    fn new(queue: Arc<Queue>, now_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            queue,
            used_at_ms: AtomicI64::new(now_ms),
            worker: Mutex::default(),
        })
    }

    fn worker(&self) -> MutexGuard<'_, Option<Worker>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        let counts = self.queue.counts();
        counts.visible + counts.in_flight + counts.delayed == 0
    }
}

/// The lane of a delivery: of the target for this sender's account, and one of its own for what is in
/// an order.
fn key_of(delivery: &Delivery) -> QueueKey {
    let from = &delivery.from;
    let (account, region) = (&from.account_id, &from.region);
    let name = &named(&delivery.target);
    match delivery.ordered_by {
        None => QueueKey::internal(SERVICE, account, region, name),
        Some(_) => QueueKey::internal_fifo(SERVICE, account, region, name),
    }
}

/// A target's name, or its digest where that is too long for a key of the store.
fn named(target: &str) -> std::borrow::Cow<'_, str> {
    let is_plain =
        target.len() <= limits::LANE_NAME_BYTES_MAX && !target.contains(char::is_control);
    match is_plain {
        true => target.into(),
        false => crate::queues::digest::sha256_of_body(target).into(),
    }
}

fn is_lane(key: &QueueKey) -> bool {
    key.account_id
        .strip_prefix(SERVICE)
        .is_some_and(|rest| rest.starts_with(':'))
}

impl Lanes {
    /// Takes up what the process before left: nobody is trying any of it now.
    pub async fn reopen(&self, queues: &Queues) {
        let now_ms = queues.clock().now_ms();
        let left = queues.internal().into_iter();
        for queue in left.filter(|queue| is_lane(&queue.key)) {
            queues.release_all(&queue).await;
            let mut open = self.open();
            open.entry(queue.key.clone())
                .or_insert_with(|| Lane::new(queue, now_ms));
        }
    }

    /// The lane that a delivery is to wait in, made if there is none.
    pub async fn of(
        &self,
        shared: &Arc<Shared>,
        delivery: &Delivery,
    ) -> Result<Arc<Lane>, EngineError> {
        let key = key_of(delivery);
        let now_ms = shared.queues.clock().now_ms();
        if let Some(lane) = self.find(&key, now_ms) {
            return Ok(lane);
        }
        let _naming = self.naming.lock().await;
        if let Some(lane) = self.find(&key, now_ms) {
            return Ok(lane);
        }
        let queue = make(&shared.queues, key.clone(), now_ms).await?;
        let lane = Lane::new(queue, now_ms);
        self.open().insert(key, lane.clone());
        self.keep_one_working(shared, &lane);
        Ok(lane)
    }

    /// Whether something of this order waits, so that what comes later has to wait behind it.
    pub fn has_waiting(&self, delivery: &Delivery) -> bool {
        let lane = self.open().get(&key_of(delivery)).cloned();
        lane.is_some_and(|lane| !lane.is_empty())
    }

    fn find(&self, key: &QueueKey, now_ms: i64) -> Option<Arc<Lane>> {
        let lane = self.open().get(key).cloned()?;
        lane.used_at_ms.store(now_ms, Ordering::Relaxed);
        Some(lane)
    }

    pub fn keep_working(&self, shared: &Arc<Shared>) {
        let lanes: Vec<_> = self.open().values().cloned().collect();
        for lane in lanes {
            self.keep_one_working(shared, &lane);
        }
    }

    fn keep_one_working(&self, shared: &Arc<Shared>, lane: &Lane) {
        let has_begun = shared.has_begun.load(Ordering::SeqCst);
        if !has_begun || self.stopping.load(Ordering::SeqCst) {
            return;
        }
        let mut worker = lane.worker();
        if worker.as_ref().is_none_or(Worker::is_finished) {
            *worker = Some(Worker::start(shared.clone(), lane.queue.clone()));
        }
    }

    /// Deletes the lanes that have been empty for a while.
    pub async fn close_idle(&self, queues: &Queues, now_ms: i64) -> Result<(), EngineError> {
        let _naming = self.naming.lock().await;
        let idle: Vec<Arc<Lane>> = {
            let mut open = self.open();
            let is_idle = |lane: &Arc<Lane>| {
                let since_ms = now_ms - lane.used_at_ms.load(Ordering::Relaxed);
                since_ms >= limits::LANE_IDLE_MS && Arc::strong_count(lane) == 1 && lane.is_empty()
            };
            let keys: Vec<QueueKey> = open
                .iter()
                .filter(|(_, lane)| is_idle(lane))
                .map(|(key, _)| key.clone())
                .collect();
            keys.iter().filter_map(|key| open.remove(key)).collect()
        };
        for lane in idle {
            drop(lane.worker().take());
            if let Err(error) = queues.delete_queue(&lane.queue).await {
                self.open().insert(lane.queue.key.clone(), lane);
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for lane in self.open().values() {
            if let Some(worker) = &*lane.worker() {
                worker.stop();
            }
        }
    }

    /// Says whether all ended in time.
    pub async fn stop(&self, within: Duration) -> bool {
        let mut workers: Vec<Worker> = {
            let open = self.open();
            open.values()
                .filter_map(|lane| lane.worker().take())
                .collect()
        };
        let finished = async {
            for worker in &mut workers {
                worker.finished().await;
            }
        };
        tokio::time::timeout(within, finished).await.is_ok()
    }

    /// Ends all as the end of the process does.
    #[cfg(test)]
    pub fn kill(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for lane in self.open().values() {
            drop(lane.worker().take());
        }
    }

    pub fn waiting(&self) -> Waiting {
        let lanes: Vec<_> = self.open().values().cloned().collect();
        let mut all = Waiting {
            lanes: lanes.len(),
            ..Waiting::default()
        };
        for lane in lanes {
            let counts = lane.queue.counts();
            all.ready += counts.visible;
            all.held += counts.in_flight + counts.delayed;
        }
        all
    }

    fn open(&self) -> MutexGuard<'_, HashMap<QueueKey, Arc<Lane>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(queues: &Queues, key: QueueKey, now_ms: i64) -> Result<Arc<Queue>, EngineError> {
    let attributes = Attributes {
        retention_s: limits::RETENTION_S,
        ..Attributes::new(key.is_fifo())
    };
    let definition = Definition {
        id: queues.new_id(&key),
        key,
        created_s: now_ms / 1000,
        modified_s: now_ms / 1000,
        attributes,
        tags: BTreeMap::new(),
        purged_until: 0,
        purged_at_ms: None,
    };
    Ok(match queues.create(definition).await? {
        Created::New(queue) | Created::There(queue) => queue,
    })
}
