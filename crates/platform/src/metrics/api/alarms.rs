//! Operations on alarms that change them.

use std::collections::BTreeMap;

use wire::{Context, arn::Arn, cloudwatch as api};

use super::{data::queries, dimensions, home};
use crate::metrics::{
    Metrics,
    alarms::{
        Actions, AlarmKey, AlarmQuery, AlarmSource, AlarmStat, Comparison, MetricTerms, Missing,
        NewAlarm, NewState, Rule, StateValue, Terms,
    },
    error::{Error, Result},
    statistic::Statistic,
};

/// How much time an alarm may look back on: a day, and a week where periods are an hour or more.
const SPAN_S_MAX: i64 = 24 * 3600;
const LONG_SPAN_S_MAX: i64 = 7 * 24 * 3600;
const TAGS_MAX: usize = 50;

impl Metrics {
    pub(super) async fn put_metric_alarm_of(
        &self,
        cx: &Context,
        input: api::PutMetricAlarmInput,
    ) -> Result<()> {
        refuse_unbuilt(&input)?;
        check_name(&input.alarm_name)?;
        let source = source(cx, &input)?;
        let terms = terms(&input, source)?;
        let new = NewAlarm {
            name: input.alarm_name,
            description: input.alarm_description,
            terms: Terms::Metric(terms),
            actions_enabled: input.actions_enabled.unwrap_or(true),
            actions: actions(
                input.ok_actions,
                input.alarm_actions,
                input.insufficient_data_actions,
            )?,
            tags: tags(input.tags)?,
        };
        self.put_alarm(&home(cx), new, cx.now.as_millisecond())
            .await
    }

    pub(super) async fn put_composite_alarm_of(
        &self,
        cx: &Context,
        input: api::PutCompositeAlarmInput,
    ) -> Result<()> {
        check_name(&input.alarm_name)?;
        if input.actions_suppressor.is_some() {
            return Err(Error::unsupported("An ActionsSuppressor"));
        }
        if input.action_configuration.is_some() {
            return Err(Error::unsupported("An ActionConfiguration"));
        }
        Rule::parse(&input.alarm_rule).map_err(|error| {
            Error::validation(format!("AlarmRule must be a valid rule: {error}"))
        })?;
        let new = NewAlarm {
            name: input.alarm_name,
            description: input.alarm_description,
            terms: Terms::Composite {
                rule: input.alarm_rule,
            },
            actions_enabled: input.actions_enabled.unwrap_or(true),
            actions: actions(
                input.ok_actions,
                input.alarm_actions,
                input.insufficient_data_actions,
            )?,
            tags: tags(input.tags)?,
        };
        self.put_alarm(&home(cx), new, cx.now.as_millisecond())
            .await
    }

    pub(super) async fn set_alarm_state_of(
        &self,
        cx: &Context,
        input: api::SetAlarmStateInput,
    ) -> Result<()> {
        let is_json = |text: &String| serde_json::from_str::<serde_json::Value>(text).is_ok();
        if input
            .state_reason_data
            .as_ref()
            .is_some_and(|text| !is_json(text))
        {
            return Err(Error::Format(
                "StateReasonData is not valid JSON".to_owned(),
            ));
        }
        let key = AlarmKey {
            home: home(cx),
            name: input.alarm_name,
        };
        let new = NewState {
            // The model's values, which were checked, are these.
            value: StateValue::parse(&input.state_value).unwrap_or(StateValue::InsufficientData),
            reason: input.state_reason,
            reason_data: input.state_reason_data,
        };
        self.set_alarm_state(&key, new, cx.now.as_millisecond())
            .await
    }

    pub(super) async fn enable_actions_of(
        &self,
        cx: &Context,
        names: &[String],
        enabled: bool,
    ) -> Result<()> {
        let change = |alarm: &mut crate::metrics::alarms::AlarmRecord| {
            alarm.actions_enabled = enabled;
        };
        self.change_alarms(&home(cx), names, change).await
    }

    pub(super) fn tags_of(&self, cx: &Context, arn: &str) -> Result<Vec<api::Tag>> {
        let key = alarm_at(cx, arn)?;
        // CloudWatch knows no tags of what is gone, and says no more.
        let alarm = self.alarms().get(&key);
        let tags = alarm.iter().flat_map(|alarm| &alarm.tags);
        let shown = tags.map(|(key, value)| api::Tag {
            key: key.clone(),
            value: value.clone(),
        });
        Ok(shown.collect())
    }

    pub(super) async fn tag_of(&self, cx: &Context, input: api::TagResourceInput) -> Result<()> {
        let key = self.tagged(cx, &input.resource_arn)?;
        let tags = tags(Some(input.tags))?;
        let before = self.alarms().get(&key);
        let before = before.map(|alarm| alarm.tags.clone()).unwrap_or_default();
        let new = tags.keys().filter(|key| !before.contains_key(*key)).count();
        if before.len() + new > TAGS_MAX {
            return Err(too_many_tags());
        }
        let home = key.home.clone();
        self.change_alarms(&home, &[key.name], |alarm| alarm.tags.extend(tags.clone()))
            .await
    }

    pub(super) async fn untag_of(
        &self,
        cx: &Context,
        input: api::UntagResourceInput,
    ) -> Result<()> {
        let key = self.tagged(cx, &input.resource_arn)?;
        let (home, gone) = (key.home.clone(), input.tag_keys);
        let change = |alarm: &mut crate::metrics::alarms::AlarmRecord| {
            alarm.tags.retain(|key, _| !gone.contains(key));
        };
        self.change_alarms(&home, &[key.name], change).await
    }

    fn tagged(&self, cx: &Context, arn: &str) -> Result<AlarmKey> {
        let key = alarm_at(cx, arn)?;
        match self.alarms().get(&key) {
            Some(_) => Ok(key),
            None => Err(Error::NotFound(format!("Resource {arn} does not exist"))),
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    match name.chars().any(char::is_control) {
        false => Ok(()),
        true => Err(Error::validation(
            "AlarmName must not contain control characters",
        )),
    }
}

fn alarm_at(cx: &Context, text: &str) -> Result<AlarmKey> {
    let arn: Option<Arn> = text.parse().ok();
    let arn = arn.filter(|arn| arn.service == "cloudwatch");
    let Some(arn) = arn else {
        return Err(Error::invalid(format!("Invalid resource ARN: {text:.200}")));
    };
    if arn.account_id != cx.account_id || arn.region != cx.region {
        return Err(Error::NotFound(format!(
            "Resource {text:.200} does not exist"
        )));
    }
    match arn.resource.strip_prefix("alarm:") {
        Some(name) => Ok(AlarmKey {
            home: home(cx),
            name: name.to_owned(),
        }),
        None => Err(Error::unsupported("Tags of what is no alarm")),
    }
}

fn tags(given: Option<Vec<api::Tag>>) -> Result<BTreeMap<String, String>> {
    let given = given.unwrap_or_default();
    if given.len() > TAGS_MAX {
        return Err(too_many_tags());
    }
    Ok(given.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

fn too_many_tags() -> Error {
    Error::invalid(format!("A resource may have {TAGS_MAX} tags at most"))
}

fn actions(
    ok: Option<Vec<String>>,
    alarm: Option<Vec<String>>,
    insufficient_data: Option<Vec<String>>,
) -> Result<Actions> {
    let actions = Actions {
        ok: ok.unwrap_or_default(),
        alarm: alarm.unwrap_or_default(),
        insufficient_data: insufficient_data.unwrap_or_default(),
    };
    let all = [&actions.ok, &actions.alarm, &actions.insufficient_data];
    for target in all.into_iter().flatten() {
        let arn: Option<Arn> = target.parse().ok();
        match arn.as_ref().map(|arn| arn.service.as_str()) {
            Some("sns" | "lambda") => {}
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "An alarm's action of the service {other}"
                )));
            }
            None => {
                return Err(Error::validation(format!(
                    "Invalid arn syntax: {target:.200}"
                )));
            }
        }
    }
    Ok(actions)
}

fn refuse_unbuilt(input: &api::PutMetricAlarmInput) -> Result<()> {
    let what = if input.threshold_metric_id.is_some() {
        "An alarm on an anomaly detection band (ThresholdMetricId)"
    } else if input.evaluation_criteria.is_some() {
        "EvaluationCriteria"
    } else if input.evaluation_window.is_some() {
        "An EvaluationWindow"
    } else if input.evaluation_interval.is_some() {
        "An EvaluationInterval"
    } else if input.warm_up_configuration.is_some() {
        "A WarmUpConfiguration"
    } else if input.action_configuration.is_some() {
        "An ActionConfiguration"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(what))
}

fn source(cx: &Context, input: &api::PutMetricAlarmInput) -> Result<AlarmSource> {
    let Some(given) = input.metrics.clone().filter(|metrics| !metrics.is_empty()) else {
        return one_metric(input).map(AlarmSource::One);
    };
    let plain = [
        input.metric_name.is_some(),
        input.namespace.is_some(),
        input.statistic.is_some(),
        input.extended_statistic.is_some(),
        input.period.is_some(),
        input
            .dimensions
            .as_ref()
            .is_some_and(|some| !some.is_empty()),
    ];
    if plain.contains(&true) {
        return Err(Error::validation(
            "The parameter Metrics is mutually exclusive with MetricName, Namespace, Dimensions, \
             Period, Statistic and ExtendedStatistic",
        ));
    }
    let checked = queries(cx, given.clone())?;
    if checked.iter().filter(|query| query.returned).count() != 1 {
        return Err(Error::validation(
            "Exactly one element of the metrics list should return data.",
        ));
    }
    for query in &given {
        if let Some(text) = &query.expression {
            crate::metrics::math::parse(text).map_err(|error| {
                Error::validation(format!("Error in expression '{}': {error}", query.id))
            })?;
        }
    }
    Ok(AlarmSource::Queries(given.into_iter().map(query).collect()))
}

fn query(given: api::MetricDataQuery) -> AlarmQuery {
    let stat = given.metric_stat.map(|stat| AlarmStat {
        namespace: stat.metric.namespace.unwrap_or_default(),
        metric_name: stat.metric.metric_name.unwrap_or_default(),
        dimensions: dimensions(stat.metric.dimensions),
        period_s: stat.period.into(),
        statistic: stat.stat,
        unit: stat.unit,
    });
    AlarmQuery {
        id: given.id,
        stat,
        expression: given.expression,
        period_s: given.period.map(i64::from),
        label: given.label,
        returned: given.return_data.unwrap_or(true),
    }
}

fn one_metric(input: &api::PutMetricAlarmInput) -> Result<AlarmStat> {
    let missing = |name: &str| Error::Missing(format!("The parameter {name} is required."));
    let statistic = match (&input.statistic, &input.extended_statistic) {
        (Some(plain), None) => plain.clone(),
        (None, Some(extended)) => match Statistic::parse_extended(extended) {
            Some(_) => extended.clone(),
            None => {
                return Err(Error::validation(format!(
                    "The value {extended:.60} for parameter ExtendedStatistic is not supported."
                )));
            }
        },
        (None, None) => return Err(missing("Statistic")),
        (Some(_), Some(_)) => {
            return Err(Error::Combination(
                "The parameters Statistic and ExtendedStatistic are mutually exclusive.".to_owned(),
            ));
        }
    };
    let period_s = i64::from(input.period.ok_or_else(|| missing("Period"))?);
    if !matches!(period_s, 10 | 20 | 30) && period_s % 60 != 0 {
        return Err(Error::validation(
            "Period must be 10, 30 or a multiple of 60",
        ));
    }
    Ok(AlarmStat {
        namespace: input
            .namespace
            .clone()
            .ok_or_else(|| missing("Namespace"))?,
        metric_name: input
            .metric_name
            .clone()
            .ok_or_else(|| missing("MetricName"))?,
        dimensions: dimensions(input.dimensions.clone()),
        period_s,
        statistic,
        unit: input.unit.clone(),
    })
}

fn terms(input: &api::PutMetricAlarmInput, source: AlarmSource) -> Result<MetricTerms> {
    let missing = |name: &str| Error::Missing(format!("The parameter {name} is required."));
    let count = |number: i32| u32::try_from(number).unwrap_or(1).max(1);
    let evaluation_periods = input
        .evaluation_periods
        .ok_or_else(|| missing("EvaluationPeriods"))?;
    let comparison = input
        .comparison_operator
        .as_deref()
        .ok_or_else(|| missing("ComparisonOperator"))?;
    let Some(comparison) = Comparison::parse(comparison) else {
        return Err(Error::unsupported(format!(
            "The comparison with an anomaly detection band ({comparison})"
        )));
    };
    let terms = MetricTerms {
        source,
        evaluation_periods: count(evaluation_periods),
        datapoints_to_alarm: input.datapoints_to_alarm.map(count),
        threshold: input.threshold.ok_or_else(|| missing("Threshold"))?,
        comparison,
        missing: input
            .treat_missing_data
            .as_deref()
            .map(treated)
            .transpose()?,
        low_sample_count: input.evaluate_low_sample_count_percentile.clone(),
    };
    if !terms.threshold.is_finite() {
        return Err(Error::validation(
            "The parameter Threshold must be a number",
        ));
    }
    if terms.datapoints_to_alarm() > terms.evaluation_periods {
        return Err(Error::validation(
            "The parameter DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        ));
    }
    match terms.low_sample_count.as_deref() {
        None | Some("evaluate") => {}
        Some("ignore") => {
            return Err(Error::unsupported(
                "EvaluateLowSampleCountPercentile ignore",
            ));
        }
        Some(other) => {
            return Err(Error::validation(format!(
                "Option {other:.60} is not supported. Supported options for parameter \
                 EvaluateLowSampleCountPercentile are evaluate and ignore."
            )));
        }
    }
    check_span(&terms)?;
    Ok(terms)
}

fn treated(given: &str) -> Result<Missing> {
    Missing::parse(given).ok_or_else(|| {
        Error::validation(format!(
            "The value {given:.60} is not supported for TreatMissingData parameter. Supported \
             values are [breaching, notBreaching, ignore, missing]."
        ))
    })
}

fn check_span(terms: &MetricTerms) -> Result<()> {
    let period_s = terms.period_s();
    let (most_s, what) = match period_s >= 3600 {
        true => (
            LONG_SPAN_S_MAX,
            "a week (EvaluationPeriods * Period must be <= 604800)",
        ),
        false => (
            SPAN_S_MAX,
            "a day (EvaluationPeriods * Period must be <= 86400)",
        ),
    };
    match i64::from(terms.evaluation_periods).saturating_mul(period_s) <= most_s {
        true => Ok(()),
        false => Err(Error::validation(format!(
            "Metrics cannot be checked across more than {what}."
        ))),
    }
}
