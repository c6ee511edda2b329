//! Requests: from a connection to the platform or the operator's endpoints, and back.

mod body;
mod coming;
mod finish;
mod functions;
mod listen;
mod pace;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use platform::{Platform, Sender, Target, gateway::url::Client};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use body::Body;
pub use functions::Functions;
pub use listen::{Phase, listen};

use crate::{admin::Admin, limits};
use body::{Read, Unread};
use coming::Coming;

/// What answers requests.
pub struct App {
    pub platform: Platform,
    pub admin: Admin,
    large_bodies: Arc<Semaphore>,
    functions_large_bodies: Arc<Semaphore>,
}

/// Where a request comes from.
#[derive(Debug, Clone)]
struct Origin {
    client: Client,
    sender: Sender,
}

impl App {
    pub fn new(platform: Platform, admin: Admin) -> Arc<Self> {
        Arc::new(App {
            platform,
            admin,
            large_bodies: Arc::new(Semaphore::new(limits::BODIES_LARGE_MAX)),
            functions_large_bodies: Arc::new(Semaphore::new(limits::FUNCTION_BODIES_LARGE_MAX)),
        })
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        origin: Origin,
    ) -> Response<Body> {
        let request_id = wire::request_id();
        let (parts, body) = request.into_parts();
        if !has_one_host(&parts) {
            return cut_off(StatusCode::BAD_REQUEST, &request_id);
        }
        let target = self.platform.target(&parts);
        if matches!(target, Target::Unknown(_)) && parts.uri.path().starts_with("/_lambent/") {
            let within = matches!(origin.sender, Sender::Environment(_));
            let response = match within && !Admin::is_for_functions(parts.uri.path()) {
                true => Admin::nowhere(),
                false => self.admin.respond(&self.platform, &parts).await,
            };
            return self.counted("admin", identified(response, &request_id));
        }
        let kind = match &target {
            Target::Url(_) => "url",
            Target::Api(_) | Target::Unknown(_) => "api",
        };
        let response = self.serve(target, parts, body, origin, request_id).await;
        self.counted(kind, response)
    }

    async fn serve(
        self: &Arc<Self>,
        target: Target,
        parts: Parts,
        body: Incoming,
        Origin { client, sender }: Origin,
        request_id: String,
    ) -> Response<Body> {
        if target.is_streamed() {
            let asked = parts.headers.contains_key(header::EXPECT);
            let pieces = Box::new(Coming::new(body, asked));
            let is_asking = pieces.is_asking();
            let request = platform::Request {
                parts,
                body: Bytes::new(),
                client,
                request_id,
                sender,
            };
            let app = self.clone();
            let answer = async move { app.platform.answer_streamed(target, request, pieces).await };
            let mut answer = finish::to_the_end(answer).await.map(Body::from);
            // Whether the body comes all the same is the client's choice: what follows here could be
            // that or another request.
            if is_asking.load(Ordering::Relaxed) {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            return answer;
        }
        let bytes_max = target.body_bytes_max();
        // Nobody has to be known to be refused, but to send much.
        let welcome = body.size_hint().upper().is_some_and(is_small)
            || self.platform.may_send(&target, &sender, &parts);
        let bytes_max = match welcome {
            true => bytes_max,
            false => bytes_max.min(limits::BODY_SMALL_BYTES),
        };
        let within = body::time_for(bytes_max);
        let declared = body.size_hint().exact();
        let read = match declared.is_some_and(|length| length > bytes_max as u64) {
            // Who asks first is told, and sends nothing.
            true if parts.headers.contains_key(header::EXPECT) => Err(Unread::TooLarge),
            _ => body::read(body, bytes_max, within, self.room_for(&sender)).await,
        };
        let Read { bytes, place } = match read {
            Ok(read) => read,
            // Whatever it was, the signature is what is wrong with it.
            Err(Unread::TooLarge) if !welcome => Read::default(),
            Err(Unread::TooLarge) => return target.too_large(&request_id).map(Body::from),
            Err(Unread::Slow) => return cut_off(StatusCode::REQUEST_TIMEOUT, &request_id),
            Err(Unread::Cut) => return cut_off(StatusCode::BAD_REQUEST, &request_id),
        };
        let target = target.with_body(&parts, &bytes);
        let request = platform::Request {
            parts,
            body: bytes,
            client,
            request_id,
            sender,
        };
        self.answer(target, request, place).await
    }

    async fn answer(
        self: &Arc<Self>,
        target: Target,
        request: platform::Request,
        place: Option<OwnedSemaphorePermit>,
    ) -> Response<Body> {
        // A package is held as long as it is worked on. A payload may run for minutes, and how many
        // of those do at once is for concurrency to say.
        let package = place.filter(|_| target.is_code());
        let (is_package, is_wait) = (package.is_some(), target.is_wait());
        let request_id = request.request_id.clone();
        let app = self.clone();
        let answer = async move {
            let _package = package;
            app.platform.answer(target, request).await
        };
        if is_wait {
            return answer.await.map(Body::from);
        }
        if !is_package {
            return finish::to_the_end(answer).await.map(Body::from);
        }
        match finish::aside(answer).await {
            Some(answer) => answer.map(Body::from),
            None => cut_off(StatusCode::INTERNAL_SERVER_ERROR, &request_id),
        }
    }

    /// For large bodies.
    fn room_for(&self, sender: &Sender) -> &Arc<Semaphore> {
        match sender {
            Sender::Signature => &self.large_bodies,
            Sender::Environment(_) => &self.functions_large_bodies,
        }
    }

    fn counted(&self, kind: &'static str, response: Response<Body>) -> Response<Body> {
        self.admin.metrics.answered(kind, response.status());
        response
    }
}

/// RFC 9112, 3.2: two of them could be two requests' in the eyes of two servers.
fn has_one_host(parts: &Parts) -> bool {
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    hosts == 1 || (hosts == 0 && parts.version != Version::HTTP_11)
}

fn is_small(bytes: u64) -> bool {
    bytes <= limits::BODY_SMALL_BYTES as u64
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
