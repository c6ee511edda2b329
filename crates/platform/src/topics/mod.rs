//! Amazon SNS: topics, and who is subscribed to them.

mod api;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Topics;
