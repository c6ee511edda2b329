//! Making, reading, changing and deleting schedules.

use store::Tx;
use wire::{
    Context,
    scheduler::{CreateScheduleInput, UpdateScheduleInput},
};

use super::{
    Schedules, TIMERS,
    error::{Error, Result},
    groups,
    key::{DEFAULT_GROUP, GroupKey, ScheduleKey},
    random, requested,
    tables::{SCHEDULES, Schedule},
    tick,
};
use crate::timers::{self, Next};

/// Which schedule a request names.
pub fn key_of(cx: &Context, group: Option<&str>, name: &str) -> ScheduleKey {
    let group = GroupKey {
        account_id: cx.account_id.clone(),
        region: cx.region.clone(),
        name: group.unwrap_or(DEFAULT_GROUP).to_owned(),
    };
    group.schedule(name)
}

impl Schedules {
    /// Gives its ARN.
    pub(super) async fn create(&self, cx: &Context, input: CreateScheduleInput) -> Result<String> {
        let key = key_of(cx, input.group_name.as_deref(), &input.name);
        let now_ms = self.0.clock.now_ms();
        let client_token = input.client_token.clone();
        let asked = requested::asked(input, now_ms, None)?;
        self.check_target(&asked.target.arn)?;
        let schedule = Schedule {
            anchor_ms: asked.start_ms.unwrap_or(now_ms),
            asked,
            created_ms: now_ms,
            modified_ms: now_ms,
            client_token,
        };
        let next = tick::first(&schedule, now_ms, random());
        let arn = key.arn();
        let id = arn.clone();
        let written = self.0.store.try_write(move |tx| {
            groups::require(tx, &key.group(), now_ms)?;
            if let Some(held) = SCHEDULES.get(tx, &key.parts())? {
                let held = held.record;
                let same = held.client_token.is_some()
                    && held.client_token == schedule.client_token
                    && held.asked == schedule.asked;
                return match same {
                    true => Ok(None),
                    false => Err(Error::ScheduleExists(key.name.clone())),
                };
            }
            SCHEDULES.insert(tx, &key.parts(), &schedule)?;
            timers::set(tx, TIMERS, &id, next)?;
            Ok(next)
        });
        self.0.timers.ring(written.await?);
        Ok(arn)
    }

    pub(super) async fn get(&self, key: &ScheduleKey) -> Result<Schedule> {
        let asked = key.clone();
        let found = self
            .0
            .store
            .read(move |tx| SCHEDULES.get(tx, &asked.parts()));
        let found = found.await?;
        found
            .map(|found| found.record)
            .ok_or_else(|| Error::NoSchedule(key.name.clone()))
    }

    /// All that is not given is as in a new one.
    pub(super) async fn update(&self, cx: &Context, input: UpdateScheduleInput) -> Result<String> {
        let key = key_of(cx, input.group_name.as_deref(), &input.name);
        let now_ms = self.0.clock.now_ms();
        let held_start_ms = self.get(&key).await?.start_ms;
        let asked = requested::asked(requested::as_created(input), now_ms, held_start_ms)?;
        self.check_target(&asked.target.arn)?;
        let (arn, random) = (key.arn(), random());
        let id = arn.clone();
        let written = self.0.store.try_write(move |tx| {
            let held = SCHEDULES.get(tx, &key.parts())?;
            let held = held.ok_or_else(|| Error::NoSchedule(key.name.clone()))?;
            let goes_on = held.record.occurs_like(&asked);
            let schedule = Schedule {
                asked: asked.clone(),
                modified_ms: now_ms,
                anchor_ms: match goes_on {
                    true => held.record.anchor_ms,
                    false => asked.start_ms.unwrap_or(now_ms),
                },
                created_ms: held.record.created_ms,
                client_token: held.record.client_token.clone(),
            };
            let next = match goes_on {
                true => after_change(tx, &id, &held.record, &schedule, (now_ms, random))?,
                false => tick::first(&schedule, now_ms, random),
            };
            SCHEDULES.update(tx, &key.parts(), held.revision, &schedule)?;
            timers::set(tx, TIMERS, &id, next)?;
            Ok::<_, Error>(next)
        });
        self.0.timers.ring(written.await?);
        Ok(arn)
    }

    pub(super) async fn delete(&self, key: ScheduleKey) -> Result<()> {
        let written = self.0.store.try_write(move |tx| {
            if !SCHEDULES.delete(tx, &key.parts())? {
                return Err(Error::NoSchedule(key.name.clone()));
            }
            Ok(timers::set(tx, TIMERS, &key.arn(), None)?)
        });
        written.await
    }

    /// Whether this platform has what the ARN is of.
    fn check_target(&self, arn: &str) -> Result<()> {
        match self.0.deliveries.takes(arn) {
            true => Ok(()),
            false => Err(Error::unsupported(format!("The target {arn}"))),
        }
    }
}

/// The next tick of a schedule whose occurrences are as before: what has happened does not happen
/// again, and what was ahead is.
fn after_change(
    tx: &mut Tx,
    id: &str,
    before: &Schedule,
    after: &Schedule,
    (now_ms, random): (i64, f64),
) -> Result<Option<Next>> {
    let held = timers::get(tx, TIMERS, id)?;
    if before.end_ms == after.end_ms && before.window_minutes == after.window_minutes {
        return Ok(held);
    }
    let after_ms = held.map_or(now_ms, |held| held.scheduled_ms - 1);
    Ok(tick::next_after(after, after_ms, now_ms, random))
}
