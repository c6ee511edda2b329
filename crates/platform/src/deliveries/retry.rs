//! How often a delivery is tried and how long is waited between tries. Pure: time and randomness are
//! arguments.

use serde::{Deserialize, Serialize};

use super::limits;

/// Limits on the tries with a delivery: whichever is reached first ends them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first one.
    pub retries_max: u32,
    /// From when it was sent, in milliseconds.
    pub age_max_ms: i64,
    pub backoff: Backoff,
}

impl Default for Retry {
    /// EventBridge's own: 185 times within 24 hours.
    fn default() -> Self {
        Self {
            retries_max: 185,
            age_max_ms: 86_400_000,
            backoff: Backoff::default(),
        }
    }
}

/// The time before a retry, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Backoff {
    /// Twice as long each time, up to a longest time, less some of it at random.
    Exponential { first_ms: i64, max_ms: i64 },
    /// SNS's: so many at once, then so many at the shortest time, then so many that grow from the
    /// shortest to the longest, and the rest at the longest.
    Phases {
        at_once: u32,
        at_min: u32,
        at_max: u32,
        min_ms: i64,
        max_ms: i64,
        growth: Growth,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Growth {
    Arithmetic,
    Exponential,
    Geometric,
    Linear,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential {
            first_ms: 1_000,
            max_ms: 600_000,
        }
    }
}

/// What is known of a delivery before or after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    pub age_ms: i64,
    /// Tries that have failed, with this one.
    pub tries: u32,
}

/// What becomes of a delivery whose try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Again { after_ms: i64 },
    GivenUp(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    RetriesExhausted,
    AgeExceeded,
    /// Another try would end in the same way.
    Final,
}

impl Cause {
    /// The EXHAUSTED_RETRY_CONDITION of a dead letter.
    pub fn condition(self) -> Option<&'static str> {
        match self {
            Self::RetriesExhausted => Some("MaximumRetryAttempts"),
            Self::AgeExceeded => Some("MaximumEventAgeInSeconds"),
            Self::Final => None,
        }
    }
}

impl Retry {
    /// Whether it is too old to be tried at all.
    pub fn is_over(&self, age_ms: i64) -> bool {
        age_ms >= self.age_max_ms
    }

    /// After a failed try. `random` is from 0 up to 1.
    pub fn after(&self, past: Past, is_final: bool, random: f64) -> Verdict {
        if is_final {
            return Verdict::GivenUp(Cause::Final);
        }
        if past.tries > self.retries_max {
            return Verdict::GivenUp(Cause::RetriesExhausted);
        }
        let after_ms = self.backoff.before(past.tries, self.retries_max, random);
        match past.age_ms + after_ms >= self.age_max_ms {
            true => Verdict::GivenUp(Cause::AgeExceeded),
            false => Verdict::Again { after_ms },
        }
    }
}

impl Backoff {
    /// Before the `retry`th retry, from 1, of so many.
    fn before(self, retry: u32, retries_max: u32, random: f64) -> i64 {
        let after_ms = match self {
            Self::Exponential { first_ms, max_ms } => {
                let doubled = first_ms.max(1) << retry.saturating_sub(1).min(32);
                let longest = doubled.min(max_ms).max(0);
                // Between half of it and all.
                longest - (longest as f64 / 2.0 * random) as i64
            }
            Self::Phases {
                at_once,
                at_min,
                at_max,
                min_ms,
                max_ms,
                growth,
            } => {
                let grown = retries_max.saturating_sub(at_once + at_min + at_max);
                let place = retry.saturating_sub(1);
                match place {
                    _ if place < at_once => 0,
                    _ if place < at_once + at_min => min_ms,
                    _ if place >= at_once + at_min + grown => max_ms,
                    _ => grow(place - at_once - at_min, grown, (min_ms, max_ms), growth),
                }
            }
        };
        after_ms.clamp(0, limits::WAIT_MS_MAX)
    }
}

/// The `step`th of `steps` times from a shortest to a longest.
fn grow(step: u32, steps: u32, (min_ms, max_ms): (i64, i64), growth: Growth) -> i64 {
    if steps <= 1 {
        return min_ms;
    }
    let share = f64::from(step) / f64::from(steps - 1);
    let (min, max) = (min_ms as f64, max_ms as f64);
    let span = max - min;
    let time = match growth {
        Growth::Linear => min + span * share,
        Growth::Arithmetic => min + span * share * (share + 1.0) / 2.0,
        Growth::Geometric => min.max(1.0) * (max / min.max(1.0)).max(1.0).powf(share),
        Growth::Exponential => min + span * (2_f64.powf(share * 10.0) - 1.0) / 1023.0,
    };
    time as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(age_ms: i64, tries: u32) -> Past {
        Past { age_ms, tries }
    }

    #[test]
    fn retries_wait_ever_longer_and_end_by_number_or_age() {
        let retry = Retry {
            retries_max: 3,
            age_max_ms: 60_000,
            backoff: Backoff::Exponential {
                first_ms: 1_000,
                max_ms: 3_000,
            },
        };
        let again = |after_ms| Verdict::Again { after_ms };
        assert_eq!(retry.after(past(0, 1), false, 0.0), again(1_000));
        assert_eq!(retry.after(past(0, 2), false, 0.0), again(2_000));
        assert_eq!(retry.after(past(0, 3), false, 0.5), again(2_250));
        let given_up = Verdict::GivenUp;
        assert_eq!(
            retry.after(past(0, 4), false, 0.0),
            given_up(Cause::RetriesExhausted)
        );
        assert_eq!(
            retry.after(past(59_000, 1), false, 0.0),
            given_up(Cause::AgeExceeded)
        );
        assert_eq!(retry.after(past(0, 1), true, 0.0), given_up(Cause::Final));
        assert!(retry.is_over(60_000) && !retry.is_over(59_999));
    }

    #[test]
    fn phases_go_from_the_shortest_to_the_longest() {
        let phases = |growth| Backoff::Phases {
            at_once: 1,
            at_min: 2,
            at_max: 2,
            min_ms: 1_000,
            max_ms: 5_000,
            growth,
        };
        let times = |backoff: Backoff| -> Vec<i64> {
            (1..=10)
                .map(|retry| backoff.before(retry, 10, 0.0))
                .collect()
        };
        assert_eq!(
            times(phases(Growth::Linear)),
            [0, 1000, 1000, 1000, 2000, 3000, 4000, 5000, 5000, 5000]
        );
        for growth in [Growth::Arithmetic, Growth::Exponential, Growth::Geometric] {
            let times = times(phases(growth));
            assert!(times.is_sorted(), "{times:?}");
            assert_eq!((times[3], times[7]), (1000, 5000), "{growth:?}");
        }
    }
}
