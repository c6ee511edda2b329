//! A request to a function URL: who may pass, what the function receives, what the client is told.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use jiff::Timestamp;
use wire::events::url as events;

use super::address;
use crate::{
    functions::{self, InvokeMode, execution::Outcome},
    identity::Caller,
};

/// Lambda's limit on what a function receives; a body in base64 counts as such.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub ip: IpAddr,
    /// The port it reached.
    pub port: u16,
}

/// The event, and what is needed to run it.
pub struct Ask<'a> {
    pub request_id: &'a str,
    pub trace_id: &'a str,
    pub url_id: &'a str,
    pub region: &'a str,
    pub caller: Option<&'a Caller>,
    pub client: Client,
    pub now: Timestamp,
}

/// What the function receives, unless it is more than it may.
pub fn event(parts: &mut Parts, body: &[u8], ask: &Ask<'_>) -> Option<Bytes> {
    let domain = match address::host(parts) {
        Some(host) if host.contains(".lambda-url.") => host.into_owned(),
        _ => format!("{}.lambda-url.{}.localhost", ask.url_id, ask.region),
    };
    let known = ask.caller.map(|caller| (caller.arn(), caller.user_id()));
    let iam = ask
        .caller
        .zip(known.as_ref())
        .map(|(caller, (arn, user_id))| {
            // The function learns who called, not how they proved it.
            parts.headers.remove(header::AUTHORIZATION);
            events::Iam {
                access_key: &caller.access_key_id,
                account_id: &caller.account_id,
                caller_id: user_id,
                cognito_identity: None,
                principal_org_id: None,
                user_arn: arn,
                user_id,
            }
        });
    let context = events::UrlContext {
        request_id: ask.request_id,
        url_id: ask.url_id,
        domain_name: &domain,
        iam,
        now: ask.now,
        source_ip: ask.client.ip.to_canonical(),
        scheme: "http",
        port: ask.client.port,
        trace_id: ask.trace_id,
        tls: None,
    };
    let event = events::event(parts, body, &context);
    (event.len() <= EVENT_BYTES_MAX).then_some(event)
}

/// The tracing header that the request goes on with: the caller's, or a new one.
pub fn trace_id(parts: &Parts, now: Timestamp) -> String {
    match trace_header(parts) {
        Some(given) => given.to_owned(),
        None => {
            let random = uuid::Uuid::new_v4().simple().to_string();
            format!("Root=1-{:08x}-{}", now.as_second(), &random[..24])
        }
    }
}

/// The caller's tracing header, where it has one that could be.
pub fn trace_header(parts: &Parts) -> Option<&str> {
    const LENGTH_MAX: usize = 256;
    let given = parts.headers.get("x-amzn-trace-id")?.to_str().ok()?;
    (given.contains("Root=") && given.len() <= LENGTH_MAX).then_some(given)
}

/// What the client is told of what came of it.
pub fn answer(
    run: Result<Outcome, functions::Error>,
    mode: InvokeMode,
    request_id: &str,
) -> Response<Bytes> {
    use functions::Error;
    let mut response = match run {
        Ok(outcome) if outcome.error.is_some() => events::internal_server_error(),
        Ok(outcome) => {
            let mut response = match mode {
                InvokeMode::Buffered => events::response(&outcome.payload, request_id),
                InvokeMode::ResponseStream => events::stream_response(&outcome.payload, request_id),
            };
            trace(&mut response, &outcome.trace_id);
            response
        }
        Err(Error::Throttled { reason }) => throttled(reason),
        // Deleted in the meantime.
        Err(Error::FunctionNotFound { .. }) => events::forbidden(true),
        Err(Error::NotActive { state }) => {
            tracing::debug!(request_id, state, "a function URL's function is not active");
            events::internal_server_error()
        }
        Err(error) => {
            tracing::error!(
                request_id,
                ?error,
                "a function URL's function could not run"
            );
            events::internal_server_error()
        }
    };
    identify(&mut response, request_id);
    response
}

pub fn trace<B>(response: &mut Response<B>, trace_id: &str) {
    if let Ok(trace) = HeaderValue::from_str(trace_id) {
        response.headers_mut().insert("x-amzn-trace-id", trace);
    }
}

pub fn too_large(request_id: &str) -> Response<Bytes> {
    let body = r#"{"Message":"Request Entity Too Large"}"#;
    let mut response = message(StatusCode::PAYLOAD_TOO_LARGE, body.into());
    identify(&mut response, request_id);
    response
}

pub fn forbidden(is_id: bool, request_id: &str) -> Response<Bytes> {
    let mut response = events::forbidden(is_id);
    identify(&mut response, request_id);
    response
}

fn throttled(reason: &str) -> Response<Bytes> {
    let body = format!(r#"{{"Reason":"{reason}","Type":"User","message":"Rate Exceeded."}}"#);
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, body);
    let code = HeaderValue::from_static("TooManyRequestsException");
    response.headers_mut().insert("x-amzn-errortype", code);
    response
}

fn message(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Every answer carries the request's id.
pub fn identify<B>(response: &mut Response<B>, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::execution::FunctionError;

    fn outcome(payload: &'static str, error: Option<FunctionError>) -> Outcome {
        Outcome {
            payload: Bytes::from_static(payload.as_bytes()),
            error,
            executed_version: "$LATEST".into(),
            log_tail: None,
            trace_id: String::new(),
        }
    }

    #[test]
    fn every_outcome_has_its_status_and_request_id() {
        use functions::Error;
        let arn = String::new();
        for (run, status) in [
            (Ok(outcome(r#"{"statusCode":201}"#, None)), 201),
            (Ok(outcome("{}", Some(FunctionError::Unhandled))), 502),
            (Err(Error::Throttled { reason: "why" }), 429),
            (Err(Error::FunctionNotFound { arn }), 403),
            (Err(Error::NotActive { state: "Failed" }), 502),
        ] {
            let response = answer(run, InvokeMode::Buffered, "an-id");
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["x-amzn-requestid"], "an-id");
        }
    }

    #[test]
    fn a_request_goes_on_with_its_own_trace() {
        let at = Timestamp::UNIX_EPOCH;
        let parts = |trace| {
            let request = http::Request::builder().header("x-amzn-trace-id", trace);
            request.body(()).expect("a valid request").into_parts().0
        };
        assert_eq!(
            trace_id(&parts("Root=1-a-b;Sampled=1"), at),
            "Root=1-a-b;Sampled=1"
        );
        let fresh = trace_id(&parts("nonsense"), at);
        assert!(
            fresh.starts_with("Root=1-00000000-") && fresh.len() == 40,
            "{fresh}"
        );
    }
}
