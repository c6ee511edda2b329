//! What buckets tell of what happens to their objects.
//!
//! Whoever changes an object writes what is to be told of it in the same transaction
//! ([`Buckets::tell`]); from there it is handed to the deliveries, in the transaction in which it is
//! no longer here. So everything that happened is told, and of what did not happen nothing.

use serde::{Deserialize, Serialize};
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

/// Whom a bucket tells of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub to: Vec<Subscription>,
    pub to_event_bridge: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: String,
    /// Of a queue, topic or function.
    pub arn: String,
    /// As they were asked for, e.g. `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
}

impl Happening {
    pub fn of_lifecycle(event: Event, bucket: &Bucket, now: jiff::Timestamp) -> Self {
        Self {
            event,
            principal_id: "s3.amazonaws.com".to_owned(),
            source_ip: "s3.amazonaws.com".to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            requester: bucket.record.account_id.clone(),
            at: now,
        }
    }
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
