//! GetObject and HeadObject.

use std::sync::Arc;

use tokio::sync::mpsc;
use wire::{
    Context,
    s3::{GetObjectOutput, GetObjectRequest, HeadObjectOutput, HeadObjectRequest},
};

use super::{
    http_date,
    members::{customer_key_of, set_checksum, set_encryption},
    quoted, shown_version,
};
use crate::{
    body::{Body, Broken},
    buckets::{
        Buckets,
        access::{self, Asked},
        acl::{Acl, Permission},
        conditions::ReadConditions,
        content::{Checksum, Reading, cipher::CustomerKey},
        error::{Code, Error, Result},
        limits,
        range::{self, Span},
        read::{Found, Missing},
        registry::Bucket,
        rows::Version,
        tables::{ObjectRecord, STANDARD},
    },
};

/// Pieces of a body that are read ahead of the client.
const PIECES_AHEAD: usize = 2;
/// Bytes that are read before the answer begins, so that what cannot be read is an error.
const READ_AT_ONCE: u64 = 64 * 1024;

impl Buckets {
    pub(super) async fn get(
        &self,
        cx: &Context,
        input: GetObjectRequest,
    ) -> Result<(GetObjectOutput, Body)> {
        if access::is_anonymous(cx) && has_overrides(&input) {
            return Err(Error::request(
                "Request specific response headers cannot be used for anonymous GET requests.",
            ));
        }
        let (bucket, found, customer) = self.to_read(cx, &input).await?;
        check_archived(&found.version, cx.now)?;
        let wanted = Wanted::of(&found, input.range.as_deref(), input.part_number).await?;
        let output = self.describe(&bucket, &found.version, &input, &wanted);
        let reading = found.read(wanted.span, customer.as_ref()).await?;
        Ok((output, body(reading, wanted.span.len).await?))
    }

    pub(super) async fn head(
        &self,
        cx: &Context,
        input: HeadObjectRequest,
    ) -> Result<HeadObjectOutput> {
        let input = as_get(input);
        let (bucket, found, _) = self.to_read(cx, &input).await?;
        let wanted = Wanted::of(&found, input.range.as_deref(), input.part_number).await?;
        Ok(as_head(self.describe(
            &bucket,
            &found.version,
            &input,
            &wanted,
        )))
    }

    /// What a read is about, allowed and with its conditions met.
    async fn to_read(
        &self,
        cx: &Context,
        input: &GetObjectRequest,
    ) -> Result<(Arc<Bucket>, Found<'_>, Option<CustomerKey>)> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let customer = customer_key_of!(input)?;
        if input.range.is_some() && input.part_number.is_some() {
            return Err(Error::request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObject")
            .await?;
        check_customer(&found.version.record, customer.as_ref())?;
        let conditions = ReadConditions {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&found.version, cx.now)?;
        Ok((bucket, found, customer))
    }

    /// A version that the caller may do this to. Who may not even list the bucket is not told whether
    /// there is one.
    pub(in crate::buckets) async fn find_readable(
        &self,
        cx: &Context,
        bucket: &Bucket,
        key: &str,
        version_id: Option<&str>,
        action: &str,
    ) -> Result<Found<'_>> {
        let found = self.look_up(bucket, key, version_id).await?;
        let acl = found.as_ref().ok().map(|found| acl_of(&found.version));
        let permission = match action.ends_with("Acl") {
            true => Permission::ReadAcp,
            false => Permission::Read,
        };
        let versioned = versioned(action);
        let asked = Asked {
            action: match version_id {
                Some(_) => &versioned,
                None => action,
            },
            key: Some(key),
            by_acl: acl.as_ref().map(|acl| (permission, Some(acl))),
            keys: &[],
        };
        let allowed = access::check(cx, bucket, asked);
        let missing = match found {
            Ok(found) => return allowed.map(|()| found),
            Err(missing) => missing,
        };
        let list = Asked {
            action: "s3:ListBucket",
            by_acl: Some((Permission::Read, None)),
            ..Asked::default()
        };
        let may_know = access::check(cx, bucket, list).is_ok();
        if !may_know || allowed.is_err() && asked.by_acl.is_some() {
            return Err(Error::access_denied());
        }
        Err(missing_error(bucket, missing, key, version_id))
    }

    fn describe(
        &self,
        bucket: &Bucket,
        version: &Version,
        input: &GetObjectRequest,
        wanted: &Wanted,
    ) -> GetObjectOutput {
        let record = &version.record;
        let headers = record.headers.clone();
        let over = |given: &Option<String>, own: Option<String>| given.clone().or(own);
        let own_type = headers.content_type;
        let own_type = own_type.or_else(|| Some("binary/octet-stream".to_owned()));
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            expiration: match input.version_id {
                None => self.expiration(bucket, version),
                Some(_) => None,
            },
            restore: restore(record),
            last_modified: Some(version.modified),
            content_length: i64::try_from(wanted.span.len).ok(),
            e_tag: Some(quoted(&record.etag)),
            version_id: shown_version(bucket, version),
            cache_control: over(&input.response_cache_control, headers.cache_control),
            content_disposition: over(
                &input.response_content_disposition,
                headers.content_disposition,
            ),
            content_encoding: over(&input.response_content_encoding, headers.content_encoding),
            content_language: over(&input.response_content_language, headers.content_language),
            content_range: wanted.is_part.then(|| wanted.span.header(version.size)),
            content_type: over(&input.response_content_type, own_type),
            expires: input.response_expires.map(http_date).or(headers.expires),
            website_redirect_location: headers.website_redirect,
            metadata: Some(record.metadata.clone()),
            storage_class: shown_class(record),
            parts_count: wanted.parts.and_then(|parts| i32::try_from(parts).ok()),
            tag_count: i32::try_from(record.tags.len()).ok().filter(|n| *n > 0),
            object_lock_mode: record.retention.map(|kept| kept.mode.name().to_owned()),
            object_lock_retain_until_date: record.retention.map(|kept| kept.until),
            object_lock_legal_hold_status: record.legal_hold.map(hold_name),
            ..GetObjectOutput::default()
        };
        set_encryption!(output, &record.customer_key_md5);
        let is_asked = input
            .checksum_mode
            .as_deref()
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
        let whole = record.checksum.as_ref();
        // Of one part its own is told, where those make that of the object.
        let checksum = match wanted.parts {
            Some(_) if whole.is_some_and(|whole| whole.is_composite) => {
                wanted.part_checksum.as_ref()
            }
            Some(_) => None,
            None => whole,
        };
        if let Some(checksum) = checksum.filter(|_| is_asked && !wanted.is_range) {
            let kind = whole.unwrap_or(checksum).kind();
            output.checksum_type = Some(kind.to_owned());
            set_checksum!(output, Some(checksum));
        }
        output
    }
}

/// The action on a version by its id: `s3:GetObjectVersion` for `s3:GetObject`.
fn versioned(action: &str) -> String {
    action.replacen("Object", "ObjectVersion", 1)
}

/// An object's ACL; without one its owner's alone.
pub fn acl_of(version: &Version) -> Acl {
    let record = &version.record;
    record
        .acl
        .clone()
        .unwrap_or_else(|| Acl::private(&record.owner))
}

fn missing_error(bucket: &Bucket, missing: Missing, key: &str, version_id: Option<&str>) -> Error {
    match (&missing, version_id) {
        (Missing::NoVersion, Some(id))
            if !is_version_id(id) || !bucket.has_versions() && id != crate::buckets::rows::NULL =>
        {
            Error::argument("Invalid version id specified", "versionId", id)
        }
        _ => missing.into_error(key, version_id, bucket.has_versions()),
    }
}

fn has_overrides(input: &GetObjectRequest) -> bool {
    let given = [
        &input.response_cache_control,
        &input.response_content_disposition,
        &input.response_content_encoding,
        &input.response_content_language,
        &input.response_content_type,
    ];
    given.iter().any(|given| given.is_some()) || input.response_expires.is_some()
}

/// What of a version is to be given.
struct Wanted {
    span: Span,
    /// The answer is a part of the object: 206.
    is_part: bool,
    is_range: bool,
    parts: Option<u32>,
    part_checksum: Option<Checksum>,
}

impl Wanted {
    async fn of(found: &Found<'_>, range: Option<&str>, part: Option<i32>) -> Result<Self> {
        let version = &found.version;
        let all = Self {
            span: Span {
                from: 0,
                len: version.size,
            },
            is_part: false,
            is_range: false,
            parts: None,
            part_checksum: None,
        };
        if let Some(number) = part {
            return all.only_part(found, i64::from(number)).await;
        }
        let span = range.map(|range| range::resolve(range, version.size));
        Ok(match span.transpose()?.flatten() {
            None => all,
            Some(span) => Self {
                span,
                is_part: true,
                is_range: true,
                ..all
            },
        })
    }

    async fn only_part(self, found: &Found<'_>, number: i64) -> Result<Self> {
        let version = &found.version;
        if !(1..=limits::PART_NUMBER_MAX).contains(&number) {
            return Err(Error::argument(
                "Part number must be an integer between 1 and 10000, inclusive",
                "partNumber",
                number.to_string(),
            ));
        }
        let is_part = version.size > 0;
        match found.part(number).await? {
            Some(part) => Ok(Self {
                span: Span {
                    from: part.start,
                    len: part.size,
                },
                is_part,
                parts: version.record.parts,
                part_checksum: part.record.checksum,
                ..self
            }),
            None if version.record.parts.is_none() && number == 1 => Ok(Self { is_part, ..self }),
            None => {
                let count = version.record.parts.unwrap_or(1);
                let message = "The requested partnumber is not satisfiable";
                Err(Error::new(Code::InvalidPartNumber, message)
                    .with("PartNumberRequested", number.to_string())
                    .with("ActualPartCount", count.to_string()))
            }
        }
    }
}

/// A short content is read at once. Of a longer one what is read goes into a short queue, for as long
/// as somebody takes it out.
async fn body(mut reading: Reading, len: u64) -> Result<Body> {
    if len <= READ_AT_ONCE {
        let mut whole = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        while let Some(piece) = reading.next().await? {
            whole.extend_from_slice(&piece);
        }
        return Ok(Body::Whole(whole.into()));
    }
    let (pieces, body) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        loop {
            let piece = match reading.next().await {
                Ok(None) => return,
                Ok(Some(piece)) => Ok(piece),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "an object's content cannot be read");
                    Err(Broken)
                }
            };
            let is_end = piece.is_err();
            if pieces.send(piece).await.is_err() || is_end {
                return;
            }
        }
    });
    Ok(Body::Object(body))
}

/// The key of a customer has to be there exactly if the object was put with one, and be that one.
pub fn check_customer(record: &ObjectRecord, customer: Option<&CustomerKey>) -> Result<()> {
    match (&record.customer_key_md5, customer) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(Error::request(
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object.",
        )),
        (None, Some(_)) => Err(Error::request(
            "The encryption parameters are not applicable to this object.",
        )),
        (Some(md5), Some(customer)) if *md5 == customer.md5 => Ok(()),
        (Some(_), Some(_)) => Err(Error::access_denied()),
    }
}

/// What is archived cannot be read until it is restored.
pub fn check_archived(version: &Version, now: jiff::Timestamp) -> Result<()> {
    let record = &version.record;
    let is_restored = record.restored_until.is_some_and(|until| until > now);
    if !is_archive(&record.storage_class) || is_restored {
        return Ok(());
    }
    let message = "The operation is not valid for the object's storage class";
    let error = Error::new(Code::InvalidObjectState, message);
    Err(error.with("StorageClass", &record.storage_class))
}

pub fn is_archive(class: &str) -> bool {
    ["GLACIER", "DEEP_ARCHIVE"].contains(&class)
}

fn restore(record: &ObjectRecord) -> Option<String> {
    let date = http_date(record.restored_until?);
    Some(format!("ongoing-request=\"false\", expiry-date=\"{date}\""))
}

/// Answers leave the usual class out.
fn shown_class(record: &ObjectRecord) -> Option<String> {
    (record.storage_class != STANDARD).then(|| record.storage_class.clone())
}

pub fn hold_name(is_on: bool) -> String {
    if is_on { "ON" } else { "OFF" }.to_owned()
}

/// An empty one is refused.
pub fn version_id(given: Option<&str>) -> Result<Option<&str>> {
    match given {
        Some("") => {
            let message = "Version id cannot be the empty string";
            Err(Error::argument(message, "versionId", ""))
        }
        given => Ok(given),
    }
}

/// Whether a text looks like one that S3 gives.
pub fn is_version_id(id: &str) -> bool {
    id == crate::buckets::rows::NULL || id.len() == 32
}

fn as_get(input: HeadObjectRequest) -> GetObjectRequest {
    GetObjectRequest {
        bucket: input.bucket,
        if_match: input.if_match,
        if_modified_since: input.if_modified_since,
        if_none_match: input.if_none_match,
        if_unmodified_since: input.if_unmodified_since,
        key: input.key,
        range: input.range,
        response_cache_control: input.response_cache_control,
        response_content_disposition: input.response_content_disposition,
        response_content_encoding: input.response_content_encoding,
        response_content_language: input.response_content_language,
        response_content_type: input.response_content_type,
        response_expires: input.response_expires,
        version_id: input.version_id,
        sse_customer_algorithm: input.sse_customer_algorithm,
        sse_customer_key: input.sse_customer_key,
        sse_customer_key_md5: input.sse_customer_key_md5,
        request_payer: input.request_payer,
        part_number: input.part_number,
        expected_bucket_owner: input.expected_bucket_owner,
        checksum_mode: input.checksum_mode,
    }
}

fn as_head(output: GetObjectOutput) -> HeadObjectOutput {
    HeadObjectOutput {
        accept_ranges: output.accept_ranges,
        expiration: output.expiration,
        restore: output.restore,
        last_modified: output.last_modified,
        content_length: output.content_length,
        checksum_crc32: output.checksum_crc32,
        checksum_crc32_c: output.checksum_crc32_c,
        checksum_crc64_nvme: output.checksum_crc64_nvme,
        checksum_sha1: output.checksum_sha1,
        checksum_sha256: output.checksum_sha256,
        checksum_sha512: output.checksum_sha512,
        checksum_md5: output.checksum_md5,
        checksum_xxhash64: output.checksum_xxhash64,
        checksum_xxhash3: output.checksum_xxhash3,
        checksum_xxhash128: output.checksum_xxhash128,
        checksum_type: output.checksum_type,
        e_tag: output.e_tag,
        version_id: output.version_id,
        cache_control: output.cache_control,
        content_disposition: output.content_disposition,
        content_encoding: output.content_encoding,
        content_language: output.content_language,
        content_type: output.content_type,
        content_range: output.content_range,
        expires: output.expires,
        website_redirect_location: output.website_redirect_location,
        server_side_encryption: output.server_side_encryption,
        metadata: output.metadata,
        sse_customer_algorithm: output.sse_customer_algorithm,
        sse_customer_key_md5: output.sse_customer_key_md5,
        storage_class: output.storage_class,
        parts_count: output.parts_count,
        tag_count: output.tag_count,
        object_lock_mode: output.object_lock_mode,
        object_lock_retain_until_date: output.object_lock_retain_until_date,
        object_lock_legal_hold_status: output.object_lock_legal_hold_status,
        ..HeadObjectOutput::default()
    }
}
