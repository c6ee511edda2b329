//! CloudWatch Logs as its clients see it.

use wire::cloudwatch_logs::CloudWatchLogs;

use super::Logs;

impl CloudWatchLogs for Logs {}
