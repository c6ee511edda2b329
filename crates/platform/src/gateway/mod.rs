//! HTTP in front of functions: function URLs.
//!
//! [`FunctionUrls`] answers a request. What it needs is decided purely: which URL a request is for
//! ([`address`]), what the function receives and what the client is told ([`url`], and `streamed.rs`
//! where the function writes piece by piece). Signatures are
//! verified by `identity`, functions run by `functions`, and what a CORS configuration means is
//! `wire`'s.

pub mod address;
mod function_url;
mod streamed;
pub mod url;

pub use function_url::{FunctionUrls, UrlRequest};
