//! Metric math: expressions over series and numbers.
//!
//! Parsing and evaluation are pure. What an expression needs from the store (the metrics that a
//! `SEARCH` finds) is read before, see `data.rs`. Functions that are not here are refused by name.

mod eval;
mod functions;
mod parse;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use eval::{Names, evaluate};
pub use parse::{Expr, parse};
pub use search::search;

/// The text of what is wrong; who asked is told in which expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MathError(pub String);

pub type Result<T> = std::result::Result<T, MathError>;

fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(MathError(message.into()))
}

/// Values by time, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    pub label: String,
    pub period_s: i64,
    pub points: BTreeMap<i64, f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(f64),
    Series(Series),
    Many(Vec<Series>),
    /// An argument such as `'Average'`.
    Text(String),
}

/// The times that a request is about: from the first on, before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start_s: i64,
    pub end_s: i64,
}

/// Points that an expression may make of nothing, and series that it may hold.
const POINTS_MAX: i64 = 100_800;
const SERIES_MAX: usize = 500;

impl Span {
    fn times(self, period_s: i64) -> Result<impl Iterator<Item = i64>> {
        let period_s = period_s.max(1);
        if (self.end_s - self.start_s) / period_s > POINTS_MAX {
            return wrong("The expression makes too many datapoints");
        }
        let count = (self.end_s - self.start_s + period_s - 1).div_euclid(period_s);
        Ok((0..count).map(move |n| self.start_s + n * period_s))
    }
}
