//! AWS's policy documents: read, checked, and asked whether a request may go on.
//!
//! Pure: a [`Policy`] is made of text, a [`Request`] of what is known about a request, and
//! [`resource::decide`] says yes or no and by which statement. Text that cannot be understood in
//! full is refused, as a policy that is understood by half protects nothing. So far there are
//! resource policies only; a [`Policy`] reads identity policies as well ([`Kind`]), and what those,
//! boundaries and sessions' policies say joins in a decision of its own beside `resource.rs`.

mod condition;
mod document;
mod error;
mod json;
mod parse;
mod pattern;
mod principals;
mod request;
pub mod resource;
#[cfg(test)]
mod tests;
mod values;

pub use document::{Effect, Policy, Statement, Verdict};
pub use error::PolicyError;
pub use parse::{Bounds, Kind};
pub use request::{Asker, Request};
