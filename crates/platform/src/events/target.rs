//! A function as a target of deliveries: they are asynchronous invocations of it.

use async_trait::async_trait;
use jiff::Timestamp;
use wire::arn::Arn;

use super::{Events, event::Event};
use crate::{
    deliveries::{Delivery, Failure, Plan, Target},
    functions::{EVENT_BYTES_MAX, function_at},
};

#[async_trait]
impl Target for Events {
    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure> {
        let shared = &self.0.shared;
        let arn: Option<Arn> = delivery.target.parse().ok();
        let (key, qualifier) = arn.as_ref().and_then(function_at).ok_or_else(gone)?;
        let functions = &shared.functions;
        let terms = functions.event_terms(&key, qualifier.as_deref());
        let terms = terms.ok_or_else(gone)?;
        let asker = delivery.asker();
        if !functions.admits_source(&key, qualifier.as_deref(), &asker, Timestamp::now()) {
            return Err(delivery.not_allowed("lambda:InvokeFunction"));
        }
        if delivery.body.len() > EVENT_BYTES_MAX {
            let message = format!("The event is longer than {EVENT_BYTES_MAX} bytes");
            return Err(Failure::last("INVALID_PARAMETER", message));
        }
        let queue = shared.queue_of(&key, terms.born).await;
        let queue = queue.map_err(|error| Failure::again("SERVICE_ERROR", error.to_string()))?;
        let event = Event {
            request_id: delivery.id.clone(),
            payload: delivery.body.clone(),
            client_context: None,
            invoked_function_arn: delivery.target.clone(),
            qualifier,
            trace_header: delivery.trace_header.clone(),
            accepted_at_ms: shared.queues.clock().now_ms(),
            runs: 0,
        };
        Ok(Plan::Message(queue, event.message(None)))
    }
}

fn gone() -> Failure {
    Failure::last("NO_RESOURCE", "The specified function does not exist")
}
