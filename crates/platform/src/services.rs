//! The services behind AWS's API, and where they differ for what is in front of them: how much of a
//! body is read, and whose implementation answers.

use http::Response;
use wire::{
    Call, Error, Head,
    lambda::{self, Lambda},
    schema::Service,
    sqs,
};

use crate::{body::Body, durable, events, triggers};

/// All that are served.
pub static SERVED: [&Service; 2] = [&lambda::SERVICE, &sqs::SERVICE];

/// One of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Lambda,
    Sqs,
}

impl Which {
    fn of(service: &Service) -> Self {
        match service.signing_name {
            "sqs" => Self::Sqs,
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

/// Runs the operation that a request was routed to.
pub async fn dispatch<L, E, M, D, Q>(
    functions: &L,
    events: &E,
    mappings: &M,
    executions: &D,
    queues: &Q,
    call: Call<'_>,
) -> Response<Body>
where
    L: Lambda + LambdaStreams,
    E: Lambda,
    M: Lambda,
    D: Lambda,
    Q: sqs::SQS,
{
    let answer = match Which::of(call.route.service) {
        Which::Lambda if call.route.operation.name == "InvokeWithResponseStream" => {
            return functions.invoke_with_response_stream(call).await;
        }
        Which::Lambda if triggers::owns(call.route.operation) => {
            lambda::dispatch(mappings, call).await
        }
        Which::Lambda if events::owns(call.route.operation) => lambda::dispatch(events, call).await,
        Which::Lambda if durable::owns(call.route.operation) => {
            lambda::dispatch(executions, call).await
        }
        Which::Lambda => lambda::dispatch(functions, call).await,
        Which::Sqs => sqs::dispatch(queues, call).await,
    };
    answer.map(Body::from)
}

/// The longest body that a request may have.
pub fn body_bytes_max(head: &Head) -> usize {
    match (Which::of(head.service()), head.operation()) {
        (Which::Lambda, Some(operation)) => lambda::body_bytes_max(operation),
        (Which::Lambda, None) => 0,
        (Which::Sqs, _) => sqs::BODY_BYTES_MAX,
    }
}

/// What a longer one gets.
pub fn body_too_large(head: &Head) -> Error {
    match (Which::of(head.service()), head.operation()) {
        (Which::Lambda, Some(operation)) => lambda::body_too_large(operation),
        (Which::Lambda, None) => Error::internal(),
        (Which::Sqs, _) => sqs::body_too_large(),
    }
}

/// Whether a function's code comes with it: the largest bodies, and work of seconds.
pub fn takes_code(head: &Head) -> bool {
    Which::of(head.service()) == Which::Lambda && head.operation().is_some_and(lambda::takes_code)
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
