//! PutEvents, and the way of every event from a bus to who is told of it: what it fires and what
//! archives keep of it are one transaction.

use std::sync::Arc;

use uuid::Uuid;
use wire::{Context, event_bridge as api};

use super::{
    Buses, archive,
    error::{Error, Result},
    event::{self, Event},
    held::{Bus, Rule, Target},
    input::Occasion,
    limits,
    names::BusKey,
    tables::RetryRecord,
};
use crate::deliveries::{
    Attribute, DeadLetter, Delivery, Parameters, Retry, Sender, ToDestination, ToLogs, ToQueue,
    ToTopic, kind_of,
};

pub const PRINCIPAL: &str = "events.amazonaws.com";

/// An event on its way to a bus.
pub struct Arriving {
    pub bus: Arc<Bus>,
    pub event: Event,
}

impl Buses {
    pub(super) async fn put_events_of(
        &self,
        cx: &Context,
        input: api::PutEventsRequest,
    ) -> Result<api::PutEventsResponse> {
        if input.endpoint_id.is_some() {
            return Err(Error::Unsupported("A global endpoint".to_owned()));
        }
        let bytes: usize = input.entries.iter().map(event::size_of).sum();
        if bytes > limits::ENTRIES_BYTES_MAX {
            return Err(Error::invalid(
                "Total size of the entries in the request is over the limit.",
            ));
        }
        let mut arriving = Vec::with_capacity(input.entries.len());
        let mut entries = Vec::with_capacity(input.entries.len());
        for entry in &input.entries {
            let key = BusKey::read(&cx.account_id, &cx.region, entry.event_bus_name.as_deref());
            let key = key.ok_or_else(|| {
                Error::parameter("EventBusName", "Provided Arn is not in correct format.")
            })?;
            let bus = self.0.buses.get(&key);
            match &bus {
                Some(bus) => bus.check_put(cx)?,
                None if key.account_id != cx.account_id => return Err(no_such_bus(cx, &key)),
                None => {}
            }
            let id = Uuid::new_v4().to_string();
            let mut entry = entry.clone();
            entry.trace_header = entry
                .trace_header
                .take()
                .or_else(|| cx.trace_header.clone());
            let place = (cx.account_id.as_str(), key.region.as_str());
            entries.push(match Event::of_entry(&entry, place, &id, cx.now) {
                Ok(event) => {
                    // What goes to a bus that is not there is taken, and goes nowhere.
                    arriving.extend(bus.map(|bus| Arriving { bus, event }));
                    api::PutEventsResultEntry {
                        event_id: Some(id),
                        ..Default::default()
                    }
                }
                Err(bad) => api::PutEventsResultEntry {
                    error_code: Some(bad.code.to_owned()),
                    error_message: Some(bad.message),
                    ..Default::default()
                },
            });
        }
        self.accept(arriving).await?;
        let failed = entries.iter().filter(|entry| entry.event_id.is_none());
        Ok(api::PutEventsResponse {
            failed_entry_count: i32::try_from(failed.count()).ok(),
            entries: Some(entries),
        })
    }

    /// Takes events: when this answers, what they fire and what is kept of them is durable.
    pub(super) async fn accept(&self, arriving: Vec<Arriving>) -> Result<()> {
        let mut deliveries = Vec::new();
        let mut kept = Vec::new();
        for Arriving { bus, event } in &arriving {
            for rule in bus.matching(&event.value) {
                deliveries.extend(fired(rule, event));
            }
            let archives = bus.archives.iter().filter(|it| it.keeps(&event.value));
            // What a replay sends is in its archive already.
            for archive in archives.filter(|_| !event.is_replayed()) {
                kept.push(self.kept_row(archive, event)?);
            }
        }
        if deliveries.is_empty() && kept.is_empty() {
            return Ok(());
        }
        self.store_with(deliveries, move |tx| archive::insert(tx, &kept))
            .await
    }

    /// Deliveries and something else as one transaction.
    pub(super) async fn store_with(
        &self,
        deliveries: Vec<Delivery>,
        beside: impl Fn(&mut store::Tx) -> store::Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let staged = self.0.deliveries.stage(deliveries).await;
        let staged = staged.map_err(Error::platform)?;
        let (rows, store) = (staged.rows(), self.0.store.clone());
        // To its end: what was given a number is told how that ended.
        let writing = tokio::spawn(async move {
            let written = store.write(move |tx| {
                rows.insert(tx)?;
                beside(tx)
            });
            let written = written.await;
            // What became of a write that failed is for the store to say.
            if written.is_ok() {
                staged.committed(true);
            }
            written
        });
        writing.await.map_err(Error::platform)??;
        Ok(())
    }
}

fn no_such_bus(cx: &Context, key: &BusKey) -> Error {
    Error::AccessDenied(format!(
        "User: arn:{}:iam::{}:root is not authorized to perform: events:PutEvents on resource: {} \
         because no resource-based policy allows the events:PutEvents action",
        wire::arn::partition(&cx.region),
        cx.account_id,
        key.arn()
    ))
}

/// What a rule's targets are sent of an event.
pub fn fired(rule: &Rule, event: &Event) -> Vec<Delivery> {
    let ingested_at = event::written(event.ingested);
    let occasion = Occasion {
        text: &event.text,
        event: &event.value,
        rule_arn: &rule.arn,
        rule_name: &rule.record.name,
        ingested_at: &ingested_at,
    };
    let deliveries = rule.targets.iter().filter_map(|target| {
        let body = target.input.of(&occasion);
        // As with EventBridge, what cannot be said is not sent.
        let body = body.inspect_err(|bad| {
            let (rule, target) = (&rule.arn, &target.record.id);
            tracing::warn!(rule, target, "an event is not sent: {bad}");
        });
        Some(delivery(rule, target, event, body.ok()?))
    });
    deliveries.collect()
}

fn delivery(rule: &Rule, target: &Target, event: &Event, body: String) -> Delivery {
    let record = &target.record;
    let bus = &rule.record.bus;
    let from = Sender {
        principal: PRINCIPAL.to_owned(),
        source_arn: rule.arn.clone(),
        account_id: bus.account_id.clone(),
        region: bus.region.clone(),
    };
    let to_bus = record.arn.contains(":event-bus/");
    // A bus takes events only, and gets this one as it is.
    let body = if to_bus { event.text.clone() } else { body };
    let mut delivery = Delivery::new(from, &record.arn, body);
    delivery.role = record.role.clone();
    delivery.parameters = match kind_of(&record.arn) {
        "sqs" => Parameters::Sqs(ToQueue {
            group: record.message_group.clone(),
            ..Default::default()
        }),
        "sns" => Parameters::Sns(ToTopic::default()),
        "logs" => Parameters::Logs(ToLogs {
            time_ms: Some(event.at_ms),
            ..Default::default()
        }),
        "events" if !to_bus => {
            let http = record.http.as_ref();
            Parameters::Destination(http.map_or_else(ToDestination::default, |http| {
                super::destination::resolve(http, &event.value)
            }))
        }
        _ => Parameters::None,
    };
    delivery.retry = retry(record.retry);
    delivery.dead_letter = record.dead_letter.as_ref().map(|arn| DeadLetter {
        arn: arn.clone(),
        body: None,
        attributes: vec![
            Attribute::text("RULE_ARN", &rule.arn),
            Attribute::text("TARGET_ARN", &record.arn),
        ],
        says_why: true,
        group: None,
    });
    delivery.trace_header = event.trace_header.clone();
    delivery
}

fn retry(given: Option<RetryRecord>) -> Retry {
    let attempts = given.and_then(|given| given.attempts);
    let age_s = given.and_then(|given| given.age_s).unwrap_or(limits::AGE_S);
    Retry {
        retries_max: attempts.map_or(limits::RETRIES, |it| u32::try_from(it).unwrap_or(0)),
        age_max_ms: i64::from(age_s) * 1_000,
        ..Retry::default()
    }
}
