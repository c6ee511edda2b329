//! Many clients at once, each in a closed loop on its own connection: its next request goes out when
//! it has the answer to the last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    super::stats::Samples,
    client::{Client, Queue, failures, handles},
    target::Target,
};

/// SQS lets 120,000 messages of a queue be in flight.
const HELD_MAX: usize = 100_000;
/// Nobody waits longer for a long queue; what is there by then is what is measured with.
const FILL_TIME_MAX: Duration = Duration::from_secs(300);
/// As many clients fill a queue, by batches.
const FILLERS: usize = 16;

/// Clients that are connected, each with the receipt handles that it holds.
pub struct Crowd {
    queue: Queue,
    batch: usize,
    members: Vec<Member>,
}

struct Member {
    client: Client,
    held: Vec<String>,
}

/// What came of a phase.
#[derive(Debug, Default)]
pub struct Done {
    pub samples: Samples,
    pub messages: usize,
}

/// What a phase consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Send,
    /// Until the time is over, the queue is empty or enough are held.
    Receive,
    /// All that is held, however long it takes.
    Delete,
    /// Sends, receives and deletes in turn; a cycle's latency is that of the three.
    Cycle,
}

/// What all members of a phase see.
struct Phase {
    queue: Queue,
    batch: usize,
    work: Work,
    begun: Instant,
    time: Duration,
    /// Messages sent in all, at most.
    sent_max: usize,
    sent: AtomicUsize,
    /// Messages held by all together.
    held: AtomicUsize,
}

impl Phase {
    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.time
    }
}

impl Crowd {
    pub async fn gather(
        target: &Target,
        queue: &Queue,
        clients: usize,
        batch: usize,
    ) -> Result<Self> {
        let mut members = Vec::with_capacity(clients);
        for _ in 0..clients {
            members.push(Member {
                client: Client::connect(target.address).await?,
                held: Vec::new(),
            });
        }
        Ok(Crowd {
            queue: queue.clone(),
            batch,
            members,
        })
    }

    pub async fn work(&mut self, work: Work, time: Duration) -> Result<Done> {
        self.work_until(work, time, usize::MAX).await
    }

    async fn work_until(&mut self, work: Work, time: Duration, sent_max: usize) -> Result<Done> {
        let phase = Arc::new(Phase {
            queue: self.queue.clone(),
            batch: self.batch,
            work,
            begun: Instant::now(),
            time,
            sent_max,
            sent: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for mut member in std::mem::take(&mut self.members) {
            let phase = phase.clone();
            tasks.spawn(async move {
                let mut done = Done::default();
                let result = member.work(&phase, &mut done).await;
                done.samples.elapsed = phase.begun.elapsed();
                result.map(|()| (member, done))
            });
        }
        let mut all = Done::default();
        while let Some(one) = tasks.join_next().await {
            let (member, done) = one.context("join a client")??;
            all.samples = all.samples.merge(done.samples);
            all.messages += done.messages;
            self.members.push(member);
        }
        Ok(all)
    }
}

impl Member {
    async fn work(&mut self, phase: &Phase, done: &mut Done) -> Result<()> {
        let send = phase.queue.send(phase.batch);
        match phase.work {
            Work::Send => {
                while !phase.is_over()
                    && phase.sent.fetch_add(phase.batch, Ordering::Relaxed) < phase.sent_max
                {
                    self.call(&send, done).await?;
                    done.messages += phase.batch;
                }
            }
            Work::Receive => {
                while !phase.is_over() && phase.held.load(Ordering::Relaxed) < HELD_MAX {
                    let count = self.receive(phase, done).await?;
                    if count == 0 {
                        break;
                    }
                    done.messages += count;
                }
            }
            Work::Delete => {
                while !self.held.is_empty() {
                    done.messages += self.delete(phase, done).await?;
                }
            }
            Work::Cycle => {
                while !phase.is_over() {
                    let mut parts = Done::default();
                    let begun = Instant::now();
                    self.call(&send, &mut parts).await?;
                    self.receive(phase, &mut parts).await?;
                    if !self.held.is_empty() {
                        done.messages += self.delete(phase, &mut parts).await?;
                    }
                    done.samples.latencies.push(begun.elapsed());
                }
            }
        }
        Ok(())
    }

    /// Gives how many came.
    async fn receive(&mut self, phase: &Phase, done: &mut Done) -> Result<usize> {
        let answer = self.call(&phase.queue.receive(phase.batch), done).await?;
        let found = handles(&answer);
        let count = found.len();
        phase.held.fetch_add(count, Ordering::Relaxed);
        self.held.extend(found);
        Ok(count)
    }

    /// Gives how many went.
    async fn delete(&mut self, phase: &Phase, done: &mut Done) -> Result<usize> {
        let count = phase.batch.min(self.held.len());
        let some = self.held.split_off(self.held.len() - count);
        self.call(&phase.queue.delete(&some), done).await?;
        Ok(count)
    }

    async fn call(
        &mut self,
        (operation, input): &(&'static str, Bytes),
        done: &mut Done,
    ) -> Result<Bytes> {
        let begun = Instant::now();
        let answer = self.client.call(operation, input.clone()).await?;
        done.samples.latencies.push(begun.elapsed());
        let failed = failures(&answer);
        ensure!(failed == 0, "{operation} failed for {failed} messages");
        Ok(answer)
    }
}

/// What a queue was filled with.
pub struct Filled {
    pub count: usize,
    pub elapsed: Duration,
}

/// Fills a queue by batches.
pub async fn fill(target: &Target, queue: &Queue, count: usize) -> Result<Filled> {
    let mut crowd = Crowd::gather(target, queue, FILLERS, 10).await?;
    let done = crowd.work_until(Work::Send, FILL_TIME_MAX, count).await?;
    Ok(Filled {
        count: done.messages,
        elapsed: done.samples.elapsed,
    })
}
