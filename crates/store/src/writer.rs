//! The writer thread: takes what waits, runs it in one transaction, commits once, answers.
//!
//! Each closure runs in a savepoint, so one that fails rolls back alone. No answer leaves before
//! the commit, not even an error: it may rest on what an earlier closure of the batch wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use crate::engine::{CommitFault, Session};
use crate::error::{Error, Fault, Reach, Result};
use crate::job::{Job, Outcome};
use crate::limits;
use crate::queue::{Exit, Next};
use crate::retry::{Verdict, judge};
use crate::tx::Tx;

/// What the store has done since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub commits: AtomicU64,
    pub writes: AtomicU64,
    pub repeats: AtomicU64,
    pub reads: AtomicU64,
}

/// The writers of one store run beside each other until they conflict: what has to be run again
/// runs while the others stand aside, so they cannot undo each other forever.
pub(crate) type Turn = RwLock<()>;

pub(crate) fn run(mut session: Session, queue: &Exit, counters: &Counters, turn: &Turn) {
    let mut tidy = true;
    loop {
        match queue.next((!tidy).then_some(limits::IDLE_AFTER)) {
            Next::Job(job) => {
                let mut batch = Batch {
                    session: &mut session,
                    counters,
                    turn,
                };
                batch.settle(vec![job], Some(queue));
                tidy = false;
            }
            Next::Quiet => {
                session.idle();
                tidy = true;
            }
            Next::Closed => return,
        }
    }
}

type Jobs = Vec<Box<dyn Job>>;

struct Batch<'a> {
    session: &'a mut Session,
    counters: &'a Counters,
    turn: &'a Turn,
}

impl Batch<'_> {
    /// Runs the jobs, and more from the queue, until each has an answer.
    fn settle(&mut self, mut jobs: Jobs, mut queue: Option<&Exit>) {
        for attempt in 0.. {
            let result = self.take_turn(&mut jobs, queue.take());
            let fault = match result {
                Ok(()) => return answer(jobs, &Ok(())),
                Err(CommitFault::Undone(fault)) => fault,
                Err(CommitFault::Unknown(error)) => {
                    self.session.disconnect();
                    return answer(jobs, &Err(error));
                }
            };
            self.abandon(&fault);
            match judge(&fault, attempt, jobs.len()) {
                Verdict::Again(pause) => std::thread::sleep(pause),
                Verdict::Split => {
                    return jobs
                        .into_iter()
                        .for_each(|job| self.settle(vec![job], None));
                }
                Verdict::GiveUp => return answer(jobs, &Err(fault.error)),
            }
            self.counters.repeats.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take_turn(&mut self, jobs: &mut Jobs, queue: Option<&Exit>) -> Result<(), CommitFault> {
        let turn = self.turn;
        if queue.is_some() {
            let _beside = turn.read().unwrap_or_else(PoisonError::into_inner);
            self.attempt(jobs, queue)
        } else {
            let _alone = turn.write().unwrap_or_else(PoisonError::into_inner);
            self.attempt(jobs, None)
        }
    }

    /// One transaction with all jobs in it.
    fn attempt(&mut self, jobs: &mut Jobs, queue: Option<&Exit>) -> Result<(), CommitFault> {
        let batch_max = self.session.batch_max();
        let tx = self.session.tx().map_err(unreachable)?;
        tx.connection().begin_write()?;
        let began = Instant::now();
        let mut kept = 0;
        let mut next = 0;
        while let Some(job) = jobs.get_mut(next) {
            kept += u64::from(run_in_savepoint(tx, job.as_mut())? == Outcome::Keep);
            next += 1;
            let room = jobs.len() < batch_max && began.elapsed() < limits::BATCH_TIME_MAX;
            if let Some(queue) = queue.filter(|_| room && next == jobs.len()) {
                jobs.extend(queue.try_next());
            }
        }
        if kept == 0 {
            tx.connection().rollback();
            return Ok(());
        }
        tx.connection().commit()?;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.writes.fetch_add(kept, Ordering::Relaxed);
        Ok(())
    }

    fn abandon(&mut self, fault: &Fault) {
        if fault.reach == Reach::Connection {
            self.session.disconnect();
        } else {
            self.session.rollback();
        }
    }
}

fn run_in_savepoint(tx: &mut Tx, job: &mut dyn Job) -> Result<Outcome, Fault> {
    tx.connection().savepoint()?;
    let outcome = job.run(tx);
    if let Some(fault) = tx
        .take_fault()
        .filter(|fault| fault.reach > Reach::Statement)
    {
        return Err(fault);
    }
    match outcome {
        Outcome::Keep => tx.connection().release()?,
        Outcome::Undo => tx.connection().rollback_to_savepoint()?,
    }
    Ok(outcome)
}

fn answer(jobs: Jobs, transaction: &Result<()>) {
    for job in jobs {
        job.settle(transaction.clone());
    }
}

fn unreachable(error: Error) -> CommitFault {
    CommitFault::Undone(Fault::new(Reach::Connection, error))
}

impl From<Fault> for CommitFault {
    fn from(fault: Fault) -> Self {
        Self::Undone(fault)
    }
}
