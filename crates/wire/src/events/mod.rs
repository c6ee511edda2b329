//! What functions receive and answer, other than an invoke's own payload. Pure, in both directions.

pub mod sqs;
pub mod url;
