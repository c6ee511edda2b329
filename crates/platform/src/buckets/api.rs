//! The service as its clients see it.

use wire::s3::S3;

use super::Buckets;

impl S3 for Buckets {}
