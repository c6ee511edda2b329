//! Requests: from a connection to the platform or the operator's endpoints, and back.

mod body;
mod finish;
mod listen;

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use platform::{Platform, Target, gateway::url::Client};
use tokio::sync::Semaphore;

pub use body::Body;
pub use listen::{Phase, listen};

use crate::{admin::Admin, limits};
use body::{Read, Unread};

/// What answers requests.
pub struct App {
    pub platform: Platform,
    pub admin: Admin,
    large_bodies: Arc<Semaphore>,
}

impl App {
    pub fn new(platform: Platform, admin: Admin) -> Arc<Self> {
        Arc::new(App {
            platform,
            admin,
            large_bodies: Arc::new(Semaphore::new(limits::BODIES_LARGE_MAX)),
        })
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        (local, peer): (SocketAddr, SocketAddr),
    ) -> Response<Body> {
        let request_id = wire::request_id();
        let (parts, body) = request.into_parts();
        let target = self.platform.target(&parts);
        if matches!(target, Target::Unknown(_)) && parts.uri.path().starts_with("/_lambent/") {
            let response = self.admin.respond(&self.platform, &parts).await;
            return self.counted("admin", identified(response, &request_id));
        }
        let kind = match &target {
            Target::Url(_) => "url",
            Target::Api(_) | Target::Unknown(_) => "api",
        };
        let client = Client {
            ip: peer.ip(),
            port: local.port(),
        };
        let response = self.serve(target, parts, body, client, request_id).await;
        self.counted(kind, response)
    }

    async fn serve(
        self: &Arc<Self>,
        target: Target,
        parts: Parts,
        body: Incoming,
        client: Client,
        request_id: String,
    ) -> Response<Body> {
        let Read { bytes, place } =
            match body::read(body, target.body_bytes_max(), &self.large_bodies).await {
                Ok(read) => read,
                Err(Unread::TooLarge) => return target.too_large(&request_id).map(Body::from),
                Err(Unread::Slow) => return cut_off(StatusCode::REQUEST_TIMEOUT, &request_id),
                Err(Unread::Cut) => return cut_off(StatusCode::BAD_REQUEST, &request_id),
            };
        let app = self.clone();
        let answer = finish::to_the_end(async move {
            let _place = place;
            let platform = &app.platform;
            platform
                .answer(target, parts, bytes, client, request_id)
                .await
        });
        answer.await.map(Body::from)
    }

    fn counted(&self, kind: &'static str, response: Response<Body>) -> Response<Body> {
        self.admin.metrics.answered(kind, response.status());
        response
    }
}

/// A body that did not come: there may be nobody to read this.
fn cut_off(status: StatusCode, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    identified(response, request_id)
}

fn identified(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
