//! Statistics: how they are named, and what they are of some values.
//!
//! Percentiles are the smallest value that the asked-for share of the values does not exceed.
//! Trimmed ones count values at a bound by the share of them that lies within.

use super::distribution::Distribution;

/// What is asked of the values in a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    /// `p99.9`
    Percentile(f64),
    /// `TM`, `TC`, `TS` or `WM` of a range.
    Within(Trimmed, Range),
    /// `PR(:300)`: how many percent of the values are in a range.
    PercentileRank {
        from: Option<f64>,
        to: Option<f64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trimmed {
    Mean,
    Count,
    Sum,
    /// What lies outside counts as the value at the bound.
    Winsorized,
}

/// A part of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// By percentiles.
    Percent { from: f64, to: f64 },
    /// By the values themselves.
    Values { from: Option<f64>, to: Option<f64> },
}

impl Statistic {
    /// By its name in the API; none for what CloudWatch does not know.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "IQM" => Self::Within(
                Trimmed::Mean,
                Range::Percent {
                    from: 25.0,
                    to: 75.0,
                },
            ),
            _ => return Self::parse_extended(name),
        })
    }

    /// Those of `ExtendedStatistics`, whose names are in either case.
    pub fn parse_extended(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if let Some(percent) = lower.strip_prefix('p').and_then(plain_percent) {
            return Some(Self::Percentile(percent));
        }
        if let Some(range) = lower.strip_prefix("pr").and_then(inner) {
            let (from, to) = range.split_once(':')?;
            let (from, to) = (bound(from)?, bound(to)?);
            let some = from.is_some() || to.is_some();
            return some.then_some(Self::PercentileRank { from, to });
        }
        let of = [
            ("tm", Trimmed::Mean),
            ("tc", Trimmed::Count),
            ("ts", Trimmed::Sum),
            ("wm", Trimmed::Winsorized),
        ];
        let (rest, trimmed) = of
            .into_iter()
            .find_map(|(prefix, trimmed)| Some((lower.strip_prefix(prefix)?, trimmed)))?;
        if let Some(to) = plain_percent(rest) {
            return Some(Self::Within(trimmed, Range::Percent { from: 0.0, to }));
        }
        Some(Self::Within(trimmed, Range::parse(inner(rest)?)?))
    }

    /// What it is of some values; none where these do not tell.
    pub fn of(&self, values: &Distribution) -> Option<f64> {
        let value = match *self {
            Self::SampleCount => values.count,
            Self::Average => values.average(),
            Self::Sum => values.sum,
            Self::Minimum => values.minimum,
            Self::Maximum => values.maximum,
            Self::Percentile(percent) => percentile(&values.values()?, percent),
            Self::Within(trimmed, range) => trimmed_of(trimmed, range, &values.values()?)?,
            Self::PercentileRank { from, to } => {
                let all = values.values()?;
                let within = all.iter().filter(|(value, _)| {
                    from.is_none_or(|from| *value > from) && to.is_none_or(|to| *value <= to)
                });
                let count: f64 = within.map(|(_, count)| count).sum();
                count / values.count * 100.0
            }
        };
        value.is_finite().then_some(value)
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(':')?;
        let percents = from.ends_with('%') || to.ends_with('%');
        if !percents {
            let (from, to) = (bound(from)?, bound(to)?);
            let some = from.is_some() || to.is_some();
            let ordered = from.zip(to).is_none_or(|(from, to)| from < to);
            return (some && ordered).then_some(Self::Values { from, to });
        }
        let percent = |text: &str, without: f64| match text {
            "" => Some(without),
            text => percent(text.strip_suffix('%')?),
        };
        let (from, to) = (percent(from, 0.0)?, percent(to, 100.0)?);
        (from < to).then_some(Self::Percent { from, to })
    }
}

fn inner(text: &str) -> Option<&str> {
    text.strip_prefix('(')?.strip_suffix(')')
}

/// A bound of values; nothing is no bound.
fn bound(text: &str) -> Option<Option<f64>> {
    match text {
        "" => Some(None),
        text => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Some),
    }
}

/// At most ten digits behind the point, as CloudWatch has it.
fn percent(text: &str) -> Option<f64> {
    let begins = text.starts_with(|c: char| c.is_ascii_digit());
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let number: f64 = text.parse().ok()?;
    (begins && digits <= 10 && (0.0..=100.0).contains(&number)).then_some(number)
}

fn plain_percent(text: &str) -> Option<f64> {
    percent(text)
}

fn percentile(values: &[(f64, f64)], percent: f64) -> f64 {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    let wanted = total * percent / 100.0;
    let mut seen = 0.0;
    for (value, count) in values {
        seen += count;
        // A hair's breadth for sums of counts that are no whole numbers.
        if seen + total * 1e-12 >= wanted {
            return *value;
        }
    }
    values.last().map_or(f64::NAN, |(value, _)| *value)
}

fn trimmed_of(trimmed: Trimmed, range: Range, values: &[(f64, f64)]) -> Option<f64> {
    let parts = match range {
        Range::Values { from, to } => by_values(values, from, to),
        Range::Percent { from, to } => by_percent(values, from, to),
    };
    let count: f64 = parts.iter().map(|part| part.within).sum();
    let sum: f64 = parts.iter().map(|part| part.value * part.within).sum();
    match trimmed {
        Trimmed::Count => Some(count),
        Trimmed::Sum => Some(sum),
        Trimmed::Mean => (count > 0.0).then(|| sum / count),
        Trimmed::Winsorized => {
            let inside: Vec<&Part> = parts.iter().filter(|part| part.within > 0.0).collect();
            let (first, last) = (inside.first()?, inside.last()?);
            let below: f64 = parts.iter().map(|part| part.below).sum();
            let above: f64 = parts.iter().map(|part| part.above).sum();
            let total = count + below + above;
            Some((sum + below * first.value + above * last.value) / total)
        }
    }
}

/// How many of a value's occurrences are in a range, below it and above it.
struct Part {
    value: f64,
    below: f64,
    within: f64,
    above: f64,
}

fn by_values(values: &[(f64, f64)], from: Option<f64>, to: Option<f64>) -> Vec<Part> {
    let part = |&(value, count): &(f64, f64)| {
        let is_below = from.is_some_and(|from| value <= from);
        let is_above = !is_below && to.is_some_and(|to| value > to);
        Part {
            value,
            below: if is_below { count } else { 0.0 },
            within: if is_below || is_above { 0.0 } else { count },
            above: if is_above { count } else { 0.0 },
        }
    };
    values.iter().map(part).collect()
}

fn by_percent(values: &[(f64, f64)], from: f64, to: f64) -> Vec<Part> {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    let (from, to) = (total * from / 100.0, total * to / 100.0);
    let mut seen = 0.0;
    let mut part = |&(value, count): &(f64, f64)| {
        let (first, last) = (seen, seen + count);
        seen = last;
        let below = (from.min(last) - first).max(0.0);
        let above = (last - to.max(first)).max(0.0);
        Part {
            value,
            below,
            above,
            within: (count - below - above).max(0.0),
        }
    };
    values.iter().map(&mut part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, values: &[f64]) -> Option<f64> {
        let mut all = Distribution::of(values[0], 1.0);
        for value in &values[1..] {
            all.merge(&Distribution::of(*value, 1.0));
        }
        Statistic::parse(name).expect(name).of(&all)
    }

    #[test]
    fn statistics_of_a_hundred_values() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        for (name, expected) in [
            ("SampleCount", 100.0),
            ("Average", 50.5),
            ("Sum", 5050.0),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
        ] {
            assert_eq!(of(name, &values), Some(expected), "{name}");
        }
    }

    #[test]
    fn extended_statistics_of_ten_values() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0];
        for (name, expected) in [
            ("p50", 5.0),
            ("p0", 1.0),
            ("p90", 9.0),
            ("p99.9", 100.0),
            ("p100", 100.0),
            ("tm90", 5.0),
            ("TM(10%:90%)", 5.5),
            ("tm(:5)", 3.0),
            ("IQM", 5.5),
            ("tc(2:5)", 3.0),
            ("ts(80%:)", 109.0),
            ("wm90", 5.4),
            ("WM(10%:90%)", 5.5),
            ("PR(:5)", 50.0),
            ("pr(5:9)", 40.0),
            ("PR(9:)", 10.0),
        ] {
            let found = of(name, &values).unwrap();
            assert!((found - expected).abs() < 1e-9, "{name}: {found}");
        }
    }

    #[test]
    fn what_is_no_statistic_is_none() {
        for name in [
            "",
            "sum",
            "p",
            "p101",
            "px",
            "p-1",
            "pinf",
            "tm",
            "tm()",
            "tm(90%:10%)",
            "PR(:)",
            "tm(5:1)",
            "tm(:)",
            "p1.12345678901",
            "tm(1%:5)",
            "AVG",
        ] {
            assert_eq!(Statistic::parse(name), None, "{name}");
        }
    }
}
