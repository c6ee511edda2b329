//! The service as its clients see it: what a request says becomes S3's own terms, and back.

mod acls;
mod attributes;
mod bucket;
mod config;
mod copy;
mod delete;
pub mod errors;
mod get;
mod given;
mod lifecycle;
mod listing;
mod locks;
mod members;
mod multipart;
mod notification;
mod public;
mod put;
mod tagging;

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
    rows::{NULL, Version},
    text,
};
use crate::body::Body;

/// Operations whose verbs are the methods named here, in the files beside.
macro_rules! operations {
    ($($operation:ident($input:ty) -> $output:ty = $verb:ident;)*) => {$(
        async fn $operation(&self, cx: &Context, input: $input) -> Result<$output, WireError> {
            Ok(self.$verb(cx, input).await?)
        }
    )*};
}

impl S3 for Buckets {
    operations! {
        create_bucket(s3::CreateBucketRequest) -> s3::CreateBucketOutput = create;
        delete_bucket(s3::DeleteBucketRequest) -> () = delete_bucket_now;
        head_bucket(s3::HeadBucketRequest) -> s3::HeadBucketOutput = head_of_bucket;
        list_buckets(s3::ListBucketsRequest) -> s3::ListBucketsOutput = list_own;
        get_bucket_location(s3::GetBucketLocationRequest) -> s3::GetBucketLocationOutput = location;
        head_object(s3::HeadObjectRequest) -> s3::HeadObjectOutput = head;
        delete_object(s3::DeleteObjectRequest) -> s3::DeleteObjectOutput = delete;
        delete_objects(s3::DeleteObjectsRequest) -> s3::DeleteObjectsOutput = delete_many;
        copy_object(s3::CopyObjectRequest) -> s3::CopyObjectOutput = copy;
        get_object_attributes(s3::GetObjectAttributesRequest) -> s3::GetObjectAttributesOutput = attributes;
        restore_object(s3::RestoreObjectRequest) -> s3::RestoreObjectOutput = restore;
        list_objects(s3::ListObjectsRequest) -> s3::ListObjectsOutput = list_v1;
        list_objects_v2(s3::ListObjectsV2Request) -> s3::ListObjectsV2Output = list_v2;
        list_object_versions(s3::ListObjectVersionsRequest) -> s3::ListObjectVersionsOutput = list_versions;
        create_multipart_upload(s3::CreateMultipartUploadRequest) -> s3::CreateMultipartUploadOutput = create_upload;
        upload_part_copy(s3::UploadPartCopyRequest) -> s3::UploadPartCopyOutput = copy_part;
        complete_multipart_upload(s3::CompleteMultipartUploadRequest) -> s3::CompleteMultipartUploadOutput = complete_upload;
        abort_multipart_upload(s3::AbortMultipartUploadRequest) -> s3::AbortMultipartUploadOutput = abort_upload;
        list_parts(s3::ListPartsRequest) -> s3::ListPartsOutput = list_upload_parts;
        list_multipart_uploads(s3::ListMultipartUploadsRequest) -> s3::ListMultipartUploadsOutput = list_uploads;
        put_object_tagging(s3::PutObjectTaggingRequest) -> s3::PutObjectTaggingOutput = put_tags;
        get_object_tagging(s3::GetObjectTaggingRequest) -> s3::GetObjectTaggingOutput = get_tags;
        delete_object_tagging(s3::DeleteObjectTaggingRequest) -> s3::DeleteObjectTaggingOutput = delete_tags;
        put_object_acl(s3::PutObjectAclRequest) -> s3::PutObjectAclOutput = put_acl;
        get_object_acl(s3::GetObjectAclRequest) -> s3::GetObjectAclOutput = get_acl;
        put_bucket_acl(s3::PutBucketAclRequest) -> () = put_acl_of_bucket;
        get_bucket_acl(s3::GetBucketAclRequest) -> s3::GetBucketAclOutput = get_acl_of_bucket;
        put_object_retention(s3::PutObjectRetentionRequest) -> s3::PutObjectRetentionOutput = put_retention;
        get_object_retention(s3::GetObjectRetentionRequest) -> s3::GetObjectRetentionOutput = get_retention;
        put_object_legal_hold(s3::PutObjectLegalHoldRequest) -> s3::PutObjectLegalHoldOutput = put_hold;
        get_object_legal_hold(s3::GetObjectLegalHoldRequest) -> s3::GetObjectLegalHoldOutput = get_hold;
        put_object_lock_configuration(s3::PutObjectLockConfigurationRequest) -> s3::PutObjectLockConfigurationOutput = put_lock;
        get_object_lock_configuration(s3::GetObjectLockConfigurationRequest) -> s3::GetObjectLockConfigurationOutput = get_lock;
        put_bucket_versioning(s3::PutBucketVersioningRequest) -> () = put_versioning;
        get_bucket_versioning(s3::GetBucketVersioningRequest) -> s3::GetBucketVersioningOutput = get_versioning;
        put_bucket_tagging(s3::PutBucketTaggingRequest) -> () = put_tags_of_bucket;
        get_bucket_tagging(s3::GetBucketTaggingRequest) -> s3::GetBucketTaggingOutput = get_tags_of_bucket;
        delete_bucket_tagging(s3::DeleteBucketTaggingRequest) -> () = delete_tags_of_bucket;
        put_bucket_policy(s3::PutBucketPolicyRequest) -> () = put_policy;
        get_bucket_policy(s3::GetBucketPolicyRequest) -> s3::GetBucketPolicyOutput = get_policy;
        delete_bucket_policy(s3::DeleteBucketPolicyRequest) -> () = delete_policy;
        get_bucket_policy_status(s3::GetBucketPolicyStatusRequest) -> s3::GetBucketPolicyStatusOutput = policy_status;
        put_public_access_block(s3::PutPublicAccessBlockRequest) -> () = put_access_block;
        get_public_access_block(s3::GetPublicAccessBlockRequest) -> s3::GetPublicAccessBlockOutput = get_access_block;
        delete_public_access_block(s3::DeletePublicAccessBlockRequest) -> () = delete_access_block;
        put_bucket_ownership_controls(s3::PutBucketOwnershipControlsRequest) -> () = put_ownership;
        get_bucket_ownership_controls(s3::GetBucketOwnershipControlsRequest) -> s3::GetBucketOwnershipControlsOutput = get_ownership;
        delete_bucket_ownership_controls(s3::DeleteBucketOwnershipControlsRequest) -> () = delete_ownership;
        put_bucket_encryption(s3::PutBucketEncryptionRequest) -> () = put_encryption;
        get_bucket_encryption(s3::GetBucketEncryptionRequest) -> s3::GetBucketEncryptionOutput = get_encryption;
        delete_bucket_encryption(s3::DeleteBucketEncryptionRequest) -> () = delete_encryption;
        put_bucket_cors(s3::PutBucketCorsRequest) -> () = put_cors;
        get_bucket_cors(s3::GetBucketCorsRequest) -> s3::GetBucketCorsOutput = get_cors;
        delete_bucket_cors(s3::DeleteBucketCorsRequest) -> () = delete_cors;
        put_bucket_lifecycle_configuration(s3::PutBucketLifecycleConfigurationRequest) -> s3::PutBucketLifecycleConfigurationOutput = put_lifecycle;
        get_bucket_lifecycle_configuration(s3::GetBucketLifecycleConfigurationRequest) -> s3::GetBucketLifecycleConfigurationOutput = get_lifecycle;
        delete_bucket_lifecycle(s3::DeleteBucketLifecycleRequest) -> () = delete_lifecycle;
        put_bucket_notification_configuration(s3::PutBucketNotificationConfigurationRequest) -> () = put_notification;
        get_bucket_notification_configuration(s3::GetBucketNotificationConfigurationRequest) -> s3::NotificationConfiguration = get_notification;
        put_bucket_request_payment(s3::PutBucketRequestPaymentRequest) -> () = put_payment;
        get_bucket_request_payment(s3::GetBucketRequestPaymentRequest) -> s3::GetBucketRequestPaymentOutput = get_payment;
        put_bucket_accelerate_configuration(s3::PutBucketAccelerateConfigurationRequest) -> () = put_accelerate;
        get_bucket_accelerate_configuration(s3::GetBucketAccelerateConfigurationRequest) -> s3::GetBucketAccelerateConfigurationOutput = get_accelerate;
        put_bucket_logging(s3::PutBucketLoggingRequest) -> () = put_logging;
        get_bucket_logging(s3::GetBucketLoggingRequest) -> s3::GetBucketLoggingOutput = get_logging;
        get_bucket_website(s3::GetBucketWebsiteRequest) -> s3::GetBucketWebsiteOutput = get_website;
        delete_bucket_website(s3::DeleteBucketWebsiteRequest) -> () = delete_website;
        get_bucket_replication(s3::GetBucketReplicationRequest) -> s3::GetBucketReplicationOutput = get_replication;
        delete_bucket_replication(s3::DeleteBucketReplicationRequest) -> () = delete_replication;
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
        cx: &Context,
        input: s3::UploadPartRequest,
        upload: Upload,
    ) -> Result<s3::UploadPartOutput, WireError> {
        self.upload_part(cx, input, upload).await
    }

    async fn get_object_stream(
        &self,
        cx: &Context,
        input: s3::GetObjectRequest,
    ) -> Result<(s3::GetObjectOutput, Body), WireError> {
        Ok(self.get(cx, input).await?)
    }

    async fn cors_rules(&self, bucket: &str) -> Option<Vec<s3::CORSRule>> {
        let rules = self.registry().find(bucket)?.record.cors.clone()?;
        Some(rules.into_iter().map(config::cors_shape).collect())
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
    fn expiration(&self, bucket: &Bucket, version: &Version) -> Option<String> {
        let lifecycle = bucket.record.lifecycle.as_ref()?;
        let (at, rule) = lifecycle
            .expiration(version)
            .filter(|_| version.is_current)?;
        let rule = text::percent_encode(rule, "-_.~");
        Some(format!(
            "expiry-date=\"{}\", rule-id=\"{rule}\"",
            http_date(at)
        ))
    }
}

/// What is told of an operation.
fn happening(cx: &Context, event: Event) -> Happening {
    Happening::of(cx, event)
}

/// An account as S3 shows it.
fn owner(account_id: &str) -> s3::Owner {
    s3::Owner {
        id: Some(acl::canonical_id(account_id)),
        display_name: None,
    }
}

/// S3's times of objects have no finer grain; which of two versions is the newer is known otherwise.
pub fn whole_second(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

pub fn http_date(at: jiff::Timestamp) -> String {
    wire::time::print(wire::schema::TimestampFormat::Rfc822, at)
}

/// Where an object is, by the address that was asked.
fn location_of(cx: &Context, bucket: &Bucket, key: &str) -> String {
    let key = text::percent_encode(key, "-_.~/");
    format!("http://{}/{}/{key}", cx.host, bucket.name)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The id of a version that was just put, where it has one of its own.
fn new_version(version: &Version) -> Option<String> {
    (version.version_id != NULL).then(|| version.version_id.clone())
}

/// A version's id, where the bucket has versions.
fn shown_version(bucket: &Bucket, version: &Version) -> Option<String> {
    bucket.has_versions().then(|| version.version_id.clone())
}
