//! What becomes of an event after a try: it is done, tried again, or given up. Pure.
//!
//! A function that fails is tried again after one minute and then after two, as often as the
//! function's settings say. What could not run at all (throttles, troubles of the platform) does not
//! count, and waits ever longer. An event whose next try would come too late is given up at once.

use super::limits;
use crate::functions::EventTerms;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    Succeeded,
    /// With an error of the function's own.
    Failed,
    /// The function did not run; later it may.
    NotRun,
    /// It would go on with a loop.
    Recursive,
}

/// What is known of an event beside the try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    pub age_ms: i64,
    /// Runs that failed, without this one.
    pub runs: u32,
    /// How often it was taken since the last of them, with this time.
    pub tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    Again { after_s: u32 },
    Wait { after_ms: i64 },
    GivenUp(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    RetriesExhausted,
    EventAgeExceeded,
    Recursive,
    ZeroReservedConcurrency,
}

impl Cause {
    /// The `condition` of a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::Recursive => "RecursiveInvocation",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        }
    }
}

/// Whether an event is given up before it is tried.
pub fn before(terms: &EventTerms, past: Past) -> Option<Cause> {
    if terms.is_off {
        return Some(Cause::ZeroReservedConcurrency);
    }
    (past.age_ms >= age_max_ms(terms)).then_some(Cause::EventAgeExceeded)
}

pub fn after(tried: Try, terms: &EventTerms, past: Past) -> Verdict {
    let left_ms = age_max_ms(terms) - past.age_ms;
    match tried {
        Try::Succeeded => Verdict::Succeeded,
        Try::Recursive => Verdict::GivenUp(Cause::Recursive),
        Try::Failed | Try::NotRun if terms.is_off => {
            Verdict::GivenUp(Cause::ZeroReservedConcurrency)
        }
        Try::Failed if past.runs >= terms.retries_max => Verdict::GivenUp(Cause::RetriesExhausted),
        Try::Failed => {
            let after_s = (past.runs + 1) * limits::RETRY_AFTER_S;
            match i64::from(after_s) * 1000 > left_ms {
                true => Verdict::GivenUp(Cause::EventAgeExceeded),
                false => Verdict::Again { after_s },
            }
        }
        Try::NotRun if left_ms <= 0 => Verdict::GivenUp(Cause::EventAgeExceeded),
        Try::NotRun => {
            let doublings = past.tries.saturating_sub(1).min(16);
            let after_ms = (limits::WAIT_FIRST_MS << doublings).min(limits::WAIT_MAX_MS);
            Verdict::Wait {
                after_ms: after_ms.min(left_ms),
            }
        }
    }
}

fn age_max_ms(terms: &EventTerms) -> i64 {
    i64::from(terms.age_max_s) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> EventTerms {
        EventTerms {
            born: 1,
            arn: "arn".into(),
            retries_max: 2,
            age_max_s: 21_600,
            on_success: None,
            on_failure: None,
            dead_letter: None,
            is_off: false,
            timeout_s: 3,
        }
    }

    fn past(age_s: i64, runs: u32, tries: u32) -> Past {
        Past {
            age_ms: age_s * 1000,
            runs,
            tries,
        }
    }

    #[test]
    fn a_failure_is_tried_again_after_one_minute_and_then_two() {
        let after = |runs| after(Try::Failed, &terms(), past(0, runs, 1));
        assert_eq!(after(0), Verdict::Again { after_s: 60 });
        assert_eq!(after(1), Verdict::Again { after_s: 120 });
        assert_eq!(after(2), Verdict::GivenUp(Cause::RetriesExhausted));
    }

    #[test]
    fn fewer_retries_and_a_shorter_age_are_kept() {
        let once = EventTerms {
            retries_max: 0,
            ..terms()
        };
        let given_up = |cause| Verdict::GivenUp(cause);
        let failed = |terms: &EventTerms, past| after(Try::Failed, terms, past);
        assert_eq!(
            failed(&once, past(0, 0, 1)),
            given_up(Cause::RetriesExhausted)
        );
        let short = EventTerms {
            age_max_s: 100,
            ..terms()
        };
        assert_eq!(
            failed(&short, past(40, 0, 1)),
            Verdict::Again { after_s: 60 }
        );
        assert_eq!(
            failed(&short, past(41, 0, 1)),
            given_up(Cause::EventAgeExceeded)
        );
        assert_eq!(
            failed(&short, past(100, 2, 1)),
            given_up(Cause::RetriesExhausted)
        );
        assert_eq!(before(&short, past(99, 0, 1)), None);
        assert_eq!(
            before(&short, past(100, 0, 1)),
            Some(Cause::EventAgeExceeded)
        );
    }

    #[test]
    fn what_could_not_run_waits_ever_longer_and_to_the_end_of_its_age() {
        let wait = |age_s, tries| after(Try::NotRun, &terms(), past(age_s, 0, tries));
        for (tries, after_ms) in [
            (1, 1000),
            (2, 2000),
            (5, 16_000),
            (9, 256_000),
            (99, 300_000),
        ] {
            assert_eq!(wait(0, tries), Verdict::Wait { after_ms });
        }
        assert_eq!(wait(21_590, 99), Verdict::Wait { after_ms: 10_000 });
        assert_eq!(wait(21_600, 99), Verdict::GivenUp(Cause::EventAgeExceeded));
    }

    #[test]
    fn a_function_that_is_off_and_a_loop_are_given_up_at_once() {
        let off = EventTerms {
            is_off: true,
            ..terms()
        };
        assert_eq!(
            before(&off, past(0, 0, 1)),
            Some(Cause::ZeroReservedConcurrency)
        );
        assert_eq!(
            after(Try::NotRun, &off, past(0, 0, 1)),
            Verdict::GivenUp(Cause::ZeroReservedConcurrency)
        );
        assert_eq!(
            after(Try::Recursive, &terms(), past(0, 0, 1)),
            Verdict::GivenUp(Cause::Recursive)
        );
    }
}
