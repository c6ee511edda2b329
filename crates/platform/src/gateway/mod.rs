//! HTTP in front of functions: function URLs.
//!
//! Pure decisions: which URL a request is for ([`address`]), what the function receives and what
//! the client is told ([`url`]). Signatures are verified by `identity`, functions run by
//! `functions`, and what a CORS configuration means is `wire`'s.

pub mod address;
pub mod url;
