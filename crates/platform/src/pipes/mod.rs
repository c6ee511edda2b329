//! Amazon EventBridge Pipes: from one source, filtered and enriched, to one target.

mod api;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Pipes;
