//! AWS Security Token Service on the wire: awsQuery.

mod generated;

pub use generated::*;
