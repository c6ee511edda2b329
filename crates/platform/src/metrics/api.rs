//! The service as its clients see it.

use wire::cloudwatch::CloudWatch;

use super::Metrics;

impl CloudWatch for Metrics {}
