//! What buckets tell of what happens to their objects.

use store::Tx;

use super::{Buckets, registry::Bucket, rows::Version};

/// A kind of happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Put,
    Post,
    Copy,
    CompleteMultipartUpload,
    Delete,
    DeleteMarkerCreated,
    LifecycleDelete,
    LifecycleDeleteMarkerCreated,
    TaggingPut,
    TaggingDelete,
    AclPut,
    RestorePost,
    RestoreCompleted,
}

/// What happened, and by whom.
#[derive(Debug, Clone)]
pub struct Happening {
    pub event: Event,
    /// The caller's id and address.
    pub principal_id: String,
    pub source_ip: String,
    pub request_id: String,
    /// The account, for EventBridge.
    pub requester: String,
    pub at: jiff::Timestamp,
}

impl Buckets {
    pub(super) fn tell(
        &self,
        _tx: &mut Tx,
        _bucket: &Bucket,
        _version: &Version,
        _happening: &Happening,
    ) -> store::Result<()> {
        Ok(())
    }

    /// Something may have been told.
    pub(super) fn events_came(&self, _bucket: &Bucket) {}
}
