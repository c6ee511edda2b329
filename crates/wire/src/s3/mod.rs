//! Amazon S3 on the wire: beside the generated tables, what of S3 is no other service's.

pub mod address;
pub mod checksum;
pub mod chunked;
pub mod cors;
pub mod form;
pub mod front;
mod generated;
pub mod policy;
pub mod stated;

pub use generated::*;
