//! GetObjectAttributes and RestoreObject.

use jiff::Timestamp;
use wire::{
    Context,
    s3::{
        Checksum, GetObjectAttributesOutput, GetObjectAttributesParts, GetObjectAttributesRequest,
        ObjectPart, RestoreObjectOutput, RestoreObjectRequest,
    },
};

use super::{
    get::{check_customer, is_archive, version_id},
    happening,
    listing::some,
    members::{customer_key_of, set_checksum},
    shown_version,
};
use crate::buckets::{
    Buckets,
    content::{Lies, checksum::kind},
    error::{Code, Error, Result},
    lifecycle, limits,
    notify::Event,
    rows::{self, Version},
};

impl Buckets {
    pub(super) async fn attributes(
        &self,
        cx: &Context,
        input: GetObjectAttributesRequest,
    ) -> Result<GetObjectAttributesOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObject")
            .await?;
        let version = found.version.clone();
        drop(found);
        check_customer(&version.record, customer_key_of!(input)?.as_ref())?;
        let asked = |name: &str| input.object_attributes.iter().any(|asked| asked == name);
        if input.object_attributes.is_empty() {
            return Err(Error::request(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is \
                 either missing or empty",
            ));
        }
        let record = &version.record;
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(version.modified),
            version_id: shown_version(&bucket, &version),
            e_tag: asked("ETag").then(|| record.etag.clone()),
            storage_class: asked("StorageClass").then(|| record.storage_class.clone()),
            object_size: i64::try_from(version.size)
                .ok()
                .filter(|_| asked("ObjectSize")),
            ..GetObjectAttributesOutput::default()
        };
        if let Some(known) = record.checksum.as_ref().filter(|_| asked("Checksum")) {
            let mut shape = Checksum {
                checksum_type: Some(kind(known.is_composite).to_owned()),
                ..Checksum::default()
            };
            // Here, and nowhere else, without the count of the parts.
            let mut known = known.clone();
            if let Some((value, _)) = known.value.rsplit_once('-') {
                known.value = value.to_owned();
            }
            set_checksum!(shape, Some(&known));
            output.checksum = Some(shape);
        }
        if asked("ObjectParts")
            && let Some(count) = record.parts
        {
            output.object_parts = Some(self.parts_of(&version, count, &input).await?);
        }
        Ok(output)
    }

    /// The parts themselves are told only where they have checksums of their own.
    async fn parts_of(
        &self,
        version: &Version,
        count: u32,
        input: &GetObjectAttributesRequest,
    ) -> Result<GetObjectAttributesParts> {
        let total_parts_count = i32::try_from(count).ok();
        let is_composite = version
            .record
            .checksum
            .as_ref()
            .is_some_and(|c| c.is_composite);
        let (Lies::Parts(manifest), true) = (&version.record.lies, is_composite) else {
            return Ok(GetObjectAttributesParts {
                total_parts_count,
                ..GetObjectAttributesParts::default()
            });
        };
        let max = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or_default();
        let max = max.min(limits::LIST_MAX);
        let after = i64::from(input.part_number_marker.unwrap_or_default());
        let manifest = *manifest;
        let found = self
            .store()
            .read(move |tx| rows::parts(tx, manifest, after, max + 1));
        let mut parts = found.await?;
        let is_truncated = parts.len() > max;
        parts.truncate(max);
        let next = parts.last().map_or(after, |last| last.number);
        let shapes = parts.iter().map(|part| {
            let mut shape = ObjectPart {
                part_number: i32::try_from(part.number).ok(),
                size: i64::try_from(part.size).ok(),
                ..ObjectPart::default()
            };
            set_checksum!(shape, part.record.checksum.as_ref());
            shape
        });
        Ok(GetObjectAttributesParts {
            total_parts_count,
            part_number_marker: i32::try_from(after).ok(),
            next_part_number_marker: i32::try_from(next).ok(),
            max_parts: i32::try_from(max).ok(),
            is_truncated: Some(is_truncated),
            parts: some(shapes.collect()),
        })
    }

    /// What is archived here is at hand: it can be read as soon as that is asked for.
    pub(super) async fn restore(
        &self,
        cx: &Context,
        input: RestoreObjectRequest,
    ) -> Result<RestoreObjectOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:RestoreObject")
            .await?;
        let class = found.version.record.storage_class.clone();
        let was_restored = found.version.record.restored_until;
        drop(found);
        if !is_archive(&class) {
            let message = "Restore is not allowed for the object's current storage class";
            let error = Error::new(Code::InvalidObjectState, message);
            return Err(error.with("StorageClass", class));
        }
        let asked = input.restore_request.unwrap_or_default();
        if asked.type_.is_some() || asked.select_parameters.is_some() {
            return Err(Error::not_built("Selecting from an archived object"));
        }
        let days = asked.days.filter(|days| *days >= 1);
        let days = days.ok_or_else(Error::malformed_xml)?;
        let until: Timestamp = lifecycle::due(cx.now, days);
        for event in [Event::RestorePost, Event::RestoreCompleted] {
            let told = happening(cx, event);
            self.change_version(&bucket, &input.key, version_id, Some(told), move |record| {
                record.restored_until = Some(until);
                Ok(())
            })
            .await?;
        }
        let is_new = was_restored.is_none_or(|until| until <= cx.now);
        // Of what is restored already only the time is changed: 200, not 202.
        tracing::debug!(is_new, "an archived object can be read");
        Ok(RestoreObjectOutput::default())
    }
}
