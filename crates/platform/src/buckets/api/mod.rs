//! The service as its clients see it: what a request says becomes S3's own terms, and back.

mod bucket;
mod config;
mod delete;
pub mod errors;
mod get;
mod given;
mod listing;
mod members;
mod put;

use std::sync::Arc;

use wire::{
    Context, Error as WireError,
    s3::{self, S3},
};

use super::{
    Buckets,
    access::{self, Asked},
    acl::{self, Permission},
    error::Result,
    front::{S3Streams, Upload},
    notify::{Event, Happening},
    registry::Bucket,
    rows::Version,
};
use crate::body::Body;

impl S3 for Buckets {
    async fn create_bucket(
        &self,
        cx: &Context,
        input: s3::CreateBucketRequest,
    ) -> Result<s3::CreateBucketOutput, WireError> {
        Ok(self.create(cx, input).await?)
    }

    async fn delete_bucket(
        &self,
        cx: &Context,
        input: s3::DeleteBucketRequest,
    ) -> Result<(), WireError> {
        Ok(self.delete_bucket_now(cx, input).await?)
    }

    async fn head_bucket(
        &self,
        cx: &Context,
        input: s3::HeadBucketRequest,
    ) -> Result<s3::HeadBucketOutput, WireError> {
        Ok(self.head_of_bucket(cx, &input)?)
    }

    async fn list_buckets(
        &self,
        cx: &Context,
        input: s3::ListBucketsRequest,
    ) -> Result<s3::ListBucketsOutput, WireError> {
        Ok(self.list_own(cx, input)?)
    }

    async fn get_bucket_location(
        &self,
        cx: &Context,
        input: s3::GetBucketLocationRequest,
    ) -> Result<s3::GetBucketLocationOutput, WireError> {
        Ok(self.location(cx, &input)?)
    }

    async fn head_object(
        &self,
        cx: &Context,
        input: s3::HeadObjectRequest,
    ) -> Result<s3::HeadObjectOutput, WireError> {
        Ok(self.head(cx, input).await?)
    }

    async fn delete_object(
        &self,
        cx: &Context,
        input: s3::DeleteObjectRequest,
    ) -> Result<s3::DeleteObjectOutput, WireError> {
        Ok(self.delete(cx, input).await?)
    }

    async fn delete_objects(
        &self,
        cx: &Context,
        input: s3::DeleteObjectsRequest,
    ) -> Result<s3::DeleteObjectsOutput, WireError> {
        Ok(self.delete_many(cx, input).await?)
    }

    async fn list_objects(
        &self,
        cx: &Context,
        input: s3::ListObjectsRequest,
    ) -> Result<s3::ListObjectsOutput, WireError> {
        Ok(self.list_v1(cx, input).await?)
    }

    async fn list_objects_v2(
        &self,
        cx: &Context,
        input: s3::ListObjectsV2Request,
    ) -> Result<s3::ListObjectsV2Output, WireError> {
        Ok(self.list_v2(cx, input).await?)
    }

    async fn list_object_versions(
        &self,
        cx: &Context,
        input: s3::ListObjectVersionsRequest,
    ) -> Result<s3::ListObjectVersionsOutput, WireError> {
        Ok(self.list_versions(cx, input).await?)
    }
}

impl S3Streams for Buckets {
    async fn put_object_stream(
        &self,
        cx: &Context,
        input: s3::PutObjectRequest,
        upload: Upload,
    ) -> Result<s3::PutObjectOutput, WireError> {
        self.put(cx, input, upload).await
    }

    async fn upload_part_stream(
        &self,
        _cx: &Context,
        _input: s3::UploadPartRequest,
        _upload: Upload,
    ) -> Result<s3::UploadPartOutput, WireError> {
        Err(WireError::not_implemented(&s3::SERVICE, "UploadPart"))
    }

    async fn get_object_stream(
        &self,
        cx: &Context,
        input: s3::GetObjectRequest,
    ) -> Result<(s3::GetObjectOutput, Body), WireError> {
        Ok(self.get(cx, input).await?)
    }

    async fn cors_rules(&self, _bucket: &str) -> Option<Vec<s3::CORSRule>> {
        None
    }
}

impl Buckets {
    /// The bucket that a request names, whose owner is who the caller takes it for.
    fn bucket(&self, name: &str, expected_owner: Option<&str>) -> Result<Arc<Bucket>> {
        let bucket = self.registry().require(name)?;
        given::check_owner(&bucket, expected_owner)?;
        Ok(bucket)
    }

    /// Whether the caller may do what no ACL gives.
    fn allowed(
        &self,
        cx: &Context,
        bucket: &Bucket,
        action: &str,
        key: Option<&str>,
    ) -> Result<()> {
        let asked = Asked {
            action,
            key,
            ..Asked::default()
        };
        access::check(cx, bucket, asked)
    }

    /// Whether the caller may see what is in the bucket.
    fn may_list(&self, cx: &Context, bucket: &Bucket, action: &str) -> Result<()> {
        let asked = Asked {
            action,
            by_acl: Some((Permission::Read, None)),
            ..Asked::default()
        };
        access::check(cx, bucket, asked)
    }

    /// When the lifecycle will remove a version, for `x-amz-expiration`.
    fn expiration(&self, _bucket: &Bucket, _version: &Version) -> Option<String> {
        None
    }
}

/// What is told of an operation.
fn happening(cx: &Context, event: Event) -> Happening {
    let principal = access::principal(cx);
    let partition = wire::arn::partition(&cx.region);
    let id = principal.user_id(partition).unwrap_or_default();
    Happening {
        event,
        principal_id: format!("AWS:{id}"),
        source_ip: cx.origin.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        request_id: cx.request_id.clone(),
        requester: cx.account_id.clone(),
        at: cx.now,
    }
}

/// An account as S3 shows it.
fn owner(account_id: &str) -> s3::Owner {
    s3::Owner {
        id: Some(acl::canonical_id(account_id)),
        display_name: None,
    }
}

pub fn http_date(at: jiff::Timestamp) -> String {
    wire::time::print(wire::schema::TimestampFormat::Rfc822, at)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// A version's id, where the bucket has versions.
fn shown_version(bucket: &Bucket, version: &Version) -> Option<String> {
    bucket.has_versions().then(|| version.version_id.clone())
}
