//! A pipe's worker: reads the queue, and hands batches on, some at a time. Idle, it is one receive
//! that waits in the queue.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    Pipes,
    batch::{Ended, hand_on},
    held::Pipe,
    limits,
    tables::PipeRecord,
};
use crate::{
    background::Wake,
    identity::Principal,
    queues::{
        Queue,
        message::{Receive, Received},
    },
    triggers::filter::Criteria,
};

/// A worker at work.
pub struct Worker {
    record: Arc<PipeRecord>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    pub fn start(pipes: Pipes, pipe: Arc<Pipe>, record: Arc<PipeRecord>) -> Self {
        let (stop, told) = watch::channel(false);
        let work = Work {
            pipes: pipes.clone(),
            pipe,
            record: record.clone(),
            told,
            under_way: JoinSet::new(),
            hold: limits::HOLD,
        };
        let ended = Woken(pipes.0.wake.clone());
        let task = tokio::spawn(async move {
            // The end wakes the reconciler, also that of a panic.
            let _ended = ended;
            work.run().await;
        });
        Self { record, stop, task }
    }

    /// Whether it does what a record asks for.
    pub fn works_by(&self, record: &PipeRecord) -> bool {
        let without = |record: &PipeRecord| PipeRecord {
            tags: Default::default(),
            description: None,
            modified: Timestamp::UNIX_EPOCH,
            ..record.clone()
        };
        without(&self.record) == without(record)
    }

    /// Reads no more, and ends when the batches under way are done.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub async fn finished(self) {
        // A panic is in the log already.
        let _ = self.task.await;
    }
}

struct Woken(Wake);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.wake();
    }
}

struct Work {
    pipes: Pipes,
    pipe: Arc<Pipe>,
    record: Arc<PipeRecord>,
    told: watch::Receiver<bool>,
    under_way: JoinSet<Ended>,
    hold: Duration,
}

impl Work {
    async fn run(mut self) {
        let criteria = self.record.source.filters.iter().flatten();
        let criteria = Criteria::compile(criteria.map(String::as_str));
        let criteria = match criteria {
            Ok(criteria) => Arc::new(criteria),
            Err(error) => return self.pipe.set_problem(Some(error.to_string())),
        };
        while !*self.told.borrow() {
            let at_once = match self.record.queue.is_fifo() {
                true => 1,
                false => limits::BATCHES_MAX,
            };
            if self.under_way.len() >= at_once {
                let ended = self.under_way.join_next().await;
                self.ended(ended.and_then(Result::ok)).await;
                continue;
            }
            let queue = match self.readable() {
                Ok(queue) => queue,
                Err(problem) => {
                    self.trouble(problem).await;
                    continue;
                }
            };
            let mut told = self.told.clone();
            let received = tokio::select! {
                received = receive(&self.pipes, &queue, &self.record) => received,
                Some(ended) = self.under_way.join_next() => {
                    self.ended(ended.ok()).await;
                    continue;
                }
                () = stopped(&mut told) => break,
            };
            match received {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    let (pipes, record) = (self.pipes.clone(), self.record.clone());
                    let criteria = criteria.clone();
                    self.under_way.spawn(async move {
                        hand_on(&pipes, &record, &criteria, &queue, messages).await
                    });
                }
                Err(problem) => self.trouble(problem).await,
            }
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// The queue, if it is there and lets the pipe's role read it; or what the problem is.
    fn readable(&self) -> Result<Arc<Queue>, String> {
        let queues = &self.pipes.0.queues;
        let queue = queues.find(&self.record.queue);
        let queue = queue.ok_or("The source queue does not exist.")?;
        let session = Principal::session_of(&self.record.role, &self.record.key.name);
        let reader = session.ok_or("The role is no ARN of one.")?;
        let now = Timestamp::from_millisecond(queues.clock().now_ms()).unwrap_or_default();
        match queue.refuses_reader(&reader, now) {
            Some(action) => Err(format!("The role may not {action} at the source.")),
            None => Ok(queue),
        }
    }

    async fn ended(&mut self, ended: Option<Ended>) {
        match ended {
            Some(Ended::Failed(problem)) => self.trouble(problem).await,
            Some(Ended::Done) => {
                self.hold = limits::HOLD;
                self.pipe.set_problem(None);
            }
            // It panicked: its messages come back by their visibility timeout.
            None => {}
        }
    }

    /// Waits, longer each time in a row.
    async fn trouble(&mut self, problem: String) {
        tracing::debug!(pipe = self.record.key.name, problem, "a pipe is in trouble");
        self.pipe.set_problem(Some(problem));
        let until = Instant::now() + self.hold;
        self.hold = (self.hold * 2).min(limits::HOLD_MAX);
        let mut told = self.told.clone();
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = stopped(&mut told) => {}
        }
    }
}

async fn stopped(told: &mut watch::Receiver<bool>) {
    // That nobody is left to tell is as good.
    let _ = told.wait_for(|stop| *stop).await;
}

/// A batch: as many messages as there are, or come within the window.
async fn receive(
    pipes: &Pipes,
    queue: &Arc<Queue>,
    record: &PipeRecord,
) -> Result<Vec<Received>, String> {
    let size = record.source.batch_size.unwrap_or(10);
    let size = usize::try_from(size).unwrap_or(1).clamp(1, 10_000);
    let window_s = record.source.window_s.unwrap_or(0);
    let window = Duration::from_secs(u64::try_from(window_s).unwrap_or(0));
    let queues = &pipes.0.queues;
    let ask = |max: usize, wait: Duration| Receive {
        max,
        visibility_timeout_ms: None,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(0),
        attempt_id: None,
    };
    let first = queues.receive(queue, ask(size, limits::RECEIVE_WAIT)).await;
    let mut messages = first.map_err(|error| error.to_string())?;
    let until = Instant::now() + window;
    while !messages.is_empty() && messages.len() < size {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let more = queues
            .receive(queue, ask(size - messages.len(), left))
            .await;
        match more {
            Ok(more) if more.is_empty() => break,
            Ok(more) => messages.extend(more),
            Err(_) => break,
        }
    }
    Ok(messages)
}
