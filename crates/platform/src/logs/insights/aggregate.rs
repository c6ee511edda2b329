//! Functions of many records' values. What each holds is bounded; of very many values those that need
//! all of them take a sample.

use std::collections::HashSet;

use super::{expression::Expression, value::Value};

/// Values that are kept for a percentile, and distinct ones that are counted exactly.
const VALUES_MAX: usize = 10_000;
const DISTINCT_MAX: usize = 100_000;

#[derive(Debug, Clone)]
pub struct Aggregate {
    pub kind: AggregateKind,
    /// None: the records themselves.
    pub of: Option<Expression>,
    /// Which percentile.
    pub percent: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateKind {
    Count,
    CountDistinct,
    Sum,
    Average,
    Minimum,
    Maximum,
    StandardDeviation,
    Percentile,
    Earliest,
    Latest,
    SortsFirst,
    SortsLast,
}

impl AggregateKind {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "count" => Self::Count,
            "count_distinct" => Self::CountDistinct,
            "sum" => Self::Sum,
            "avg" => Self::Average,
            "min" => Self::Minimum,
            "max" => Self::Maximum,
            "stddev" => Self::StandardDeviation,
            "pct" | "median" => Self::Percentile,
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            "sortsfirst" => Self::SortsFirst,
            "sortslast" => Self::SortsLast,
            _ => return None,
        })
    }
}

/// An aggregate of the records so far.
#[derive(Debug, Clone)]
pub enum State {
    Count(u64),
    Distinct(HashSet<String>),
    /// How many, their sum, and that of their squares' distances from the mean.
    Moments {
        count: f64,
        mean: f64,
        spread: f64,
        sum: f64,
    },
    Extreme {
        value: Value,
        wants_more: bool,
    },
    /// By the time of the record.
    AtTime {
        value: Value,
        at_ms: i64,
        wants_more: bool,
    },
    /// A sample, of how many there were.
    Sample {
        values: Vec<f64>,
        count: u64,
    },
}

impl Aggregate {
    pub fn state(&self) -> State {
        match self.kind {
            AggregateKind::Count => State::Count(0),
            AggregateKind::CountDistinct => State::Distinct(HashSet::new()),
            AggregateKind::Sum | AggregateKind::Average | AggregateKind::StandardDeviation => {
                State::Moments {
                    count: 0.0,
                    mean: 0.0,
                    spread: 0.0,
                    sum: 0.0,
                }
            }
            AggregateKind::Minimum | AggregateKind::SortsFirst => State::Extreme {
                value: Value::Null,
                wants_more: false,
            },
            AggregateKind::Maximum | AggregateKind::SortsLast => State::Extreme {
                value: Value::Null,
                wants_more: true,
            },
            AggregateKind::Earliest => State::AtTime {
                value: Value::Null,
                at_ms: i64::MAX,
                wants_more: false,
            },
            AggregateKind::Latest => State::AtTime {
                value: Value::Null,
                at_ms: i64::MIN,
                wants_more: true,
            },
            AggregateKind::Percentile => State::Sample {
                values: Vec::new(),
                count: 0,
            },
        }
    }

    pub fn result(&self, state: &State) -> Value {
        match state {
            State::Count(count) => (*count as f64).into(),
            State::Distinct(all) => (all.len() as f64).into(),
            State::Moments {
                count,
                mean,
                spread,
                sum,
            } => match self.kind {
                _ if *count == 0.0 => Value::Null,
                AggregateKind::Sum => (*sum).into(),
                AggregateKind::Average => (*mean).into(),
                _ if *count < 2.0 => 0.0.into(),
                _ => (spread / (count - 1.0)).sqrt().into(),
            },
            State::Extreme { value, .. } | State::AtTime { value, .. } => value.clone(),
            State::Sample { values, .. } => percentile(values, self.percent),
        }
    }
}

impl State {
    /// Takes a record's value in; none where the records themselves are counted.
    pub fn take(&mut self, value: Option<Value>, record_ms: i64) {
        if value.as_ref().is_some_and(Value::is_null) {
            return;
        }
        match self {
            Self::Count(count) => *count += 1,
            Self::Distinct(all) => {
                if all.len() < DISTINCT_MAX {
                    all.extend(value.and_then(|value| Some(value.text()?.into_owned())));
                }
            }
            Self::Moments {
                count,
                mean,
                spread,
                sum,
            } => {
                if let Some(number) = value.and_then(|value| value.number()) {
                    *count += 1.0;
                    *sum += number;
                    let away = number - *mean;
                    *mean += away / *count;
                    *spread += away * (number - *mean);
                }
            }
            Self::Extreme {
                value: best,
                wants_more,
            } => {
                let value = value.unwrap_or_default();
                let is_more = value.order(best).is_gt();
                let is_less = value.order(best).is_lt();
                if best.is_null() || (*wants_more && is_more) || (!*wants_more && is_less) {
                    *best = value;
                }
            }
            Self::AtTime {
                value: found,
                at_ms,
                wants_more,
            } => {
                let is_it = match *wants_more {
                    true => record_ms > *at_ms || found.is_null(),
                    false => record_ms < *at_ms || found.is_null(),
                };
                if is_it {
                    *found = value.unwrap_or_default();
                    *at_ms = record_ms;
                }
            }
            Self::Sample { values, count } => {
                if let Some(number) = value.and_then(|value| value.number()) {
                    sample(values, *count, number);
                    *count += 1;
                }
            }
        }
    }
}

/// Every value is in the sample with the same chance; which, its number decides.
fn sample(values: &mut Vec<f64>, count: u64, number: f64) {
    if values.len() < VALUES_MAX {
        return values.push(number);
    }
    // As random as a multiplication makes it, and the same each time.
    let mixed = (count + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let place = (mixed >> 11) % (count + 1);
    if let Some(slot) = usize::try_from(place)
        .ok()
        .and_then(|at| values.get_mut(at))
    {
        *slot = number;
    }
}

/// Between the two nearest values.
fn percentile(values: &[f64], percent: f64) -> Value {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return Value::Null;
    };
    let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let part = place - below as f64;
    (sorted[below] * (1.0 - part) + sorted[above] * part).into()
}
