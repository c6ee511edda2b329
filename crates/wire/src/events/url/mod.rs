//! Function URLs: payload format 2.0, from an HTTP request to the event that the function receives,
//! and from what the function answers to the HTTP response.
//!
//! Nothing is looked up here, and CORS is decided elsewhere. A body goes to the function as text only
//! where AWS's front takes it for text; all else is base64.

mod request;
mod response;

pub use request::{Iam, UrlContext, event};
pub use response::{forbidden, internal_server_error, response};
