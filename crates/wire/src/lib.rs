//! AWS on the wire: protocols, signatures, ARNs, routing, and the events that functions receive.
//!
//! Knows no disk, no clock and no domain type: time is an argument, and a service's implementation
//! is a trait. Services come from AWS's models by `cargo xtask codegen`.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use wire::{Call, Context, Error, Router, lambda::{self, Lambda}};
//!
//! struct Functions;
//!
//! impl Lambda for Functions {
//!     async fn get_function_concurrency(
//!         &self,
//!         cx: &Context,
//!         input: lambda::GetFunctionConcurrencyRequest,
//!     ) -> Result<lambda::GetFunctionConcurrencyResponse, Error> {
//!         let (region, account, name) = (&cx.region, &cx.account_id, input.function_name);
//!         Err(lambda::errors::resource_not_found(format!(
//!             "Function not found: arn:aws:lambda:{region}:{account}:function:{name}"
//!         )))
//!     }
//! }
//!
//! async fn serve(router: &Router, cx: &Context, request: Request<Bytes>) -> Response<Bytes> {
//!     let (parts, body) = request.into_parts();
//!     match router.route(&parts, &body) {
//!         Ok(route) => {
//!             lambda::dispatch(&Functions, Call { cx, route: &route, parts: &parts, body: &body }).await
//!         }
//!         Err(nowhere) => {
//!             wire::encode_error(nowhere.protocol, nowhere.service, &nowhere.error, &cx.request_id)
//!         }
//!     }
//! }
//!
//! let router = Router::new(&[&lambda::SERVICE]);
//! ```

pub mod arn;
pub mod cloudwatch;
pub mod cloudwatch_logs;
mod context;
mod error;
pub mod event_bridge;
pub mod events;
mod exchange;
pub mod lambda;
pub mod pipes;
mod protocol;
mod query;
mod router;
pub mod s3;
pub mod scheduler;
pub mod schema;
pub mod sigv2;
pub mod sigv4;
pub mod sns;
pub mod sqs;
pub mod sts;
pub mod time;
mod validate;
mod value;

pub use context::{Context, Origin, RoleSession};
pub use error::{Error, Fault};
pub use exchange::Call;
pub use jiff::Timestamp;
pub use protocol::{
    EVENT_STREAM, Protocol, decode_request, encode_error, encode_event, encode_initial_response,
    encode_response, refuse, spoken,
};
pub use query::parse as query_pairs;
pub use router::{ByAction, Head, Labels, Route, Router, Unrouted};
pub use validate::validate;
pub use value::{FromValue, IntoValue, Map, Members, Value};

/// A fresh request id, in AWS's form.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
