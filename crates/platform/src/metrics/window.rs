//! Which times a request is about, and which period a time belongs to.
//!
//! Periods are counted from the request's beginning, as CloudWatch counts them; that is rounded down
//! by how old it is.

use std::collections::BTreeMap;

use wire::Timestamp;

use super::{distribution::Distribution, tables::Point};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start_s: i64,
    /// The first time that is not in it.
    pub end_s: i64,
    pub period_s: i64,
}

/// Up to which age, in seconds, beginnings are rounded to what.
const ROUNDED: [(i64, i64); 2] = [(15 * 24 * 3600, 60), (63 * 24 * 3600, 300)];

impl Window {
    pub fn new(start: Timestamp, end: Timestamp, period_s: i64, now: Timestamp) -> Self {
        let period_s = period_s.max(1);
        let age_s = now.as_second() - start.as_second();
        let usual = ROUNDED.iter().find(|(age, _)| age_s < *age);
        let to_s = match usual {
            // Beginnings of periods below a minute are those of such periods.
            Some((_, 60)) if period_s < 60 => period_s,
            Some((_, to)) => *to,
            None => 3600,
        };
        let floor = start.as_millisecond().div_euclid(1000);
        let ceiling = end.as_millisecond().saturating_add(999).div_euclid(1000);
        Self {
            start_s: floor.div_euclid(to_s) * to_s,
            end_s: ceiling,
            period_s,
        }
    }

    /// The beginning of the period that a time is in.
    fn begin_of(&self, at_s: i64) -> i64 {
        let since = at_s - self.start_s;
        self.start_s + since.div_euclid(self.period_s) * self.period_s
    }

    /// What there is in each period.
    pub fn periods(&self, points: &[Point]) -> BTreeMap<i64, Distribution> {
        let mut periods: BTreeMap<i64, Distribution> = BTreeMap::new();
        for point in points {
            let begin = self.begin_of(point.at_s);
            match periods.get_mut(&begin) {
                Some(sum) => sum.merge(&point.values),
                None => {
                    periods.insert(begin, point.values.clone());
                }
            }
        }
        periods
    }
}

/// Whether CloudWatch has such periods: some below a minute, and whole minutes.
pub fn is_period(period_s: i64) -> bool {
    matches!(period_s, 1 | 5 | 10 | 20 | 30) || (period_s > 0 && period_s % 60 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, period_s: i64) -> Window {
        let now = "2026-03-01T15:07:17.5Z".parse().unwrap();
        Window::new(start.parse().unwrap(), now, period_s, now)
    }

    #[test]
    fn beginnings_are_rounded_down_by_age_and_period() {
        for (start, period_s, expected) in [
            ("2026-03-01T15:02:17.4Z", 60, "2026-03-01T15:02:00Z"),
            ("2026-03-01T15:02:17.4Z", 300, "2026-03-01T15:02:00Z"),
            ("2026-03-01T15:02:17.4Z", 5, "2026-03-01T15:02:15Z"),
            ("2026-03-01T15:02:17.4Z", 1, "2026-03-01T15:02:17Z"),
            ("2026-02-01T15:02:17Z", 60, "2026-02-01T15:00:00Z"),
            ("2025-06-01T15:02:17Z", 60, "2025-06-01T15:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            let window = window(start, period_s);
            assert_eq!(window.start_s, expected.as_second(), "{start} {period_s}");
            assert_eq!(window.end_s % 60, 18, "what has begun is in it");
        }
    }

    #[test]
    fn periods_begin_with_the_request() {
        let window = window("2026-03-01T15:01:10Z", 300);
        let point = |after: i64, value| Point {
            at_s: window.start_s + after,
            period_s: 60,
            values: Distribution::of(value, 1.0),
        };
        let periods = window.periods(&[point(0, 1.0), point(240, 2.0), point(300, 5.0)]);
        let sums: Vec<(i64, f64)> = periods
            .iter()
            .map(|(at, values)| (at - window.start_s, values.sum))
            .collect();
        assert_eq!(sums, [(0, 3.0), (300, 5.0)]);
    }
}
