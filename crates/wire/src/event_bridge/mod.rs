//! Amazon EventBridge on the wire: awsJson 1.1.

mod generated;

pub use generated::*;
