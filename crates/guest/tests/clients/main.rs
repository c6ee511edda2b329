//! The Python and Node.js runtime clients, in real interpreters against a small Runtime API.
//!
//! Every Python from 3.9 on and every Node.js from 18 on that is found on this machine is driven;
//! where there is none of either, the tests of that language fail and say so.

mod examples;
mod expect;
mod function;
mod interpreters;
mod log;
mod node;
mod platform;
mod python;
mod streaming;
mod transport;
