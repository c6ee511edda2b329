//! Universal targets: `arn:aws:scheduler:::aws-sdk:<service>:<operation>`, an operation of one of this
//! platform's own services with the schedule's input as its request. It is called as a client would
//! call it, at least once.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::SetOnce;
use wire::{
    Call, Context, Labels, Origin, Protocol, RoleSession, Route,
    schema::{Kind, Operation, Service},
};

use super::error::{Error, Result};
use crate::{
    body::Body,
    deliveries::{Delivery, Failure, Plan, Target},
    services::SERVED,
};

const PREFIX: &str = "arn:aws:scheduler:::aws-sdk:";

/// Operations that only read are no targets; Scheduler's own list.
const READING: [&str; 25] = [
    "get",
    "describe",
    "list",
    "poll",
    "receive",
    "search",
    "scan",
    "query",
    "select",
    "read",
    "lookup",
    "discover",
    "validate",
    "batchGet",
    "batchDescribe",
    "batchRead",
    "transactGet",
    "adminGet",
    "adminList",
    "testMigration",
    "retrieve",
    "testConnection",
    "translateDocument",
    "isAuthorized",
    "invokeModel",
];

/// The services as SDKs call them, which is how they are named in ARNs, and as they sign.
const SERVICES: [(&str, &str); 8] = [
    ("lambda", "lambda"),
    ("sqs", "sqs"),
    ("sns", "sns"),
    ("eventbridge", "events"),
    ("scheduler", "scheduler"),
    ("pipes", "pipes"),
    ("cloudwatch", "monitoring"),
    ("cloudwatchlogs", "logs"),
];

/// An operation that a schedule may call.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    pub service: &'static Service,
    pub operation: &'static Operation,
}

/// Which operation an ARN names. None: it is no universal target.
pub fn named(arn: &str) -> Option<Result<Named>> {
    let (service, action) = arn.strip_prefix(PREFIX)?.split_once(':')?;
    Some(find(service, action))
}

fn find(service: &str, action: &str) -> Result<Named> {
    let begins = |prefix: &&str| {
        let Some((start, rest)) = action.split_at_checked(prefix.len()) else {
            return false;
        };
        let is_a_word = rest.is_empty() || rest.starts_with(char::is_uppercase);
        is_a_word && start.eq_ignore_ascii_case(prefix)
    };
    if READING.iter().any(begins) {
        return Err(Error::invalid(format!(
            "{service}:{action} only reads: it is not supported as a target."
        )));
    }
    let signing = SERVICES.iter().find(|(sdk, _)| *sdk == service);
    let served = signing.and_then(|(_, signing)| {
        let mut all = SERVED.iter().copied();
        all.find(|served| served.signing_name == *signing)
    });
    let Some(service) = served else {
        return Err(Error::unsupported(format!(
            "An operation of {service} as a target"
        )));
    };
    let mut operations = service.operations.iter();
    let operation = operations.find(|it| it.name.eq_ignore_ascii_case(action));
    match operation {
        Some(operation) => Ok(Named { service, operation }),
        None => Err(Error::invalid(format!(
            "{} has no operation {action}.",
            service.name
        ))),
    }
}

/// Who runs operations.
#[async_trait]
pub trait Operations: Send + Sync {
    async fn run(&self, call: Call<'_>) -> Response<Body>;
}

/// Such targets, for deliveries, which wait for [`Universal::open`].
#[derive(Default)]
pub struct Universal(SetOnce<Box<dyn Operations>>);

impl Universal {
    /// Once.
    pub fn open(&self, operations: Box<dyn Operations>) {
        let _ = self.0.set(operations);
    }
}

#[async_trait]
impl Target for Universal {
    async fn plan(&self, _: &Delivery) -> Result<Plan, Failure> {
        Ok(Plan::Try)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let operations = self.0.wait().await;
        let named = named(&delivery.target).unwrap_or_else(|| find("", ""));
        let Named { service, operation } =
            named.map_err(|error| Failure::last("ValidationException", error.to_string()))?;
        let body = request_of(service, operation, &delivery.body).ok_or_else(|| {
            Failure::last("ValidationException", "The input is not a JSON object")
        })?;
        // All of the request in one JSON object, whatever the service's own protocol is.
        let route = Route {
            service,
            protocol: Protocol::AwsJson1_1,
            operation,
            labels: Labels::default(),
        };
        let (parts, ()) = Request::new(()).into_parts();
        let cx = context(delivery);
        let call = Call {
            cx: &cx,
            route: &route,
            parts: &parts,
            body: &body,
        };
        match operations.run(call).await {
            answer if answer.status().is_success() => Ok(()),
            answer => Err(failure(answer)),
        }
    }
}

fn context(delivery: &Delivery) -> Context {
    let role = delivery.role.as_deref();
    let role = role
        .and_then(|arn| arn.split_once(":role/"))
        .map(|(_, role)| {
            std::sync::Arc::new(RoleSession {
                role: role.to_owned(),
                session: "scheduler".to_owned(),
            })
        });
    Context {
        request_id: uuid::Uuid::new_v4().to_string(),
        account_id: delivery.from.account_id.clone(),
        region: delivery.from.region.clone(),
        access_key_id: String::new(),
        role,
        host: "localhost".to_owned(),
        origin: Origin {
            is_secure: true,
            ..Origin::default()
        },
        trace_header: delivery.trace_header.clone(),
        now: Timestamp::now(),
    }
}

/// The input, with what the operation takes as bytes in the form that the protocol has for them: a
/// schedule writes text there.
fn request_of(service: &Service, operation: &Operation, input: &str) -> Option<Bytes> {
    let mut input: Value = serde_json::from_str(input).ok()?;
    let members = input.as_object_mut()?;
    let shape = operation.input.map(|id| service.shape(id).kind);
    if let Some(Kind::Structure(structure)) = shape {
        for member in structure.members {
            let is_blob = matches!(service.shape(member.shape).kind, Kind::Blob);
            if let Some(Value::String(text)) = members.get_mut(member.name).filter(|_| is_blob) {
                *text = STANDARD.encode(text.as_bytes());
            }
        }
    }
    serde_json::to_vec(&input).ok().map(Bytes::from)
}

fn failure(answer: Response<Body>) -> Failure {
    let status = answer.status();
    let said: Option<Value> = match answer.into_body() {
        Body::Whole(body) => serde_json::from_slice(&body).ok(),
        _ => None,
    };
    let member = |names: [&str; 2]| {
        let said = said.as_ref()?;
        let found = names.iter().find_map(|name| said.get(*name)?.as_str());
        found.map(str::to_owned)
    };
    let code = member(["__type", "code"]);
    let code = code.map_or_else(
        || status.to_string(),
        |code| code.rsplit('#').next().unwrap_or_default().to_owned(),
    );
    let message = member(["message", "Message"]).unwrap_or_default();
    let goes_away = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
        || code.contains("Throttl");
    match goes_away {
        true => Failure::again(code, message),
        false => Failure::last(code, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_how_sdks_call_them() {
        let found =
            |arn: &str| named(arn).map(|it| it.map(|it| (it.service.name, it.operation.name)));
        let name = |arn| found(arn).unwrap().unwrap().1;
        assert_eq!(
            name("arn:aws:scheduler:::aws-sdk:sqs:sendMessage"),
            "SendMessage"
        );
        assert_eq!(name("arn:aws:scheduler:::aws-sdk:lambda:invoke"), "Invoke");
        assert_eq!(
            name("arn:aws:scheduler:::aws-sdk:eventbridge:putEvents"),
            "PutEvents"
        );
        assert!(found("arn:aws:sqs:us-east-1:111111111111:q").is_none());
        for (arn, said) in [
            (
                "arn:aws:scheduler:::aws-sdk:sqs:getQueueURL",
                "sqs:getQueueURL only reads: it is not supported as a target.",
            ),
            (
                "arn:aws:scheduler:::aws-sdk:ec2:stopInstances",
                "An operation of ec2 as a target is not supported by this platform yet",
            ),
            (
                "arn:aws:scheduler:::aws-sdk:sqs:explode",
                "SQS has no operation explode.",
            ),
            (
                "arn:aws:scheduler:::aws-sdk:sqs:gé",
                "SQS has no operation gé.",
            ),
        ] {
            assert_eq!(found(arn).unwrap().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn bytes_are_written_as_text() {
        let Named { service, operation } = find("lambda", "invoke").unwrap();
        let request = request_of(service, operation, r#"{"FunctionName":"f","Payload":"{}"}"#);
        let request: Value = serde_json::from_slice(&request.unwrap()).unwrap();
        assert_eq!(request["Payload"], "e30=");
        assert_eq!(request["FunctionName"], "f");
        assert!(request_of(service, operation, "[]").is_none());
    }
}
