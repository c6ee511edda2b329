//! Finding a version of an object, and its bytes.

use std::sync::Arc;

use super::{
    Buckets,
    content::{
        Lies, Reading,
        cipher::{CipherError, CustomerKey, DataKey},
        intake::ContentError,
        reading::{Extent, Place},
    },
    error::{Code, Error, Result},
    range::Span,
    registry::Bucket,
    rows::{self, Part, Version},
};

/// A version with what there is of its bytes in the store. Its files stay while this is held.
pub struct Found<'a> {
    buckets: &'a Buckets,
    pub version: Version,
    body: Option<Vec<u8>>,
    _looking: tokio::sync::RwLockReadGuard<'a, ()>,
}

/// Why there is nothing to read.
#[derive(Debug)]
pub enum Missing {
    NoKey,
    NoVersion,
    /// There is a delete marker, which was asked for by its id or not.
    Marker(Box<Version>, bool),
}

impl Buckets {
    /// The version that a read is about.
    pub(super) async fn look_up(
        &self,
        bucket: &Bucket,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Result<Found<'_>, Missing>> {
        let looking = self.pins().look_up().await;
        let (id, key, wanted) = (bucket.id(), key.to_owned(), version_id.map(str::to_owned));
        let has_id = wanted.is_some();
        let found = self.store().read(move |tx| {
            let found = match &wanted {
                Some(version_id) => rows::find(tx, id, &key, version_id)?,
                None => rows::current(tx, id, &key)?,
            };
            let body = match found.as_ref().map(|version| &version.record.lies) {
                Some(Lies::Row(id)) => Some(rows::body(tx, *id)?),
                _ => None,
            };
            Ok(found.map(|version| (version, body)))
        });
        Ok(match found.await? {
            None if has_id => Err(Missing::NoVersion),
            None => Err(Missing::NoKey),
            Some((version, _)) if version.is_marker => {
                Err(Missing::Marker(Box::new(version), has_id))
            }
            Some((version, body)) => Ok(Found {
                buckets: self,
                version,
                body,
                _looking: looking,
            }),
        })
    }
}

impl Missing {
    /// What a read is told.
    pub fn into_error(self, key: &str, version_id: Option<&str>, has_versions: bool) -> Error {
        match self {
            Self::NoKey => Error::no_key(key),
            Self::NoVersion if has_versions || version_id == Some(rows::NULL) => {
                Error::no_version(key, version_id.unwrap_or_default())
            }
            Self::NoVersion => Error::no_version(key, version_id.unwrap_or_default()),
            Self::Marker(marker, false) => Error::no_key(key)
                .with_header("x-amz-delete-marker", "true")
                .with_header("x-amz-version-id", marker.version_id),
            Self::Marker(marker, true) => {
                let message = "The specified method is not allowed against this resource.";
                Error::new(Code::MethodNotAllowed, message)
                    .with("Method", "GET")
                    .with("ResourceType", "DeleteMarker")
                    .with_header("allow", "DELETE")
                    .with_header("x-amz-delete-marker", "true")
                    .with_header("x-amz-version-id", marker.version_id)
                    .with_header(
                        "last-modified",
                        crate::buckets::api::http_date(marker.modified),
                    )
            }
        }
    }
}

impl Found<'_> {
    /// A part by its number; none of an object that was not uploaded in parts.
    pub async fn part(&self, number: i64) -> Result<Option<Part>> {
        let Lies::Parts(manifest) = self.version.record.lies else {
            return Ok(None);
        };
        let parts = self
            .buckets
            .store()
            .read(move |tx| rows::parts(tx, manifest, number - 1, 1));
        Ok(parts.await?.into_iter().find(|part| part.number == number))
    }

    /// Opens a span of the content. The key must be the one that it was put with.
    pub async fn read(self, span: Span, customer: Option<&CustomerKey>) -> Result<Reading> {
        let extents = self.extents(span, customer).await?;
        let files = extents.iter().filter_map(|extent| match extent.place {
            Place::File(hash) => Some(hash),
            Place::Bytes(_) => None,
        });
        let pinned = self.buckets.pins().pin(files.collect());
        let blobs = self.buckets.blobs().clone();
        Ok(Reading::new(blobs, extents, Some(pinned)))
    }

    async fn extents(&self, span: Span, customer: Option<&CustomerKey>) -> Result<Vec<Extent>> {
        let secrets = self.buckets.secrets();
        let record = &self.version.record;
        let place = match (&record.lies, &self.body) {
            (Lies::Nowhere, _) => return Ok(Vec::new()),
            (Lies::Row(_), body) => Place::Bytes(body.clone().unwrap_or_default()),
            (Lies::File(hash), _) => Place::File(*hash),
            (Lies::Parts(manifest), _) => {
                let manifest = *manifest;
                let (from, to) = (span.from, span.from + span.len);
                let parts = self
                    .buckets
                    .store()
                    .read(move |tx| rows::parts_within(tx, manifest, from, to));
                let parts = parts.await?.into_iter();
                let extents = parts.map(|part| part_extent(&part, span, secrets, customer));
                return extents.collect();
            }
        };
        let key = record.key.as_ref().ok_or(ContentError::Panicked)?;
        Ok(vec![Extent {
            place,
            key: opened(DataKey::open(key, secrets, customer))?,
            whole: self.version.size,
            from: span.from,
            len: span.len,
        }])
    }
}

fn part_extent(
    part: &Part,
    span: Span,
    secrets: &Arc<crate::secrets::Secrets>,
    customer: Option<&CustomerKey>,
) -> Result<Extent> {
    let Lies::File(hash) = part.record.lies else {
        let error = rows::corrupt("a part without a file");
        return Err(error.into());
    };
    let from = span.from.max(part.start);
    let to = (span.from + span.len).min(part.start + part.size);
    Ok(Extent {
        place: Place::File(hash),
        key: opened(DataKey::open(&part.record.key, secrets, customer))?,
        whole: part.size,
        from: from - part.start,
        len: to - from,
    })
}

/// A customer's key that is another is the caller's mistake.
fn opened(key: Result<DataKey, CipherError>) -> Result<DataKey> {
    key.map_err(|error| match error {
        CipherError::Key => Error::access_denied(),
        other => ContentError::from(other).into(),
    })
}
