//! Running functions: from an invocation to an environment and back, and the environments' lives.
//!
//! Knows definitions only as [`Definition`]s handed to [`Execution::deploy`]; stores nothing but
//! what the log and the meter keep. Everything here is soft state, rebuilt after a restart by
//! deploying the stored definitions again.

mod definition;
mod invocation;

pub use definition::{Definition, FunctionKey, LogFormat, LogLevel};
pub use invocation::{FunctionError, Invocation, InvokeError, Outcome, Throttle};
