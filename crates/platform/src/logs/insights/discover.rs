//! A record: a log event with the fields that are found in it, and what commands have computed.
//!
//! Fields: AWS, "Supported logs and discovered fields". JSON is looked into wherever a message has it
//! first; Lambda's own lines have fields beginning with `@`.

use std::{cell::OnceCell, sync::Arc};

use serde_json::Value as Json;

use super::value::Value;
use crate::logs::lines::Seq;

/// Fields that are found in one event; CloudWatch Logs' figure.
const FIELDS_MAX: usize = 200;
const DEPTH_MAX: usize = 32;
/// Lambda counts memory in these.
const MEGABYTE: f64 = 1_000_000.0;

/// What an event is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub timestamp_ms: i64,
    pub ingested_ms: i64,
    pub message: String,
    pub stream: String,
    /// `123456789012:/aws/lambda/resize`
    pub log: Arc<str>,
    /// The place of its group among those that are asked, and its own there.
    pub place: (usize, Seq),
}

#[derive(Debug, Clone, Default)]
pub struct Record {
    event: Option<Source>,
    discovered: OnceCell<Vec<(String, Value)>>,
    computed: Vec<(String, Value)>,
}

impl Record {
    pub fn new(event: Source) -> Self {
        Self {
            event: Some(event),
            ..Self::default()
        }
    }

    /// One that no event is behind.
    pub fn of(fields: Vec<(String, Value)>) -> Self {
        Self {
            computed: fields,
            ..Self::default()
        }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        match self.computed.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.computed.push((name.to_owned(), value)),
        }
    }

    pub fn get(&self, name: &str) -> Value {
        let find = |all: &[(String, Value)]| {
            let found = all.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        if let Some(value) = find(&self.computed) {
            return value;
        }
        let Some(event) = &self.event else {
            return Value::Null;
        };
        match name {
            "@timestamp" => Value::Time(event.timestamp_ms),
            "@ingestionTime" => Value::Time(event.ingested_ms),
            "@message" => Value::from(event.message.as_str()),
            "@logStream" => Value::from(event.stream.as_str()),
            "@log" => Value::from(&*event.log),
            _ => find(self.discovered()).unwrap_or_default(),
        }
    }

    /// The event that is behind it.
    pub fn event(&self) -> Option<&Source> {
        self.event.as_ref()
    }

    pub fn timestamp_ms(&self) -> i64 {
        self.event.as_ref().map_or(0, |event| event.timestamp_ms)
    }

    /// What commands have computed, in their order.
    pub fn computed(&self) -> &[(String, Value)] {
        &self.computed
    }

    pub fn discovered(&self) -> &[(String, Value)] {
        self.discovered.get_or_init(|| {
            let event = self.event.as_ref();
            event
                .map(|event| discover(&event.message, &event.log))
                .unwrap_or_default()
        })
    }

    /// What it takes in memory, about, in bytes.
    pub fn size(&self) -> usize {
        let all = |fields: &[(String, Value)]| -> usize {
            fields
                .iter()
                .map(|(name, value)| name.len() + value.size() + 32)
                .sum()
        };
        let event = self
            .event
            .as_ref()
            .map_or(0, |event| event.message.len() + event.stream.len() + 128);
        event + all(&self.computed) + self.discovered.get().map_or(0, |found| all(found)) + 64
    }
}

fn discover(message: &str, log: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    if log.contains(":/aws/lambda/") {
        lambda(message, &mut found);
    }
    if let Some(at) = message.find('{') {
        let mut values = serde_json::Deserializer::from_str(&message[at..]).into_iter::<Json>();
        if let Some(Ok(json @ Json::Object(_))) = values.next() {
            flatten(String::new(), &json, 0, &mut found);
        }
    }
    found
}

fn flatten(name: String, json: &Json, depth: usize, found: &mut Vec<(String, Value)>) {
    if found.len() >= FIELDS_MAX || depth > DEPTH_MAX {
        return;
    }
    let within = |part: &str| match name.as_str() {
        "" => part.to_owned(),
        name => format!("{name}.{part}"),
    };
    let value = match json {
        Json::Object(members) => {
            for (part, json) in members {
                flatten(within(part), json, depth + 1, found);
            }
            return;
        }
        Json::Array(items) => {
            for (index, json) in items.iter().enumerate() {
                flatten(within(&index.to_string()), json, depth + 1, found);
            }
            return;
        }
        Json::Null => return,
        Json::Bool(is_true) => Value::Boolean(*is_true),
        Json::Number(number) => match number.as_f64() {
            // Ids are longer than a float is exact.
            Some(float) if float.abs() < 9e15 => Value::Number(float),
            _ => Value::Text(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
    };
    found.push((name, value));
}

/// What Lambda's own lines have, and the request of a function's.
fn lambda(message: &str, found: &mut Vec<(String, Value)>) {
    let mut add = |name: &str, value: Value| found.push((name.to_owned(), value));
    let kinds = [
        ("START RequestId: ", "START"),
        ("END RequestId: ", "END"),
        ("REPORT RequestId: ", "REPORT"),
    ];
    for (start, kind) in kinds {
        let Some(rest) = message.strip_prefix(start) else {
            continue;
        };
        let id = rest.split(char::is_whitespace).next().unwrap_or_default();
        add("@type", Value::from(kind));
        add("@requestId", Value::from(id));
        if kind == "REPORT" {
            for part in rest.split('\t').skip(1) {
                if let Some((name, value)) = part.trim().split_once(": ") {
                    report(name, value, &mut add);
                }
            }
        }
        return;
    }
    let mut parts = message.split('\t');
    let second = parts.nth(1).unwrap_or_default();
    if second.len() == 36 && uuid::Uuid::try_parse(second).is_ok() {
        add("@requestId", Value::from(second));
    }
}

fn report(name: &str, value: &str, add: &mut impl FnMut(&str, Value)) {
    let number = || {
        let number = value.split(' ').next().unwrap_or_default();
        number.parse::<f64>().ok()
    };
    let (name, unit) = match name {
        "Duration" => ("@duration", 1.0),
        "Billed Duration" => ("@billedDuration", 1.0),
        "Memory Size" => ("@memorySize", MEGABYTE),
        "Max Memory Used" => ("@maxMemoryUsed", MEGABYTE),
        "Init Duration" => ("@initDuration", 1.0),
        "Restore Duration" => ("@restoreDuration", 1.0),
        "Billed Restore Duration" => ("@billedRestoreDuration", 1.0),
        "XRAY TraceId" => return add("@xrayTraceId", Value::from(value)),
        _ => return,
    };
    if let Some(number) = number() {
        add(name, Value::Number(number * unit));
    }
}
