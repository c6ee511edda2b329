//! The service as its clients see it.

use wire::{
    Context, Error,
    s3::{self, S3},
};

use super::{
    Buckets,
    front::{S3Streams, Upload},
};
use crate::body::Body;

impl S3 for Buckets {}

impl S3Streams for Buckets {
    async fn put_object_stream(
        &self,
        _cx: &Context,
        _input: s3::PutObjectRequest,
        _upload: Upload,
    ) -> Result<s3::PutObjectOutput, Error> {
        Err(Error::not_implemented(&s3::SERVICE, "PutObject"))
    }

    async fn upload_part_stream(
        &self,
        _cx: &Context,
        _input: s3::UploadPartRequest,
        _upload: Upload,
    ) -> Result<s3::UploadPartOutput, Error> {
        Err(Error::not_implemented(&s3::SERVICE, "UploadPart"))
    }

    async fn get_object_stream(
        &self,
        _cx: &Context,
        _input: s3::GetObjectRequest,
    ) -> Result<(s3::GetObjectOutput, Body), Error> {
        Err(Error::not_implemented(&s3::SERVICE, "GetObject"))
    }

    async fn cors_rules(&self, _bucket: &str) -> Option<Vec<s3::CORSRule>> {
        None
    }
}
