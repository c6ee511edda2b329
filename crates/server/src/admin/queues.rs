//! `/_lambent/queues`: the queues of the caller's account and region with their messages, which by
//! SQS's API takes a request for each.

use http::Response;
use platform::queues::Queue;
use serde_json::Value;

use super::{Ask, json};
use crate::serve::Body;

pub fn respond(ask: &Ask<'_>) -> Response<Body> {
    let caller = &ask.caller;
    let queues = ask.platform.queues();
    let queues = queues.list(&caller.account_id, &caller.region);
    let functions = ask.platform.mappings().functions_by_queue();
    let shown = queues
        .iter()
        .map(|queue| view(queue, functions.get(&queue.key)));
    json(&json!({"queues": shown.collect::<Vec<_>>()}))
}

fn view(queue: &Queue, functions: Option<&Vec<String>>) -> Value {
    let counts = queue.counts();
    let definition = queue.definition();
    let redrive = definition.attributes.redrive.as_ref();
    json!({
        "name": queue.key.name,
        "arn": queue.key.arn().to_string(),
        "type": if queue.is_fifo() { "fifo" } else { "standard" },
        "visible": counts.visible,
        "in_flight": counts.in_flight,
        "delayed": counts.delayed,
        "dead_letter_queue": redrive.map(|redrive| redrive.dead_letter_queue.name.clone()),
        "functions": functions.map_or(&[][..], Vec::as_slice),
    })
}
