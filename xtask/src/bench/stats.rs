//! Medians and percentiles of samples.

use std::time::Duration;

/// Latencies of one run, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    pub latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Samples {
    /// The latency that `percent` of the requests did not exceed (the nearest rank), in
    /// milliseconds; 0 where there are none.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        nearest_rank(&sorted, percent).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub fn merge(mut self, other: Samples) -> Samples {
        self.latencies.extend(other.latencies);
        self.elapsed = self.elapsed.max(other.elapsed);
        self
    }
}

fn nearest_rank<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        Some(upper)
    } else {
        Some((sorted[middle - 1] + upper) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(ms: &[u64]) -> Samples {
        Samples {
            latencies: ms.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            elapsed: Duration::from_secs(2),
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred = samples(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!(hundred.percentile_ms(50.0), 50.0);
        assert_eq!(hundred.percentile_ms(99.0), 99.0);
        assert_eq!(hundred.percentile_ms(100.0), 100.0);
        assert_eq!(hundred.percentile_ms(0.0), 1.0);
        assert_eq!(samples(&[7]).percentile_ms(99.0), 7.0);
        assert_eq!(samples(&[]).percentile_ms(50.0), 0.0);
    }

    #[test]
    fn rates_count_all_of_the_time() {
        assert_eq!(samples(&[1, 2, 3]).per_second(), 1.5);
        assert_eq!(samples(&[1, 2]).merge(samples(&[3, 4])).per_second(), 2.0);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
