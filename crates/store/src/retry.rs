//! What becomes of a batch whose transaction failed: decided here, done in `writer.rs`.

use std::time::Duration;

use crate::error::{Error, Fault, Reach};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Run the same closures again after a pause.
    Again(Duration),
    /// Run each closure in a transaction of its own, so that one cannot take the others down.
    Split,
    /// Answer all of them with the error.
    GiveUp,
}

const BATCH_ATTEMPTS: u32 = 3;
const ALONE_ATTEMPTS: u32 = 40;
const RECONNECTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Judges a fault that undid the whole transaction; `attempt` counts from 0.
pub(crate) fn judge(fault: &Fault, attempt: u32, closures: usize) -> Verdict {
    let alone = closures == 1;
    match (&fault.error, fault.reach) {
        // Another writer's doing: repeating helps.
        (Error::Busy { .. }, Reach::Transaction) if alone && attempt < ALONE_ATTEMPTS => {
            Verdict::Again(pause(attempt))
        }
        (Error::Busy { .. }, Reach::Transaction) if !alone && attempt < BATCH_ATTEMPTS => {
            Verdict::Again(pause(attempt))
        }
        // The server restarted, or closed a connection that was idle.
        (Error::Unavailable { .. }, Reach::Connection) if attempt < RECONNECTS => {
            Verdict::Again(Duration::ZERO)
        }
        (Error::Unavailable { .. }, Reach::Connection) => Verdict::GiveUp,
        _ if alone => Verdict::GiveUp,
        _ => Verdict::Split,
    }
}

fn pause(attempt: u32) -> Duration {
    PAUSE.saturating_mul(1 << attempt.min(8)).min(PAUSE_MAX)
}
