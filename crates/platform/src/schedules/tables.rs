//! What is stored: a record per group and per schedule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};

use super::expression::{Dialect, Expression, InvalidExpression, Timing, zone};

pub const GROUPS: Table<Group> = Table::new();
pub const SCHEDULES: Table<Schedule> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    const TABLES: &str = concat!(
        store::records_table!("schedule_groups"),
        store::records_table!("schedules"),
    );
    [Migration::new(first, "schedules", TABLES)]
}

/// Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub created_ms: i64,
    pub modified_ms: i64,
    /// Its schedules are being deleted, and then it goes.
    pub is_deleting: bool,
    pub tags: BTreeMap<String, String>,
    /// Of the request that made it.
    pub client_token: Option<String>,
}

impl Record for Group {
    const TABLE: &'static str = "schedule_groups";
    const VERSION: u32 = 1;
}

/// Keyed by account, region, group and name. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub asked: Asked,
    pub created_ms: i64,
    pub modified_ms: i64,
    /// What a rate counts from.
    pub anchor_ms: i64,
    /// Of the request that made it.
    pub client_token: Option<String>,
}

impl Record for Schedule {
    const TABLE: &'static str = "schedules";
    const VERSION: u32 = 1;
}

/// What was asked for, with what is put in where nothing was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub expression: String,
    pub zone: String,
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    pub description: Option<String>,
    pub is_enabled: bool,
    /// The flexible time window; none is OFF.
    pub window_minutes: Option<u32>,
    pub deletes_itself: bool,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub arn: String,
    pub role_arn: String,
    pub dead_letter_arn: Option<String>,
    pub retries_max: u32,
    pub age_max_s: u32,
    pub input: Option<String>,
    /// SqsParameters.
    pub message_group: Option<String>,
    /// EventBridgeParameters.
    pub bus: Option<BusEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusEvent {
    pub source: String,
    pub detail_type: String,
}

impl std::ops::Deref for Schedule {
    type Target = Asked;

    fn deref(&self) -> &Asked {
        &self.asked
    }
}

impl Asked {
    pub fn expression(&self) -> Result<Expression, InvalidExpression> {
        Expression::parse(&self.expression, Dialect::Scheduler)
    }

    pub fn window_ms(&self) -> i64 {
        i64::from(self.window_minutes.unwrap_or(0)) * 60_000
    }

    /// Whether it has the same occurrences as another.
    pub fn occurs_like(&self, other: &Self) -> bool {
        let of = |asked: &Self| {
            (
                asked.expression.clone(),
                asked.zone.clone(),
                asked.start_ms,
                asked.is_enabled,
            )
        };
        of(self) == of(other)
    }
}

impl Schedule {
    /// None if this program knows its expression or its time zone no more.
    pub fn timing(&self) -> Option<Timing> {
        Some(Timing {
            expression: self.expression().ok()?,
            zone: zone(&self.zone)?,
            anchor_ms: self.anchor_ms,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
        })
    }
}
