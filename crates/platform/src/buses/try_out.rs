//! TestEventPattern: whether a pattern matches an event. Pure.

use serde_json::Value;
use wire::event_bridge::{TestEventPatternRequest, TestEventPatternResponse};

use super::{
    error::{Error, Result},
    held::compile,
};

/// What an event has to have.
const FIELDS: [&str; 6] = ["id", "account", "source", "time", "region", "detail-type"];

pub fn test_pattern(input: &TestEventPatternRequest) -> Result<TestEventPatternResponse> {
    let pattern = compile(&input.event_pattern)?;
    let event: Option<Value> = serde_json::from_str(&input.event).ok();
    let is_event = |event: &Value| FIELDS.iter().all(|field| event.get(field).is_some());
    let event = event.filter(is_event);
    let event = event.ok_or_else(|| Error::invalid("Parameter Event is not valid."))?;
    Ok(TestEventPatternResponse {
        result: Some(pattern.matches(&event)),
    })
}
