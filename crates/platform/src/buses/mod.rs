//! Amazon EventBridge: buses, the rules on them and what rules send to.

mod api;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Buses;
