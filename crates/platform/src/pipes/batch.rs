//! A batch's way through a pipe: filtered, enriched, written for the target, handed over, and only
//! then deleted from the queue.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Pipes,
    requested::{Kind, kind},
    tables::{HttpRecord, PipeRecord},
    template::{Names, fill, resolve},
};
use crate::{
    deliveries::{Delivery, Parameters, Sender, ToBus, ToDestination, ToLogs, ToQueue, ToTopic},
    functions::{execution::Invocation, function_at, lineage},
    queues::{Queue, message::Received, receipt::Receipt},
    triggers::{
        Verdict, Written,
        filter::{Criteria, Subject},
        verdict,
    },
};

const PRINCIPAL: &str = "pipes.amazonaws.com";

/// How a batch ended.
pub enum Ended {
    Done,
    /// All or some of it comes back by its visibility timeout.
    Failed(String),
}

/// A message that passed the filters.
struct Event {
    value: Value,
    receipt: Receipt,
    id: (Uuid, Option<Arc<str>>),
}

pub async fn hand_on(
    pipes: &Pipes,
    record: &PipeRecord,
    criteria: &Criteria,
    queue: &Arc<Queue>,
    messages: Vec<Received>,
) -> Ended {
    let mark = lineage::mark_of(&record.key.arn());
    let headers = messages
        .iter()
        .filter_map(|it| it.content.trace_header.as_deref());
    let merged =
        lineage::merged(headers.clone()).or_else(|| headers.clone().next().map(str::to_owned));
    if lineage::runs_of(merged.as_deref(), &mark) >= lineage::RUNS_MAX {
        return Ended::Failed("A recursive loop was detected.".to_owned());
    }
    let trace_header = lineage::with_run(merged.as_deref(), &mark);
    let mut events = Vec::with_capacity(messages.len());
    let mut done = Vec::new();
    let arn = record.queue.arn().to_string();
    for message in &messages {
        let written = Written::of(&pipes.0.queues, &record.queue, message);
        let subject = written.record(message, (&arn, &record.queue.region), false);
        if !criteria.let_through(&subject) {
            done.push(message.receipt);
            continue;
        }
        let mut value = Value::Object(subject.rest());
        value["body"] = Value::from(subject.body());
        events.push(Event {
            value,
            receipt: message.receipt,
            id: (message.message_id, message.group.clone()),
        });
    }
    let batch = Batch {
        pipes,
        record,
        source_arn: &arn,
        ingested_at: now(pipes).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        trace_header,
    };
    let ended = match events.is_empty() {
        true => Ok(Vec::new()),
        false => batch.hand_on(&events).await,
    };
    let (failed, ended): (HashSet<usize>, Ended) = match ended {
        // That some failed is between them and the target.
        Ok(failed) => (failed.into_iter().collect(), Ended::Done),
        Err(problem) => ((0..events.len()).collect(), Ended::Failed(problem)),
    };
    let taken = events.iter().enumerate();
    let taken = taken.filter(|(at, _)| !failed.contains(at));
    done.extend(taken.map(|(_, event)| event.receipt));
    if !done.is_empty() {
        pipes.0.queues.delete(queue, &done).await;
    }
    ended
}

fn now(pipes: &Pipes) -> Timestamp {
    let now_ms = pipes.0.queues.clock().now_ms();
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

struct Batch<'a> {
    pipes: &'a Pipes,
    record: &'a PipeRecord,
    source_arn: &'a str,
    ingested_at: String,
    trace_header: String,
}

impl Batch<'_> {
    /// Gives the places of the events that failed.
    async fn hand_on(&self, events: &[Event]) -> Result<Vec<usize>, String> {
        let originals: Vec<Value> = events.iter().map(|event| event.value.clone()).collect();
        let (values, is_enriched) = match &self.record.enrichment {
            Some(arn) => (self.enriched(arn, &originals).await?, true),
            None => (originals, false),
        };
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let template = self.record.targeting.template.as_deref();
        let written: Vec<Value> = values
            .iter()
            .map(|value| self.written(template, value))
            .collect();
        let target = self.record.target.as_str();
        let is_waited_for = self.record.targeting.invocation.as_deref() != Some("FIRE_AND_FORGET");
        if kind(target) == Some(Kind::Function) && is_waited_for {
            let answer = self.invoke(target, &Value::Array(written)).await?;
            let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
            // What was enriched may be other events than those that came.
            return match is_enriched {
                true => Ok(Vec::new()),
                false => match verdict(&answer, &ids) {
                    Verdict::Succeeded => Ok(Vec::new()),
                    Verdict::Partial(failed) => Ok(failed),
                    // An answer that says nothing of failures is no failure.
                    Verdict::Failed if !says_failures(&answer) => Ok(Vec::new()),
                    Verdict::Failed => Err("The target reported failed items.".to_owned()),
                },
            };
        }
        let deliveries = match kind(target) {
            Some(Kind::Function) => vec![self.delivery(&values[0], Value::Array(written))],
            _ => {
                let pairs = values.iter().zip(written);
                pairs
                    .map(|(value, written)| self.delivery(value, written))
                    .collect()
            }
        };
        let made = self.pipes.0.deliveries.make(deliveries).await;
        made.map(|()| Vec::new())
            .map_err(|failure| failure.to_string())
    }

    async fn enriched(&self, arn: &str, events: &[Value]) -> Result<Vec<Value>, String> {
        let enriching = self.record.enriching.as_ref();
        let template = enriching.and_then(|it| it.template.as_deref());
        let written: Vec<Value> = events.iter().map(|it| self.written(template, it)).collect();
        if kind(arn) == Some(Kind::Function) {
            let answer = self.invoke(arn, &Value::Array(written)).await?;
            return Ok(spread(&answer));
        }
        let http = enriching.and_then(|it| it.http.as_ref());
        let mut enriched = Vec::with_capacity(events.len());
        for (event, written) in events.iter().zip(written) {
            let mut delivery = Delivery::new(self.sender(), arn, text_of(&written));
            delivery.role = Some(self.record.role.clone());
            delivery.parameters = Parameters::Destination(destined(http, event));
            let answer = self.pipes.0.buses.send_to_destination(&delivery).await;
            enriched.extend(spread(&answer.map_err(|failure| failure.to_string())?));
        }
        Ok(enriched)
    }

    fn written(&self, template: Option<&str>, event: &Value) -> Value {
        let Some(template) = template.filter(|template| !template.is_empty()) else {
            return event.clone();
        };
        let pipe_arn = self.record.key.arn();
        let names = Names {
            pipe_arn: &pipe_arn,
            pipe_name: &self.record.key.name,
            source_arn: self.source_arn,
            target_arn: &self.record.target,
            enrichment_arn: self.record.enrichment.as_deref(),
            ingested_at: &self.ingested_at,
        };
        fill(template, event, &names)
    }

    async fn invoke(&self, arn: &str, payload: &Value) -> Result<Bytes, String> {
        let function = arn.parse().ok().as_ref().and_then(function_at);
        let (key, qualifier) = function.ok_or("The function does not exist.")?;
        let invocation = Invocation {
            request_id: Uuid::new_v4().to_string(),
            payload: payload.to_string().into(),
            client_context: None,
            cognito_identity: None,
            invoked_function_arn: arn.to_owned(),
            trace_id: Some(self.trace_header.clone()),
            log_tail: false,
        };
        let functions = &self.pipes.0.functions;
        let outcome = functions.run(&key, qualifier.as_deref(), invocation).await;
        let outcome = outcome.map_err(|error| error.to_string())?;
        match outcome.error {
            None => Ok(outcome.payload),
            Some(_) => Err("The function ended with an error.".to_owned()),
        }
    }

    fn sender(&self) -> Sender {
        Sender {
            principal: PRINCIPAL.to_owned(),
            source_arn: self.record.key.arn(),
            account_id: self.record.key.account_id.clone(),
            region: self.record.key.region.clone(),
        }
    }

    /// `event` is what parameters may be parts of, `written` what is sent.
    fn delivery(&self, event: &Value, written: Value) -> Delivery {
        let target = self.record.target.as_str();
        let targeting = &self.record.targeting;
        let of = |given: &Option<String>| given.as_deref().map(|it| resolve(it, event));
        let mut delivery = Delivery::new(self.sender(), target, text_of(&written));
        delivery.role = Some(self.record.role.clone());
        delivery.trace_header = Some(self.trace_header.clone());
        delivery.parameters = match kind(target) {
            Some(Kind::Queue) => {
                let given = targeting.queue.clone().unwrap_or_default();
                Parameters::Sqs(ToQueue {
                    group: of(&given.group),
                    deduplication_id: of(&given.deduplication_id),
                    ..ToQueue::default()
                })
            }
            Some(Kind::Bus) => {
                let given = targeting.bus.clone().unwrap_or_default();
                let resources = given.resources.unwrap_or_default();
                let time = of(&given.time).and_then(|time| time.parse::<Timestamp>().ok());
                delivery.body = detail_of(&written);
                Parameters::Events(ToBus {
                    source: of(&given.source)
                        .unwrap_or_else(|| format!("Pipe {}", self.record.key.name)),
                    detail_type: of(&given.detail_type)
                        .unwrap_or_else(|| "Event from aws:sqs".to_owned()),
                    resources: resources.iter().map(|it| resolve(it, event)).collect(),
                    time_ms: time.map(Timestamp::as_millisecond),
                })
            }
            Some(Kind::Topic) => Parameters::Sns(ToTopic::default()),
            Some(Kind::Logs) => {
                let given = targeting.logs.clone().unwrap_or_default();
                Parameters::Logs(ToLogs {
                    stream: of(&given.stream),
                    time_ms: of(&given.timestamp).and_then(|time| time.parse().ok()),
                })
            }
            Some(Kind::Destination) => {
                Parameters::Destination(destined(targeting.http.as_ref(), event))
            }
            _ => Parameters::None,
        };
        delivery
    }
}

fn says_failures(answer: &[u8]) -> bool {
    let parsed: Option<Value> = serde_json::from_slice(answer).ok();
    parsed.is_some_and(|answer| answer.get("batchItemFailures").is_some())
}

/// A text is sent as it is, everything else as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The detail of an event is an object.
fn detail_of(value: &Value) -> String {
    match value {
        Value::Object(_) => value.to_string(),
        other => serde_json::json!({ "data": other }).to_string(),
    }
}

/// An enrichment's answer: a list is as many events, nothing is none.
fn spread(answer: &[u8]) -> Vec<Value> {
    match serde_json::from_slice::<Value>(answer) {
        Ok(Value::Array(events)) => events,
        Ok(Value::Null) => Vec::new(),
        Ok(Value::Object(object)) if object.is_empty() => Vec::new(),
        Ok(Value::String(text)) if text.is_empty() => Vec::new(),
        Ok(one) => vec![one],
        Err(_) if answer.is_empty() => Vec::new(),
        Err(_) => vec![Value::from(String::from_utf8_lossy(answer))],
    }
}

fn destined(http: Option<&HttpRecord>, event: &Value) -> ToDestination {
    let Some(http) = http else {
        return ToDestination::default();
    };
    let pairs = |given: &Option<Vec<(String, String)>>| {
        let given = given.iter().flatten();
        given
            .map(|(name, value)| (name.clone(), resolve(value, event)))
            .collect()
    };
    ToDestination {
        path: http
            .path
            .iter()
            .flatten()
            .map(|it| resolve(it, event))
            .collect(),
        headers: pairs(&http.headers),
        query: pairs(&http.query),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_enrichment_answers_with_any_number_of_events() {
        for (answer, events) in [
            ("", vec![]),
            ("null", vec![]),
            ("{}", vec![]),
            ("[]", vec![]),
            ("\"\"", vec![]),
            ("[1, {\"a\": 2}]", vec![json!(1), json!({"a": 2})]),
            ("{\"a\": 1}", vec![json!({"a": 1})]),
            ("text", vec![json!("text")]),
        ] {
            assert_eq!(spread(answer.as_bytes()), events, "{answer}");
        }
    }
}
