//! What is kept of the values of one metric in one period: count, sum, extremes, and how the values
//! are distributed. Two of them make one of both, in any order, so periods can be rolled up.
//!
//! Up to [`EXACT_MAX`] different values are kept as they are. Beyond, values share bins whose
//! bounds grow by a fixed factor, as in DDSketch: what is read back is within [`RELATIVE_ERROR`] of
//! what was put. A statistic set has no distribution; what contains one has no percentiles, as in
//! CloudWatch.

use std::collections::BTreeMap;

/// Different values that are kept as they are.
const EXACT_MAX: usize = 64;
/// How far a value that is read back may be from one that was put.
pub const RELATIVE_ERROR: f64 = 0.01;
/// The bounds of a bin are this far apart: (1 + e) / (1 - e).
const GROWTH: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
/// Bins of one distribution; those next to zero are joined beyond, which costs precision there.
const BINS_MAX: usize = 2048;
/// Magnitudes below are zero.
const SMALLEST: f64 = 1e-18;
/// The layout of [`Distribution::to_bytes`].
const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// None where a statistic set is among what it is made of.
    shape: Option<Shape>,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Values, ascending, with how often each came.
    Exact(Vec<(f64, f64)>),
    /// By the number of the bin, which has the sign of its values.
    Bins(BTreeMap<i32, f64>),
}

/// The four numbers of a statistic set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatisticSet {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
}

impl Distribution {
    /// Of one value that came so many times.
    pub fn of(value: f64, count: f64) -> Self {
        Self {
            count,
            sum: value * count,
            minimum: value,
            maximum: value,
            shape: Some(Shape::Exact(vec![(value, count)])),
        }
    }

    /// One whose values are all alike is as good as the values.
    pub fn of_set(set: StatisticSet) -> Self {
        let alike = set.minimum == set.maximum || set.count == 1.0;
        Self {
            count: set.count,
            sum: set.sum,
            minimum: set.minimum,
            maximum: set.maximum,
            shape: alike.then(|| Shape::Exact(vec![(set.maximum, set.count)])),
        }
    }

    /// Adds another's values to it.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.shape = match (self.shape.take(), &other.shape) {
            (Some(ours), Some(theirs)) => Some(ours.merged(theirs)),
            _ => None,
        };
    }

    pub fn average(&self) -> f64 {
        self.sum / self.count
    }

    /// Values, ascending, with how often each came; none where that is not known.
    pub fn values(&self) -> Option<Vec<(f64, f64)>> {
        let within = |value: f64| value.clamp(self.minimum, self.maximum);
        match self.shape.as_ref()? {
            Shape::Exact(values) => Some(values.clone()),
            Shape::Bins(bins) => {
                let of = |(bin, count): (&i32, &f64)| (within(value_of(*bin)), *count);
                Some(bins.iter().map(of).collect())
            }
        }
    }

    /// Version, four numbers, then pairs of a value or a bin with its count.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, pairs) = match &self.shape {
            None => (0, 0),
            Some(Shape::Exact(values)) => (1, values.len()),
            Some(Shape::Bins(bins)) => (2, bins.len()),
        };
        let mut out = Vec::with_capacity(34 + pairs * 16);
        out.extend_from_slice(&[VERSION, kind]);
        for number in [self.count, self.sum, self.minimum, self.maximum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        match &self.shape {
            None => {}
            Some(Shape::Exact(values)) => {
                for (value, count) in values {
                    out.extend_from_slice(&value.to_le_bytes());
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
            Some(Shape::Bins(bins)) => {
                for (bin, count) in bins {
                    out.extend_from_slice(&bin.to_le_bytes());
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
        }
        out
    }

    /// None where the bytes are not one of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, kind], mut rest) = bytes.split_first_chunk::<2>()?;
        if version != VERSION {
            return None;
        }
        let mut numbers = [0.0; 4];
        for number in &mut numbers {
            let taken;
            (taken, rest) = rest.split_first_chunk::<8>()?;
            *number = f64::from_le_bytes(*taken);
        }
        let shape = match kind {
            0 => None,
            1 => Some(Shape::Exact(pairs(rest, f64::from_le_bytes)?)),
            2 => Some(Shape::Bins(
                pairs(rest, i32::from_le_bytes)?.into_iter().collect(),
            )),
            _ => return None,
        };
        let [count, sum, minimum, maximum] = numbers;
        Some(Self {
            count,
            sum,
            minimum,
            maximum,
            shape,
        })
    }
}

fn pairs<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Option<Vec<(T, f64)>> {
    let (mut rest, mut all) = (bytes, Vec::with_capacity(bytes.len() / (N + 8)));
    while !rest.is_empty() {
        let (first, after) = rest.split_first_chunk::<N>()?;
        let (count, after) = after.split_first_chunk::<8>()?;
        all.push((read(*first), f64::from_le_bytes(*count)));
        rest = after;
    }
    Some(all)
}

impl Shape {
    fn merged(self, other: &Self) -> Self {
        let (Self::Exact(ours), Self::Exact(theirs)) = (&self, other) else {
            let mut bins = self.into_bins();
            match other {
                Self::Exact(values) => values
                    .iter()
                    .for_each(|(v, n)| add(&mut bins, bin_of(*v), *n)),
                Self::Bins(theirs) => theirs.iter().for_each(|(bin, n)| add(&mut bins, *bin, *n)),
            }
            return Self::Bins(bounded(bins));
        };
        let mut all = ours.clone();
        for (value, count) in theirs {
            match all.binary_search_by(|(v, _)| v.total_cmp(value)) {
                Ok(at) => all[at].1 += count,
                Err(at) => all.insert(at, (*value, *count)),
            }
        }
        match all.len() {
            0..=EXACT_MAX => Self::Exact(all),
            _ => Self::Bins(Self::Exact(all).into_bins()),
        }
    }

    fn into_bins(self) -> BTreeMap<i32, f64> {
        match self {
            Self::Bins(bins) => bins,
            Self::Exact(values) => {
                let mut bins = BTreeMap::new();
                for (value, count) in values {
                    add(&mut bins, bin_of(value), count);
                }
                bins
            }
        }
    }
}

fn add(bins: &mut BTreeMap<i32, f64>, bin: i32, count: f64) {
    *bins.entry(bin).or_default() += count;
}

/// Joins the bins next to zero until there are few enough.
fn bounded(mut bins: BTreeMap<i32, f64>) -> BTreeMap<i32, f64> {
    while bins.len() > BINS_MAX {
        let Some(smallest) = bins.keys().copied().min_by_key(|bin| bin.unsigned_abs()) else {
            return bins;
        };
        let count = bins.remove(&smallest).unwrap_or_default();
        let Some(next) = bins.keys().copied().min_by_key(|bin| bin.unsigned_abs()) else {
            return bins;
        };
        add(&mut bins, next, count);
    }
    bins
}

/// Zero has bin 0; other values have that of their magnitude, moved so that the smallest has bin 1,
/// with their sign.
fn bin_of(value: f64) -> i32 {
    let magnitude = value.abs();
    if magnitude < SMALLEST {
        return 0;
    }
    // CloudWatch takes magnitudes up to 2^360: the quotient is below 20,000.
    #[allow(clippy::cast_possible_truncation)]
    let bin = ((magnitude / SMALLEST).ln() / GROWTH.ln()).ceil() as i32 + 1;
    if value < 0.0 { -bin } else { bin }
}

/// The value that is as far from both bounds of a bin as the error allows.
fn value_of(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let upper = SMALLEST * GROWTH.powi(bin.abs() - 1);
    let value = upper * 2.0 / (GROWTH + 1.0);
    if bin < 0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut values = values.into_iter();
        let mut whole = Distribution::of(values.next().unwrap(), 1.0);
        values.for_each(|value| whole.merge(&Distribution::of(value, 1.0)));
        whole
    }

    #[test]
    fn few_values_are_kept_as_they_are() {
        let mut some = all([3.5, -2.0, 0.0, 3.5]);
        some.merge(&Distribution::of(7.0, 4.0));
        assert_eq!(
            some.values().unwrap(),
            [(-2.0, 1.0), (0.0, 1.0), (3.5, 2.0), (7.0, 4.0)]
        );
        assert_eq!((some.count, some.sum), (8.0, 33.0));
        assert_eq!((some.minimum, some.maximum), (-2.0, 7.0));
    }

    #[test]
    fn many_values_are_found_again_within_the_error_whatever_their_size_and_sign() {
        for scale in [1e-9, 1.0, 1e12, 2f64.powi(350)] {
            let values: Vec<f64> = (-500..500).map(|n| f64::from(n) * scale).collect();
            let found = all(values.iter().copied()).values().unwrap();
            assert_eq!(found.iter().map(|(_, n)| n).sum::<f64>(), 1000.0);
            let mut expected = values.into_iter();
            for (found, count) in found {
                for _ in 0..count as usize {
                    let value = expected.next().unwrap();
                    let error = (found - value).abs();
                    assert!(
                        error <= value.abs() * RELATIVE_ERROR * 1.000_001,
                        "{value} was found as {found}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_order_of_merging_does_not_matter_and_bytes_bring_all_back() {
        let values: Vec<f64> = (0..200).map(|n| f64::from(n * n % 211)).collect();
        let (left, right) = values.split_at(70);
        let (left, right) = (all(left.to_vec()), all(right.to_vec()));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.merge(&right);
        other.merge(&left);
        assert_eq!(one, other);
        for some in [left, one, Distribution::of(0.1, 1.0)] {
            assert_eq!(Distribution::from_bytes(&some.to_bytes()), Some(some));
        }
        assert_eq!(Distribution::from_bytes(&[1, 2, 3]), None);
        assert_eq!(Distribution::from_bytes(&[]), None);
    }

    #[test]
    fn a_statistic_set_has_no_distribution_unless_its_values_are_alike() {
        let set = StatisticSet {
            count: 10.0,
            sum: 55.0,
            minimum: 1.0,
            maximum: 10.0,
        };
        let mut some = Distribution::of_set(set);
        assert_eq!(some.values(), None);
        assert_eq!(
            Distribution::from_bytes(&some.to_bytes()),
            Some(some.clone())
        );
        some.merge(&Distribution::of(11.0, 1.0));
        assert_eq!((some.values(), some.average()), (None, 6.0));
        let alike = StatisticSet {
            minimum: 5.5,
            maximum: 5.5,
            ..set
        };
        assert_eq!(
            Distribution::of_set(alike).values(),
            Some(vec![(5.5, 10.0)])
        );
    }

    #[test]
    fn bins_are_bounded() {
        let wide =
            all((0..6000).map(|n| 1.1f64.powi(n % 3000) * if n < 3000 { 1.0 } else { -1.0 }));
        let values = wide.values().unwrap();
        assert!(values.len() <= BINS_MAX);
        assert_eq!(values.iter().map(|(_, n)| n).sum::<f64>(), 6000.0);
    }
}
