//! Rules that fire by the clock: on the default bus, once for each time that their expression
//! names. What fires and when it fires next are one transaction, so that a time is missed by
//! nobody and told nobody twice. Of the times that passed while the platform was down, the last is
//! made up for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Buses,
    error::{Error, Result},
    event::{Envelope, Event},
    held::{Bus, Rule},
    names::BusKey,
    put::fired,
    tables::{RULES, RuleRecord, RuleState},
};
use crate::schedules::expression::{Dialect, Expression, Timing};

pub fn check(expression: &str) -> Result<()> {
    match Expression::parse(expression, Dialect::Rules) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::invalid("Parameter ScheduleExpression is not valid.")),
    }
}

/// Says when a rule fires next.
pub fn arm(record: &mut RuleRecord, now: Timestamp) {
    record.next_fire_ms = match record.state {
        RuleState::Disabled => None,
        _ => next_after(record, now.as_millisecond()),
    };
}

fn next_after(record: &RuleRecord, after_ms: i64) -> Option<i64> {
    let timing = timing(record)?;
    // A rate counts from when the rule was made, and fires first one time later.
    timing.next_after(after_ms.max(timing.anchor_ms))
}

fn timing(record: &RuleRecord) -> Option<Timing> {
    let expression = record.schedule.as_deref()?;
    let expression = Expression::parse(expression, Dialect::Rules).ok()?;
    let anchor_ms = record.scheduled_from.as_millisecond();
    Some(Timing::in_utc(expression, anchor_ms))
}

impl Buses {
    /// Fires what is due, and has itself woken for what is next.
    pub(super) async fn keep_schedules(&self) -> Result<(), Infallible> {
        let now_ms = self.0.clock.now_ms();
        let mut next: Option<i64> = None;
        for (bus, rule) in self.scheduled() {
            let Some(due) = rule.record.next_fire_ms else {
                continue;
            };
            let again = match due <= now_ms {
                false => Some(due),
                true => match self.fire(&bus, &rule.record.name, now_ms).await {
                    Ok(again) => again,
                    Err(error) => {
                        let rule = rule.arn.as_str();
                        tracing::error!(rule, "a scheduled rule did not fire: {error}");
                        Some(now_ms + RETRY_AFTER_MS)
                    }
                },
            };
            next = [next, again].into_iter().flatten().min();
        }
        self.wake_schedules_in(next.map(|at| at - self.0.clock.now_ms()));
        Ok(())
    }

    fn scheduled(&self) -> Vec<(BusKey, Arc<Rule>)> {
        let all = self.0.buses.all();
        let rules = all.iter().flat_map(|bus| {
            let rules = bus.rules.values();
            let rules = rules.filter(|rule| rule.record.next_fire_ms.is_some());
            rules.map(|rule| (bus.record.key.clone(), rule.clone()))
        });
        rules.collect()
    }

    /// Gives when the rule fires next.
    async fn fire(&self, key: &BusKey, name: &str, now_ms: i64) -> Result<Option<i64>> {
        let _changing = self.0.changing.lock().await;
        // It may have been changed since it was looked at.
        let Some(bus) = self.0.buses.get(key) else {
            return Ok(None);
        };
        let Some(rule) = bus.rules.get(name) else {
            return Ok(None);
        };
        let Some(due) = rule.record.next_fire_ms.filter(|due| *due <= now_ms) else {
            return Ok(rule.record.next_fire_ms);
        };
        let at_ms = last_until(&rule.record, due, now_ms);
        let mut record = rule.record.clone();
        record.next_fire_ms = next_after(&record, now_ms);
        let next = record.next_fire_ms;
        let deliveries = match scheduled_event(&bus, &rule.arn, at_ms) {
            Some(event) => fired(rule, &event),
            None => Vec::new(),
        };
        let changed = bus.with_rule(Rule::new(record.clone())?);
        self.store_with(deliveries, move |tx| {
            RULES.put(tx, &record.parts(), &record).map(drop)
        })
        .await?;
        self.0.buses.put(key.clone(), changed);
        Ok(next)
    }

    fn wake_schedules_in(&self, after_ms: Option<i64>) {
        let wake = self.0.schedules_wake.clone();
        let timer = after_ms.map(|after_ms| {
            let after_ms = u64::try_from(after_ms).unwrap_or(0).min(LONGEST_SLEEP_MS);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                wake.wake();
            })
        });
        let mut held = self.0.timer.lock().unwrap_or_else(|held| held.into_inner());
        if let Some(before) = std::mem::replace(&mut *held, timer) {
            before.abort();
        }
    }
}

/// The wall clock is looked at again from time to time: it may be set.
const LONGEST_SLEEP_MS: u64 = 30_000;
const RETRY_AFTER_MS: i64 = 1_000;

/// The last time that a rule was to fire, from one that is due up to now.
fn last_until(record: &RuleRecord, due_ms: i64, now_ms: i64) -> i64 {
    let Some(timing) = timing(record) else {
        return due_ms;
    };
    let mut last = due_ms;
    // Minutes of a year; beyond that it is close enough.
    for _ in 0..600_000 {
        match timing.next_after(last) {
            Some(next) if next <= now_ms => last = next,
            _ => break,
        }
    }
    last
}

fn scheduled_event(bus: &Bus, rule_arn: &str, at_ms: i64) -> Option<Event> {
    let key = &bus.record.key;
    let time = Timestamp::from_millisecond(at_ms).ok()?;
    let (id, resources) = (Uuid::new_v4().to_string(), [rule_arn.to_owned()]);
    let envelope = Envelope {
        id: &id,
        detail_type: "Scheduled Event",
        source: "aws.events",
        account_id: &key.account_id,
        time,
        region: &key.region,
        resources: &resources,
    };
    Event::new(envelope, "{}", time, None)
}
