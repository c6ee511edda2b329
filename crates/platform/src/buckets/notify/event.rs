//! The kinds of happenings, and the names that S3 and EventBridge have for them.

/// A kind of happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Put,
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

/// What may be asked for: those that happen here, and those of S3's that do not, of which nothing is
/// ever told.
const NAMES: [&str; 31] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
    "s3:ObjectAnnotation:*",
    "s3:ObjectAnnotation:Put",
    "s3:ObjectAnnotation:Delete",
    "s3:TestEvent",
];

/// Whether an event of this name can be asked for.
pub fn is_name(name: &str) -> bool {
    NAMES.contains(&name) && name != "s3:TestEvent"
}

/// Whether what is asked for by one of these can be what is asked for by the other.
pub fn overlap(one: &str, other: &str) -> bool {
    let covers = |pattern: &str, name: &str| {
        let group = pattern.strip_suffix('*');
        pattern == name || group.is_some_and(|group| name.starts_with(group))
    };
    covers(one, other) || covers(other, one)
}

impl Event {
    /// Without `s3:`, as records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Copy => "ObjectCreated:Copy",
            Self::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "ObjectRemoved:Delete",
            Self::DeleteMarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Self::LifecycleDelete => "LifecycleExpiration:Delete",
            Self::LifecycleDeleteMarkerCreated => "LifecycleExpiration:DeleteMarkerCreated",
            Self::TaggingPut => "ObjectTagging:Put",
            Self::TaggingDelete => "ObjectTagging:Delete",
            Self::AclPut => "ObjectAcl:Put",
            Self::RestorePost => "ObjectRestore:Post",
            Self::RestoreCompleted => "ObjectRestore:Completed",
        }
    }

    /// The version of the records' form in which S3 tells of it.
    pub fn record_version(self) -> &'static str {
        match self {
            Self::LifecycleDelete
            | Self::LifecycleDeleteMarkerCreated
            | Self::TaggingPut
            | Self::TaggingDelete
            | Self::AclPut => "2.3",
            _ => "2.1",
        }
    }

    /// Whether one who asked for this name is told of it.
    pub fn is_asked_by(self, name: &str) -> bool {
        let asked = name.strip_prefix("s3:").unwrap_or(name);
        let own = self.name();
        asked == own
            || asked
                .strip_suffix('*')
                .is_some_and(|group| own.starts_with(group))
    }

    pub fn is_created(self) -> bool {
        matches!(self, Self::Put | Self::Copy | Self::CompleteMultipartUpload)
    }

    pub fn is_removed(self) -> bool {
        self.marks() || matches!(self, Self::Delete | Self::LifecycleDelete)
    }

    /// Whether it is a delete marker that came.
    pub fn marks(self) -> bool {
        matches!(
            self,
            Self::DeleteMarkerCreated | Self::LifecycleDeleteMarkerCreated
        )
    }

    pub fn is_restore(self) -> bool {
        matches!(self, Self::RestorePost | Self::RestoreCompleted)
    }

    /// EventBridge's detail-type, and its reason if it gives one.
    pub fn detail(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Put => ("Object Created", Some("PutObject")),
            Self::Copy => ("Object Created", Some("CopyObject")),
            Self::CompleteMultipartUpload => ("Object Created", Some("CompleteMultipartUpload")),
            Self::Delete | Self::DeleteMarkerCreated => ("Object Deleted", Some("DeleteObject")),
            Self::LifecycleDelete | Self::LifecycleDeleteMarkerCreated => {
                ("Object Deleted", Some("Lifecycle Expiration"))
            }
            Self::TaggingPut => ("Object Tags Added", None),
            Self::TaggingDelete => ("Object Tags Deleted", None),
            Self::AclPut => ("Object ACL Updated", None),
            Self::RestorePost => ("Object Restore Initiated", None),
            Self::RestoreCompleted => ("Object Restore Completed", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_asks_for_all_that_is_in_it() {
        for (event, asked, expect) in [
            (Event::Put, "s3:ObjectCreated:*", true),
            (Event::Put, "s3:ObjectCreated:Put", true),
            (Event::Put, "s3:ObjectCreated:Copy", false),
            (Event::DeleteMarkerCreated, "s3:ObjectRemoved:Delete", false),
            (Event::DeleteMarkerCreated, "s3:ObjectRemoved:*", true),
            (Event::LifecycleDelete, "s3:ObjectRemoved:*", false),
        ] {
            assert_eq!(event.is_asked_by(asked), expect, "{event:?} {asked}");
        }
        assert!(overlap("s3:ObjectCreated:*", "s3:ObjectCreated:Put"));
        assert!(!overlap("s3:ObjectCreated:Copy", "s3:ObjectCreated:Put"));
    }
}
