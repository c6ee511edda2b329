//! Amazon CloudWatch on the wire: rpcv2Cbor for SDKs of today, awsJson and the query protocol for others.

mod generated;

pub use generated::*;
