//! What is stored of an alarm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Record, Table};

use crate::metrics::{
    data::{Query, Source, Stat},
    series::{Home, Metric},
    statistic::Statistic,
};

pub const ALARMS: Table<AlarmRecord> = Table::new();

/// Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    pub description: Option<String>,
    pub terms: Terms,
    pub actions_enabled: bool,
    pub actions: Actions,
    pub tags: BTreeMap<String, String>,
    pub state: State,
    pub configured_at_ms: i64,
}

impl Record for AlarmRecord {
    const TABLE: &'static str = "alarms";
    const VERSION: u32 = 1;
}

/// What an alarm looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Terms {
    Metric(MetricTerms),
    /// The rule over other alarms, as it was given.
    Composite {
        rule: String,
    },
}

/// ARNs that are told of a change to each state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actions {
    pub ok: Vec<String>,
    pub alarm: Vec<String>,
    pub insufficient_data: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricTerms {
    pub source: AlarmSource,
    pub evaluation_periods: u32,
    pub datapoints_to_alarm: Option<u32>,
    pub threshold: f64,
    pub comparison: Comparison,
    /// As it was given; none is `missing`.
    pub missing: Option<Missing>,
    /// `EvaluateLowSampleCountPercentile`
    pub low_sample_count: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AlarmSource {
    One(AlarmStat),
    /// Of which one is returned.
    Queries(Vec<AlarmQuery>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmStat {
    pub namespace: String,
    pub metric_name: String,
    pub dimensions: BTreeMap<String, String>,
    pub period_s: i64,
    pub statistic: String,
    pub unit: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmQuery {
    pub id: String,
    pub stat: Option<AlarmStat>,
    pub expression: Option<String>,
    pub period_s: Option<i64>,
    pub label: Option<String>,
    pub returned: bool,
}

/// By AWS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::enum_variant_names)]
pub enum Comparison {
    GreaterThanOrEqualToThreshold,
    GreaterThanThreshold,
    LessThanThreshold,
    LessThanOrEqualToThreshold,
}

/// By AWS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::enum_variant_names)]
pub enum Missing {
    Missing,
    Ignore,
    Breaching,
    NotBreaching,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateValue {
    Ok,
    Alarm,
    InsufficientData,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub value: StateValue,
    pub reason: String,
    /// JSON.
    pub reason_data: Option<String>,
    pub updated_at_ms: i64,
    /// When the value became another one.
    pub transitioned_at_ms: i64,
}

impl State {
    /// Of an alarm that is new.
    pub fn initial(now_ms: i64) -> Self {
        Self {
            value: StateValue::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            updated_at_ms: now_ms,
            transitioned_at_ms: now_ms,
        }
    }
}

macro_rules! names {
    ($type:ident: $($value:ident = $name:literal),+ $(,)?) => {
        impl $type {
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name),+ }
            }

            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$value),)+ _ => None }
            }
        }
    };
}

names!(StateValue: Ok = "OK", Alarm = "ALARM", InsufficientData = "INSUFFICIENT_DATA");
names!(Missing: Missing = "missing", Ignore = "ignore", Breaching = "breaching",
    NotBreaching = "notBreaching");
names!(Comparison:
    GreaterThanOrEqualToThreshold = "GreaterThanOrEqualToThreshold",
    GreaterThanThreshold = "GreaterThanThreshold",
    LessThanThreshold = "LessThanThreshold",
    LessThanOrEqualToThreshold = "LessThanOrEqualToThreshold",
);

impl Comparison {
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterThanOrEqualToThreshold => value >= threshold,
            Self::GreaterThanThreshold => value > threshold,
            Self::LessThanThreshold => value < threshold,
            Self::LessThanOrEqualToThreshold => value <= threshold,
        }
    }

    /// As it is said in a reason.
    pub fn words(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualToThreshold => "greater than or equal to",
            Self::GreaterThanThreshold => "greater than",
            Self::LessThanThreshold => "less than",
            Self::LessThanOrEqualToThreshold => "less than or equal to",
        }
    }
}

impl AlarmRecord {
    pub fn home(&self) -> Home {
        Home {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
        }
    }

    pub fn key(&self) -> AlarmKey {
        AlarmKey {
            home: self.home(),
            name: self.name.clone(),
        }
    }

    pub fn arn(&self) -> String {
        arn(&self.region, &self.account_id, &self.name)
    }

    pub fn actions_of(&self, value: StateValue) -> &[String] {
        match value {
            StateValue::Ok => &self.actions.ok,
            StateValue::Alarm => &self.actions.alarm,
            StateValue::InsufficientData => &self.actions.insufficient_data,
        }
    }

    /// `AlarmType`
    pub fn type_name(&self) -> &'static str {
        match self.terms {
            Terms::Metric(_) => "MetricAlarm",
            Terms::Composite { .. } => "CompositeAlarm",
        }
    }
}

pub fn arn(region: &str, account_id: &str, name: &str) -> String {
    let resource = format!("alarm:{name}");
    wire::arn::Arn::new("cloudwatch", region, account_id, resource).to_string()
}

/// Which alarm. Names are unique over both types.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmKey {
    pub home: Home,
    pub name: String,
}

impl MetricTerms {
    /// In seconds: that of the metric, or the longest of several.
    pub fn period_s(&self) -> i64 {
        match &self.source {
            AlarmSource::One(stat) => stat.period_s,
            AlarmSource::Queries(queries) => {
                let periods = queries.iter().filter_map(|query| {
                    let of_stat = query.stat.as_ref().map(|stat| stat.period_s);
                    of_stat.or(query.period_s)
                });
                periods.max().unwrap_or(60)
            }
        }
    }

    pub fn datapoints_to_alarm(&self) -> u32 {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }

    /// The queries whose one result is compared.
    pub fn queries(&self) -> Vec<Query> {
        match &self.source {
            AlarmSource::One(stat) => {
                let source = stat.source();
                let query = |source| Query {
                    id: "m1".to_owned(),
                    source,
                    label: None,
                    returned: true,
                };
                source.map(query).into_iter().collect()
            }
            AlarmSource::Queries(queries) => {
                let query = |query: &AlarmQuery| {
                    let source = match (&query.stat, &query.expression) {
                        (Some(stat), _) => stat.source()?,
                        (None, text) => Source::Expression {
                            text: text.clone()?,
                            period_s: query.period_s,
                        },
                    };
                    Some(Query {
                        id: query.id.clone(),
                        source,
                        label: None,
                        returned: query.returned,
                    })
                };
                queries.iter().filter_map(query).collect()
            }
        }
    }
}

impl AlarmStat {
    pub fn metric(&self) -> Metric {
        Metric {
            namespace: self.namespace.clone(),
            name: self.metric_name.clone(),
            dimensions: self.dimensions.clone(),
        }
    }

    fn source(&self) -> Option<Source> {
        Some(Source::Stat(Stat {
            metric: self.metric(),
            period_s: self.period_s,
            statistic: Statistic::parse(&self.statistic)?,
            statistic_name: self.statistic.clone(),
            unit: self.unit.clone(),
        }))
    }
}
