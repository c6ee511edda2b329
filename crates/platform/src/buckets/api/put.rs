//! PutObject: what a request asks for, and its body into its place.

use wire::{
    Context,
    s3::{PutObjectOutput, PutObjectRequest},
};

use super::{
    given, happening,
    members::{encryption_of, grants_of, headers_of, lock_of, set_checksum, set_encryption},
    new_version, quoted, whole_second,
};
use crate::buckets::{
    Buckets,
    access::{self, Asked},
    acl::Permission,
    conditions::WriteConditions,
    content::{Checksum, Intake, Taken, checksum, cipher::CustomerKey, intake::hex},
    error::{Code, Error, Result},
    front::Upload,
    limits, name,
    notify::Event,
    place::{self, New},
    registry::Bucket,
    tables::ObjectRecord,
    tags,
};

impl Buckets {
    pub(super) async fn put(
        &self,
        cx: &Context,
        input: PutObjectRequest,
        upload: Upload,
    ) -> Result<PutObjectOutput, wire::Error> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let (mut record, customer, conditions) = self.to_put(cx, &bucket, &input)?;
        check_length(upload.length(), limits::PUT_BYTES_MAX)?;
        let algorithm = upload.algorithm().unwrap_or(checksum::DEFAULT);
        let intake = self.intake(customer.as_ref())?;
        let (taken, md5, checksums) = self.take_in(upload, intake, &[algorithm]).await?;
        record.checksum = checksums.into_iter().find(|c| c.algorithm == algorithm);
        record.etag = etag(&md5, customer.as_ref());
        record.key = Some(taken.key);
        let new = New {
            key: input.key,
            size: taken.len,
            modified: whole_second(cx.now),
            is_marker: false,
            record,
            content: place::nothing(),
            conditions,
            upload: None,
            happening: Some(happening(cx, Event::Put)),
        };
        let version = self.place_taken(bucket.clone(), new, taken.held).await?;
        self.changed(&bucket);
        let mut output = PutObjectOutput {
            e_tag: Some(quoted(&version.record.etag)),
            version_id: new_version(&version),
            expiration: self.expiration(&bucket, &version),
            ..PutObjectOutput::default()
        };
        if let Some(checksum) = &version.record.checksum {
            output.checksum_type = Some(checksum.kind().to_owned());
            set_checksum!(output, Some(checksum));
        }
        set_encryption!(output, &version.record.customer_key_md5);
        Ok(output)
    }

    /// Reads a body to its end, with a checksum by the client's algorithm if it has one, and by these.
    pub(super) async fn take_in(
        &self,
        mut upload: Upload,
        mut intake: Intake,
        algorithms: &[checksum::Algorithm],
    ) -> Result<(Taken, [u8; 16], Vec<Checksum>), wire::Error> {
        for algorithm in algorithms {
            upload.take_checksum(*algorithm);
        }
        while let Some(piece) = upload.next().await? {
            intake.write(piece).await.map_err(Error::from)?;
        }
        let received = upload.finish().await?;
        let taken = intake.finish().await.map_err(Error::from)?;
        let checksums = received.checksums.iter();
        let checksums = checksums.map(|(algorithm, value)| Checksum::of(*algorithm, value));
        Ok((taken, received.md5, checksums.collect()))
    }

    /// What a put asks for, checked, before its body is read.
    fn to_put(
        &self,
        cx: &Context,
        bucket: &Bucket,
        input: &PutObjectRequest,
    ) -> Result<(ObjectRecord, Option<CustomerKey>, WriteConditions)> {
        name::check_key(&input.key)?;
        if input.write_offset_bytes.is_some() {
            return Err(Error::header_not_implemented("x-amz-write-offset-bytes"));
        }
        let owner = given::object_owner(cx, bucket);
        let acl = given::acl(bucket, input.acl.as_deref(), &grants_of!(input), &owner)?;
        let mut keys = Vec::new();
        keys.extend(input.acl.as_deref().map(|acl| ("s3:x-amz-acl", acl)));
        let sse = input.server_side_encryption.as_deref();
        keys.extend(sse.map(|sse| ("s3:x-amz-server-side-encryption", sse)));
        self.may_write(cx, bucket, &input.key, &keys, acl.is_some())?;
        let customer = encryption_of!(input)?;
        let headers = headers_of!(input);
        given::check_redirect(&headers)?;
        let (retention, legal_hold) = lock_of!(input, bucket, cx.now)?;
        let conditions =
            WriteConditions::read(input.if_match.as_deref(), input.if_none_match.as_deref())?;
        let record = ObjectRecord {
            headers,
            metadata: given::metadata(input.metadata.clone())?,
            storage_class: given::storage_class(input.storage_class.as_deref())?,
            tags: tags::of_header(input.tagging.as_deref())?,
            acl,
            retention,
            legal_hold,
            customer_key_md5: customer.as_ref().map(|key| key.md5.clone()),
            ..ObjectRecord::marker(&owner)
        };
        Ok((record, customer, conditions))
    }

    /// Whether the caller may put this key, with an ACL or without.
    pub(super) fn may_write(
        &self,
        cx: &Context,
        bucket: &Bucket,
        key: &str,
        keys: &[(&str, &str)],
        with_acl: bool,
    ) -> Result<()> {
        let asked = Asked {
            action: "s3:PutObject",
            key: Some(key),
            by_acl: Some((Permission::Write, None)),
            keys,
        };
        access::check(cx, bucket, asked)?;
        if !with_acl {
            return Ok(());
        }
        // By an ACL, whoever may write owns what they write, and may say who else reads it.
        let asked = Asked {
            action: "s3:PutObjectAcl",
            ..asked
        };
        access::check(cx, bucket, asked)
    }
}

pub fn check_length(length: u64, max: u64) -> Result<()> {
    if length <= max {
        return Ok(());
    }
    let message = "Your proposed upload exceeds the maximum allowed size";
    Err(Error::new(Code::EntityTooLarge, message)
        .with("ProposedSize", length.to_string())
        .with("MaxSizeAllowed", max.to_string()))
}

/// Of what a customer's key encrypts the ETag is no MD5 of the content.
pub fn etag(md5: &[u8; 16], customer: Option<&CustomerKey>) -> String {
    match customer {
        None => hex(md5),
        Some(_) => hex(uuid::Uuid::new_v4().as_bytes()),
    }
}
