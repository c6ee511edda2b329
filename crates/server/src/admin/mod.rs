//! The operator's endpoints, below `/_lambent/`: health, metrics, logs, usage, environments, and
//! the packages that GetFunction links to.
//!
//! Where there are credentials they take signed requests only, but for health, which load
//! balancers ask and which says nothing else, and the packages, whose links are signed themselves.

mod logs;
mod metrics;
mod queues;
mod usage;

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use jiff::Timestamp;
use platform::{
    Platform,
    functions::{LINK_PATH, execution::EnvironmentState},
    identity::{Caller, DEFAULT_ACCOUNT, DEFAULT_REGION, Sender},
    topics::CERTIFICATE_PATH,
};
use serde_json::json;

use crate::serve::Body;
pub use metrics::Metrics;

const HEALTH_PATH: &str = "/_lambent/health";

/// What the endpoints have to know beside the platform.
#[derive(Default)]
pub struct Admin {
    pub metrics: Metrics,
}

impl Admin {
    /// What functions are answered here as well: health, packages, which GetFunction links to,
    /// and the certificate of messages.
    pub fn is_for_functions(path: &str) -> bool {
        path == HEALTH_PATH || path.starts_with(LINK_PATH) || path.starts_with(CERTIFICATE_PATH)
    }

    pub fn nowhere() -> Response<Body> {
        error(StatusCode::NOT_FOUND, "there is no such endpoint")
    }

    pub async fn respond(&self, platform: &Platform, parts: &Parts) -> Response<Body> {
        let path = parts.uri.path();
        let now = Timestamp::now();
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return error(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        }
        if path == HEALTH_PATH {
            return json(&json!({"status": "ready", "version": env!("CARGO_PKG_VERSION")}));
        }
        if let Some(token) = path.strip_prefix(LINK_PATH) {
            return package(platform, token, now).await;
        }
        if let Some(file) = path.strip_prefix(CERTIFICATE_PATH) {
            return certificate(platform, file).await;
        }
        if let Err(refused) = platform.identity().admits(parts, now) {
            return error(StatusCode::FORBIDDEN, &refused.to_string());
        }
        // In development unsigned requests are answered too, for the default account.
        let by = &Sender::Signature;
        let caller = platform.identity().caller(by, parts, b"", now).ok();
        let ask = Ask {
            platform,
            caller: caller.unwrap_or_else(somebody),
            query: query(parts),
            now,
        };
        match path {
            "/_lambent/metrics" => text(self.metrics.print(platform)),
            "/_lambent/logs" => logs::respond(ask).await,
            "/_lambent/usage" => usage::respond(ask).await,
            "/_lambent/environments" => environments(&ask),
            "/_lambent/queues" => queues::respond(&ask),
            _ => Self::nowhere(),
        }
    }
}

/// A request that may be answered.
struct Ask<'a> {
    platform: &'a Platform,
    caller: Caller,
    query: HashMap<String, String>,
    now: Timestamp,
}

fn somebody() -> Caller {
    Caller {
        access_key_id: String::new(),
        account_id: DEFAULT_ACCOUNT.to_owned(),
        role: None,
        region: DEFAULT_REGION.to_owned(),
        service: String::new(),
    }
}

fn query(parts: &Parts) -> HashMap<String, String> {
    let query = parts.uri.query().unwrap_or_default();
    crate::percent::pairs(query).collect()
}

async fn certificate(platform: &Platform, file: &str) -> Response<Body> {
    match platform.signing_certificate(file).await {
        Some(pem) => typed("application/x-pem-file", pem.into_bytes()),
        None => Admin::nowhere(),
    }
}

async fn package(platform: &Platform, token: &str, now: Timestamp) -> Response<Body> {
    match platform.package(token, now).await {
        Some(zip) => typed("application/zip", zip),
        None => error(StatusCode::FORBIDDEN, "the link is no longer good"),
    }
}

/// The caller's environments, as they are now.
fn environments(ask: &Ask<'_>) -> Response<Body> {
    let all = ask.platform.execution().environments();
    let of_caller = all
        .iter()
        .filter(|view| view.key.account_id == ask.caller.account_id);
    let shown = of_caller.map(|view| {
        json!({
            "function": view.key.name,
            "region": view.key.region,
            "version": &*view.version,
            "state": match view.state {
                EnvironmentState::Busy => "busy",
                EnvironmentState::Idle => "idle",
                EnvironmentState::Frozen => "frozen",
            },
            "log_stream": view.log_stream,
        })
    });
    json(&json!({"environments": shown.collect::<Vec<_>>()}))
}

fn json(value: &serde_json::Value) -> Response<Body> {
    typed("application/json", value.to_string())
}

fn text(text: String) -> Response<Body> {
    typed("text/plain; version=0.0.4; charset=utf-8", text)
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = json(&json!({"message": message}));
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
