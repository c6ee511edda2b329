//! Removing objects, versions and delete markers.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Buckets,
    conditions::{WriteConditions, bare},
    error::{Error, Result},
    lock,
    notify::{Event, Happening},
    place::{self, Failure, New},
    registry::Bucket,
    rows::{self, NULL, Version},
    tables::{ObjectRecord, Versioning},
};

/// What is to be removed.
#[derive(Debug, Clone, Default)]
pub struct Removal {
    pub key: String,
    pub version_id: Option<String>,
    pub if_match: Option<String>,
    /// Governance may be passed over.
    pub bypass: bool,
}

/// What was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// An object for good, or there was none.
    Gone,
    /// A delete marker was put, with this version id.
    Marked(String),
    /// A version for good, and whether it was a delete marker.
    Version {
        version_id: String,
        was_marker: bool,
    },
}

impl Buckets {
    pub(super) async fn remove(
        &self,
        bucket: &Arc<Bucket>,
        removal: Removal,
        happening: Option<Happening>,
        owner: &str,
        now: Timestamp,
    ) -> Result<Removed> {
        let removed = match (&removal.version_id, bucket.record.versioning) {
            (Some(_), _) | (None, Versioning::Unset) => {
                self.remove_one(bucket, removal, happening, now).await
            }
            (None, _) => self.mark(bucket, removal, happening, owner, now).await,
        };
        self.changed(bucket);
        removed
    }

    /// A version, or the object of a bucket without versions.
    async fn remove_one(
        &self,
        bucket: &Arc<Bucket>,
        removal: Removal,
        happening: Option<Happening>,
        now: Timestamp,
    ) -> Result<Removed> {
        let act = move |tx: &mut store::Tx, this: &Buckets, bucket: &Bucket| {
            let id = bucket.id();
            let wanted = removal.version_id.as_deref().unwrap_or(NULL);
            let found = rows::find(tx, id, &removal.key, wanted)?;
            if let Some(etag) = &removal.if_match {
                let is_it = |found: &Version| etag == "*" || found.record.etag == bare(etag);
                match &found {
                    None => return Err(Error::no_key(&removal.key).into()),
                    Some(found) if !is_it(found) => {
                        return Err(Error::precondition("If-Match").into());
                    }
                    Some(_) => {}
                }
            }
            let version_id = || removal.version_id.clone().unwrap_or_default();
            let Some(found) = found else {
                if removal.version_id.is_none() {
                    // S3 tells of it also where there was nothing.
                    let nothing = Version::absent(&removal.key, now);
                    if let Some(happening) = &happening {
                        this.tell(tx, bucket, &nothing, happening)?;
                    }
                    return Ok(Removed::Gone);
                }
                return Ok(Removed::Version {
                    version_id: version_id(),
                    was_marker: false,
                });
            };
            if !lock::may_remove(&found.record, removal.bypass, now) {
                let message = "Access Denied because object protected by object lock.";
                let error = Error::new(super::error::Code::AccessDenied, message);
                return Err(error.into());
            }
            rows::remove(tx, id, &found)?;
            this.released(&found.record.lies);
            place::cross(tx, id, &removal.key)?;
            if let Some(happening) = &happening {
                this.tell(tx, bucket, &found, happening)?;
            }
            Ok(match removal.version_id {
                None => Removed::Gone,
                Some(_) => Removed::Version {
                    version_id: version_id(),
                    was_marker: found.is_marker,
                },
            })
        };
        let removed = self.against(bucket.clone(), act).await;
        removed.map_err(Failure::into_error)
    }

    async fn mark(
        &self,
        bucket: &Arc<Bucket>,
        removal: Removal,
        happening: Option<Happening>,
        owner: &str,
        now: Timestamp,
    ) -> Result<Removed> {
        let conditions = match removal.if_match.as_deref() {
            None => WriteConditions::None,
            Some(etag) => WriteConditions::Match(bare(etag).to_owned()),
        };
        let marker = New {
            key: removal.key,
            size: 0,
            modified: super::api::whole_second(now),
            is_marker: true,
            record: ObjectRecord::marker(owner),
            content: place::nothing(),
            conditions,
            upload: None,
            happening: happening.map(|happening| Happening {
                event: Event::DeleteMarkerCreated,
                ..happening
            }),
        };
        let placed = self.place(bucket.clone(), marker).await;
        let placed = placed.map_err(Failure::into_error)?;
        Ok(Removed::Marked(placed.version_id))
    }
}
