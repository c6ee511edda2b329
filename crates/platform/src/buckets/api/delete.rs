//! DeleteObject and DeleteObjects.

use std::sync::Arc;

use wire::{
    Context,
    s3::{
        DeleteObjectOutput, DeleteObjectRequest, DeleteObjectsOutput, DeleteObjectsRequest,
        DeletedObject, ErrorShape, ObjectIdentifier,
    },
};

use super::{
    errors,
    get::{is_version_id, version_id},
    given, happening,
};
use crate::buckets::{
    Buckets,
    access::{self, Asked},
    acl::Permission,
    error::{Error, Result},
    limits, name,
    notify::Event,
    registry::Bucket,
    remove::{Removal, Removed},
};

impl Buckets {
    pub(super) async fn delete(
        &self,
        cx: &Context,
        input: DeleteObjectRequest,
    ) -> Result<DeleteObjectOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        name::check_key(&input.key)?;
        // Of directory buckets.
        if input.if_match_last_modified_time.is_some() {
            return Err(Error::header_not_implemented(
                "x-amz-if-match-last-modified-time",
            ));
        }
        if input.if_match_size.is_some() {
            return Err(Error::header_not_implemented("x-amz-if-match-size"));
        }
        check_mfa(input.mfa.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?.map(str::to_owned);
        if let Some(id) = version_id.as_deref().filter(|id| !is_version_id(id)) {
            let message = "Invalid version id specified";
            return Err(Error::argument(message, "versionId", id));
        }
        let removal = Removal {
            key: input.key,
            version_id,
            if_match: input.if_match,
            bypass: self.may_bypass(cx, &bucket, input.bypass_governance_retention)?,
        };
        Ok(match self.delete_one(cx, &bucket, removal).await? {
            Removed::Gone => DeleteObjectOutput::default(),
            Removed::Marked(version_id) => DeleteObjectOutput {
                delete_marker: Some(true),
                version_id: Some(version_id),
                request_charged: None,
            },
            Removed::Version {
                version_id,
                was_marker,
            } => DeleteObjectOutput {
                delete_marker: was_marker.then_some(true),
                version_id: Some(version_id).filter(|_| bucket.has_versions()),
                request_charged: None,
            },
        })
    }

    pub(super) async fn delete_many(
        &self,
        cx: &Context,
        input: DeleteObjectsRequest,
    ) -> Result<DeleteObjectsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let objects = input.delete.objects;
        if objects.is_empty() || objects.len() > limits::DELETE_MAX {
            return Err(Error::malformed_xml());
        }
        check_mfa(input.mfa.as_deref())?;
        let bypass = self.may_bypass(cx, &bucket, input.bypass_governance_retention)?;
        let quiet = input.delete.quiet == Some(true);
        // At once, so that they share commits.
        let running: Vec<_> = objects
            .into_iter()
            .map(|object| {
                let (this, cx, bucket) = (self.clone(), cx.clone(), bucket.clone());
                tokio::spawn(async move {
                    let removed = this.delete_named(&cx, &bucket, &object, bypass).await;
                    (object, removed)
                })
            })
            .collect();
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for task in running {
            let Ok((object, removed)) = task.await else {
                continue;
            };
            match removed {
                Err(error) => errors.push(refused(object, &error)),
                Ok(removed) if !quiet => deleted.push(told(object, removed)),
                Ok(_) => {}
            }
        }
        Ok(DeleteObjectsOutput {
            deleted: (!deleted.is_empty()).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            request_charged: None,
        })
    }

    async fn delete_named(
        &self,
        cx: &Context,
        bucket: &Arc<Bucket>,
        object: &ObjectIdentifier,
        bypass: bool,
    ) -> Result<Removed> {
        name::check_key(&object.key)?;
        if object.size.is_some() || object.last_modified_time.is_some() {
            return Err(Error::not_built("Deleting by size or time"));
        }
        let version_id = object.version_id.clone().filter(|id| !id.is_empty());
        if let Some(id) = &version_id
            && (!is_version_id(id) || !bucket.has_versions() && id != "null")
        {
            return Err(Error::no_version(&object.key, id));
        }
        let removal = Removal {
            key: object.key.clone(),
            version_id,
            if_match: object.e_tag.clone(),
            bypass,
        };
        self.delete_one(cx, bucket, removal).await
    }

    async fn delete_one(
        &self,
        cx: &Context,
        bucket: &Arc<Bucket>,
        removal: Removal,
    ) -> Result<Removed> {
        let asked = Asked {
            action: match &removal.version_id {
                Some(_) => "s3:DeleteObjectVersion",
                None => "s3:DeleteObject",
            },
            key: Some(&removal.key),
            by_acl: Some((Permission::Write, None)),
            keys: &[],
        };
        access::check(cx, bucket, asked)?;
        let owner = given::object_owner(cx, bucket);
        let told = happening(cx, Event::Delete);
        self.remove(bucket, removal, Some(told), &owner, cx.now)
            .await
    }

    /// Whether the caller asks to pass over governance, and may.
    pub(super) fn may_bypass(
        &self,
        cx: &Context,
        bucket: &Bucket,
        asked: Option<bool>,
    ) -> Result<bool> {
        if asked != Some(true) {
            return Ok(false);
        }
        let action = "s3:BypassGovernanceRetention";
        self.allowed(cx, bucket, action, Some("*"))?;
        Ok(true)
    }
}

fn check_mfa(mfa: Option<&str>) -> Result<()> {
    match mfa {
        None => Ok(()),
        Some(_) => Err(Error::not_built("MFA delete")),
    }
}

fn refused(object: ObjectIdentifier, error: &Error) -> ErrorShape {
    ErrorShape {
        key: Some(object.key),
        version_id: object.version_id,
        code: Some(errors::named(error.code).0.to_owned()),
        message: Some(error.message.clone()),
    }
}

fn told(object: ObjectIdentifier, removed: Removed) -> DeletedObject {
    let key = Some(object.key);
    match removed {
        Removed::Gone => DeletedObject {
            key,
            ..DeletedObject::default()
        },
        Removed::Marked(marker) => DeletedObject {
            key,
            delete_marker: Some(true),
            delete_marker_version_id: Some(marker),
            version_id: None,
        },
        Removed::Version {
            version_id,
            was_marker,
        } => DeletedObject {
            key,
            delete_marker: was_marker.then_some(true),
            delete_marker_version_id: was_marker.then(|| version_id.clone()),
            version_id: Some(version_id),
        },
    }
}
