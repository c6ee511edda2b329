//! CloudWatch's quotas, and what metrics may take here.

use std::time::Duration;

/// Of one PutMetricData.
pub const DATA_MAX: usize = 1000;
pub const VALUES_MAX: usize = 150;
/// A value's magnitude: 2^360.
pub const VALUE_MAX: f64 = 2.348_542_582_773_833_2e108;
/// How far a time stamp may be in the past, and in the future.
pub const PAST_S_MAX: i64 = 14 * 24 * 3600;
pub const FUTURE_S_MAX: i64 = 2 * 3600;

/// Series, one per metric and unit, over all accounts and regions; what comes beyond is refused.
pub const SERIES_MAX: usize = 100_000;
/// A metric without data for so long is not listed.
pub const LISTED_S: i64 = 14 * 24 * 3600;
/// `RecentlyActive`
pub const RECENTLY_ACTIVE_S: i64 = 3 * 3600;
/// Metrics of one answer of ListMetrics.
pub const LIST_PAGE: usize = 500;

/// Requests that wait to be written.
pub const PUTS_WAITING_MAX: usize = 1024;
/// Points after which a transaction takes in no further request.
pub const POINTS_OF_BATCH: usize = 2000;
/// Points that one pass of the roll-up moves in a transaction.
pub const ROLL_UP_ROWS: u32 = 500;
/// How often points are rolled up.
pub const ROLL_UP_EVERY: Duration = Duration::from_secs(300);

/// GetMetricStatistics.
pub const STATISTICS_DATAPOINTS_MAX: i64 = 1440;
/// GetMetricData: queries, and datapoints of one answer.
pub const QUERIES_MAX: usize = 500;
pub const DATAPOINTS_MAX: i32 = 100_800;
/// Stored points that one request may read.
pub const POINTS_READ_MAX: usize = 300_000;
/// Metrics that a search finds at most.
pub const SEARCH_MAX: usize = 100;

/// How long points are kept at each resolution, in seconds: the resolution, and the age at which
/// they go on to the next or are deleted.
pub const LEVELS: [(i64, i64); 4] = [
    (1, 3 * 3600),
    (60, 15 * 24 * 3600),
    (300, 63 * 24 * 3600),
    (3600, 455 * 24 * 3600),
];
