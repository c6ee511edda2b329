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
        // There is another owner, and there will be.
        (Error::NotOwner { .. }, _) => Verdict::GiveUp,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn busy() -> Fault {
        Fault::new(
            Reach::Transaction,
            Error::Busy {
                source: Arc::new(Error::Closed),
            },
        )
    }

    fn gone() -> Fault {
        Fault::new(
            Reach::Connection,
            Error::Unavailable {
                source: Arc::new(Error::Closed),
            },
        )
    }

    fn full() -> Fault {
        Fault::new(
            Reach::Transaction,
            Error::DiskFull {
                source: Arc::new(Error::Closed),
            },
        )
    }

    #[test]
    fn a_conflict_is_repeated_together_then_alone_then_told() {
        assert_eq!(
            judge(&busy(), 0, 9),
            Verdict::Again(Duration::from_millis(2))
        );
        assert_eq!(
            judge(&busy(), 2, 9),
            Verdict::Again(Duration::from_millis(8))
        );
        assert_eq!(judge(&busy(), 3, 9), Verdict::Split);
        assert_eq!(judge(&busy(), 39, 1), Verdict::Again(PAUSE_MAX));
        assert_eq!(judge(&busy(), 40, 1), Verdict::GiveUp);
    }

    #[test]
    fn a_lost_connection_is_made_again_a_few_times_for_all() {
        assert_eq!(judge(&gone(), 2, 9), Verdict::Again(Duration::ZERO));
        assert_eq!(judge(&gone(), 3, 9), Verdict::GiveUp);
        assert_eq!(judge(&gone(), 3, 1), Verdict::GiveUp);
    }

    #[test]
    fn a_store_that_is_lost_is_lost_for_all() {
        let lost = Fault::new(Reach::Transaction, Error::NotOwner { by: None });
        assert_eq!(judge(&lost, 0, 9), Verdict::GiveUp);
    }

    #[test]
    fn what_one_closure_did_does_not_fail_the_others() {
        assert_eq!(judge(&full(), 0, 9), Verdict::Split);
        assert_eq!(judge(&full(), 0, 1), Verdict::GiveUp);
    }
}
