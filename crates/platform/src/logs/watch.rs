//! What filters make of new events: messages for the functions that subscribed, and values of metrics.
//!
//! One task for each group that has filters follows it and stores how far it is, after what it found
//! is stored with whom it goes to. So a crash repeats a little and leaves nothing out.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};
use wire::{Timestamp, arn::Arn};

use super::{
    api::event_id,
    error::{Error, Result},
    groups::Groups,
    lines::{Event, GroupKey, Reader, Seq},
    pattern::Pattern,
    tables::{CURSORS, CursorRecord, GroupRecord, MetricFilter, Subscription, Transformation},
};
use crate::{
    deliveries::{Deliveries, Delivery, Sender},
    functions::{Functions, function_at},
    identity::{Principal, policy::Asker},
    metrics::{Datum, Home, Metric, Metrics},
};

/// What goes into one message to a function, in bytes before it is compressed.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_EVENTS_MAX: usize = 2_000;
/// A value's magnitude: 2^360.
const VALUE_MAX: f64 = 2.348_542_582_773_833_2e108;
/// After a failure of the platform's own.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct Watching {
    shared: Arc<Shared>,
    tasks: Mutex<HashMap<GroupKey, Watcher>>,
}

struct Shared {
    groups: Arc<Groups>,
    functions: Functions,
    deliveries: Deliveries,
    metrics: Metrics,
}

struct Watcher {
    group: Arc<GroupRecord>,
    handle: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Watching {
    pub fn new(
        groups: Arc<Groups>,
        functions: Functions,
        deliveries: Deliveries,
        metrics: Metrics,
    ) -> Self {
        let shared = Shared {
            groups,
            functions,
            deliveries,
            metrics,
        };
        Self {
            shared: Arc::new(shared),
            tasks: Mutex::default(),
        }
    }

    /// Brings it about that groups with filters are followed, as they are now, and no others.
    pub async fn reconcile(&self) -> Result<()> {
        let all = self.shared.groups.all();
        let wanted: HashMap<GroupKey, Arc<GroupRecord>> = all
            .into_iter()
            .filter(|group| has_filters(group))
            .map(|group| (group.key(), group))
            .collect();
        let is_same = |a: &GroupRecord, b: &GroupRecord| {
            (a.created_ms, &a.metric_filters, &a.subscriptions)
                == (b.created_ms, &b.metric_filters, &b.subscriptions)
        };
        let mut ended = Vec::new();
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.retain(|key, watcher| {
                let stays = !watcher.handle.is_finished()
                    && wanted
                        .get(key)
                        .is_some_and(|group| is_same(group, &watcher.group));
                if !wanted.contains_key(key) {
                    ended.push(key.clone());
                }
                stays
            });
            for (key, group) in wanted {
                tasks.entry(key).or_insert_with(|| {
                    let follow = follow(self.shared.clone(), group.clone());
                    let handle = tokio::spawn(follow);
                    Watcher { group, handle }
                });
            }
        }
        for key in ended {
            self.shared.forget(key).await?;
        }
        Ok(())
    }
}

pub fn has_filters(group: &GroupRecord) -> bool {
    !group.metric_filters.is_empty() || !group.subscriptions.is_empty()
}

/// Stores where a group begins that is about to get its first filter.
pub async fn begin(groups: &Groups, group: &GroupRecord) -> Result<()> {
    if has_filters(group) {
        return Ok(());
    }
    let (logs, key) = (groups.logs().clone(), group.key());
    let end = spawn_blocking(move || logs.group(&key).end()).await;
    let end = end.map_err(Error::platform)??;
    store_cursor(groups, group, end).await
}

async fn store_cursor(groups: &Groups, group: &GroupRecord, read_to: Seq) -> Result<()> {
    let key = group.key();
    let cursor = CursorRecord {
        read_to,
        group_created_ms: group.created_ms,
    };
    let stored = groups
        .store()
        .write(move |tx| CURSORS.put(tx, &[&key.account_id, &key.region, &key.name], &cursor));
    Ok(stored.await.map(|_| ())?)
}

async fn follow(shared: Arc<Shared>, group: Arc<GroupRecord>) {
    loop {
        match shared.follow(&group).await {
            // It has been deleted.
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    group = group.name,
                    "filters of a log group failed"
                );
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

impl Shared {
    async fn follow(&self, group: &GroupRecord) -> Result<()> {
        let filters = Filters::of(group)?;
        let from = self.cursor(group).await?;
        let (logs, key) = (self.groups.logs().clone(), group.key());
        let reader = spawn_blocking(move || logs.reader_at(&key, from)).await;
        let mut reader = reader.map_err(Error::platform)??;
        while !reader.is_gone() {
            let (back, events) = read(reader).await?;
            reader = back;
            if events.is_empty() {
                reader.more().await;
                continue;
            }
            let found = filters.apply(group, events);
            self.hand_over(group, found).await?;
            store_cursor(&self.groups, group, reader.place()).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, group: &GroupRecord, found: Found) -> Result<()> {
        let mut deliveries = Vec::new();
        for (destination, body) in found.messages {
            deliveries.extend(self.delivery(group, destination, body));
        }
        let sent = self.deliveries.send(deliveries).await;
        sent.map_err(Error::platform)?;
        if !found.measured.is_empty() {
            let home = Home {
                account_id: group.account_id.clone(),
                region: group.region.clone(),
            };
            // What metrics do not take is not to hold up the rest.
            if let Err(error) = self.metrics.put(&home, found.measured).await {
                tracing::warn!(%error, group = group.name, "values of metric filters are lost");
            }
        }
        Ok(())
    }

    /// None where it would go round in circles.
    fn delivery(&self, group: &GroupRecord, destination: String, body: String) -> Option<Delivery> {
        if logs_into(&self.functions, &destination).as_ref() == Some(&group.key()) {
            tracing::warn!(
                group = group.name,
                destination,
                "a function is not told of its own log"
            );
            return None;
        }
        let principal = admitted(&self.functions, group, &destination);
        let from = Sender {
            principal: principal.unwrap_or_else(|| PRINCIPAL.to_owned()),
            source_arn: source_arn(group),
            account_id: group.account_id.clone(),
            region: group.region.clone(),
        };
        Some(Delivery::new(from, destination, body))
    }

    async fn cursor(&self, group: &GroupRecord) -> Result<Option<Seq>> {
        let key = group.key();
        let stored = self
            .groups
            .store()
            .read(move |tx| CURSORS.get(tx, &[&key.account_id, &key.region, &key.name]));
        let stored = stored.await?.map(|stored| stored.record);
        let is_of = |cursor: &CursorRecord| cursor.group_created_ms == group.created_ms;
        Ok(stored.filter(is_of).map(|cursor| cursor.read_to))
    }

    async fn forget(&self, key: GroupKey) -> Result<()> {
        let removed = self
            .groups
            .store()
            .write(move |tx| CURSORS.delete(tx, &[&key.account_id, &key.region, &key.name]));
        Ok(removed.await.map(|_| ())?)
    }
}

async fn read(mut reader: Reader) -> Result<(Reader, Vec<Event>)> {
    let read = spawn_blocking(move || {
        let events = reader.events();
        (reader, events)
    });
    let (reader, events) = read.await.map_err(Error::platform)?;
    Ok((reader, events?))
}

const PRINCIPAL: &str = "logs.amazonaws.com";

/// The principal by which a function's policy lets a group's events in.
pub fn admitted(functions: &Functions, group: &GroupRecord, function: &str) -> Option<String> {
    let arn: Arn = function.parse().ok()?;
    let (key, qualifier) = function_at(&arn)?;
    let source_arn = source_arn(group);
    let regional = format!("logs.{}.amazonaws.com", group.region);
    [PRINCIPAL.to_owned(), regional]
        .into_iter()
        .find(|principal| {
            let service = Principal::Service(principal.clone());
            let asker = Asker {
                source_arn: Some(&source_arn),
                source_account: Some(&group.account_id),
                ..Asker::from(&service)
            };
            functions.admits_source(&key, qualifier.as_deref(), &asker, Timestamp::now())
        })
}

/// Where a function logs to.
pub fn logs_into(functions: &Functions, function: &str) -> Option<GroupKey> {
    let arn: Arn = function.parse().ok()?;
    let (key, qualifier) = function_at(&arn)?;
    let name = functions.log_group(&key, qualifier.as_deref())?;
    Some(GroupKey {
        account_id: key.account_id,
        region: key.region,
        name,
    })
}

/// As policies of destinations know it.
fn source_arn(group: &GroupRecord) -> String {
    format!("{}:*", group.key().arn())
}

/// A group's filters, read.
struct Filters {
    subscriptions: Vec<(String, Pattern, Subscription)>,
    metrics: Vec<(Pattern, MetricFilter)>,
}

/// What filters found: bodies for destinations, and values.
#[derive(Debug, Default, PartialEq)]
struct Found {
    messages: Vec<(String, String)>,
    measured: Vec<Datum>,
}

impl Filters {
    fn of(group: &GroupRecord) -> Result<Self> {
        let mut subscriptions = Vec::new();
        for (name, subscription) in &group.subscriptions {
            let pattern = Pattern::parse(&subscription.pattern)?;
            subscriptions.push((name.clone(), pattern, subscription.clone()));
        }
        let mut metrics = Vec::new();
        for filter in group.metric_filters.values() {
            metrics.push((Pattern::parse(&filter.pattern)?, filter.clone()));
        }
        Ok(Self {
            subscriptions,
            metrics,
        })
    }

    fn apply(&self, group: &GroupRecord, events: Vec<Event>) -> Found {
        let mut found = Found::default();
        for (name, pattern, subscription) in &self.subscriptions {
            let of_it = events.iter().filter(|event| {
                event.ingested_ms >= subscription.created_ms && pattern.matches(&event.message)
            });
            for batch in batches(of_it) {
                let body = body(group, name, &batch);
                found
                    .messages
                    .push((subscription.destination_arn.clone(), body));
            }
        }
        for (pattern, filter) in &self.metrics {
            measure(pattern, filter, &events, &mut found.measured);
        }
        found
    }
}

/// Events of one stream that go together, in their order.
fn batches<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Vec<&'a Event>> {
    let mut open: Vec<(Vec<&Event>, usize)> = Vec::new();
    let mut by_stream: HashMap<&str, usize> = HashMap::new();
    for event in events {
        let fits = |at: &usize| {
            let (batch, bytes) = &open[*at];
            batch.len() < MESSAGE_EVENTS_MAX && bytes + event.message.len() <= MESSAGE_BYTES_MAX
        };
        let at = by_stream.get(event.stream.as_str()).copied().filter(fits);
        let at = at.unwrap_or_else(|| {
            open.push((Vec::new(), 0));
            open.len() - 1
        });
        by_stream.insert(&event.stream, at);
        open[at].0.push(event);
        open[at].1 += event.message.len();
    }
    open.into_iter().map(|(batch, _)| batch).collect()
}

/// What a function gets: `awslogs.data`, compressed and in base64.
fn body(group: &GroupRecord, filter: &str, events: &[&Event]) -> String {
    let stream = events.first().map(|event| event.stream.as_str());
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            json!({
                "id": event_id(event),
                "timestamp": event.timestamp_ms,
                "message": event.text(),
            })
        })
        .collect();
    let data = json!({
        "messageType": "DATA_MESSAGE",
        "owner": group.account_id,
        "logGroup": group.name,
        "logStream": stream,
        "subscriptionFilters": [filter],
        "logEvents": shown,
    });
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory nothing fails.
    let _ = packed.write_all(data.to_string().as_bytes());
    let packed = packed.finish().unwrap_or_default();
    json!({"awslogs": {"data": BASE64_STANDARD.encode(packed)}}).to_string()
}

/// The values of a metric filter; its default for each minute in which nothing matched.
fn measure(pattern: &Pattern, filter: &MetricFilter, events: &[Event], into: &mut Vec<Datum>) {
    const MINUTE_MS: i64 = 60_000;
    let mut minutes: BTreeMap<i64, bool> = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.ingested_ms >= filter.created_ms)
    {
        let has_matched = minutes.entry(event.timestamp_ms / MINUTE_MS).or_default();
        if !pattern.matches(&event.message) {
            continue;
        }
        *has_matched = true;
        let text = event.text();
        for transformation in &filter.transformations {
            into.extend(value_of(pattern, transformation, &text, event.timestamp_ms));
        }
    }
    for (minute, has_matched) in minutes {
        let defaults = filter.transformations.iter().filter(|_| !has_matched);
        for transformation in defaults {
            if let Some(value) = transformation.default {
                into.push(measured(
                    transformation,
                    BTreeMap::new(),
                    minute * MINUTE_MS,
                    value,
                ));
            }
        }
    }
}

/// None where the event has no number there, or not all of the dimensions.
fn value_of(
    pattern: &Pattern,
    transformation: &Transformation,
    message: &str,
    at_ms: i64,
) -> Option<Datum> {
    let value = match transformation.value.starts_with('$') {
        true => pattern.value(&transformation.value, message)?,
        false => transformation.value.clone(),
    };
    // CloudWatch takes none beyond.
    let value: f64 = value
        .trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.abs() <= VALUE_MAX)?;
    let mut dimensions = BTreeMap::new();
    for (name, source) in &transformation.dimensions {
        dimensions.insert(name.clone(), pattern.value(source, message)?);
    }
    Some(measured(transformation, dimensions, at_ms, value))
}

fn measured(
    transformation: &Transformation,
    dimensions: BTreeMap<String, String>,
    at_ms: i64,
    value: f64,
) -> Datum {
    let metric = Metric {
        namespace: transformation.namespace.clone(),
        name: transformation.name.clone(),
        dimensions,
    };
    let unit = transformation.unit.as_deref().unwrap_or("None");
    Datum::new(metric, unit, at_ms.div_euclid(1000), value)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::Value;

    use super::*;

    fn group() -> GroupRecord {
        let key = GroupKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "/app".into(),
        };
        GroupRecord::new(&key, 5)
    }

    fn event(index: u32, stream: &str, message: &str) -> Event {
        Event {
            at: Seq { segment: 0, index },
            timestamp_ms: 60_000 + i64::from(index),
            ingested_ms: 100,
            stream: stream.into(),
            message: message.as_bytes().to_vec(),
        }
    }

    fn opened(body: &str) -> Value {
        let body: Value = serde_json::from_str(body).unwrap();
        let data = BASE64_STANDARD
            .decode(body["awslogs"]["data"].as_str().unwrap())
            .unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(data.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_subscriber_gets_what_matches_by_stream() {
        let mut group = group();
        let subscription = Subscription {
            pattern: "ERROR".into(),
            destination_arn: "arn:f".into(),
            role_arn: None,
            distribution: "ByLogStream".into(),
            created_ms: 100,
        };
        group.subscriptions.insert("errors".into(), subscription);
        let mut events = vec![
            event(0, "a", "ERROR one"),
            event(1, "b", "ERROR two"),
            event(2, "a", "fine"),
            event(3, "a", "ERROR three"),
            event(4, "a", "ERROR before the filter"),
        ];
        events[4].ingested_ms = 99;
        let found = Filters::of(&group).unwrap().apply(&group, events);
        let bodies: Vec<Value> = found
            .messages
            .iter()
            .map(|(_, body)| opened(body))
            .collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0]["logStream"], "a");
        assert_eq!(bodies[0]["logGroup"], "/app");
        assert_eq!(bodies[0]["owner"], "123456789012");
        assert_eq!(bodies[0]["messageType"], "DATA_MESSAGE");
        assert_eq!(bodies[0]["subscriptionFilters"], json!(["errors"]));
        assert_eq!(bodies[0]["logEvents"][1]["message"], "ERROR three");
        assert_eq!(bodies[1]["logEvents"][0]["message"], "ERROR two");
    }

    #[test]
    fn large_batches_are_parted() {
        let long = "x".repeat(100 * 1024);
        let events: Vec<Event> = (0..5).map(|index| event(index, "a", &long)).collect();
        let sizes: Vec<usize> = batches(events.iter()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn a_metric_filter_measures_and_has_a_default() {
        let transformation = Transformation {
            namespace: "n".into(),
            name: "m".into(),
            value: "$.ms".into(),
            default: None,
            dimensions: [("path".to_owned(), "$.path".to_owned())]
                .into_iter()
                .collect(),
            unit: Some("Milliseconds".into()),
        };
        let mut filter = MetricFilter {
            pattern: "{ $.ms > 1 }".into(),
            created_ms: 0,
            transformations: vec![transformation],
        };
        let pattern = Pattern::parse(&filter.pattern).unwrap();
        let events = [
            event(0, "a", r#"{"ms": 12.5, "path": "/x"}"#),
            event(1, "a", r#"{"ms": 1, "path": "/x"}"#),
            event(2, "a", r#"{"ms": 3}"#),
        ];
        let mut found = Vec::new();
        measure(&pattern, &filter, &events, &mut found);
        assert_eq!(found.len(), 1);
        let expect = [("path", "/x")];
        let expect = Datum::new(Metric::new("n", "m", expect), "Milliseconds", 60, 12.5);
        assert_eq!(found[0], expect);
        filter.transformations[0].dimensions.clear();
        filter.transformations[0].default = Some(0.0);
        found.clear();
        measure(&pattern, &filter, &events[1..2], &mut found);
        let expect = Datum::new(Metric::new("n", "m", []), "Milliseconds", 60, 0.0);
        assert_eq!(found, [expect]);
    }
}
