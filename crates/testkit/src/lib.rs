//! What the tests of several crates share. For tests only.

pub mod postgres;
