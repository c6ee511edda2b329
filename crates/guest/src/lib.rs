//! What runs inside a sandbox, or on the way into one.

pub mod jail;
