//! Amazon EventBridge Scheduler: what is to happen at a time, or again and again.
//!
//! A schedule is a record in the store and, while it has something ahead, a timer beside it
//! (`crate::timers`); none is kept in memory. At a tick it is decided which occurrence that is
//! (`tick.rs`) and what is delivered (`fire.rs`); the delivery and the timer's next tick are one
//! transaction.

mod api;
mod error;
pub mod expression;
mod fire;
mod groups;
mod key;
mod limits;
mod list;
mod requested;
mod tables;
mod target;
mod tick;
mod universal;
mod verbs;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use store::Store;

pub use tables::{MIGRATION_COUNT, migrations};
pub use universal::{Operations, Universal};

use crate::{
    background::{Background, Wake},
    clock::Clock,
    deliveries::Deliveries,
    timers::{Due, Owner, Tick, Timers},
};
use key::ScheduleKey;
use tables::{GROUPS, SCHEDULES};

/// The name of their timers' owner.
const TIMERS: &str = "schedules";

/// A cheap handle.
#[derive(Clone)]
pub struct Schedules(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<Clock>,
    timers: Timers,
    deliveries: Deliveries,
    /// Of what deletes the schedules of large groups.
    wake: Wake,
}

impl Schedules {
    pub fn open(
        store: Store,
        clock: Arc<Clock>,
        timers: Timers,
        deliveries: Deliveries,
        background: &Background,
    ) -> Self {
        let this = Self(Arc::new(Inner {
            store: store.clone(),
            clock,
            timers: timers.clone(),
            deliveries,
            wake: Wake::default(),
        }));
        timers.register(TIMERS, Arc::new(Ticks(store.clone())));
        let (every, wake) = (limits::LOOK_EVERY, this.0.wake.clone());
        background.keep("schedule_groups", every, wake, move || {
            groups::delete_rest(store.clone())
        });
        this
    }
}

/// What decides at a tick.
struct Ticks(Store);

#[async_trait]
impl Owner for Ticks {
    async fn tick(&self, due: &Due, now_ms: i64) -> store::Result<Tick> {
        let Some(key) = ScheduleKey::of_arn(&due.id) else {
            return Ok(Tick::default());
        };
        let asked = key.clone();
        let found = self.0.read(move |tx| {
            let group = GROUPS.get(tx, &asked.group_parts())?;
            let is_going = group.is_some_and(|group| group.record.is_deleting);
            let schedule = SCHEDULES.get(tx, &asked.parts())?;
            Ok((schedule, is_going))
        });
        let (schedule, is_going) = found.await?;
        let Some(stored) = schedule.filter(|_| !is_going) else {
            return Ok(Tick {
                also: Some(Arc::new(move |tx| {
                    let is_there = SCHEDULES.get(tx, &key.parts())?.is_some();
                    Ok(is_going || !is_there)
                })),
                ..Tick::default()
            });
        };
        let schedule = stored.record;
        let random = random();
        let decided = tick::decide(&schedule, due, now_ms, random);
        if decided.was_late {
            tracing::warn!(
                schedule = due.id,
                fires = decided.fires.is_some(),
                "a schedule is late; of what it missed only the last is made up for"
            );
        }
        let deliveries = decided.fires.map(|occurrence| {
            let id = uuid::Uuid::new_v4().to_string();
            fire::delivery(&key, &schedule, occurrence, &id)
        });
        let (revision, is_over) = (stored.revision, decided.next.is_none());
        let goes = is_over && schedule.deletes_itself;
        Ok(Tick {
            deliveries: deliveries.into_iter().collect(),
            next: decided.next,
            also: Some(Arc::new(move |tx| {
                let held = SCHEDULES.get(tx, &key.parts())?;
                let as_it_was = held.is_some_and(|held| held.revision == revision);
                if as_it_was && goes {
                    SCHEDULES.delete(tx, &key.parts())?;
                }
                Ok(as_it_was)
            })),
        })
    }
}

/// From 0 up to 1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        // A system without randomness spreads nothing within windows.
        Err(_) => 0.0,
    }
}
