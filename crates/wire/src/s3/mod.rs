//! Amazon S3 on the wire: restXml.

mod generated;

pub use generated::*;
