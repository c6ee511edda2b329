//! The Runtime API, 2018-06-01, over HTTP/1.1: what a runtime in an environment speaks with us.
//!
//! AWS: "Using the Lambda runtime API for custom runtimes". Whoever is at the other end is the
//! function's own code and may send anything; it gets an error or its connection closed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::oneshot};

use wire::Timestamp;

use super::{
    credentials::{self, Offer},
    extension_api,
    fault::{self, RESPONSE_BYTES_MAX, STREAM_BYTES_MAX},
    link::{Event, Link, Refusal, Reply},
    stream::{End, StreamError},
};

const PREFIX: &str = "/2018-06-01/runtime/";
/// An error object; the official clients cut theirs far below it.
const ERROR_BYTES_MAX: usize = 1024 * 1024;
/// How much of a request that is refused is still taken from its sender.
const DISCARDED_BYTES_MAX: usize = 256 * 1024 * 1024;
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";
/// In the trailers of a streamed response: the error object, in base64.
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
/// For a request's head once it has begun.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Serves one connection until it ends.
pub async fn serve(connection: TcpStream, link: Arc<Link>, offer: Option<Arc<Offer>>) {
    // Best effort: it only costs latency where it fails.
    let _ = connection.set_nodelay(true);
    let service = service_fn(move |request| {
        let (link, offer) = (link.clone(), offer.clone());
        async move { Ok::<_, Infallible>(answer(&link, offer.as_deref(), request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        // Our own clients send an answer and the next `next` in one go.
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "runtime API connection ended");
    }
}

async fn answer(
    link: &Link,
    offer: Option<&Offer>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if let Some(offer) = offer
        && path == credentials::PATH
    {
        return credentials(offer, &request);
    }
    let Some(call) = path.strip_prefix(PREFIX) else {
        return extension_api::answer(link, request).await;
    };
    match (request.method(), call) {
        (&Method::GET, "invocation/next") => next(link).await,
        (&Method::POST, "init/error") => init_error(link, request).await,
        (&Method::GET, "restore/next") => restore_next(link).await,
        // A restore is the init of its environment.
        (&Method::POST, "restore/error") => init_error(link, request).await,
        (&Method::POST, call) => match invocation_call(call) {
            Some((id, "response")) => response(link, id, request).await,
            Some((id, "error")) => error(link, id, request).await,
            _ => unknown(),
        },
        _ => unknown(),
    }
}

/// Answered when the snapshot may be taken.
async fn restore_next(link: &Link) -> Response<Full<Bytes>> {
    let may_go = match link.restore_next() {
        Ok(may_go) => may_go,
        Err(refusal) => return refuse(refusal),
    };
    match may_go.await {
        Ok(()) => json(StatusCode::OK, Bytes::new()),
        Err(_) => refuse(Refusal::Gone),
    }
}

fn credentials(offer: &Offer, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    match request.method() == Method::GET && offer.is_for(authorization) {
        true => json(StatusCode::OK, offer.shown(Timestamp::now()).into()),
        false => problem(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "The authorization token is not that of this environment",
        ),
    }
}

fn invocation_call(call: &str) -> Option<(&str, &str)> {
    call.strip_prefix("invocation/")?.split_once('/')
}

async fn next(link: &Link) -> Response<Full<Bytes>> {
    let mut fetch = match link.next() {
        Ok(event) => Fetch { link, event },
        Err(refusal) => return refuse(refusal),
    };
    // The sender goes away with the environment only.
    match (&mut fetch.event).await {
        Ok(event) => event_response(event),
        Err(_) => refuse(Refusal::Gone),
    }
}

/// A `next` that waits. Where its connection breaks just as the event arrives, the event is kept
/// for the next one.
struct Fetch<'a> {
    link: &'a Link,
    event: oneshot::Receiver<Event>,
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        if let Ok(event) = self.event.try_recv() {
            self.link.give_back(event);
        }
    }
}

fn event_response(event: Event) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(event.payload));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let mut set = |name: &'static str, value: String| {
        // What cannot stand in a header was refused when the request came in, or is our own.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("lambda-runtime-aws-request-id", event.request_id);
    set("lambda-runtime-deadline-ms", event.deadline_ms.to_string());
    set(
        "lambda-runtime-invoked-function-arn",
        event.invoked_function_arn,
    );
    set("lambda-runtime-trace-id", event.trace_id);
    if let Some(context) = event.client_context {
        set("lambda-runtime-client-context", context);
    }
    if let Some(identity) = event.cognito_identity {
        set("lambda-runtime-cognito-identity", identity);
    }
    response
}

async fn response(link: &Link, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Err(refusal) = link.expects(id) {
        discard(request.into_body()).await;
        return refuse(refusal);
    }
    if is_streamed(&request) && link.streams(id) {
        return streamed(link, id, request).await;
    }
    match body(request, RESPONSE_BYTES_MAX).await {
        Ok(body) => taken(link.answer(id, reply(body))),
        Err(Broken::TooLarge(rest)) => {
            // Whoever waits for the function need not wait for the rest.
            let answered = link.answer(id, Reply::TooLarge);
            discard(rest).await;
            too_large(answered, RESPONSE_BYTES_MAX)
        }
        Err(Broken::CutOff) => cut_off(),
    }
}

fn is_streamed(request: &Request<Incoming>) -> bool {
    let mode = request.headers().get(RESPONSE_MODE);
    mode.is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"streaming"))
}

/// A response that goes on to the caller as it comes. It begins with its first byte: until then it
/// may turn out to be an error and nothing else.
async fn streamed(link: &Link, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let mut body = request.into_body();
    let (mut flow, mut trailers) = (None, None);
    while let Some(frame) = body.frame().await {
        // What has begun is known to be cut off when `flow` goes.
        let Ok(frame) = frame else { return cut_off() };
        let piece = match frame.into_data() {
            Ok(piece) if piece.is_empty() => continue,
            Ok(piece) => piece,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if flow.is_none() {
            match link.begin(id, content_type.take()) {
                Ok(begun) => flow = Some(begun),
                Err(refusal) => return refuse(refusal),
            }
        }
        if let Some(flowing) = &mut flow
            && flowing.hand_on(piece).await.is_err()
        {
            let ended = flow.take().map(|flow| flow.end(End::TooLarge));
            discard(body).await;
            return too_large(ended.unwrap_or(Ok(())), STREAM_BYTES_MAX);
        }
    }
    let error = trailers.as_ref().and_then(trailing_error);
    taken(match (flow, error) {
        (None, Some(_)) => {
            let error = trailers.as_ref().and_then(streamed_error);
            link.answer(id, Reply::Error(error.unwrap_or_default()))
        }
        (None, None) => link
            .begin(id, content_type)
            .and_then(|flow| flow.end(End::Whole)),
        (Some(flow), None) => flow.end(End::Whole),
        (Some(flow), Some(error)) => flow.end(End::Reported(error)),
    })
}

/// A response that was streamed says in its trailers that it came to grief half way.
fn reply(body: Collected<Bytes>) -> Reply {
    match body.trailers().and_then(streamed_error) {
        Some(error) => Reply::Error(error),
        None => Reply::Response(body.to_bytes()),
    }
}

/// The same as an error of Lambda's own form.
fn streamed_error(trailers: &HeaderMap) -> Option<Bytes> {
    let error = trailing_error(trailers)?;
    Some(error_object(error.details, &error_type(trailers)))
}

fn trailing_error(trailers: &HeaderMap) -> Option<StreamError> {
    let kind = trailers.get(ERROR_TYPE)?;
    let details = trailers.get(ERROR_BODY).map(HeaderValue::as_bytes);
    let details = details.and_then(|details| BASE64_STANDARD.decode(details).ok());
    Some(StreamError {
        kind: String::from_utf8_lossy(kind.as_bytes()).into_owned(),
        details: details.unwrap_or_default().into(),
    })
}

async fn error(link: &Link, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Err(refusal) = link.expects(id) {
        discard(request.into_body()).await;
        return refuse(refusal);
    }
    let kind = error_type(request.headers());
    match error_payload(request, &kind).await {
        Ok(payload) => taken(link.answer(id, Reply::Error(payload))),
        Err(answer) => answer,
    }
}

async fn init_error(link: &Link, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let kind = error_type(request.headers());
    match error_payload(request, &kind).await {
        Ok(payload) => taken(link.init_error(payload, kind)),
        Err(answer) => answer,
    }
}

async fn error_payload(
    request: Request<Incoming>,
    kind: &str,
) -> Result<Bytes, Response<Full<Bytes>>> {
    match body(request, ERROR_BYTES_MAX).await {
        Ok(body) => Ok(error_object(body.to_bytes(), kind)),
        Err(Broken::TooLarge(rest)) => {
            discard(rest).await;
            Ok(error_object(Bytes::new(), kind))
        }
        Err(Broken::CutOff) => Err(cut_off()),
    }
}

/// A runtime that sends no error object still fails with one.
fn error_object(payload: Bytes, kind: &str) -> Bytes {
    if payload.is_empty() {
        return fault::object(kind, "Unknown error");
    }
    payload
}

/// The type by which Lambda itself knows an error, in its log and in its metrics: one of its own
/// form, `Runtime.Reason` or `Function.Reason`. An exception's name is in the error object alone.
fn error_type(headers: &HeaderMap) -> String {
    let given = headers
        .get(ERROR_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let reason = given
        .strip_prefix("Runtime.")
        .or_else(|| given.strip_prefix("Function."));
    let known = reason.is_some_and(|reason| {
        reason.len() > 1
            && reason.len() <= 256
            && reason.starts_with(|first: char| first.is_ascii_uppercase())
            && reason.chars().all(|c| c.is_ascii_alphabetic())
    });
    match known {
        true => given.to_owned(),
        false if given.starts_with("Function.") => "Function.Unknown".to_owned(),
        false => "Runtime.Unknown".to_owned(),
    }
}

enum Broken {
    /// With what has not been read of it.
    TooLarge(Incoming),
    CutOff,
}

async fn body(request: Request<Incoming>, bytes_max: usize) -> Result<Collected<Bytes>, Broken> {
    let mut body = request.into_body();
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(collected) => Ok(collected),
        Err(error) if error.is::<LengthLimitError>() => Err(Broken::TooLarge(body)),
        Err(_) => Err(Broken::CutOff),
    }
}

/// Takes what a refused request still sends. Its sender may look for the answer only when it has
/// sent all, and a connection that is closed on unread bytes is reset, which loses the answer.
async fn discard(mut body: Incoming) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

fn too_large(answered: Result<(), Refusal>, bytes_max: usize) -> Response<Full<Bytes>> {
    match answered {
        Ok(()) => problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            &format!("Exceeded maximum allowed payload size ({bytes_max} bytes)."),
        ),
        Err(refusal) => refuse(refusal),
    }
}

fn taken(result: Result<(), Refusal>) -> Response<Full<Bytes>> {
    match result {
        Ok(()) => json(
            StatusCode::ACCEPTED,
            Bytes::from_static(b"{\"status\":\"OK\"}\n"),
        ),
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    match refusal {
        Refusal::State => problem(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "Transition from the current state is not allowed",
        ),
        Refusal::RequestId => problem(
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "Invalid request ID",
        ),
        Refusal::Gone => problem(
            StatusCode::GONE,
            "Shutdown",
            "The execution environment is being shut down",
        ),
    }
}

pub(super) fn unknown() -> Response<Full<Bytes>> {
    problem(StatusCode::NOT_FOUND, "NotFound", "404 page not found")
}

fn cut_off() -> Response<Full<Bytes>> {
    problem(
        StatusCode::BAD_REQUEST,
        "InvalidRequest",
        "The body ended early",
    )
}

pub(super) fn problem(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({"errorMessage": message, "errorType": kind});
    json(status, body.to_string().into())
}

pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
