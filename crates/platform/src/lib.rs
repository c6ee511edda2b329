//! The domain: what AWS's services do, on our store and in our sandboxes. One folder per service.

pub mod functions;
pub mod gateway;
pub mod identity;
pub mod limits;
pub mod logs;
pub mod metering;
mod platform;

pub use platform::{InvocationCounts, Platform, PlatformConfig, StartError, Target};
