//! CopyObject and UploadPartCopy.

use std::sync::Arc;

use wire::{
    Context,
    s3::{
        CopyObjectOutput, CopyObjectRequest, CopyObjectResult, CopyPartResult,
        UploadPartCopyOutput, UploadPartCopyRequest,
    },
};

use super::{
    get::{check_archived, check_customer, is_version_id},
    given, happening,
    members::{
        customer_key_of, encryption_of, grants_of, headers_of, lock_of, set_checksum,
        set_encryption, source_key_of,
    },
    multipart::{check_number, check_upload_key, part_algorithm},
    new_version,
    put::{check_length, etag},
    quoted, shown_version, whole_second,
};
use crate::buckets::{
    Buckets,
    conditions::{ReadConditions, WriteConditions},
    content::{Algorithm, Lies, checksum, cipher::CustomerKey},
    copy::Digests,
    error::{Error, Result},
    limits, name,
    notify::Event,
    place::{Failure, New},
    range::{self, Span},
    read::Found,
    registry::Bucket,
    rows::Version,
    tables::{ObjectRecord, PartRecord},
    tags,
    text::percent_decode,
    uploads,
};

/// What a copy is of.
struct Source {
    bucket: String,
    key: String,
    version_id: Option<String>,
}

const HEADER: &str = "x-amz-copy-source";

impl Source {
    fn parse(header: &str) -> Result<Self> {
        let invalid = |message: &str| Error::argument(message, HEADER, HEADER);
        let (path, version_id) = match header.split_once("?versionId=") {
            Some((path, id)) => (path, Some(id)),
            None => (header, None),
        };
        if header.starts_with("arn:") {
            return Err(Error::not_built("Copying from an access point"));
        }
        let path = percent_decode(path);
        let path = path.ok_or_else(|| invalid("Invalid copy source encoding"))?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = match path.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => (bucket, key),
            _ => return Err(invalid("Invalid copy source object key")),
        };
        if let Some(id) = version_id.filter(|id| !is_version_id(id)) {
            let message = "Invalid version id specified";
            return Err(Error::argument(message, HEADER, id));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version_id: version_id.map(str::to_owned),
        })
    }
}

impl Buckets {
    /// A copy's source, that the caller may read.
    async fn source(
        &self,
        cx: &Context,
        source: &Source,
        owner: Option<&str>,
    ) -> Result<(Arc<Bucket>, Found<'_>)> {
        let bucket = self.bucket(&source.bucket, owner)?;
        let id = source.version_id.as_deref();
        let found = self
            .find_readable(cx, &bucket, &source.key, id, "s3:GetObject")
            .await;
        let found = found.map_err(|error| match error.code {
            crate::buckets::error::Code::MethodNotAllowed => Error::request(
                "The source of a copy request may not specifically refer to a delete marker by \
                 version id.",
            ),
            _ => error,
        })?;
        check_archived(&found.version, cx.now).map_err(|_| {
            let message = "Operation is not valid for the source object's storage class";
            Error::new(crate::buckets::error::Code::InvalidObjectState, message)
                .with("StorageClass", &found.version.record.storage_class)
        })?;
        Ok((bucket, found))
    }

    pub(super) async fn copy(
        &self,
        cx: &Context,
        input: CopyObjectRequest,
    ) -> Result<CopyObjectOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        name::check_key(&input.key)?;
        let from = Source::parse(&input.copy_source)?;
        let source_owner = input.expected_source_bucket_owner.as_deref();
        let (source_bucket, found) = self.source(cx, &from, source_owner).await?;
        let source = found.version.clone();
        let source_key = source_key_of!(input)?;
        check_customer(&source.record, source_key.as_ref())?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        conditions.check_source(&source, cx.now)?;
        check_length(source.size, limits::COPY_BYTES_MAX)?;
        let is_itself = source_bucket.id() == bucket.id() && source.key == input.key;
        if is_itself && from.version_id.is_none() {
            check_changes(&input, &source)?;
        }
        let (mut record, customer) = self.to_copy(cx, &bucket, &source, &input)?;
        let algorithm = copied_algorithm(&input, &source)?;
        let keys = (source_key.as_ref(), customer.as_ref());
        let digests = self.copied_digests(found, keys, algorithm).await?;
        record.etag = etag_of(&source, digests.as_ref(), customer.as_ref());
        record.checksum = match digests {
            Some(digests) => Some(digests.checksum),
            None => source.record.checksum.clone(),
        };
        let shared = self.shared(&source_bucket, &source, keys.0, keys.1)?;
        record.key = shared.key;
        let new = New {
            key: input.key.clone(),
            size: source.size,
            modified: whole_second(cx.now),
            is_marker: false,
            record,
            content: shared.content,
            conditions: WriteConditions::read(
                input.if_match.as_deref(),
                input.if_none_match.as_deref(),
            )?,
            upload: None,
            happening: Some(happening(cx, Event::Copy)),
        };
        let placed = self.place(bucket.clone(), new).await;
        let version = placed.map_err(Failure::into_error)?;
        self.changed(&bucket);
        let mut result = CopyObjectResult {
            e_tag: Some(quoted(&version.record.etag)),
            last_modified: Some(version.modified),
            ..CopyObjectResult::default()
        };
        if let Some(checksum) = &version.record.checksum {
            result.checksum_type = Some(checksum.kind().to_owned());
            set_checksum!(result, Some(checksum));
        }
        let mut output = CopyObjectOutput {
            copy_object_result: Some(result),
            expiration: self.expiration(&bucket, &version),
            copy_source_version_id: shown_version(&source_bucket, &source),
            version_id: new_version(&version),
            ..CopyObjectOutput::default()
        };
        set_encryption!(output, &version.record.customer_key_md5);
        Ok(output)
    }

    /// The copy's record but for its content.
    fn to_copy(
        &self,
        cx: &Context,
        bucket: &Bucket,
        source: &Version,
        input: &CopyObjectRequest,
    ) -> Result<(ObjectRecord, Option<CustomerKey>)> {
        let owner = given::object_owner(cx, bucket);
        let acl = given::acl(bucket, input.acl.as_deref(), &grants_of!(input), &owner)?;
        let keys = [
            ("s3:x-amz-copy-source", input.copy_source.as_str()),
            (
                "s3:x-amz-metadata-directive",
                input.metadata_directive.as_deref().unwrap_or("COPY"),
            ),
        ];
        self.may_write(cx, bucket, &input.key, &keys, acl.is_some())?;
        let customer = encryption_of!(input)?;
        let own = source.record.clone();
        let is_new = |directive: &Option<String>| directive.as_deref() == Some("REPLACE");
        for (directive, name) in [
            (&input.metadata_directive, "metadata"),
            (&input.tagging_directive, "tagging"),
        ] {
            if directive
                .as_deref()
                .is_some_and(|d| d != "COPY" && d != "REPLACE")
            {
                return Err(Error::new(
                    crate::buckets::error::Code::InvalidArgument,
                    format!("Unknown {name} directive."),
                ));
            }
        }
        let (mut headers, metadata) = match is_new(&input.metadata_directive) {
            true => (headers_of!(input), given::metadata(input.metadata.clone())?),
            false => (own.headers, own.metadata),
        };
        // Neither this nor the storage class is copied.
        headers.website_redirect = input.website_redirect_location.clone();
        given::check_redirect(&headers)?;
        let (retention, legal_hold) = lock_of!(input, bucket, cx.now)?;
        let record = ObjectRecord {
            headers,
            metadata,
            storage_class: given::storage_class(input.storage_class.as_deref())?,
            tags: match is_new(&input.tagging_directive) {
                true => tags::of_header(input.tagging.as_deref())?,
                false => own.tags,
            },
            acl,
            retention,
            legal_hold,
            customer_key_md5: customer.as_ref().map(|key| key.md5.clone()),
            ..ObjectRecord::marker(&owner)
        };
        Ok((record, customer))
    }

    /// What has to be read to be known: the MD5 of what was put in parts or is to be anybody's to
    /// know, and a checksum that the source has not got.
    async fn copied_digests(
        &self,
        found: Found<'_>,
        (source_key, customer): (Option<&CustomerKey>, Option<&CustomerKey>),
        algorithm: Algorithm,
    ) -> Result<Option<Digests>> {
        let record = &found.version.record;
        let known = record.checksum.as_ref();
        let has_checksum = known.is_some_and(|c| c.algorithm == algorithm && !c.is_composite);
        let has_md5 = record.parts.is_none() && (source_key.is_none() || customer.is_some());
        match has_checksum && has_md5 {
            true => Ok(None),
            false => self.digest(found, source_key, algorithm).await.map(Some),
        }
    }

    pub(super) async fn copy_part(
        &self,
        cx: &Context,
        input: UploadPartCopyRequest,
    ) -> Result<UploadPartCopyOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_write(cx, &bucket, &input.key, &[], false)?;
        check_number(input.part_number)?;
        let upload = self
            .find_upload(&bucket, &input.key, &input.upload_id)
            .await?;
        let customer = customer_key_of!(input)?;
        check_upload_key(&upload, customer.as_ref())?;
        let from = Source::parse(&input.copy_source)?;
        let source_owner = input.expected_source_bucket_owner.as_deref();
        let (source_bucket, found) = self.source(cx, &from, source_owner).await?;
        let source = found.version.clone();
        let source_key = source_key_of!(input)?;
        check_customer(&source.record, source_key.as_ref())?;
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        conditions.check_source(&source, cx.now)?;
        let span = match input.copy_source_range.as_deref() {
            Some(range) => range::of_copy(range, source.size)?,
            None => Span {
                from: 0,
                len: source.size,
            },
        };
        check_length(span.len, limits::PART_BYTES_MAX)?;
        let algorithm = part_algorithm(&upload, None)?;
        let keys = (source_key.as_ref(), customer.as_ref());
        let (taken, digests) = self
            .take_copy(found, span, keys.0, keys.1, algorithm)
            .await?;
        let record = PartRecord {
            etag: etag(&digests.md5, customer.as_ref()),
            modified: whole_second(cx.now),
            lies: Lies::Nowhere,
            key: taken.key,
            checksum: Some(digests.checksum.clone()),
        };
        let mut result = CopyPartResult {
            e_tag: Some(quoted(&record.etag)),
            last_modified: Some(record.modified),
            ..CopyPartResult::default()
        };
        let shown = upload.record.checksum.map(|_| digests.checksum);
        set_checksum!(result, shown);
        let part = uploads::part(i64::from(input.part_number), taken.len, record);
        self.place_part(&bucket, &upload, part, taken.held).await?;
        let mut output = UploadPartCopyOutput {
            copy_source_version_id: shown_version(&source_bucket, &source),
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        };
        set_encryption!(output, &upload.record.customer_key_md5);
        Ok(output)
    }
}

/// A copy of an object onto itself has to change something.
fn check_changes(input: &CopyObjectRequest, source: &Version) -> Result<()> {
    let changes = input.metadata_directive.as_deref() == Some("REPLACE")
        || input.storage_class.is_some()
        || input.website_redirect_location.is_some()
        || input.server_side_encryption.is_some()
        || input.sse_customer_key.is_some()
        || source.record.customer_key_md5.is_some()
        || input.checksum_algorithm.is_some();
    match changes {
        true => Ok(()),
        false => Err(Error::request(
            "This copy request is illegal because it is trying to copy an object to itself without \
             changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        )),
    }
}

/// The algorithm of the copy's checksum: the one asked for, or the source's, or S3's.
fn copied_algorithm(input: &CopyObjectRequest, source: &Version) -> Result<Algorithm> {
    match input.checksum_algorithm.as_deref() {
        Some(name) => Algorithm::named(name).ok_or_else(|| {
            Error::request(
                "Checksum algorithm provided is unsupported. Please try again with any of the \
                 valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        }),
        None => {
            let own = source.record.checksum.as_ref();
            Ok(own.map_or(checksum::DEFAULT, |own| own.algorithm))
        }
    }
}

fn etag_of(source: &Version, digests: Option<&Digests>, customer: Option<&CustomerKey>) -> String {
    let is_secret = customer.is_some();
    match (digests, is_secret) {
        (Some(digests), _) => etag(&digests.md5, customer),
        (None, true) => etag(&[0; 16], customer),
        (None, false) => source.record.etag.clone(),
    }
}
