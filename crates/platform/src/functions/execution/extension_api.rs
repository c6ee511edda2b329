//! The Extensions API, 2020-01-01, and what the supervisor of external extensions says, on the
//! Runtime API's connections; also the subscriptions of the Telemetry API, 2022-07-01, and of the Logs
//! API, 2020-08-15.
//!
//! AWS: "Lambda Extensions API reference".

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use sandbox::{Exit, ExitStatus, SUPERVISOR_PREFIX as SUPERVISOR};
use serde_json::json;
use uuid::Uuid;

use super::{
    extensions::{Event, Refused},
    fault::Fault,
    link::{Link, Stage},
    runtime_api::{json, problem, unknown},
    telemetry::{Api, Invalid, NotSubscribed, Subscription},
};

const EXTENSION: &str = "/2020-01-01/extension/";
const TELEMETRY: &str = "/2022-07-01/telemetry";
const LOGS: &str = "/2020-08-15/logs";

const NAME: &str = "lambda-extension-name";
const IDENTIFIER: &str = "lambda-extension-identifier";
const EVENT_IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-event-identifier");
const FEATURES: &str = "lambda-extension-accept-feature";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";

const BODY_BYTES_MAX: usize = 256 * 1024;

type Answer = Response<Full<Bytes>>;

pub async fn answer(link: &Link, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(call) = path.strip_prefix(SUPERVISOR) {
        return supervised(link, call, request).await;
    }
    match (
        request.method(),
        path.strip_prefix(EXTENSION),
        path.as_str(),
    ) {
        (&Method::POST, Some("register"), _) => register(link, request).await,
        (&Method::GET, Some("event/next"), _) => next(link, &request).await,
        (&Method::POST, Some("init/error"), _) => fails(link, request, "Extension.InitError").await,
        (&Method::POST, Some("exit/error"), _) => fails(link, request, "Extension.ExitError").await,
        (&Method::PUT, None, TELEMETRY) => subscribe(link, Api::Telemetry, request).await,
        (&Method::PUT, None, LOGS) => subscribe(link, Api::Logs, request).await,
        _ => unknown(),
    }
}

#[derive(serde::Deserialize)]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
}

async fn register(link: &Link, request: Request<Incoming>) -> Answer {
    let (name, features) = (text(&request, NAME), text(&request, FEATURES));
    let Some(body) = body(request).await else {
        return unreadable("the body is too large or ended early");
    };
    let registration: Registration = match serde_json::from_slice(&body) {
        Ok(registration) => registration,
        Err(error) => return unreadable(&error.to_string()),
    };
    let id = match link.register(&name, &registration.events) {
        Ok(id) => id,
        Err(refused) => return refuse(&refused),
    };
    let mut said = json!({});
    if let Some(about) = link.about() {
        said = json!({
            "functionName": about.function_name,
            "functionVersion": about.function_version,
            "handler": about.handler,
        });
        if features
            .split(',')
            .any(|feature| feature.trim() == "accountId")
        {
            said["accountId"] = json!(about.account_id);
        }
    }
    let mut answer = json(StatusCode::OK, said.to_string().into());
    identify(&mut answer, HeaderName::from_static(IDENTIFIER), id);
    answer
}

async fn next(link: &Link, request: &Request<Incoming>) -> Answer {
    let id = match identifier(request) {
        Ok(id) => id,
        Err(refused) => return refuse(&refused),
    };
    let event = match link.extension_next(id) {
        Ok(event) => event,
        Err(refused) => return refuse(&refused),
    };
    // The sender goes away with the environment only, or when the extension asks anew.
    let Ok(event) = event.await else {
        let message = "The execution environment is being shut down";
        return problem(StatusCode::GONE, "Shutdown", message);
    };
    let mut answer = json(StatusCode::OK, told(&event).to_string().into());
    identify(&mut answer, EVENT_IDENTIFIER, Uuid::new_v4());
    answer
}

async fn subscribe(link: &Link, api: Api, request: Request<Incoming>) -> Answer {
    let id = match identifier(&request) {
        Ok(id) => id,
        Err(refused) => return refuse(&refused),
    };
    let name = match link.extension_name(id) {
        Ok(name) => name,
        Err(refused) => return refuse(&refused),
    };
    let Some(body) = body(request).await else {
        return unreadable("the body is too large or ended early");
    };
    let subscribed = match Subscription::of(api, &body) {
        Ok(subscription) => link.subscribe(&name, subscription).await,
        Err(invalid) => Err(NotSubscribed::Invalid(invalid)),
    };
    match subscribed {
        Ok(()) => json(StatusCode::OK, Bytes::from_static(b"\"OK\"")),
        Err(NotSubscribed::Closed) => {
            let api = api.as_str();
            let kind = format!("{api}.SubscriptionClosed");
            let message = format!("{api} API subscription is closed");
            problem(StatusCode::FORBIDDEN, &kind, &message)
        }
        Err(NotSubscribed::Invalid(Invalid(why))) => {
            let kind = match api {
                Api::Telemetry => "ValidationError",
                Api::Logs => "Logs.ValidationError",
            };
            problem(StatusCode::BAD_REQUEST, kind, &why)
        }
    }
}

fn told(event: &Event) -> serde_json::Value {
    match event {
        Event::Invoke {
            request_id,
            deadline_ms,
            invoked_function_arn,
            trace_id,
        } => json!({
            "eventType": "INVOKE",
            "deadlineMs": deadline_ms,
            "requestId": request_id,
            "invokedFunctionArn": invoked_function_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id},
        }),
        Event::Shutdown {
            reason,
            deadline_ms,
        } => json!({
            "eventType": "SHUTDOWN",
            "deadlineMs": deadline_ms,
            "shutdownReason": reason.as_str(),
        }),
    }
}

async fn fails(link: &Link, request: Request<Incoming>, kind: &'static str) -> Answer {
    let id = match identifier(&request) {
        Ok(id) => id,
        Err(refused) => return refuse(&refused),
    };
    let said = text(&request, ERROR_TYPE);
    if said.is_empty() {
        let message = "Lambda-Extension-Function-Error-Type not found";
        return refuse(&Refused::new("Extension.MissingHeader", message));
    }
    let _ = body(request).await;
    match link.extension_error(id, kind, &said) {
        Ok(()) => json(
            StatusCode::ACCEPTED,
            Bytes::from_static(b"{\"status\":\"OK\"}\n"),
        ),
        Err(refused) => refuse(&refused),
    }
}

/// What starts external extensions: what it has found and started, and who has ended.
async fn supervised(link: &Link, call: &str, request: Request<Incoming>) -> Answer {
    let stage = async |wanted: Stage| {
        let mut stage = link.stage();
        let reached = stage.wait_for(|stage| *stage >= wanted).await;
        reached.map(|stage| *stage).ok()
    };
    let done = || json(StatusCode::OK, Bytes::from_static(b"{}"));
    match (request.method(), call) {
        (&Method::GET, "registered") => match stage(Stage::Registered).await {
            Some(Stage::Registered) => done(),
            _ => unknown(),
        },
        (&Method::GET, "terminate") => stage(Stage::Terminating)
            .await
            .map_or_else(unknown, |_| done()),
        (&Method::GET, "kill") => stage(Stage::Killing).await.map_or_else(unknown, |_| done()),
        (&Method::POST, call) => {
            let call = call.to_owned();
            let said = body(request).await.unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let (first, rest) = said.split_once('\n').unwrap_or((&said, ""));
            match call.as_str() {
                "found" => link.found(&said),
                "failed" => link.fail(Fault::extension(
                    "Extension.LaunchError",
                    &format!("fork/exec /opt/extensions/{first}: {rest}"),
                )),
                "invalid" => link.fail(Fault::invalid_entrypoint(said.into_owned())),
                "extension" => link.extension_exited(first, &worded(rest)),
                "runtime" => link.runtime_exited(exit(&said)),
                _ => return unknown(),
            }
            done()
        }
        _ => unknown(),
    }
}

/// `code 1`, `signal 9`
fn exit(said: &str) -> Exit {
    let (kind, number) = said.split_once(' ').unwrap_or_default();
    let number = number.parse().unwrap_or(0);
    let status = match kind {
        "signal" => ExitStatus::Signal(number),
        _ => ExitStatus::Code(number),
    };
    Exit {
        status,
        out_of_memory: false,
    }
}

fn worded(said: &str) -> String {
    match exit(said).status {
        ExitStatus::Code(code) => format!("exit status {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
    }
}

fn identifier(request: &Request<Incoming>) -> Result<Uuid, Refused> {
    let given = text(request, IDENTIFIER);
    if given.is_empty() {
        let message = "Missing Lambda-Extension-Identifier header";
        let kind = "Extension.MissingExtensionIdentifier";
        return Err(Refused::new(kind, message));
    }
    given.parse().map_err(|_| {
        let message = "Invalid Lambda-Extension-Identifier";
        Refused::new("Extension.InvalidExtensionIdentifier", message)
    })
}

fn identify(answer: &mut Answer, name: HeaderName, id: Uuid) {
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        answer.headers_mut().insert(name, id);
    }
}

fn text(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn body(request: Request<Incoming>) -> Option<Bytes> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    body.await.ok().map(|body| body.to_bytes())
}

fn unreadable(why: &str) -> Answer {
    problem(StatusCode::FORBIDDEN, "InvalidRequestFormat", why)
}

fn refuse(refused: &Refused) -> Answer {
    problem(StatusCode::FORBIDDEN, refused.kind, &refused.message)
}
