//! When something is to happen: the expressions of EventBridge Scheduler and of EventBridge's
//! rules, `rate(…)`, `cron(…)` and `at(…)`, in a time zone and between two dates.
//!
//! Pure: no clock, and no search without an end. Sources: the Scheduler user guide, "Schedule types",
//! and the EventBridge user guide, "Cron and rate expressions".

mod cron;
mod day;
mod field;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_oracle;

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use cron::Cron;

/// Whose expressions: they differ a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// EventBridge Scheduler: also `at(…)`; a rate's unit need not agree with its number.
    Scheduler,
    /// EventBridge's rules: `rate(1 minute)`, but `rate(2 minutes)`.
    Rules,
}

/// What was written is none. Each service has its own words for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a schedule expression")]
pub struct InvalidExpression;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    At(DateTime),
    /// Milliseconds, above 0.
    Rate(i64),
    Cron(Box<Cron>),
}

const MINUTE_MS: i64 = 60_000;

impl Expression {
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, InvalidExpression> {
        let inner = |name: &str| {
            let rest = text.strip_prefix(name)?.strip_prefix('(')?;
            rest.strip_suffix(')')
        };
        let kind = if let Some(inner) = inner("rate") {
            rate(inner, dialect).map(Kind::Rate)
        } else if let Some(inner) = inner("cron") {
            Cron::parse(inner).map(|cron| Kind::Cron(Box::new(cron)))
        } else if let (Some(inner), Dialect::Scheduler) = (inner("at"), dialect) {
            at(inner).map(Kind::At)
        } else {
            None
        };
        kind.map(Self).ok_or(InvalidExpression)
    }

    /// Whether it names one point in time.
    pub fn is_once(&self) -> bool {
        matches!(self.0, Kind::At(_))
    }

    pub fn is_rate(&self) -> bool {
        matches!(self.0, Kind::Rate(_))
    }
}

/// An expression with all that decides about its occurrences.
#[derive(Debug, Clone)]
pub struct Timing {
    pub expression: Expression,
    pub zone: TimeZone,
    /// What a rate counts from: it occurs then, and every so often after. Milliseconds since 1970.
    pub anchor_ms: i64,
    /// No occurrence before, and none after; one at just that time is. `at(…)` knows neither.
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
}

impl Timing {
    /// In UTC and for ever, as rules have it.
    pub fn in_utc(expression: Expression, anchor_ms: i64) -> Self {
        Self {
            expression,
            zone: TimeZone::UTC,
            anchor_ms,
            start_ms: None,
            end_ms: None,
        }
    }

    /// The first occurrence after `after_ms`, in milliseconds since 1970. None: there is no more.
    pub fn next_after(&self, after_ms: i64) -> Option<i64> {
        let from_start = self.start_ms.map_or(i64::MIN, |start| start - 1);
        let after = after_ms.max(from_start);
        let next = match &self.expression.0 {
            Kind::At(at) => {
                let at = instant_of(&self.zone, *at)?;
                return (at > after_ms).then_some(at);
            }
            Kind::Rate(every) => next_of_rate(*every, self.anchor_ms, after),
            Kind::Cron(cron) => next_of_cron(cron, &self.zone, after),
        }?;
        (next <= self.end_ms.unwrap_or(i64::MAX)).then_some(next)
    }
}

/// The one with the name in IANA's database, such as `Europe/Berlin`.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn next_of_rate(every_ms: i64, anchor_ms: i64, after_ms: i64) -> Option<i64> {
    if after_ms < anchor_ms {
        return Some(anchor_ms);
    }
    let passed = after_ms.checked_sub(anchor_ms)? / every_ms;
    anchor_ms.checked_add(every_ms.checked_mul(passed.checked_add(1)?)?)
}

/// A time that a clock put forward leaves out does not occur; of two that one put back makes, the
/// first does.
fn next_of_cron(cron: &Cron, zone: &TimeZone, after_ms: i64) -> Option<i64> {
    // Before the first year there is nothing to find.
    let after = Timestamp::from_millisecond(after_ms.max(-1)).ok()?;
    let mut next = cron.first_after(zone.to_datetime(after))?;
    loop {
        let offset = match zone.to_ambiguous_timestamp(next).offset() {
            AmbiguousOffset::Unambiguous { offset } => Some(offset),
            AmbiguousOffset::Fold { before, .. } => Some(before),
            AmbiguousOffset::Gap { .. } => None,
        };
        let at = offset.and_then(|offset| offset.to_timestamp(next).ok());
        match at {
            Some(at) if at > after => return Some(at.as_millisecond()),
            // As many rounds as the clocks were changed by minutes.
            _ => next = cron.first_after(next)?,
        }
    }
}

/// One that the clocks leave out is moved by as much as they were: it was asked for.
fn instant_of(zone: &TimeZone, at: DateTime) -> Option<i64> {
    let at = zone.to_ambiguous_timestamp(at).compatible().ok()?;
    Some(at.as_millisecond())
}

/// `5 minutes`, in milliseconds.
fn rate(inner: &str, dialect: Dialect) -> Option<i64> {
    let (value, unit) = inner.split_once(' ')?;
    let value = number(value).filter(|value| *value > 0)?;
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    let minutes = match singular {
        "minute" => 1,
        "hour" => 60,
        "day" => 24 * 60,
        _ => return None,
    };
    let agrees = (value == 1) == (singular == unit);
    if dialect == Dialect::Rules && !agrees {
        return None;
    }
    value.checked_mul(minutes)?.checked_mul(MINUTE_MS)
}

/// `2026-12-31T23:59:59`
fn at(inner: &str) -> Option<DateTime> {
    let shape = "dddd-dd-ddTdd:dd:dd";
    let fits = |(text, shape): (u8, u8)| match shape {
        b'd' => text.is_ascii_digit(),
        other => text == other,
    };
    if inner.len() != shape.len() || !inner.bytes().zip(shape.bytes()).all(fits) {
        return None;
    }
    // Within the shape, so that a leap second is the only thing left to ask about.
    let second = &inner[17..];
    inner.parse().ok().filter(|_| second != "60")
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}
