//! Amazon EventBridge Pipes on the wire: restJson1.

mod generated;

pub use generated::*;
