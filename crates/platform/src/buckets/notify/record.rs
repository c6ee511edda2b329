//! What is told: S3's record to queues, topics and functions, and EventBridge's detail.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Happening;
use crate::buckets::{acl::canonical_id, registry::Bucket, rows::Version, text::form_encode};

/// A happening with what it is about.
pub struct Told<'a> {
    pub bucket: &'a Bucket,
    pub version: &'a Version,
    pub happening: &'a Happening,
    /// Of two happenings to one key the later has the larger.
    pub seq: i64,
}

impl Told<'_> {
    /// A message with S3's record, in its own order of members.
    pub fn record(&self, configuration_id: &str) -> String {
        let Self {
            bucket, happening, ..
        } = self;
        let owner = canonical_id(&bucket.record.account_id)[..14].to_ascii_uppercase();
        let mut record = json!({
            "eventVersion": happening.event.record_version(),
            "eventSource": "aws:s3",
            "awsRegion": bucket.record.region,
            "eventTime": time(happening.at),
            "eventName": happening.event.name(),
            "userIdentity": {"principalId": happening.principal_id},
            "requestParameters": {"sourceIPAddress": happening.source_ip},
            "responseElements": {
                "x-amz-request-id": happening.request_id,
                "x-amz-id-2": happening.request_id,
            },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": configuration_id,
                "bucket": {
                    "name": bucket.name,
                    "ownerIdentity": {"principalId": owner},
                    "arn": bucket.arn(),
                },
                "object": self.object(),
            },
        });
        if happening.event.is_restore()
            && let Some(until) = self.version.record.restored_until
        {
            record["glacierEventData"] = json!({"restoreEventData": {
                "lifecycleRestorationExpiryTime": time(until),
                "lifecycleRestoreStorageClass": self.version.record.storage_class,
            }});
        }
        json!({"Records": [record]}).to_string()
    }

    fn object(&self) -> Value {
        let (event, version) = (self.happening.event, self.version);
        let mut object = Map::new();
        let key = form_encode(&version.key, "-_.*/");
        object.insert("key".into(), key.into());
        if event.is_created() || event.is_restore() {
            object.insert("size".into(), version.size.into());
        }
        if !event.is_removed() {
            object.insert("eTag".into(), version.record.etag.clone().into());
        }
        if self.bucket.has_versions() {
            object.insert("versionId".into(), version.version_id.clone().into());
        }
        if event.is_created() || event.is_removed() {
            object.insert("sequencer".into(), self.sequencer().into());
        }
        object.into()
    }

    fn sequencer(&self) -> String {
        format!("{:018X}", self.seq)
    }

    /// The detail of an event of EventBridge's.
    pub fn detail(&self) -> String {
        let Self {
            bucket,
            version,
            happening,
            ..
        } = self;
        let event = happening.event;
        let mut object = Map::new();
        object.insert("key".into(), version.key.clone().into());
        if event.is_created() || event.is_restore() {
            object.insert("size".into(), version.size.into());
        }
        if !event.is_removed() {
            object.insert("etag".into(), version.record.etag.clone().into());
        }
        if bucket.has_versions() {
            object.insert("version-id".into(), version.version_id.clone().into());
        }
        if event.is_created() || event.is_removed() {
            object.insert("sequencer".into(), self.sequencer().into());
        }
        let mut detail = json!({
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": object,
            "request-id": happening.request_id,
            "requester": happening.requester,
        });
        if event != super::Event::RestoreCompleted {
            detail["source-ip-address"] = happening.source_ip.clone().into();
        }
        if let (_, Some(reason)) = event.detail() {
            detail["reason"] = reason.into();
        }
        if event.is_removed() {
            detail["deletion-type"] = match event.marks() {
                true => "Delete Marker Created",
                false => "Permanently Deleted",
            }
            .into();
        }
        if event.is_restore() {
            detail["source-storage-class"] = version.record.storage_class.clone().into();
        }
        if let (super::Event::RestoreCompleted, Some(until)) =
            (event, version.record.restored_until)
        {
            detail["restore-expiry-time"] = time(until).into();
        }
        detail.to_string()
    }
}

/// What a queue or topic gets when it is first named.
pub fn test_event(bucket: &Bucket, request_id: &str, now: Timestamp) -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": time(now),
        "Bucket": bucket.name,
        "RequestId": request_id,
        "HostId": request_id,
    })
    .to_string()
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
