//! Amazon CloudWatch: metrics, and alarms that act on them.

mod api;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Metrics;
