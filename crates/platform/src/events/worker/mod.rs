//! A function's worker: takes its events from their queue and has them run, so many at once that it
//! neither lags behind nor takes all there is.
//!
//! One task for each function that has had an event; idle, it is one receive that waits. What
//! another function does, however slow or broken, does not concern it but for the account's
//! concurrency.

mod run;
mod scale;

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{Shared, limits};
use crate::{
    functions::execution::FunctionKey,
    queues::{
        EngineError, Queue,
        message::{Receive, Received},
    },
};
use run::{Ran, run};
use scale::Scale;

/// A worker at work. It ends, too, when this is dropped.
pub struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    pub fn start(shared: Arc<Shared>, function: FunctionKey, queue: Arc<Queue>) -> Self {
        let (stop, told) = watch::channel(false);
        let task = tokio::spawn(async move {
            Loop::new(shared, function, queue, told).run().await;
        });
        Self { stop, task }
    }

    /// Takes no more, and ends when what runs is done.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it as a crash does.
    pub fn kill(&self) {
        self.task.abort();
    }

    pub async fn finished(&mut self) {
        // A panic is in the log already.
        let _ = (&mut self.task).await;
    }
}

struct Loop {
    shared: Arc<Shared>,
    function: FunctionKey,
    queue: Arc<Queue>,
    stop: watch::Receiver<bool>,
    receiving: JoinSet<Result<Vec<Received>, EngineError>>,
    running: JoinSet<Ran>,
    running_bytes: usize,
    scale: Scale,
    /// Nothing is taken before.
    hold_until: Option<Instant>,
    holds: u32,
}

impl Loop {
    fn new(
        shared: Arc<Shared>,
        function: FunctionKey,
        queue: Arc<Queue>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            function,
            queue,
            stop,
            receiving: JoinSet::new(),
            running: JoinSet::new(),
            running_bytes: 0,
            scale: Scale::default(),
            hold_until: None,
            holds: 0,
        }
    }

    async fn run(mut self) {
        let mut stopping = *self.stop.borrow();
        while !(stopping && self.running.is_empty()) {
            let now = Instant::now();
            self.hold_until = self.hold_until.filter(|until| now < *until);
            if !stopping {
                self.receive_more(now);
            }
            let turn = self.next_turn(now);
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
                Some(ran) = self.running.join_next() => self.ran(ran),
                () = tokio::time::sleep_until(turn.unwrap_or(now)), if turn.is_some() => {}
            }
        }
    }

    fn room(&self) -> usize {
        match self.running_bytes < limits::RUNNING_BYTES_MAX {
            true => self.scale.allowed().saturating_sub(self.running.len()),
            false => 0,
        }
    }

    fn receive_more(&mut self, now: Instant) {
        if self.hold_until.is_some() || !self.receiving.is_empty() {
            return;
        }
        if self.room() == 0 {
            if self.queue.counts().visible > 0 {
                self.scale.demanded(now);
            }
            if self.room() == 0 {
                return;
            }
        }
        let timeout_s = self.shared.functions.timeout_s(&self.function, None);
        let timeout_ms = i64::from(timeout_s.unwrap_or_default()) * 1000;
        let receive = Receive {
            max: self.room().min(limits::RECEIVE_MAX),
            visibility_timeout_ms: Some(timeout_ms + limits::HELD_BEYOND_TIMEOUT_MS),
            wait_ms: u64::try_from(limits::RECEIVE_WAIT.as_millis()).unwrap_or_default(),
            attempt_id: None,
        };
        let (shared, queue) = (self.shared.clone(), self.queue.clone());
        self.receiving
            .spawn(async move { shared.queues.receive(&queue, receive).await });
    }

    /// When to look again although nothing has happened.
    fn next_turn(&self, now: Instant) -> Option<Instant> {
        let full = self.room() == 0 && self.hold_until.is_none();
        let demand = full.then(|| now + limits::HOLD);
        [self.hold_until, demand].into_iter().flatten().min()
    }

    fn got(&mut self, got: Result<Vec<Received>, EngineError>) {
        match got {
            Ok(received) if received.is_empty() => {
                if self.running.is_empty() {
                    self.scale.rested();
                }
            }
            Ok(received) => {
                if self.room() > received.len() {
                    self.scale.sufficed();
                }
                for message in received {
                    self.begin(message);
                }
            }
            // Its function is gone; the reconciler comes to that.
            Err(EngineError::Gone) => self.hold_for_longer(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, function = self.function.name, "take events");
                self.hold_for_longer();
            }
        }
    }

    fn begin(&mut self, message: Received) {
        self.running_bytes += message.content.body.len();
        let (shared, queue) = (self.shared.clone(), self.queue.clone());
        let function = self.function.clone();
        self.running.spawn(run(shared, function, queue, message));
    }

    fn ran(&mut self, ran: Result<Ran, tokio::task::JoinError>) {
        let Ok(ran) = ran else {
            // It panicked: its event comes back when its time is over.
            self.running_bytes = self.running_bytes.min(limits::RUNNING_BYTES_MAX / 2);
            return;
        };
        self.running_bytes = self.running_bytes.saturating_sub(ran.bytes);
        match ran.was_refused {
            true => {
                self.scale.throttled(self.running.len());
                if self.hold_until.is_none() {
                    self.hold_for_longer();
                }
            }
            false => self.holds = 0,
        }
    }

    fn hold_for_longer(&mut self) {
        let time = limits::HOLD.saturating_mul(1 << self.holds.min(10));
        self.holds += 1;
        self.hold_until = Some(Instant::now() + time.min(limits::HOLD_MAX));
    }

    /// What is on its way out of the queue goes back; whoever stops waiting has received nothing.
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
