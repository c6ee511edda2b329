//! What is measured: an operation by so many clients, alone or in batches, with so many messages
//! waiting.

use std::time::Duration;

use anyhow::Result;

use super::{
    client::Queue,
    crowd::{Crowd, Done, Work},
    target::Target,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Send,
    Receive,
    Delete,
    /// All three in turn.
    Cycle,
}

impl Operation {
    pub const ALL: [Operation; 4] = [
        Operation::Send,
        Operation::Receive,
        Operation::Delete,
        Operation::Cycle,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Operation::Send => "send",
            Operation::Receive => "receive",
            Operation::Delete => "delete",
            Operation::Cycle => "all three",
        }
    }

    fn work(self) -> Work {
        match self {
            Operation::Send => Work::Send,
            Operation::Receive => Work::Receive,
            Operation::Delete => Work::Delete,
            Operation::Cycle => Work::Cycle,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub clients: usize,
    pub batch: usize,
}

impl Load {
    pub fn all(clients: &[usize]) -> Vec<Load> {
        let loads = |batch| clients.iter().map(move |&clients| Load { clients, batch });
        [1, 10].into_iter().flat_map(loads).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub operation: Operation,
    pub load: Load,
    pub waiting: usize,
}

impl Cell {
    pub fn name(&self) -> String {
        let Load { clients, batch } = self.load;
        let waiting = match self.waiting {
            0 => String::new(),
            waiting => format!(", {waiting} waiting"),
        };
        format!("{}, {clients} x {batch}{waiting}", self.operation.name())
    }
}

/// Of one operation under one load; a cycle counts as one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Messages.
    pub per_second: f64,
    /// Of requests; of a whole cycle where that is measured.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Messages that shared a commit, where that is known.
    pub per_commit: Option<f64>,
}

/// All operations under one load.
pub struct Run([Measured; 4]);

impl Run {
    pub fn of(&self, operation: Operation) -> Measured {
        self.0[operation as usize]
    }
}

/// What is sent is received, and what is received is deleted, so that as many wait afterwards.
pub async fn measure(target: &Target, queue: &Queue, load: Load, time: Duration) -> Result<Run> {
    let mut crowd = Crowd::gather(target, queue, load.clients, load.batch).await?;
    let mut measured = Vec::new();
    for operation in Operation::ALL {
        let time = match operation {
            // All that was received goes, and all that was sent comes.
            Operation::Delete => Duration::MAX,
            Operation::Receive => time * 2,
            Operation::Send | Operation::Cycle => time,
        };
        let before = target.commits().await?;
        let done = crowd.work(operation.work(), time).await?;
        let after = target.commits().await?;
        let commits = before.zip(after).map(|(before, after)| after - before);
        measured.push(of(&done, commits));
    }
    let [send, receive, delete, cycle] = measured[..] else {
        unreachable!("there are four operations");
    };
    Ok(Run([send, receive, delete, cycle]))
}

fn of(done: &Done, commits: Option<u64>) -> Measured {
    let seconds = done.samples.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let commits = commits.filter(|commits| *commits > 0);
    Measured {
        per_second: done.messages as f64 / seconds,
        p50_ms: done.samples.percentile_ms(50.0),
        p99_ms: done.samples.percentile_ms(99.0),
        per_commit: commits.map(|commits| done.messages as f64 / commits as f64),
    }
}
