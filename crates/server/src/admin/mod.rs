//! The operator's endpoints, below `/_lambent/`: health, metrics, logs, usage, environments.
//!
//! Where there are credentials they take signed requests only, but for health, which load
//! balancers ask and which says nothing else.

mod metrics;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use jiff::Timestamp;
use platform::Platform;

use crate::serve::Body;
pub use metrics::Metrics;

/// What the endpoints have to know beside the platform.
#[derive(Default)]
pub struct Admin {
    pub metrics: Metrics,
}

impl Admin {
    pub async fn respond(&self, platform: &Platform, parts: &Parts) -> Response<Body> {
        let path = parts.uri.path().trim_start_matches("/_lambent/");
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return error(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        }
        if path == "health" {
            return json(
                &serde_json::json!({"status": "ready", "version": env!("CARGO_PKG_VERSION")}),
            );
        }
        if let Err(refused) = platform.identity().admits(parts, Timestamp::now()) {
            return error(StatusCode::FORBIDDEN, &refused.to_string());
        }
        match path {
            "metrics" => text(self.metrics.print(platform)),
            _ => error(StatusCode::NOT_FOUND, "there is no such endpoint"),
        }
    }
}

fn json(value: &serde_json::Value) -> Response<Body> {
    typed("application/json", value.to_string())
}

fn text(text: String) -> Response<Body> {
    typed("text/plain; version=0.0.4; charset=utf-8", text)
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = json(&serde_json::json!({"message": message}));
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(body)));
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
