//! Amazon EventBridge Scheduler: what is to happen at a time, or again and again.

mod api;
pub mod expression;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Schedules;
