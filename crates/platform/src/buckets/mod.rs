//! Amazon S3: buckets and the objects in them.

mod api;

/// A cheap handle.
#[derive(Clone, Default)]
pub struct Buckets;
