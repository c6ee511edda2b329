//! Objects' tags.

use wire::{
    Context,
    s3::{
        DeleteObjectTaggingOutput, DeleteObjectTaggingRequest, GetObjectTaggingOutput,
        GetObjectTaggingRequest, PutObjectTaggingOutput, PutObjectTaggingRequest,
    },
};

use super::{
    config::{as_tags, shapes},
    get::version_id,
    happening, shown_version,
};
use crate::buckets::{Buckets, error::Result, limits, notify::Event, tags};

impl Buckets {
    pub(super) async fn put_tags(
        &self,
        cx: &Context,
        input: PutObjectTaggingRequest,
    ) -> Result<PutObjectTaggingOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let tags = as_tags(input.tagging.tag_set);
        tags::check(&tags, limits::OBJECT_TAGS_MAX, "Object")?;
        let version_id = version_id(input.version_id.as_deref())?;
        self.find_readable(cx, &bucket, &input.key, version_id, "s3:PutObjectTagging")
            .await?;
        let told = happening(cx, Event::TaggingPut);
        let changed = self
            .change_version(&bucket, &input.key, version_id, Some(told), move |record| {
                record.tags.clone_from(&tags);
                Ok(())
            })
            .await?;
        Ok(PutObjectTaggingOutput {
            version_id: shown_version(&bucket, &changed),
        })
    }

    pub(super) async fn get_tags(
        &self,
        cx: &Context,
        input: GetObjectTaggingRequest,
    ) -> Result<GetObjectTaggingOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObjectTagging")
            .await?;
        Ok(GetObjectTaggingOutput {
            version_id: shown_version(&bucket, &found.version),
            tag_set: shapes(&found.version.record.tags),
        })
    }

    pub(super) async fn delete_tags(
        &self,
        cx: &Context,
        input: DeleteObjectTaggingRequest,
    ) -> Result<DeleteObjectTaggingOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        self.find_readable(
            cx,
            &bucket,
            &input.key,
            version_id,
            "s3:DeleteObjectTagging",
        )
        .await?;
        let told = happening(cx, Event::TaggingDelete);
        let changed = self
            .change_version(&bucket, &input.key, version_id, Some(told), |record| {
                record.tags.clear();
                Ok(())
            })
            .await?;
        Ok(DeleteObjectTaggingOutput {
            version_id: shown_version(&bucket, &changed),
        })
    }
}
