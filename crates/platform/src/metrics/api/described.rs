//! Operations that tell of alarms.

use std::sync::Arc;

use wire::{Context, Timestamp, cloudwatch as api};

use super::{dimensions, home, place, shown_dimensions, token};
use crate::metrics::{
    Metrics,
    alarms::{
        AlarmKey, AlarmQuery, AlarmRecord, AlarmSource, AlarmStat, Asked, MetricTerms, StateValue,
        Terms, read_history,
    },
    error::{Error, Result},
    statistic::Statistic,
};

/// Of one answer.
const PAGE: usize = 100;
const PAGE_DEFAULT: i32 = 50;

impl Metrics {
    pub(super) fn described(
        &self,
        cx: &Context,
        input: api::DescribeAlarmsInput,
    ) -> Result<api::DescribeAlarmsOutput> {
        let after: Option<String> = input.next_token.as_deref().map(place).transpose()?;
        let limit = usize::try_from(input.max_records.unwrap_or(PAGE_DEFAULT)).unwrap_or(PAGE);
        let family =
            input.children_of_alarm_name.is_some() || input.parents_of_alarm_name.is_some();
        let mut found: Vec<Arc<AlarmRecord>> = self.asked(cx, &input)?;
        found.retain(|alarm| after.as_ref().is_none_or(|after| alarm.name > *after));
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next_token = last.map(|last| token(&last.name)).transpose()?;
        let (mut metric, mut composite) = (Vec::new(), Vec::new());
        for alarm in found {
            match &alarm.terms {
                // Of relatives no more is told.
                Terms::Metric(_) if family => metric.push(api::MetricAlarm {
                    alarm_name: Some(alarm.name.clone()),
                    alarm_arn: Some(alarm.arn()),
                    state_value: Some(alarm.state.value.name().to_owned()),
                    state_updated_timestamp: at(alarm.state.updated_at_ms),
                    ..api::MetricAlarm::default()
                }),
                Terms::Composite { .. } if family => composite.push(api::CompositeAlarm {
                    alarm_name: Some(alarm.name.clone()),
                    alarm_arn: Some(alarm.arn()),
                    state_value: Some(alarm.state.value.name().to_owned()),
                    state_updated_timestamp: at(alarm.state.updated_at_ms),
                    ..api::CompositeAlarm::default()
                }),
                Terms::Metric(terms) => metric.push(shown(&alarm, terms)),
                Terms::Composite { rule } => composite.push(shown_composite(&alarm, rule)),
            }
        }
        Ok(api::DescribeAlarmsOutput {
            composite_alarms: Some(composite),
            metric_alarms: Some(metric),
            log_alarms: Some(Vec::new()),
            next_token,
        })
    }

    /// All that are asked for, by name.
    fn asked(
        &self,
        cx: &Context,
        input: &api::DescribeAlarmsInput,
    ) -> Result<Vec<Arc<AlarmRecord>>> {
        let relative = |name: &String| {
            let key = AlarmKey {
                home: home(cx),
                name: name.clone(),
            };
            let alarm = self.alarms().get(&key);
            alarm.ok_or_else(|| Error::validation(format!("The alarm {name} does not exist")))
        };
        let mut found = match (&input.children_of_alarm_name, &input.parents_of_alarm_name) {
            (Some(_), Some(_)) => {
                return Err(Error::validation(
                    "ChildrenOfAlarmName and ParentsOfAlarmName are mutually exclusive",
                ));
            }
            (Some(name), None) => self.alarms().children(&*relative(name)?),
            (None, Some(name)) => self.alarms().parents(&*relative(name)?),
            (None, None) => {
                let mut all = self.alarms().of(&home(cx));
                all.retain(|alarm| is_asked(input, alarm));
                all
            }
        };
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    pub(super) fn described_for_metric(
        &self,
        cx: &Context,
        input: &api::DescribeAlarmsForMetricInput,
    ) -> api::DescribeAlarmsForMetricOutput {
        let wanted = dimensions(input.dimensions.clone());
        let is = |stat: &AlarmStat| {
            let statistic = input
                .statistic
                .as_ref()
                .or(input.extended_statistic.as_ref());
            stat.metric_name == input.metric_name
                && stat.namespace == input.namespace
                && stat.dimensions == wanted
                && statistic.is_none_or(|statistic| *statistic == stat.statistic)
                && input
                    .period
                    .is_none_or(|period| i64::from(period) == stat.period_s)
                && input.unit.is_none_or_equal(stat.unit.as_ref())
        };
        let all = self.alarms().of(&home(cx));
        let found = all.iter().filter_map(|alarm| match &alarm.terms {
            Terms::Metric(terms) => match &terms.source {
                AlarmSource::One(stat) if is(stat) => Some(shown(alarm, terms)),
                _ => None,
            },
            Terms::Composite { .. } => None,
        });
        api::DescribeAlarmsForMetricOutput {
            metric_alarms: Some(found.collect()),
        }
    }

    pub(super) async fn history_of(
        &self,
        cx: &Context,
        input: api::DescribeAlarmHistoryInput,
    ) -> Result<api::DescribeAlarmHistoryOutput> {
        let after: Option<(i64, String)> = input.next_token.as_deref().map(place).transpose()?;
        let limit = usize::try_from(input.max_records.unwrap_or(PAGE as i32)).unwrap_or(PAGE);
        let asked = Asked {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: input.alarm_name,
            // CloudWatch tells of metric alarms unless asked for others.
            alarm_types: input
                .alarm_types
                .unwrap_or_else(|| vec!["MetricAlarm".to_owned()]),
            kind: input.history_item_type,
            from_ms: input.start_date.map_or(0, |at| at.as_millisecond()),
            to_ms: input.end_date.map_or(i64::MAX, |at| at.as_millisecond()),
            ascending: input.scan_by.as_deref() == Some("TimestampAscending"),
            after,
            limit,
        };
        let read = self.0.store.read(move |tx| read_history(tx, &asked));
        let mut found = read.await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next_token = last
            .map(|last| token(&(last.at_ms, &last.id)))
            .transpose()?;
        let items = found.into_iter().map(|entry| api::AlarmHistoryItem {
            alarm_name: Some(entry.name),
            alarm_type: Some(entry.alarm_type),
            timestamp: at(entry.at_ms),
            history_item_type: Some(entry.kind),
            history_summary: Some(entry.summary),
            history_data: Some(entry.data),
            ..api::AlarmHistoryItem::default()
        });
        Ok(api::DescribeAlarmHistoryOutput {
            alarm_history_items: Some(items.collect()),
            next_token,
        })
    }
}

/// Whether what may be asked for is not, or is this.
trait NoneOrEqual<T> {
    fn is_none_or_equal(&self, other: Option<&T>) -> bool;
}

impl<T: PartialEq> NoneOrEqual<T> for Option<T> {
    fn is_none_or_equal(&self, other: Option<&T>) -> bool {
        self.is_none() || self.as_ref() == other
    }
}

fn is_asked(input: &api::DescribeAlarmsInput, alarm: &AlarmRecord) -> bool {
    let types = input.alarm_types.as_deref().unwrap_or_default();
    let is_type = match types {
        [] => matches!(alarm.terms, Terms::Metric(_)),
        types => types.iter().any(|name| name == alarm.type_name()),
    };
    let names = input.alarm_names.as_deref().unwrap_or_default();
    let prefix = input.alarm_name_prefix.as_deref().unwrap_or_default();
    let state = input.state_value.as_deref().and_then(StateValue::parse);
    let actions = &alarm.actions;
    let has_action = |prefix: &String| {
        let all = [&actions.ok, &actions.alarm, &actions.insufficient_data];
        all.into_iter()
            .flatten()
            .any(|arn| arn.starts_with(prefix.as_str()))
    };
    is_type
        && (names.is_empty() || names.contains(&alarm.name))
        && alarm.name.starts_with(prefix)
        && state.is_none_or(|state| state == alarm.state.value)
        && input.action_prefix.as_ref().is_none_or(has_action)
}

fn at(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

fn shown(alarm: &AlarmRecord, terms: &MetricTerms) -> api::MetricAlarm {
    let mut shown = api::MetricAlarm {
        alarm_name: Some(alarm.name.clone()),
        alarm_arn: Some(alarm.arn()),
        alarm_description: alarm.description.clone(),
        alarm_configuration_updated_timestamp: at(alarm.configured_at_ms),
        actions_enabled: Some(alarm.actions_enabled),
        ok_actions: Some(alarm.actions.ok.clone()),
        alarm_actions: Some(alarm.actions.alarm.clone()),
        insufficient_data_actions: Some(alarm.actions.insufficient_data.clone()),
        state_value: Some(alarm.state.value.name().to_owned()),
        state_reason: Some(alarm.state.reason.clone()),
        state_reason_data: alarm.state.reason_data.clone(),
        state_updated_timestamp: at(alarm.state.updated_at_ms),
        state_transitioned_timestamp: at(alarm.state.transitioned_at_ms),
        evaluation_periods: i32::try_from(terms.evaluation_periods).ok(),
        datapoints_to_alarm: terms
            .datapoints_to_alarm
            .and_then(|n| i32::try_from(n).ok()),
        threshold: Some(terms.threshold),
        comparison_operator: Some(terms.comparison.name().to_owned()),
        treat_missing_data: terms.missing.map(|missing| missing.name().to_owned()),
        evaluate_low_sample_count_percentile: terms.low_sample_count.clone(),
        ..api::MetricAlarm::default()
    };
    match &terms.source {
        AlarmSource::One(stat) => {
            shown.metric_name = Some(stat.metric_name.clone());
            shown.namespace = Some(stat.namespace.clone());
            shown.dimensions = Some(shown_dimensions(&stat.dimensions));
            shown.period = i32::try_from(stat.period_s).ok();
            shown.unit.clone_from(&stat.unit);
            let statistic = Some(stat.statistic.clone());
            match Statistic::parse_extended(&stat.statistic) {
                Some(_) => shown.extended_statistic = statistic,
                None => shown.statistic = statistic,
            }
        }
        AlarmSource::Queries(queries) => {
            shown.metrics = Some(queries.iter().map(shown_query).collect());
        }
    }
    shown
}

fn shown_query(query: &AlarmQuery) -> api::MetricDataQuery {
    let stat = query.stat.as_ref().map(|stat| api::MetricStat {
        metric: api::Metric {
            namespace: Some(stat.namespace.clone()),
            metric_name: Some(stat.metric_name.clone()),
            dimensions: Some(shown_dimensions(&stat.dimensions)),
        },
        period: i32::try_from(stat.period_s).unwrap_or_default(),
        stat: stat.statistic.clone(),
        unit: stat.unit.clone(),
    });
    api::MetricDataQuery {
        id: query.id.clone(),
        metric_stat: stat,
        expression: query.expression.clone(),
        label: query.label.clone(),
        return_data: Some(query.returned),
        period: query.period_s.and_then(|period| i32::try_from(period).ok()),
        account_id: None,
    }
}

fn shown_composite(alarm: &AlarmRecord, rule: &str) -> api::CompositeAlarm {
    api::CompositeAlarm {
        actions_enabled: Some(alarm.actions_enabled),
        alarm_actions: Some(alarm.actions.alarm.clone()),
        alarm_arn: Some(alarm.arn()),
        alarm_configuration_updated_timestamp: at(alarm.configured_at_ms),
        alarm_description: alarm.description.clone(),
        alarm_name: Some(alarm.name.clone()),
        alarm_rule: Some(rule.to_owned()),
        insufficient_data_actions: Some(alarm.actions.insufficient_data.clone()),
        ok_actions: Some(alarm.actions.ok.clone()),
        state_reason: Some(alarm.state.reason.clone()),
        state_reason_data: alarm.state.reason_data.clone(),
        state_updated_timestamp: at(alarm.state.updated_at_ms),
        state_value: Some(alarm.state.value.name().to_owned()),
        state_transitioned_timestamp: at(alarm.state.transitioned_at_ms),
        ..api::CompositeAlarm::default()
    }
}
