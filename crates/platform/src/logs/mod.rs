//! Amazon CloudWatch Logs: what functions say and what others put, by group and stream.

mod api;
pub mod lines;

pub use lines::{GroupKey, Line, LogStream, Logs, Reader};
