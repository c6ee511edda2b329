//! The services behind AWS's API, and where they differ for what is in front of them: how much of a
//! body is read, and whose implementation answers.

use http::{Response, StatusCode};
use wire::{
    Call, Error, Head, Route, cloudwatch, cloudwatch_logs, event_bridge, lambda, pipes, s3,
    scheduler, schema::Service, sns, sqs, sts,
};

use crate::{
    body::Body,
    buckets::Buckets,
    buses::Buses,
    durable::{self, DurableExecutions},
    events::{self, Events},
    functions::Functions,
    identity::Tokens,
    logs::LogService,
    metrics::Metrics,
    pipes::Pipes,
    queues::Queues,
    schedules::Schedules,
    topics::Topics,
    triggers::{self, EventSourceMappings},
};

/// All that are served.
pub static SERVED: [&Service; 10] = [
    &lambda::SERVICE,
    &sqs::SERVICE,
    &s3::SERVICE,
    &event_bridge::SERVICE,
    &scheduler::SERVICE,
    &pipes::SERVICE,
    &sns::SERVICE,
    &cloudwatch_logs::SERVICE,
    &cloudwatch::SERVICE,
    &sts::SERVICE,
];

/// The longest body of a request to a service whose requests hold a few definitions or events: the
/// most that EventBridge, SNS, Logs and CloudWatch take is 1 MiB, which escapes make longer.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Lambda,
    Sqs,
    S3,
    EventBridge,
    Scheduler,
    Pipes,
    Sns,
    Logs,
    CloudWatch,
    Sts,
}

impl Which {
    fn of(service: &Service) -> Self {
        match service.signing_name {
            "sqs" => Self::Sqs,
            "s3" => Self::S3,
            "events" => Self::EventBridge,
            "scheduler" => Self::Scheduler,
            "pipes" => Self::Pipes,
            "sns" => Self::Sns,
            "logs" => Self::Logs,
            "monitoring" => Self::CloudWatch,
            "sts" => Self::Sts,
            // The router knows no other than those in `SERVED`.
            _ => Self::Lambda,
        }
    }
}

/// Lambda's operations that answer with a stream of events.
pub trait LambdaStreams {
    fn invoke_with_response_stream(
        &self,
        call: Call<'_>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// CloudWatch Logs' operations that answer with a stream of events.
pub trait CloudWatchLogsStreams {
    fn start_live_tail(&self, call: Call<'_>) -> impl Future<Output = Response<Body>> + Send;
}

/// Who answers for each of them; Lambda's operations are several services' of ours.
pub struct Services {
    pub functions: Functions,
    pub events: Events,
    pub mappings: EventSourceMappings,
    pub executions: DurableExecutions,
    pub queues: Queues,
    pub buckets: Buckets,
    pub buses: Buses,
    pub schedules: Schedules,
    pub pipes: Pipes,
    pub topics: Topics,
    pub logs: LogService,
    pub metrics: Metrics,
}

impl Services {
    /// Runs the operation that a request was routed to.
    pub async fn dispatch(&self, call: Call<'_>) -> Response<Body> {
        let answer = match Which::of(call.route.service) {
            Which::Lambda => return self.lambda(call).await,
            Which::Sqs => sqs::dispatch(&self.queues, call).await,
            // Those that are read as they come do not come here.
            Which::S3 => s3::dispatch(&self.buckets, call).await,
            Which::EventBridge => event_bridge::dispatch(&self.buses, call).await,
            Which::Scheduler => scheduler::dispatch(&self.schedules, call).await,
            Which::Pipes => pipes::dispatch(&self.pipes, call).await,
            Which::Sns => sns::dispatch(&self.topics, call).await,
            Which::Logs if call.route.operation.name == "StartLiveTail" => {
                return self.logs.start_live_tail(call).await;
            }
            Which::Logs => cloudwatch_logs::dispatch(&self.logs, call).await,
            Which::CloudWatch => cloudwatch::dispatch(&self.metrics, call).await,
            Which::Sts => sts::dispatch(&Tokens, call).await,
        };
        answer.map(Body::from)
    }

    async fn lambda(&self, call: Call<'_>) -> Response<Body> {
        let operation = call.route.operation;
        if operation.name == "InvokeWithResponseStream" {
            return self.functions.invoke_with_response_stream(call).await;
        }
        let answer = if triggers::owns(operation) {
            lambda::dispatch(&self.mappings, call).await
        } else if events::owns(operation) {
            lambda::dispatch(&self.events, call).await
        } else if durable::owns(operation) {
            lambda::dispatch(&self.executions, call).await
        } else {
            lambda::dispatch(&self.functions, call).await
        };
        answer.map(Body::from)
    }
}

/// The longest body that a request may have.
pub fn body_bytes_max(head: &Head) -> usize {
    match (Which::of(head.service()), head.operation()) {
        (Which::Lambda, Some(operation)) => lambda::body_bytes_max(operation),
        (Which::Lambda, None) => 0,
        (Which::Sqs, _) => sqs::BODY_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    }
}

/// What a longer one gets.
pub fn body_too_large(head: &Head) -> Error {
    match (Which::of(head.service()), head.operation()) {
        (Which::Lambda, Some(operation)) => lambda::body_too_large(operation),
        (Which::Lambda, None) => Error::internal(),
        (Which::Sqs, _) => sqs::body_too_large(),
        _ => Error::new(
            "RequestEntityTooLargeException",
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Request must be smaller than {BODY_BYTES_MAX} bytes"),
        ),
    }
}

/// Whether a function's code comes with it: the largest bodies, and work of seconds.
pub fn takes_code(head: &Head) -> bool {
    Which::of(head.service()) == Which::Lambda && head.operation().is_some_and(lambda::takes_code)
}

/// Whether its requests may come compressed.
pub fn takes_compressed(head: &Head) -> bool {
    Which::of(head.service()) == Which::CloudWatch
}

/// Whether bodies are read as they come: an object's is never in memory whole.
pub fn streams(head: &Head) -> bool {
    Which::of(head.service()) == Which::S3
}

/// Whether the operation is answered without a signature, too: what links in SNS's messages lead to,
/// which have tokens of their own.
pub fn is_open(route: &Route) -> bool {
    let name = route.operation.name;
    Which::of(route.service) == Which::Sns && matches!(name, "ConfirmSubscription" | "Unsubscribe")
}

/// Whether the operation waits for something to happen.
pub fn waits(head: &Head) -> bool {
    let name = head.operation().map(|operation| operation.name);
    Which::of(head.service()) == Which::Sqs && name == Some("ReceiveMessage")
}

/// The names of those that are served, for a client of one that is not.
pub fn names() -> String {
    let names: Vec<&str> = SERVED.iter().map(|s| s.signing_name).collect();
    names.join(", ")
}
