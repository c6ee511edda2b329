//! Amazon CloudWatch Logs on the wire: awsJson 1.1, with events for a live tail.

mod generated;

pub use generated::*;
