//! What wakes functions: event source mappings read a queue and invoke a function with what they
//! got. The only place that knows both.

pub mod filter;
