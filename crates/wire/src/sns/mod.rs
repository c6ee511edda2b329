//! Amazon SNS on the wire: awsQuery.

mod generated;

pub use generated::*;
