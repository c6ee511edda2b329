//! Looks at metric alarms when their time has come: each minute, and those with periods below a
//! minute every ten seconds. After a start all are due.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    AlarmRecord, MetricTerms, NewState, StateValue, Terms,
    verdict::{self, MORE_PERIODS, Period, Verdict},
};
use crate::metrics::{
    Metrics,
    data::{Query, Source, Stat, Times},
    error::{Error, Result},
    statistic::Statistic,
    window::Window,
};

/// Between passes that nothing wakes.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(3600);

/// How long after a period's end its data is looked at, in milliseconds: what is put at the end of
/// a minute is to be there.
const LATE_MS: i64 = 5_000;
const LATE_SHORT_MS: i64 = 1_000;
/// An alarm whose state was set by hand is not told that nothing is known before that.
const KEPT_MS_MIN: i64 = 60_000;

/// Every so many milliseconds, and so many after.
fn turn(terms: &MetricTerms) -> (i64, i64) {
    match terms.period_s() < 60 {
        true => (10_000, LATE_SHORT_MS),
        false => (60_000, LATE_MS),
    }
}

/// Which of its times a time is.
fn turn_at(terms: &MetricTerms, now_ms: i64) -> i64 {
    let (every_ms, late_ms) = turn(terms);
    (now_ms - late_ms).div_euclid(every_ms)
}

/// Looks at all alarms whose time has come, and sees to it that it is woken for the next.
pub async fn pass(metrics: Metrics, now: Timestamp) -> Result<()> {
    let now_ms = now.as_millisecond();
    let (mut next_ms, mut failed) = (i64::MAX, None);
    for alarm in metrics.alarms().every() {
        let Terms::Metric(terms) = &alarm.terms else {
            continue;
        };
        let current = turn_at(terms, now_ms);
        let (every_ms, late_ms) = turn(terms);
        next_ms = next_ms.min((current + 1) * every_ms + late_ms);
        if !metrics.is_due(&alarm, current) {
            continue;
        }
        // The others are looked at all the same; this one again soon.
        match metrics.look_at(&alarm, terms, now).await {
            Ok(()) => metrics.looked_at(&alarm, current),
            Err(error) => failed = Some(error),
        }
    }
    metrics.wake_at(next_ms);
    failed.map_or(Ok(()), Err)
}

impl Metrics {
    /// An alarm that was just put waits for its next time.
    pub(super) fn look_later(&self, alarm: &Arc<AlarmRecord>, now_ms: i64) {
        if let Terms::Metric(terms) = &alarm.terms {
            self.looked_at(alarm, turn_at(terms, now_ms));
        }
        self.alarms().wake.wake();
    }

    fn looked_at(&self, alarm: &AlarmRecord, turn: i64) {
        let looked = self.alarms().looked.lock();
        let mut looked = looked.unwrap_or_else(PoisonError::into_inner);
        looked.insert(alarm.key(), turn);
    }

    fn is_due(&self, alarm: &AlarmRecord, turn: i64) -> bool {
        let looked = self.alarms().looked.lock();
        let looked = looked.unwrap_or_else(PoisonError::into_inner);
        looked.get(&alarm.key()).is_none_or(|last| *last < turn)
    }

    fn wake_at(&self, at_ms: i64) {
        let alarms = self.alarms();
        let mut timer = alarms.timer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = timer.take() {
            before.abort();
        }
        if at_ms == i64::MAX {
            return;
        }
        let wait_ms = (at_ms - Timestamp::now().as_millisecond()).max(1);
        let wake = alarms.wake.clone();
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
            wake.wake();
        });
        *timer = Some(waiting.abort_handle());
    }

    async fn look_at(
        &self,
        alarm: &Arc<AlarmRecord>,
        terms: &MetricTerms,
        now: Timestamp,
    ) -> Result<()> {
        let new = match self.periods(alarm, terms, now).await {
            Ok(periods) => match verdict::of(terms, &periods, now) {
                Some(verdict) => verdict,
                None => return Ok(()),
            },
            // The expression is wrong for what there is, e.g. finds several series.
            Err(Error::Validation(why)) => Verdict {
                value: StateValue::InsufficientData,
                reason: format!("Insufficient Data: {why}"),
                reason_data: "{}".to_owned(),
                is_empty: true,
            },
            Err(error) => return Err(error),
        };
        let is_same = new.value == alarm.state.value;
        let is_unknown = new.value == StateValue::InsufficientData && new.is_empty;
        let range_s = i64::from(terms.evaluation_periods + MORE_PERIODS) * terms.period_s();
        let kept_ms = (range_s * 1000).max(KEPT_MS_MIN);
        let is_fresh = now.as_millisecond() - alarm.state.updated_at_ms < kept_ms;
        if is_same || (is_unknown && is_fresh) {
            return Ok(());
        }
        let new = NewState {
            value: new.value,
            reason: new.reason,
            reason_data: Some(new.reason_data),
        };
        self.judged(alarm, new, now.as_millisecond()).await
    }

    /// The periods that have ended, the newest first.
    async fn periods(
        &self,
        alarm: &AlarmRecord,
        terms: &MetricTerms,
        now: Timestamp,
    ) -> Result<Vec<Period>> {
        let period_s = terms.period_s();
        let count = i64::from(terms.evaluation_periods + MORE_PERIODS);
        let grid_s = period_s.min(60);
        let end_s = now.as_second().div_euclid(grid_s) * grid_s;
        let at = |second: i64| Timestamp::from_second(second).map_err(Error::platform);
        let times = Times {
            start: at(end_s - count * period_s)?,
            end: at(end_s)?,
            now,
        };
        let mut queries = terms.queries();
        let counted = counted(&queries);
        let has_counts = counted.is_some();
        queries.extend(counted);
        let mut found = self.data(&alarm.home(), &queries, times).await?;
        // The last of the queries, whose one result is the last of these.
        let counts = match has_counts {
            true => found.pop(),
            false => None,
        };
        let [found] = found.as_slice() else {
            return Err(Error::validation(format!(
                "the expression returns {} time series and not one",
                found.len()
            )));
        };
        let first_s = Window::new(times.start, times.end, period_s, now).start_s;
        let period = |n: i64| {
            let at_s = first_s + n * period_s;
            Period {
                at_s,
                value: found.points.get(&at_s).copied(),
                count: counts
                    .as_ref()
                    .and_then(|counts| counts.points.get(&at_s).copied()),
            }
        };
        Ok((0..count).rev().map(period).collect())
    }
}

/// How many values there are of the metric of an alarm that looks at one.
fn counted(queries: &[Query]) -> Option<Query> {
    let [
        Query {
            source: Source::Stat(stat),
            ..
        },
    ] = queries
    else {
        return None;
    };
    Some(Query {
        // No client's id begins so.
        id: "_count".to_owned(),
        source: Source::Stat(Stat {
            statistic: Statistic::SampleCount,
            statistic_name: "SampleCount".to_owned(),
            ..stat.clone()
        }),
        label: None,
        returned: true,
    })
}
