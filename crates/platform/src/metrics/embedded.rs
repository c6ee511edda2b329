//! The embedded metric format: metrics in a line of a log, in JSON with a member `_aws`.
//!
//! Most lines are something else, which a search for that name tells. What is in the format and wrong
//! stays a line of the log and no more, as in CloudWatch.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Metrics,
    distribution::Distribution,
    limits,
    series::{Datum, Home, Metric, NO_UNIT, is_unit},
};

/// The specification's limits: directives, sets of dimensions, dimensions of a set, metrics of a
/// directive and values of one.
const DIRECTIVES_MAX: usize = 100;
const SETS_MAX: usize = 100;
const DIMENSIONS_MAX: usize = 30;
const METRICS_MAX: usize = 100;
const VALUES_MAX: usize = 100;
/// A line of a log.
const LINE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "Timestamp")]
    timestamp_ms: Option<i64>,
    #[serde(rename = "CloudWatchMetrics")]
    directives: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    #[serde(default)]
    dimensions: Vec<Vec<String>>,
    #[serde(default)]
    metrics: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
    unit: Option<String>,
    storage_resolution: Option<u32>,
}

impl Metrics {
    /// Takes the metrics of a line of a log, if it has any. Nobody waits for them.
    pub fn heard(&self, account_id: &str, region: &str, line: &[u8], at_ms: i64) {
        let data = found(line, at_ms);
        if data.is_empty() {
            return;
        }
        let home = Home {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
        };
        self.offer(&home, data);
    }
}

/// The metrics in a line that was said at a time.
pub fn found(line: &[u8], at_ms: i64) -> Vec<Datum> {
    let line = line.trim_ascii();
    let may_be = line.first() == Some(&b'{')
        && line.len() <= LINE_BYTES_MAX
        && line.windows(6).any(|part| part == b"\"_aws\"");
    match may_be {
        true => read(line, at_ms).unwrap_or_default(),
        false => Vec::new(),
    }
}

fn read(line: &[u8], at_ms: i64) -> Option<Vec<Datum>> {
    let mut root: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let head: Head = serde_json::from_value(root.remove("_aws")?).ok()?;
    let now_s = at_ms.div_euclid(1000);
    let at_s = head.timestamp_ms.unwrap_or(at_ms).div_euclid(1000);
    if at_s < now_s - limits::PAST_S_MAX || at_s > now_s + limits::FUTURE_S_MAX {
        return None;
    }
    let mut data = Vec::new();
    for directive in head.directives.into_iter().take(DIRECTIVES_MAX) {
        directed(&directive, &root, at_s, &mut data);
    }
    data.truncate(limits::DATA_MAX);
    Some(data)
}

fn directed(directive: &Directive, root: &Map<String, Value>, at_s: i64, data: &mut Vec<Datum>) {
    let is_named =
        (1..=255).contains(&directive.namespace.len()) && !directive.namespace.starts_with(':');
    if !is_named {
        return;
    }
    let without = [Vec::new()];
    let sets = match directive.dimensions.as_slice() {
        [] => &without[..],
        sets => &sets[..sets.len().min(SETS_MAX)],
    };
    for definition in directive.metrics.iter().take(METRICS_MAX) {
        let Some(values) = root.get(&definition.name).and_then(values) else {
            continue;
        };
        for set in sets {
            let Some(dimensions) = dimensions(set, root) else {
                continue;
            };
            let metric = Metric {
                namespace: directive.namespace.clone(),
                name: definition.name.clone(),
                dimensions,
            };
            if !metric.is_printable() {
                continue;
            }
            let unit = definition.unit.as_deref().filter(|unit| is_unit(unit));
            data.push(Datum {
                metric,
                unit: unit.unwrap_or(NO_UNIT).to_owned(),
                at_s,
                high_resolution: definition.storage_resolution == Some(1),
                values: values.clone(),
            });
        }
    }
}

/// None where one of them is not there.
fn dimensions(set: &[String], root: &Map<String, Value>) -> Option<BTreeMap<String, String>> {
    if set.len() > DIMENSIONS_MAX {
        return None;
    }
    let value = |name: &String| {
        let text = root.get(name)?.as_str()?;
        (1..=1024)
            .contains(&text.len())
            .then(|| (name.clone(), text.to_owned()))
    };
    set.iter().map(value).collect()
}

fn values(given: &Value) -> Option<Distribution> {
    let number = |value: &Value| {
        let number = value.as_f64()?;
        (number.abs() <= limits::VALUE_MAX).then(|| Distribution::of(number, 1.0))
    };
    let Value::Array(all) = given else {
        return number(given);
    };
    let mut numbers = all.iter().take(VALUES_MAX).filter_map(number);
    let mut sum = numbers.next()?;
    numbers.for_each(|one| sum.merge(&one));
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: i64 = 1_800_000_000_500;

    #[test]
    fn a_line_has_a_metric_for_each_set_of_dimensions() {
        let line = br#"  {"_aws": {"Timestamp": 1799999999000, "CloudWatchMetrics": [
            {"Namespace": "shop", "Dimensions": [["Service"], ["Service", "Kind"], ["Gone"]],
             "Metrics": [{"Name": "time", "Unit": "Milliseconds", "StorageResolution": 1},
                         {"Name": "missing"}, {"Name": "orders"}]}]},
            "Service": "cart", "Kind": "paid", "time": [10, 30], "orders": 2}
        "#;
        let found = found(line, AT_MS);
        let shown: Vec<(String, usize, &str, f64, bool)> = found
            .iter()
            .map(|datum| {
                let metric = &datum.metric;
                let (name, dimensions) = (metric.name.clone(), metric.dimensions.len());
                (
                    name,
                    dimensions,
                    datum.unit.as_str(),
                    datum.values.sum,
                    datum.high_resolution,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("time".into(), 1, "Milliseconds", 40.0, true),
                ("time".into(), 2, "Milliseconds", 40.0, true),
                ("orders".into(), 1, "None", 2.0, false),
                ("orders".into(), 2, "None", 2.0, false),
            ]
        );
        assert!(found.iter().all(|datum| datum.at_s == 1_799_999_999));
    }

    #[test]
    fn dimensions_may_be_left_out() {
        let line =
            br#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Metrics":[{"Name":"a"}]}]},"a":1}"#;
        let found = found(line, AT_MS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at_s, AT_MS / 1000);
    }

    #[test]
    fn other_lines_have_none() {
        for line in [
            &b""[..],
            b"START RequestId: 1",
            b"{\"_aws\": 1}",
            b"{\"_aws\": {\"CloudWatchMetrics\": 3}}",
            b"{\"_aws\"",
            b"[\"_aws\"]",
            br#"{"_aws":{"Timestamp":5,"CloudWatchMetrics":[{"Namespace":"n","Metrics":[{"Name":"a"}]}]},"a":1}"#,
            br#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"","Metrics":[{"Name":"a"}]}]},"a":1}"#,
            br#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Metrics":[{"Name":"a"}]}]},"a":"x"}"#,
        ] {
            assert_eq!(found(line, AT_MS), [], "{}", String::from_utf8_lossy(line));
        }
    }
}
