//! Amazon S3: buckets and the objects in them.

mod api;
pub mod front;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Buckets;
