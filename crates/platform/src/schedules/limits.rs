//! Bounds of schedules. EventBridge Scheduler's own quotas name themselves.

use std::time::Duration;

/// Groups of an account in a region; Scheduler's quota.
pub const GROUPS_MAX: u64 = 500;
/// Tags of a group; Scheduler's quota.
pub const TAGS_MAX: usize = 50;
/// Scheduler's own defaults and limits for what could not be delivered.
pub const RETRIES_DEFAULT: u32 = 185;
pub const AGE_S_DEFAULT: u32 = 86_400;
/// What a queue or a topic takes, and a function asynchronously.
pub const INPUT_BYTES_MAX: usize = 262_144;

/// A tick that comes later than this is one that was missed, in milliseconds: Scheduler is precise
/// to a minute. A one-time schedule for a time within that before now is in time as well.
pub const LATE_MS: i64 = 60_000;
/// How far back a StartDate may lie, in milliseconds; Scheduler's own figure.
pub const START_AGE_MS_MAX: i64 = 300_000;

/// Results of a page, and how many schedules are looked at for one at most: fewer match where they
/// are asked for by name or state, and then the page is short.
pub const PAGE_MAX: usize = 100;
pub const PAGE_READ_MAX: usize = 5_000;
pub const READ_AT_ONCE: u32 = 500;
/// Schedules of a group that are deleted in one transaction.
pub const DELETED_AT_ONCE: u32 = 500;
/// Groups whose schedules are still being deleted are looked for from time to time.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);
