//! How an alarm's change is told: to topics, to functions, and on the event bus. Pure; the forms are
//! those that CloudWatch was seen to send.

use serde_json::{Map, Value, json};

use super::{
    record::{
        AlarmQuery, AlarmRecord, AlarmSource, AlarmStat, MetricTerms, State, StateValue, Terms,
    },
    verdict::iso_time,
};

/// An alarm that has just changed.
pub struct Change<'a> {
    pub alarm: &'a AlarmRecord,
    pub before: &'a State,
    /// Of a composite alarm: those that made it change.
    pub children: &'a [Child],
}

/// An alarm that another one's rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub arn: String,
    pub value: StateValue,
    pub since_ms: i64,
}

impl Change<'_> {
    /// The subject of a message to a topic.
    pub fn subject(&self) -> String {
        let alarm = self.alarm;
        let (state, region) = (alarm.state.value.name(), region_name(&alarm.region));
        let subject = format!("{state}: \"{}\" in {region}", alarm.name);
        // SNS takes no more.
        subject.chars().take(100).collect()
    }

    /// A message to a topic.
    pub fn notification(&self) -> String {
        let alarm = self.alarm;
        let mut said = json!({
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.description,
            "AWSAccountId": alarm.account_id,
            "AlarmConfigurationUpdatedTimestamp": iso_time(alarm.configured_at_ms),
            "NewStateValue": alarm.state.value.name(),
            "NewStateReason": alarm.state.reason,
            "StateChangeTime": iso_time(alarm.state.updated_at_ms),
            "Region": region_name(&alarm.region),
            "AlarmArn": alarm.arn(),
            "OldStateValue": self.before.value.name(),
            "OKActions": alarm.actions.ok,
            "AlarmActions": alarm.actions.alarm,
            "InsufficientDataActions": alarm.actions.insufficient_data,
        });
        match &alarm.terms {
            Terms::Metric(terms) => said["Trigger"] = trigger(terms),
            Terms::Composite { rule } => {
                said["AlarmRule"] = rule.as_str().into();
                let children = self.children.iter().map(|child| {
                    json!({
                        "Arn": child.arn,
                        "State": {
                            "Value": child.value.name(),
                            "Timestamp": iso_time(child.since_ms),
                        },
                    })
                });
                said["TriggeringChildren"] = children.collect();
            }
        }
        said.to_string()
    }

    /// The event of a function.
    pub fn function_event(&self) -> String {
        let alarm = self.alarm;
        json!({
            "source": "aws.cloudwatch",
            "alarmArn": alarm.arn(),
            "accountId": alarm.account_id,
            "time": iso_time(alarm.state.updated_at_ms),
            "region": alarm.region,
            "alarmData": {
                "alarmName": alarm.name,
                "state": state(&alarm.state),
                "previousState": state(self.before),
                "configuration": self.configuration(),
            },
        })
        .to_string()
    }

    /// The detail of an event on the bus.
    pub fn bus_detail(&self) -> String {
        json!({
            "alarmName": self.alarm.name,
            "state": state(&self.alarm.state),
            "previousState": state(self.before),
            "configuration": self.configuration(),
        })
        .to_string()
    }

    fn configuration(&self) -> Value {
        let mut told = Map::new();
        if let Some(description) = &self.alarm.description {
            told.insert("description".into(), description.as_str().into());
        }
        match &self.alarm.terms {
            Terms::Composite { rule } => {
                told.insert("alarmRule".into(), rule.as_str().into());
            }
            Terms::Metric(terms) => {
                let metrics: Vec<Value> = match &terms.source {
                    // CloudWatch makes an id up.
                    AlarmSource::One(stat) => {
                        let id = uuid::Uuid::new_v4().to_string();
                        vec![json!({"id": id, "metricStat": told_stat(stat), "returnData": true})]
                    }
                    AlarmSource::Queries(queries) => queries.iter().map(told_query).collect(),
                };
                told.insert("metrics".into(), metrics.into());
            }
        }
        told.into()
    }
}

fn state(state: &State) -> Value {
    let mut told = json!({
        "value": state.value.name(),
        "reason": state.reason,
    });
    if let Some(data) = &state.reason_data {
        told["reasonData"] = data.as_str().into();
    }
    told["timestamp"] = iso_time(state.updated_at_ms).into();
    told
}

fn told_query(query: &AlarmQuery) -> Value {
    let mut told = json!({"id": query.id});
    if let Some(stat) = &query.stat {
        told["metricStat"] = told_stat(stat);
    }
    if let Some(expression) = &query.expression {
        told["expression"] = expression.as_str().into();
    }
    if let Some(label) = &query.label {
        told["label"] = label.as_str().into();
    }
    told["returnData"] = query.returned.into();
    told
}

fn told_stat(stat: &AlarmStat) -> Value {
    let mut told = json!({
        "metric": {
            "namespace": stat.namespace,
            "name": stat.metric_name,
            "dimensions": stat.dimensions,
        },
        "period": stat.period_s,
        "stat": stat.statistic,
    });
    if let Some(unit) = &stat.unit {
        told["unit"] = unit.as_str().into();
    }
    told
}

fn trigger(terms: &MetricTerms) -> Value {
    let mut told = Map::new();
    let mut set = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    match &terms.source {
        AlarmSource::One(stat) => {
            set("MetricName", stat.metric_name.as_str().into());
            set("Namespace", stat.namespace.as_str().into());
            match plain_name(&stat.statistic) {
                Some(name) => {
                    set("StatisticType", "Statistic".into());
                    set("Statistic", name.into());
                }
                None => {
                    set("StatisticType", "ExtendedStatistic".into());
                    set("ExtendedStatistic", stat.statistic.as_str().into());
                }
            }
            set("Unit", stat.unit.clone().into());
            set("Dimensions", dimensions(stat));
            set("Period", stat.period_s.into());
        }
        AlarmSource::Queries(queries) => {
            set("Period", terms.period_s().into());
            let metrics: Vec<Value> = queries.iter().map(noted_query).collect();
            set("Metrics", metrics.into());
        }
    }
    set("EvaluationPeriods", terms.evaluation_periods.into());
    if let Some(count) = terms.datapoints_to_alarm {
        set("DatapointsToAlarm", count.into());
    }
    set("ComparisonOperator", terms.comparison.name().into());
    set("Threshold", json!(terms.threshold));
    set(
        "TreatMissingData",
        terms.missing.map_or("", |missing| missing.name()).into(),
    );
    let low = terms.low_sample_count.as_deref().unwrap_or_default();
    set("EvaluateLowSampleCountPercentile", low.into());
    told.into()
}

fn noted_query(query: &AlarmQuery) -> Value {
    let mut told = json!({"Id": query.id});
    if let Some(expression) = &query.expression {
        told["Expression"] = expression.as_str().into();
    }
    if let Some(label) = &query.label {
        told["Label"] = label.as_str().into();
    }
    if let Some(stat) = &query.stat {
        let mut noted = json!({
            "Metric": {
                "Dimensions": dimensions(stat),
                "MetricName": stat.metric_name,
                "Namespace": stat.namespace,
            },
            "Period": stat.period_s,
            "Stat": stat.statistic,
        });
        if let Some(unit) = &stat.unit {
            noted["Unit"] = unit.as_str().into();
        }
        told["MetricStat"] = noted;
    }
    told["ReturnData"] = query.returned.into();
    told
}

fn dimensions(stat: &AlarmStat) -> Value {
    let dimensions = stat.dimensions.iter();
    dimensions
        .map(|(name, value)| json!({"value": value, "name": name}))
        .collect()
}

fn plain_name(statistic: &str) -> Option<&'static str> {
    Some(match statistic {
        "SampleCount" => "SAMPLE_COUNT",
        "Average" => "AVERAGE",
        "Sum" => "SUM",
        "Minimum" => "MINIMUM",
        "Maximum" => "MAXIMUM",
        _ => return None,
    })
}

/// What children say to their parent's reason.
pub fn triggering(children: &[Child]) -> String {
    let told = children.iter().map(|child| {
        json!({
            "arn": child.arn,
            "state": {"value": child.value.name(), "timestamp": iso_time(child.since_ms)},
        })
    });
    json!({"triggeringAlarms": told.collect::<Vec<_>>()}).to_string()
}

/// As AWS calls it.
fn region_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "ca-central-1" => "Canada (Central)",
        "eu-central-1" => "EU (Frankfurt)",
        "eu-west-1" => "EU (Ireland)",
        "eu-west-2" => "EU (London)",
        "eu-west-3" => "EU (Paris)",
        "eu-north-1" => "EU (Stockholm)",
        "eu-south-1" => "EU (Milan)",
        "ap-northeast-1" => "Asia Pacific (Tokyo)",
        "ap-northeast-2" => "Asia Pacific (Seoul)",
        "ap-northeast-3" => "Asia Pacific (Osaka)",
        "ap-southeast-1" => "Asia Pacific (Singapore)",
        "ap-southeast-2" => "Asia Pacific (Sydney)",
        "ap-south-1" => "Asia Pacific (Mumbai)",
        "ap-east-1" => "Asia Pacific (Hong Kong)",
        "sa-east-1" => "South America (Sao Paulo)",
        "me-south-1" => "Middle East (Bahrain)",
        "af-south-1" => "Africa (Cape Town)",
        other => other,
    }
}
