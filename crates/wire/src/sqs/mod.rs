//! Amazon SQS on the wire: awsJson 1.0 and the query protocol that it had before.

mod generated;

pub use generated::*;
