//! A lane's worker: takes the deliveries that wait for one target and has them tried, several at once
//! while that goes well, one at a time while it does not.
//!
//! Idle, it is one receive that waits. What is in an order is taken one by one, and the next of its
//! group only after it.

mod once;

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{Shared, limits};
use crate::queues::{
    EngineError, Queue,
    message::{Receive, Received},
};
use once::Ended;

/// A worker at work. It ends, too, when this is dropped.
pub struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    pub fn start(shared: Arc<Shared>, queue: Arc<Queue>) -> Self {
        let (stop, told) = watch::channel(false);
        let task = tokio::spawn(Loop::new(shared, queue, told).run());
        Self { stop, task }
    }

    /// Takes no more, and ends when what runs is done.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub async fn finished(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Loop {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    stop: watch::Receiver<bool>,
    receiving: JoinSet<Result<Vec<Received>, EngineError>>,
    trying: JoinSet<Ended>,
    /// So many at once for now.
    allowed: usize,
    /// Nothing is taken before.
    hold_until: Option<Instant>,
    holds: u32,
}

impl Loop {
    fn new(shared: Arc<Shared>, queue: Arc<Queue>, stop: watch::Receiver<bool>) -> Self {
        Self {
            shared,
            queue,
            stop,
            receiving: JoinSet::new(),
            trying: JoinSet::new(),
            allowed: limits::TRIES_PER_TARGET_MAX,
            hold_until: None,
            holds: 0,
        }
    }

    async fn run(mut self) {
        let mut stopping = *self.stop.borrow();
        while !(stopping && self.trying.is_empty()) {
            let now = Instant::now();
            self.hold_until = self.hold_until.filter(|until| now < *until);
            if !stopping {
                self.receive_more();
            }
            let turn = self.hold_until;
            tokio::select! {
                told = self.stop.changed(), if !stopping => {
                    stopping = told.is_err() || *self.stop.borrow();
                    if stopping {
                        self.give_back().await;
                    }
                }
                Some(got) = self.receiving.join_next(), if !stopping => {
                    // A receive panics by no fault of its queue: it is made anew.
                    self.got(got.unwrap_or(Ok(Vec::new())));
                }
                Some(ended) = self.trying.join_next() => self.ended(ended.ok()),
                () = tokio::time::sleep_until(turn.unwrap_or(now)), if turn.is_some() => {}
            }
        }
    }

    fn receive_more(&mut self) {
        let room = self.allowed.saturating_sub(self.trying.len());
        if room == 0 || self.hold_until.is_some() || !self.receiving.is_empty() {
            return;
        }
        let receive = Receive {
            // Of a group, the next is handed out together with the one before it.
            max: if self.queue.is_fifo() { 1 } else { room },
            visibility_timeout_ms: Some(limits::HELD_MS),
            wait_ms: u64::try_from(limits::RECEIVE_WAIT.as_millis()).unwrap_or_default(),
            attempt_id: None,
        };
        let (shared, queue) = (self.shared.clone(), self.queue.clone());
        self.receiving
            .spawn(async move { shared.queues.receive(&queue, receive).await });
    }

    fn got(&mut self, got: Result<Vec<Received>, EngineError>) {
        match got {
            Ok(received) => {
                self.holds = 0;
                for message in received {
                    let (shared, queue) = (self.shared.clone(), self.queue.clone());
                    self.trying.spawn(once::run(shared, queue, message));
                }
            }
            Err(error) => {
                // As many wait for their next try as may; or the store is in trouble.
                if !matches!(error, EngineError::OverLimit | EngineError::Gone) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, target = self.queue.key.name, "take deliveries");
                }
                let time = limits::HOLD.saturating_mul(1 << self.holds.min(10));
                self.holds += 1;
                self.hold_until = Some(Instant::now() + time.min(limits::HOLD_MAX));
            }
        }
    }

    /// A target that fails is asked by fewer at once, and by more again once it does not.
    fn ended(&mut self, ended: Option<Ended>) {
        self.allowed = match ended {
            Some(Ended::Made) => (self.allowed * 2).min(limits::TRIES_PER_TARGET_MAX),
            Some(Ended::Failed) => (self.allowed / 2).max(1),
            // It panicked: the delivery comes back when its time is over.
            Some(Ended::Other) | None => self.allowed,
        };
    }

    /// What is on its way out of the lane goes back; whoever stops waiting has received nothing.
    async fn give_back(&mut self) {
        let grace = tokio::time::timeout(limits::HOLD, self.receiving.join_next());
        if let Ok(Some(Ok(Ok(received)))) = grace.await {
            let visible: Vec<_> = received.iter().map(|it| (it.receipt, 0)).collect();
            let queues = &self.shared.queues;
            queues
                .change_visibility_if_held(&self.queue, &visible)
                .await;
        }
        self.receiving.abort_all();
    }
}
