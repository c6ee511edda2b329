//! A reader thread: runs read-only closures, each in a snapshot of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Session;
use crate::error::{Fault, Reach, Result};
use crate::job::Job;
use crate::queue::{Exit, Next};
use crate::retry::{Verdict, judge};
use crate::writer::Counters;

pub(crate) fn run(mut session: Session, queue: &Exit, counters: &Arc<Counters>) {
    while let Next::Job(job) = queue.next(None) {
        counters.reads.fetch_add(1, Ordering::Relaxed);
        settle(&mut session, job);
        // After the answer: the snapshot ends, nobody waits for it.
        session.rollback();
    }
}

fn settle(session: &mut Session, mut job: Box<dyn Job>) {
    for attempt in 0.. {
        let Err(fault) = attempt_read(session, job.as_mut()) else {
            return job.settle(Ok(()));
        };
        if fault.reach == Reach::Connection {
            session.disconnect();
        } else {
            session.rollback();
        }
        match judge(&fault, attempt, 1) {
            Verdict::Again(pause) => std::thread::sleep(pause),
            Verdict::Split | Verdict::GiveUp => return job.settle(Err(fault.error)),
        }
    }
}

fn attempt_read(session: &mut Session, job: &mut dyn Job) -> Result<(), Fault> {
    let tx = session
        .tx()
        .map_err(|error| Fault::new(Reach::Connection, error))?;
    tx.connection().begin_read()?;
    job.run(tx);
    match tx.take_fault() {
        Some(fault) if fault.reach > Reach::Statement => Err(fault),
        _ => Ok(()),
    }
}
