//! The way from a request to the buckets for what is S3's alone: bodies that are never in memory whole,
//! in and out, and what their clients are asked and told on the way.
//!
//! Knows the wire, and no bucket: who has those implements [`S3Streams`].

mod upload;

use wire::{Context, Error, s3};

use crate::body::Body;

pub use upload::{Cut, Pieces, Received, Upload};

/// S3's operations whose bodies are objects, beside the others, which [`s3::S3`] has. Of these three
/// that trait's methods are never called.
pub trait S3Streams: Send + Sync {
    /// `input` has all but the body. A POST form comes as this too.
    fn put_object_stream(
        &self,
        cx: &Context,
        input: s3::PutObjectRequest,
        upload: Upload,
    ) -> impl Future<Output = Result<s3::PutObjectOutput, Error>> + Send;

    fn upload_part_stream(
        &self,
        cx: &Context,
        input: s3::UploadPartRequest,
        upload: Upload,
    ) -> impl Future<Output = Result<s3::UploadPartOutput, Error>> + Send;

    /// The output has `content_length`, and no body. One with a `content_range` is answered as 206.
    fn get_object_stream(
        &self,
        cx: &Context,
        input: s3::GetObjectRequest,
    ) -> impl Future<Output = Result<(s3::GetObjectOutput, Body), Error>> + Send;

    /// A bucket's CORS rules, whoever asks: browsers send no credentials with that question. None
    /// where the bucket has none, or is none.
    fn cors_rules(&self, bucket: &str) -> impl Future<Output = Option<Vec<s3::CORSRule>>> + Send;
}
