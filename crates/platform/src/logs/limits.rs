//! CloudWatch Logs' own limits, and those of ours that only this service has.

/// What PutLogEvents takes at once, in bytes with 26 for each event.
pub const BATCH_BYTES_MAX: usize = 1_048_576;
/// What one batch may span, and how far from now its events may be.
pub const BATCH_SPAN_MAX_MS: i64 = 24 * 3600 * 1000;
pub const EVENT_AGE_MAX_MS: i64 = 14 * 24 * 3600 * 1000;
pub const EVENT_AHEAD_MAX_MS: i64 = 2 * 3600 * 1000;
/// One answer with events: how many, and how large they may be together in bytes.
pub const EVENTS_ANSWERED_MAX: usize = 10_000;
pub const EVENTS_ANSWERED_BYTES_MAX: usize = 1_048_576;
/// What FilterLogEvents looks at before it answers with a token, in bytes on disk. About a second.
pub const LOOKED_AT_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub const GROUPS_LISTED_MAX: usize = 50;
pub const STREAMS_LISTED_MAX: usize = 50;
pub const TAGS_MAX: usize = 50;
/// Per account and region.
pub const GROUPS_MAX: usize = 1_000_000;
pub const RESOURCE_POLICIES_MAX: usize = 10;
pub const RESOURCE_POLICY_BYTES_MAX: usize = 5120;
/// Per group.
pub const METRIC_FILTERS_MAX: usize = 100;
pub const SUBSCRIPTIONS_MAX: usize = 2;
/// What retention may be set to, in days.
pub const RETENTION_DAYS: [i32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];
/// Query definitions per account and region.
pub const QUERY_DEFINITIONS_MAX: usize = 1000;
/// Queries of an account that wait or run; CloudWatch Logs' figure. How many run is our own.
pub const QUERIES_WAITING_MAX: usize = 30;
pub const QUERIES_RUNNING_MAX: usize = 2;
/// Queries that are remembered, and what their answers take together in bytes.
pub const QUERIES_KEPT_MAX: usize = 1000;
pub const QUERY_ANSWERS_BYTES_MAX: usize = 128 * 1024 * 1024;
pub const QUERY_GROUPS_MAX: usize = 50;
/// Live tails at once, and what each is sent at most each second.
pub const TAILS_MAX: usize = 15;
pub const TAIL_EVENTS_MAX: usize = 500;
pub const TAIL_GROUPS_MAX: usize = 10;
