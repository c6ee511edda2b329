//! What is counted of requests for Lambda's metrics, per version and the qualifier that it was invoked
//! by. On a request's path these are a few atomic additions; once a minute all is taken.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::VersionKey;

/// Qualifiers of a version that are told apart; names of aliases, of which there are few.
const QUALIFIERS_MAX: usize = 32;

/// All that is counted.
#[derive(Debug, Default)]
pub struct Measures {
    versions: Mutex<HashMap<VersionKey, Arc<VersionMeasures>>>,
}

/// Of one version.
#[derive(Debug, Default)]
pub struct VersionMeasures {
    /// By how it was asked for; nothing is the function's plain name.
    by_qualifier: RwLock<HashMap<String, Arc<Measure>>>,
}

#[derive(Debug, Default)]
struct Measure {
    invocations: AtomicU64,
    errors: AtomicU64,
    throttles: AtomicU64,
    /// Of the invocations, those in environments of provisioned concurrency.
    provisioned: AtomicU64,
    durations: Durations,
}

/// What was counted since it was taken last.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    pub key: VersionKey,
    /// None where the function was invoked by its plain name.
    pub qualifier: Option<String>,
    pub invocations: u64,
    pub errors: u64,
    pub throttles: u64,
    pub provisioned: u64,
    /// In milliseconds, ascending, with how many took about so long.
    pub durations: Vec<(f64, u64)>,
    pub durations_sum_ms: f64,
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub took: Duration,
    pub failed: bool,
    pub provisioned: bool,
}

impl Measures {
    pub fn of(&self, key: VersionKey) -> Arc<VersionMeasures> {
        let versions = self.versions.lock();
        let mut versions = versions.unwrap_or_else(PoisonError::into_inner);
        versions.entry(key).or_default().clone()
    }

    /// Takes what there is, and forgets versions that are gone.
    pub fn take(&self) -> Vec<Taken> {
        let versions = self.versions.lock();
        let mut versions = versions.unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        versions.retain(|key, measures| {
            measures.take(key, &mut taken);
            // Nobody else can come to hold one while we do the map.
            Arc::strong_count(measures) > 1
        });
        taken
    }
}

impl VersionMeasures {
    pub fn ended(&self, qualifier: &str, ended: Ended) {
        let measure = self.measure(qualifier);
        one(&measure.invocations);
        if ended.failed {
            one(&measure.errors);
        }
        if ended.provisioned {
            one(&measure.provisioned);
        }
        measure.durations.add(ended.took);
    }

    pub fn throttled(&self, qualifier: &str) {
        one(&self.measure(qualifier).throttles);
    }

    fn measure(&self, qualifier: &str) -> Arc<Measure> {
        let held = self.by_qualifier.read();
        let held = held.unwrap_or_else(PoisonError::into_inner);
        if let Some(measure) = held.get(qualifier) {
            return measure.clone();
        }
        drop(held);
        let held = self.by_qualifier.write();
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        let qualifier = match held.len() < QUALIFIERS_MAX {
            true => qualifier,
            false => "",
        };
        held.entry(qualifier.to_owned()).or_default().clone()
    }

    fn take(&self, key: &VersionKey, all: &mut Vec<Taken>) {
        let held = self.by_qualifier.read();
        let held = held.unwrap_or_else(PoisonError::into_inner);
        for (qualifier, measure) in held.iter() {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
            let (durations, durations_sum_ms) = measure.durations.take();
            let taken = Taken {
                key: key.clone(),
                qualifier: (!qualifier.is_empty()).then(|| qualifier.clone()),
                invocations: take(&measure.invocations),
                errors: take(&measure.errors),
                throttles: take(&measure.throttles),
                provisioned: take(&measure.provisioned),
                durations,
                durations_sum_ms,
            };
            if taken.invocations > 0 || taken.throttles > 0 {
                all.push(taken);
            }
        }
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Each doubling has so many bins, so that what is read is within 1.6 percent of what was.
const BINS_OF_DOUBLING: u64 = 32;
const DOUBLING_BITS: u32 = BINS_OF_DOUBLING.ilog2();
/// Up to 2^30 microseconds, which is more than Lambda's longest timeout.
const BINS: usize = (30 - DOUBLING_BITS as usize + 1) * BINS_OF_DOUBLING as usize;

/// How many took about so long, in microseconds.
#[derive(Debug)]
struct Durations {
    bins: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            bins: (0..BINS).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl Durations {
    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 2);
        one(&self.bins[bin_of(us)]);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn take(&self) -> (Vec<(f64, u64)>, f64) {
        let sum_us = self.sum_us.swap(0, Ordering::Relaxed);
        if sum_us == 0 {
            return (Vec::new(), 0.0);
        }
        let taken = self.bins.iter().enumerate().filter_map(|(bin, count)| {
            let count = count.swap(0, Ordering::Relaxed);
            (count > 0).then(|| (middle_of(bin) / 1000.0, count))
        });
        (taken.collect(), sum_us as f64 / 1000.0)
    }
}

fn bin_of(us: u64) -> usize {
    if us < BINS_OF_DOUBLING {
        return us as usize;
    }
    // Which doubling, and the bits behind its first.
    let doubling = us.ilog2() - DOUBLING_BITS;
    let within = (us >> doubling) - BINS_OF_DOUBLING;
    let bin = u64::from(doubling + 1) * BINS_OF_DOUBLING + within;
    (bin as usize).min(BINS - 1)
}

fn middle_of(bin: usize) -> f64 {
    let bin = bin as u64;
    if bin < BINS_OF_DOUBLING {
        return bin as f64;
    }
    let doubling = bin / BINS_OF_DOUBLING - 1;
    let lowest = (BINS_OF_DOUBLING + bin % BINS_OF_DOUBLING) << doubling;
    lowest as f64 + ((1u64 << doubling) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::execution::FunctionKey;

    #[test]
    fn durations_are_found_again_within_the_error() {
        for us in (0..3000).chain([10_000, 123_456, 900_000_000]) {
            let found = middle_of(bin_of(us));
            assert!(
                (found - us as f64).abs() <= us as f64 * 0.016,
                "{us}: {found}"
            );
        }
        assert!(bin_of(u64::MAX) < BINS);
    }

    #[test]
    fn what_is_taken_is_taken_once_and_what_is_gone_is_forgotten() {
        let measures = Measures::default();
        let key = VersionKey {
            function: FunctionKey {
                account_id: "000000000000".into(),
                region: "us-east-1".into(),
                name: "resize".into(),
            },
            version: "$LATEST".into(),
        };
        let version = measures.of(key.clone());
        let ended = |ms, failed| Ended {
            took: Duration::from_millis(ms),
            failed,
            provisioned: false,
        };
        version.ended("", ended(5, false));
        version.ended("", ended(15, true));
        version.ended("live", ended(5, false));
        version.throttled("");
        let mut taken = measures.take();
        taken.sort_by(|one, other| one.qualifier.cmp(&other.qualifier));
        let [plain, live] = taken.as_slice() else {
            panic!("{taken:?}")
        };
        assert_eq!(
            (plain.invocations, plain.errors, plain.throttles),
            (2, 1, 1)
        );
        assert_eq!(plain.durations_sum_ms, 20.0);
        assert_eq!(plain.durations.len(), 2);
        assert_eq!(live.qualifier.as_deref(), Some("live"));
        assert_eq!(measures.take(), []);
        drop(version);
        measures.take();
        assert!(measures.versions.lock().unwrap().is_empty());
    }
}
