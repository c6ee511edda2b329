//! The domain: what AWS's services do, on our store and in our sandboxes. One folder per service.

mod alarm;
pub mod background;
mod body;
pub mod buckets;
pub mod buses;
pub mod clock;
mod compression;
pub mod deliveries;
pub mod durable;
pub mod events;
pub mod functions;
pub mod gateway;
pub mod identity;
mod invocations;
mod json_path;
pub mod limits;
pub mod logs;
mod measuring;
pub mod metering;
pub mod metrics;
mod node;
mod outbound;
pub mod patterns;
pub mod pipes;
mod platform;
pub mod queues;
pub mod schedules;
pub mod secrets;
mod services;
#[cfg(test)]
mod simulation;
mod target;
pub mod timers;
pub mod topics;
pub mod triggers;

pub use body::{Body, Broken, Stream};
pub use buckets::front::{Cut, Pieces};
pub use identity::Sender;
pub use invocations::InvocationCounts;
pub use platform::{Platform, PlatformConfig, Request, StartError};
pub use target::Target;
