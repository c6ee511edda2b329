//! Metric filters, and the test of a pattern.

use wire::{Context, Map, cloudwatch_logs as api};

use super::{groups::limit, named, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    limits,
    pattern::Pattern,
    tables::{GroupRecord, MetricFilter, Transformation},
    watch,
};

impl LogService {
    pub(super) async fn put_filter(
        &self,
        cx: &Context,
        input: api::PutMetricFilterRequest,
    ) -> Result<()> {
        if input.apply_on_transformed_logs == Some(true) {
            return Err(Error::unsupported("transformed logs"));
        }
        if input.field_selection_criteria.is_some() || input.emit_system_field_dimensions.is_some()
        {
            return Err(Error::unsupported("system fields in metric filters"));
        }
        let name = checked(&input.filter_name)?;
        Pattern::parse(&input.filter_pattern)?;
        let transformations = input.metric_transformations.into_iter();
        let transformations = transformations
            .map(transformation)
            .collect::<Result<Vec<_>>>()?;
        let filter = MetricFilter {
            pattern: input.filter_pattern,
            created_ms: cx.now.as_millisecond(),
            transformations,
        };
        let put = |group: &mut GroupRecord| {
            let is_new = !group.metric_filters.contains_key(name);
            if is_new && group.metric_filters.len() >= limits::METRIC_FILTERS_MAX {
                return Err(Error::OverLimit);
            }
            group.metric_filters.insert(name.to_owned(), filter);
            Ok(())
        };
        let key = named(cx, &input.log_group_name);
        let group = self.groups.get(&key).await?;
        watch::begin(&self.groups, &group).await?;
        self.groups.change(&key, put).await?;
        self.wake_watching.wake();
        Ok(())
    }

    pub(super) async fn delete_filter(
        &self,
        cx: &Context,
        input: api::DeleteMetricFilterRequest,
    ) -> Result<()> {
        let remove = |group: &mut GroupRecord| match group.metric_filters.remove(&input.filter_name)
        {
            Some(_) => Ok(()),
            None => Err(Error::NotFound(
                "The specified metric filter does not exist.".to_owned(),
            )),
        };
        self.groups
            .change(&named(cx, &input.log_group_name), remove)
            .await?;
        self.wake_watching.wake();
        Ok(())
    }

    pub(super) async fn describe_filters(
        &self,
        cx: &Context,
        input: api::DescribeMetricFiltersRequest,
    ) -> Result<api::DescribeMetricFiltersResponse> {
        let (metric, namespace) = (input.metric_name, input.metric_namespace);
        if metric.is_some() != namespace.is_some() {
            return Err(Error::parameter(
                "metricName and metricNamespace must be specified together.",
            ));
        }
        let groups = match &input.log_group_name {
            Some(name) => vec![self.groups.get(&named(cx, name)).await?],
            None => self.groups.list(&cx.account_id, &cx.region, None),
        };
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let prefix = input.filter_name_prefix.unwrap_or_default();
        let of = |group: &str, name: &str| format!("{group}\n{name}");
        let mut found = Vec::new();
        for group in &groups {
            for (name, filter) in &group.metric_filters {
                let is_of = |transformation: &Transformation| {
                    metric
                        .as_ref()
                        .is_none_or(|metric| *metric == transformation.name)
                        && namespace
                            .as_ref()
                            .is_none_or(|ns| *ns == transformation.namespace)
                };
                let is_wanted = name.starts_with(&prefix)
                    && filter.transformations.iter().any(is_of)
                    && after
                        .as_ref()
                        .is_none_or(|after| of(&group.name, name) > *after);
                if is_wanted {
                    found.push((group.name.clone(), name.clone(), filter.clone()));
                }
            }
        }
        found.sort_by_cached_key(|(group, name, _)| of(group, name));
        let (page, next_token) = token::page(found, limit(input.limit, 50), |(group, name, _)| {
            of(group, name)
        });
        Ok(api::DescribeMetricFiltersResponse {
            metric_filters: Some(page.into_iter().map(shown).collect()),
            next_token,
        })
    }

    pub(super) async fn test_filter(
        &self,
        _: &Context,
        input: api::TestMetricFilterRequest,
    ) -> Result<api::TestMetricFilterResponse> {
        let pattern = Pattern::parse(&input.filter_pattern)?;
        let matches = (1..)
            .zip(&input.log_event_messages)
            .filter_map(|(number, message)| {
                let extracted = pattern.extract(message)?;
                Some(api::MetricFilterMatchRecord {
                    event_number: Some(number),
                    event_message: Some(message.clone()),
                    extracted_values: Some(extracted.0.into_iter().collect::<Map<String>>()),
                })
            });
        Ok(api::TestMetricFilterResponse {
            matches: Some(matches.collect()),
        })
    }
}

/// Names of filters have neither of these.
pub(super) fn checked(name: &str) -> Result<&str> {
    match name.contains([':', '*']) {
        true => Err(Error::Parameter(format!(
            "1 validation error detected: Value '{name}' at 'filterName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [^:*]*"
        ))),
        false => Ok(name),
    }
}

fn transformation(given: api::MetricTransformation) -> Result<Transformation> {
    let dimensions = given.dimensions.unwrap_or_default();
    if !dimensions.is_empty() && given.default_value.is_some() {
        return Err(Error::parameter(
            "Invalid metric transformation: dimensions and default value are mutually exclusive properties.",
        ));
    }
    if dimensions.len() > 3 {
        return Err(Error::parameter(
            "Invalid metric transformation: a metric filter can have no more than 3 dimensions.",
        ));
    }
    if !given.metric_value.starts_with('$') && given.metric_value.parse::<f64>().is_err() {
        return Err(Error::parameter(
            "Invalid metric transformation: the metric value is neither a number nor a field.",
        ));
    }
    Ok(Transformation {
        namespace: given.metric_namespace,
        name: given.metric_name,
        value: given.metric_value,
        default: given.default_value,
        dimensions,
        unit: given.unit,
    })
}

fn shown((group, name, filter): (String, String, MetricFilter)) -> api::MetricFilter {
    let transformation = |one: Transformation| api::MetricTransformation {
        metric_name: one.name,
        metric_namespace: one.namespace,
        metric_value: one.value,
        default_value: one.default,
        dimensions: Some(one.dimensions).filter(|dimensions| !dimensions.is_empty()),
        unit: one.unit,
    };
    api::MetricFilter {
        filter_name: Some(name),
        filter_pattern: Some(filter.pattern),
        metric_transformations: Some(
            filter
                .transformations
                .into_iter()
                .map(transformation)
                .collect(),
        ),
        creation_time: Some(filter.created_ms),
        log_group_name: Some(group),
        apply_on_transformed_logs: Some(false),
        ..Default::default()
    }
}
