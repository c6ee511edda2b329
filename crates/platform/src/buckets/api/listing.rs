//! ListObjects in both forms, and ListObjectVersions.

use base64::{Engine, prelude::BASE64_STANDARD};
use wire::{
    Context,
    s3::{
        CommonPrefix, DeleteMarkerEntry, ListObjectVersionsOutput, ListObjectVersionsRequest,
        ListObjectsOutput, ListObjectsRequest, ListObjectsV2Output, ListObjectsV2Request, Object,
        ObjectVersion,
    },
};

use super::{owner, quoted};
use crate::buckets::{
    Buckets, access,
    content::checksum::kind,
    error::{Error, Result},
    limits,
    list::{self, Page, Query},
    registry::Bucket,
    rows::Version,
    text::form_encode,
    versions,
};

/// What S3's listings do not encode, beside letters and digits.
const PLAIN: &str = "-_.*/";

impl Buckets {
    pub(super) async fn list_v1(
        &self,
        cx: &Context,
        input: ListObjectsRequest,
    ) -> Result<ListObjectsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_list(cx, &bucket, "s3:ListBucket")?;
        let encoding = Encoding::of(input.encoding_type.as_deref())?;
        let max = max_keys(input.max_keys, "max-keys")?;
        let delimiter = input.delimiter.filter(|d| !d.is_empty());
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after: input.marker.clone().filter(|marker| !marker.is_empty()),
            max,
        };
        let page = self.list_current(&bucket, query).await?;
        // Without a delimiter the last key is the marker.
        let next = page
            .last
            .clone()
            .filter(|_| page.is_truncated && delimiter.is_some());
        let prefixes = encoding.prefixes(&page);
        let contents = page.items.iter();
        let with_owner = !access::is_anonymous(cx);
        let contents = contents.map(|version| object(&encoding, version, with_owner));
        Ok(ListObjectsOutput {
            is_truncated: Some(page.is_truncated),
            marker: Some(encoding.text(&input.marker.unwrap_or_default())),
            next_marker: next.map(|next| encoding.text(&next)),
            contents: some(contents.collect()),
            name: Some(bucket.name.clone()),
            prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
            delimiter: delimiter.map(|delimiter| encoding.text(&delimiter)),
            max_keys: Some(i32::try_from(max).unwrap_or(i32::MAX)),
            common_prefixes: prefixes,
            encoding_type: encoding.name(),
            request_charged: None,
        })
    }

    pub(super) async fn list_v2(
        &self,
        cx: &Context,
        input: ListObjectsV2Request,
    ) -> Result<ListObjectsV2Output> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_list(cx, &bucket, "s3:ListBucket")?;
        let encoding = Encoding::of(input.encoding_type.as_deref())?;
        let max = max_keys(input.max_keys, "max-keys")?;
        let after = match input.continuation_token.as_deref() {
            Some("") => {
                let message = "The continuation token provided is incorrect";
                return Err(
                    Error::new(crate::buckets::error::Code::InvalidArgument, message)
                        .with("ArgumentName", "continuation-token"),
                );
            }
            Some(token) => Some(read_token(token)?),
            None => input.start_after.clone().filter(|after| !after.is_empty()),
        };
        let delimiter = input.delimiter.filter(|d| !d.is_empty());
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after,
            max,
        };
        let page = self.list_current(&bucket, query).await?;
        let next = page.last.as_deref().filter(|_| page.is_truncated);
        let prefixes = encoding.prefixes(&page);
        let with_owner = input.fetch_owner == Some(true);
        let contents = page.items.iter();
        let contents: Vec<Object> = contents
            .map(|version| object(&encoding, version, with_owner))
            .collect();
        let count = contents.len() + page.prefixes.len();
        Ok(ListObjectsV2Output {
            is_truncated: Some(page.is_truncated),
            contents: some(contents),
            name: Some(bucket.name.clone()),
            prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
            delimiter: delimiter.map(|delimiter| encoding.text(&delimiter)),
            max_keys: Some(i32::try_from(max).unwrap_or(i32::MAX)),
            common_prefixes: prefixes,
            encoding_type: encoding.name(),
            key_count: i32::try_from(count).ok(),
            // Where a page goes on, it does not begin.
            start_after: match &input.continuation_token {
                Some(_) => None,
                None => input.start_after.map(|after| encoding.text(&after)),
            },
            continuation_token: input.continuation_token,
            next_continuation_token: next.map(token),
            request_charged: None,
        })
    }

    async fn list_current(&self, bucket: &Bucket, mut query: Query) -> Result<Page<Version>> {
        let id = bucket.id();
        query.max = query.max.min(limits::LIST_MAX);
        let listed = self
            .store()
            .try_read(move |tx| list::objects(tx, id, &query));
        listed.await
    }

    pub(super) async fn list_versions(
        &self,
        cx: &Context,
        input: ListObjectVersionsRequest,
    ) -> Result<ListObjectVersionsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_list(cx, &bucket, "s3:ListBucketVersions")?;
        let encoding = Encoding::of(input.encoding_type.as_deref())?;
        let max = max_keys(input.max_keys, "max-keys")?;
        let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
        let id_marker = input.version_id_marker.clone();
        match (&key_marker, id_marker.as_deref()) {
            (_, Some("")) => {
                return Err(Error::argument(
                    "A version-id marker cannot be empty.",
                    "version-id-marker",
                    "",
                ));
            }
            (None, Some(_)) => {
                return Err(Error::argument(
                    "A version-id marker cannot be specified without a key marker.",
                    "version-id-marker",
                    id_marker.unwrap_or_default(),
                ));
            }
            _ => {}
        }
        let delimiter = input.delimiter.filter(|d| !d.is_empty());
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after: key_marker,
            max: max.min(limits::LIST_MAX),
        };
        let (id, marker) = (bucket.id(), id_marker.clone());
        let listed = self
            .store()
            .try_read(move |tx| versions::list(tx, id, &query, marker.as_deref()));
        let page = listed.await?;
        let prefixes = encoding.prefixes(&page);
        let last_version = page.items.last().filter(|version| {
            page.is_truncated && page.last.as_deref() == Some(version.key.as_str())
        });
        let (next_key, next_id) = match page.is_truncated {
            true => (
                page.last.as_deref().map(|last| encoding.text(last)),
                last_version.map(|version| version.version_id.clone()),
            ),
            false => (None, None),
        };
        let (markers, objects): (Vec<&Version>, Vec<&Version>) =
            page.items.iter().partition(|version| version.is_marker);
        let markers = markers.into_iter().map(|marker| entry(&encoding, marker));
        let objects = objects.into_iter();
        let objects = objects.map(|version| object_version(&encoding, version));
        Ok(ListObjectVersionsOutput {
            is_truncated: Some(page.is_truncated),
            key_marker: Some(encoding.text(&input.key_marker.unwrap_or_default())),
            version_id_marker: Some(id_marker.unwrap_or_default()),
            next_key_marker: next_key,
            next_version_id_marker: next_id,
            versions: some(objects.collect()),
            delete_markers: some(markers.collect()),
            name: Some(bucket.name.clone()),
            prefix: Some(encoding.text(&input.prefix.unwrap_or_default())),
            delimiter: delimiter.map(|delimiter| encoding.text(&delimiter)),
            max_keys: Some(i32::try_from(max).unwrap_or(i32::MAX)),
            common_prefixes: prefixes,
            encoding_type: encoding.name(),
            request_charged: None,
        })
    }
}

/// How keys are written in an answer.
pub struct Encoding {
    is_url: bool,
}

impl Encoding {
    pub fn of(given: Option<&str>) -> Result<Self> {
        match given {
            None => Ok(Self { is_url: false }),
            Some("url") => Ok(Self { is_url: true }),
            Some(other) => Err(Error::argument(
                "Invalid Encoding Method specified in Request",
                "encoding-type",
                other,
            )),
        }
    }

    pub fn name(&self) -> Option<String> {
        self.is_url.then(|| "url".to_owned())
    }

    pub fn text(&self, text: &str) -> String {
        match self.is_url {
            true => form_encode(text, PLAIN),
            false => text.to_owned(),
        }
    }

    pub fn prefixes<T>(&self, page: &Page<T>) -> Option<Vec<CommonPrefix>> {
        let prefixes = page.prefixes.iter().map(|prefix| CommonPrefix {
            prefix: Some(self.text(prefix)),
        });
        some(prefixes.collect())
    }
}

/// A list that is left out when it is empty.
pub fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub fn max_keys(given: Option<i32>, name: &str) -> Result<usize> {
    let given = given.unwrap_or(1000);
    usize::try_from(given).map_err(|_| {
        let message = format!(
            "Argument {name} must be an integer between 0 and {}",
            i32::MAX
        );
        Error::argument(message, name, given.to_string())
    })
}

/// Where a listing goes on, without saying so.
pub fn token(last: &str) -> String {
    BASE64_STANDARD.encode(last)
}

pub fn read_token(token: &str) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        let message = "The continuation token provided is incorrect";
        Error::argument(message, "continuation-token", token)
    })
}

fn object(encoding: &Encoding, version: &Version, with_owner: bool) -> Object {
    let record = &version.record;
    Object {
        key: Some(encoding.text(&version.key)),
        last_modified: Some(version.modified),
        e_tag: Some(quoted(&record.etag)),
        checksum_algorithm: algorithms(version),
        checksum_type: record
            .checksum
            .as_ref()
            .map(|checksum| kind(checksum.is_composite).to_owned()),
        size: i64::try_from(version.size).ok(),
        storage_class: Some(record.storage_class.clone()),
        owner: with_owner.then(|| owner(&record.owner)),
        restore_status: None,
    }
}

fn algorithms(version: &Version) -> Option<Vec<String>> {
    let checksum = version.record.checksum.as_ref()?;
    Some(vec![checksum.algorithm.name().to_owned()])
}

fn object_version(encoding: &Encoding, version: &Version) -> ObjectVersion {
    let record = &version.record;
    ObjectVersion {
        e_tag: Some(quoted(&record.etag)),
        checksum_algorithm: algorithms(version),
        checksum_type: record
            .checksum
            .as_ref()
            .map(|checksum| kind(checksum.is_composite).to_owned()),
        size: i64::try_from(version.size).ok(),
        storage_class: Some(record.storage_class.clone()),
        key: Some(encoding.text(&version.key)),
        version_id: Some(version.version_id.clone()),
        is_latest: Some(version.is_current),
        last_modified: Some(version.modified),
        owner: Some(owner(&record.owner)),
        restore_status: None,
    }
}

fn entry(encoding: &Encoding, marker: &Version) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        owner: Some(owner(&marker.record.owner)),
        key: Some(encoding.text(&marker.key)),
        version_id: Some(marker.version_id.clone()),
        is_latest: Some(marker.is_current),
        last_modified: Some(marker.modified),
    }
}
