//! Input templates of pipes: text with `<$.path>` and `<aws.pipes.…>` in it. Pure.
//!
//! Where a path goes into a text that is JSON, such as a message's body, it goes on inside of it.
//! Between quotes a value stands as text, elsewhere as JSON.

use serde_json::Value;

use crate::json_path::Path;

/// What a template may say of the pipe.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub pipe_arn: &'a str,
    pub pipe_name: &'a str,
    pub source_arn: &'a str,
    pub target_arn: &'a str,
    pub enrichment_arn: Option<&'a str>,
    /// When the event came, as AWS writes it.
    pub ingested_at: &'a str,
}

/// The template filled in: JSON, or a text if it is none.
pub fn fill(template: &str, event: &Value, names: &Names<'_>) -> Value {
    let parsed = parsed(event);
    let json = write(template, (event, &parsed), names, shown);
    let text = || Value::String(write(template, (event, &parsed), names, |it, _| plain(it)));
    serde_json::from_str(&json).unwrap_or_else(|_| text())
}

fn write(
    template: &str,
    (event, parsed): (&Value, &Value),
    names: &Names<'_>,
    shown: impl Fn(&Value, bool) -> String,
) -> String {
    let mut filled = String::with_capacity(template.len());
    let (mut rest, mut quoted) = (template, false);
    while let Some(at) = rest.find(['<', '"', '\\']) {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes()[0] {
            b'"' => {
                quoted = !quoted;
                None
            }
            b'\\' => None,
            _ => variable(rest, (event, parsed), names),
        };
        let length = match taken {
            Some((value, length)) => {
                filled.push_str(&shown(&value, quoted));
                length
            }
            None => {
                let escaped = usize::from(rest.starts_with('\\') && quoted);
                let end = rest.char_indices().nth(1 + escaped);
                let end = end.map_or(rest.len(), |(end, _)| end);
                filled.push_str(&rest[..end]);
                end
            }
        };
        rest = &rest[length..];
    }
    filled.push_str(rest);
    filled
}

/// A value in a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A path's value, or the text itself if it is no path: how parameters of targets are said.
pub fn resolve(given: &str, event: &Value) -> String {
    let Ok(path) = Path::parse(given) else {
        return given.to_owned();
    };
    match path.find(event).or_else(|| path.find(&parsed(event))) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn variable(
    text: &str,
    (event, parsed): (&Value, &Value),
    names: &Names<'_>,
) -> Option<(Value, usize)> {
    let end = text.find('>')?;
    let name = text.get(1..end)?.trim();
    let value = match name {
        "aws.pipes.pipe-arn" => names.pipe_arn.into(),
        "aws.pipes.pipe-name" => names.pipe_name.into(),
        "aws.pipes.source-arn" => names.source_arn.into(),
        "aws.pipes.target-arn" => names.target_arn.into(),
        "aws.pipes.enrichment-arn" => names.enrichment_arn.unwrap_or_default().into(),
        "aws.pipes.event.ingestion-time" => names.ingested_at.into(),
        "aws.pipes.event" | "aws.pipes.event.json" => event.clone(),
        path => {
            let path = Path::parse(path).ok()?;
            let found = path.find(event).or_else(|| path.find(parsed));
            found.unwrap_or_else(|| Value::String(String::new()))
        }
    };
    Some((value, end + 1))
}

fn shown(value: &Value, quoted: bool) -> String {
    match (value, quoted) {
        (Value::String(text), true) => {
            let json = Value::from(text.as_str()).to_string();
            json[1..json.len() - 1].to_owned()
        }
        // A text that is JSON is put as what it is.
        (Value::String(text), false) => match json_in(text) {
            Some(json) => json.to_string(),
            None => value.to_string(),
        },
        (other, true) => {
            let json = Value::from(other.to_string()).to_string();
            json[1..json.len() - 1].to_owned()
        }
        (other, false) => other.to_string(),
    }
}

/// The event with what is JSON in its texts read, one level down.
fn parsed(event: &Value) -> Value {
    match event {
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| {
                let json = value.as_str().and_then(json_in);
                (key.clone(), json.unwrap_or_else(|| value.clone()))
            });
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn json_in(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_are_filled_in_through_json_in_texts() {
        let event = json!({"messageId": "m", "body": "{\"id\": 7, \"say\": \"hi\"}", "n": [1]});
        let names = Names {
            pipe_arn: "arn:pipe",
            pipe_name: "pipe",
            source_arn: "arn:source",
            target_arn: "arn:target",
            enrichment_arn: None,
            ingested_at: "now",
        };
        for (template, filled) in [
            (
                r#"{"id": <$.body.id>, "said": "it is <$.body.say>, <$.messageId>"}"#,
                json!({"id": 7, "said": "it is hi, m"}),
            ),
            (
                r#"{"body": <$.body>, "n": <$.n>}"#,
                json!({"body": {"id": 7, "say": "hi"}, "n": [1]}),
            ),
            (
                r#"{"text": "<$.body>"}"#,
                json!({"text": "{\"id\": 7, \"say\": \"hi\"}"}),
            ),
            (r#"{"none": <$.body.none>}"#, json!({"none": ""})),
            (
                "<aws.pipes.pipe-name> says <$.body.say>",
                json!("pipe says hi"),
            ),
            (r#"<aws.pipes.event.json>"#, event.clone()),
        ] {
            assert_eq!(fill(template, &event, &names), filled, "{template}");
        }
        assert_eq!(resolve("$.body.id", &event), "7");
        assert_eq!(resolve("$.messageId", &event), "m");
        assert_eq!(resolve("fixed", &event), "fixed");
    }
}
