//! An event: what was put on a bus, in the form in which targets get it. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wire::event_bridge::PutEventsRequestEntry;

/// An event, as JSON text and read.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub text: String,
    pub value: Value,
    /// By its own time, in milliseconds since 1970.
    pub at_ms: i64,
    /// What an archive counts it as.
    pub bytes: usize,
    /// When it came in.
    pub ingested: Timestamp,
    /// The X-Ray header it came with.
    pub trace_header: Option<String>,
}

/// Why an entry of PutEvents is no event; EventBridge's code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    pub code: &'static str,
    pub message: String,
}

/// What an event is made of, beside its detail.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub id: &'a str,
    pub detail_type: &'a str,
    pub source: &'a str,
    pub account_id: &'a str,
    pub time: Timestamp,
    pub region: &'a str,
    pub resources: &'a [String],
}

impl Event {
    /// The event of an entry. `now` is when it comes in.
    pub fn of_entry(
        entry: &PutEventsRequestEntry,
        (account_id, region): (&str, &str),
        id: &str,
        now: Timestamp,
    ) -> Result<Self, BadEntry> {
        let source = required("Source", entry.source.as_deref())?;
        let detail_type = required("DetailType", entry.detail_type.as_deref())?;
        let detail = required("Detail", entry.detail.as_deref())?;
        if source.starts_with("aws.") {
            return Err(BadEntry {
                code: "NotAuthorizedForSource",
                message: "Not authorized for the source.".to_owned(),
            });
        }
        let envelope = Envelope {
            id,
            detail_type,
            source,
            account_id,
            time: entry.time.unwrap_or(now),
            region,
            resources: entry.resources.as_deref().unwrap_or_default(),
        };
        let trace_header = entry.trace_header.clone();
        Self::new(envelope, detail, now, trace_header).ok_or_else(|| BadEntry {
            code: "MalformedDetail",
            message: "Detail is malformed.".to_owned(),
        })
    }

    /// None if the detail is no JSON object.
    pub fn new(
        envelope: Envelope<'_>,
        detail: &str,
        ingested: Timestamp,
        trace_header: Option<String>,
    ) -> Option<Self> {
        let read: Map<String, Value> = serde_json::from_str(detail).ok()?;
        let mut value = json!({
            "version": "0",
            "id": envelope.id,
            "detail-type": envelope.detail_type,
            "source": envelope.source,
            "account": envelope.account_id,
            "time": written(envelope.time),
            "region": envelope.region,
            "resources": envelope.resources,
        });
        // The detail is sent as it came but for the spaces: numbers keep all their digits.
        let mut text = value.to_string();
        text.pop();
        text.push_str(",\"detail\":");
        compact(detail, &mut text);
        text.push('}');
        value["detail"] = Value::Object(read);
        Some(Self {
            bytes: counted(&value, detail.len()),
            id: envelope.id.to_owned(),
            text,
            value,
            at_ms: envelope.time.as_millisecond(),
            ingested,
            trace_header,
        })
    }

    /// One that was an event already: from another bus, or from an archive.
    pub fn read(text: String, ingested: Timestamp, trace_header: Option<String>) -> Option<Self> {
        let value: Value = serde_json::from_str(&text).ok()?;
        let time: Timestamp = value["time"].as_str()?.parse().ok()?;
        let detail = value["detail"].to_string().len();
        Some(Self {
            bytes: counted(&value, detail),
            id: value["id"].as_str()?.to_owned(),
            at_ms: time.as_millisecond(),
            text,
            value,
            ingested,
            trace_header,
        })
    }

    /// The same under another id.
    pub fn renamed(self, id: String) -> Self {
        let text = self.text.replacen(
            &format!("\"id\":{}", Value::from(self.id)),
            &format!("\"id\":{}", Value::from(id.as_str())),
            1,
        );
        let mut value = self.value;
        value["id"] = Value::from(id.as_str());
        Self {
            id,
            text,
            value,
            ..self
        }
    }

    /// The same with the name of the replay that sends it, where EventBridge has it.
    pub fn replayed_by(self, replay: &str) -> Self {
        let field = format!("\"replay-name\":{},\"resources\":", Value::from(replay));
        let text = self.text.replacen("\"resources\":", &field, 1);
        let mut value = self.value;
        value["replay-name"] = Value::from(replay);
        Self {
            text,
            value,
            ..self
        }
    }

    pub fn is_replayed(&self) -> bool {
        self.value.get("replay-name").is_some()
    }
}

fn required<'a>(name: &str, given: Option<&'a str>) -> Result<&'a str, BadEntry> {
    let given = given.filter(|given| !given.is_empty());
    given.ok_or_else(|| BadEntry {
        code: "InvalidArgument",
        message: format!("Parameter {name} is not valid. Reason: {name} is a required argument."),
    })
}

/// AWS's own count: what was said of the event, and its time in 20 letters.
fn counted(event: &Value, detail: usize) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let named = ["source", "detail-type", "time"].map(|name| text(&event[name]));
    let resources = event["resources"].as_array().into_iter().flatten();
    named.iter().sum::<usize>() + resources.map(text).sum::<usize>() + detail
}

/// A time as events have it: in whole seconds.
pub fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// JSON without the spaces between its tokens.
fn compact(json: &str, into: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if !quoted && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        into.push(c);
    }
}

/// What an entry counts against the size of a request, in bytes.
pub fn size_of(entry: &PutEventsRequestEntry) -> usize {
    let texts = [&entry.source, &entry.detail_type, &entry.detail];
    let texts = texts.into_iter().flatten().map(String::len);
    let resources = entry.resources.iter().flatten().map(String::len);
    let time = if entry.time.is_some() { 14 } else { 0 };
    texts.chain(resources).sum::<usize>() + time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> PutEventsRequestEntry {
        PutEventsRequestEntry {
            source: Some("app".into()),
            detail_type: Some("Order \"placed\"".into()),
            detail: Some(detail.into()),
            time: "2022-01-01T00:00:00.75Z".parse().ok(),
            ..Default::default()
        }
    }

    fn event(entry: &PutEventsRequestEntry) -> Result<Event, BadEntry> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Event::of_entry(entry, ("123456789012", "eu-west-1"), "id-1", now)
    }

    #[test]
    fn an_entry_becomes_an_event_with_its_detail_as_it_came() {
        let made = event(&entry(
            "{ \"n\": 12345678901234567890.10, \"t\" : \"a \\\" b\"}",
        ))
        .unwrap();
        assert_eq!(
            made.text,
            concat!(
                r#"{"version":"0","id":"id-1","detail-type":"Order \"placed\"","source":"app","#,
                r#""account":"123456789012","time":"2022-01-01T00:00:00Z","region":"eu-west-1","#,
                r#""resources":[],"detail":{"n":12345678901234567890.10,"t":"a \" b"}}"#
            )
        );
        let read = Event::read(made.text.clone(), made.ingested, None).unwrap();
        assert_eq!((read.id.as_str(), &read.value), ("id-1", &made.value));
        let replayed = made.clone().replayed_by("again");
        assert!(
            replayed
                .text
                .contains(r#""region":"eu-west-1","replay-name":"again","resources""#)
        );
        assert!(replayed.is_replayed() && !made.is_replayed());
        let renamed = made.renamed("id-2".to_owned());
        assert!(renamed.text.contains(r#""id":"id-2""#) && renamed.value["id"] == "id-2");
    }

    #[test]
    fn what_is_no_event_is_told_why() {
        for detail in ["NotJSON", "[]", "{{}", "\"{}\"", "1"] {
            assert_eq!(event(&entry(detail)).unwrap_err().code, "MalformedDetail");
        }
        let code = |entry: PutEventsRequestEntry| event(&entry).unwrap_err().code;
        let source = |source: Option<&str>| PutEventsRequestEntry {
            source: source.map(str::to_owned),
            ..entry("{}")
        };
        assert_eq!(code(source(None)), "InvalidArgument");
        assert_eq!(code(source(Some(""))), "InvalidArgument");
        assert_eq!(code(source(Some("aws.ec2"))), "NotAuthorizedForSource");
    }
}
