//! What subscribers are told, in the shapes of both APIs.

use serde_json::{Value, json};
use wire::Timestamp;

use super::{
    super::{LogFormat, report},
    subscription::{Api, Subscription},
};

#[derive(Debug, Clone)]
pub struct Event {
    time: String,
    /// `platform.start`, `function`
    kind: String,
    category: Category,
    record: Value,
    /// The same where the line is JSON in a log that is.
    structured: Option<Value>,
}

/// What one subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Platform,
    Function,
    Extension,
}

impl Category {
    pub const ALL: [Self; 3] = [Self::Platform, Self::Function, Self::Extension];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Function,
    Extension,
}

impl Event {
    /// A line of the platform in the JSON log format.
    pub fn said(mut said: Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            time: text(&said["time"])?,
            kind: text(&said["type"])?,
            category: Category::Platform,
            record: said["record"].take(),
            structured: None,
        })
    }

    pub fn platform(kind: &str, record: Value, now: Timestamp) -> Self {
        Self {
            time: report::millis(now),
            kind: kind.to_owned(),
            category: Category::Platform,
            record,
            structured: None,
        }
    }

    pub fn line(source: Source, time: String, message: &str, format: LogFormat) -> Self {
        let category = match source {
            Source::Function => Category::Function,
            Source::Extension => Category::Extension,
        };
        let parsed = match format {
            LogFormat::Json => serde_json::from_str(message).ok().filter(Value::is_object),
            LogFormat::Text => None,
        };
        Self {
            time,
            kind: category.as_str().to_owned(),
            category,
            record: message.into(),
            structured: parsed,
        }
    }

    /// About as many as it will take.
    pub fn bytes(&self) -> usize {
        let record = self.record.as_str().map_or(256, str::len);
        self.time.len() + self.kind.len() + record
    }

    /// What a subscriber is told of it: nothing, one event, or two.
    pub fn told(&self, subscription: &Subscription) -> Vec<String> {
        if !subscription.types.contains(&self.category) {
            return Vec::new();
        }
        match subscription.api {
            Api::Telemetry => self.of_telemetry(subscription),
            Api::Logs => self.of_logs(subscription),
        }
    }

    fn of_telemetry(&self, subscription: &Subscription) -> Vec<String> {
        // It is no event of this API.
        if self.kind == "platform.fault" {
            return Vec::new();
        }
        let record = match &self.structured {
            Some(structured) if subscription.takes_structured() => structured,
            _ => &self.record,
        };
        vec![text(&self.time, &self.kind, record)]
    }

    fn of_logs(&self, subscription: &Subscription) -> Vec<String> {
        let id = &self.record["requestId"];
        let one = |record: &Value| vec![text(&self.time, &self.kind, record)];
        match self.kind.as_str() {
            "platform.start" => one(&json!({"requestId": id, "version": self.record["version"]})),
            "platform.runtimeDone" if subscription.hears_of_runtimes() => {
                let status = match self.record["status"].as_str() {
                    Some("error") => "failure",
                    Some(other) => other,
                    None => "success",
                };
                one(&json!({"requestId": id, "status": status}))
            }
            "platform.report" => {
                let report = json!({"requestId": id, "metrics": self.record["metrics"]});
                vec![
                    text(&self.time, "platform.end", &json!({"requestId": id})),
                    text(&self.time, &self.kind, &report),
                ]
            }
            "platform.fault"
            | "platform.extension"
            | "platform.logsSubscription"
            | "platform.logsDropped" => one(&self.record),
            _ if self.category != Category::Platform => one(&self.record),
            _ => Vec::new(),
        }
    }
}

/// `platform.logsDropped`
pub fn dropped(records: usize, bytes: usize, why: &str, now: Timestamp) -> String {
    let record = json!({"reason": why, "droppedRecords": records, "droppedBytes": bytes});
    text(&report::millis(now), "platform.logsDropped", &record)
}

fn text(time: &str, kind: &str, record: &Value) -> String {
    json!({"time": time, "type": kind, "record": record}).to_string()
}
