//! GetMetricData and ListMetrics.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use wire::{Context, Timestamp, cloudwatch as api};

use super::{dimensions, home, place, shown_metric, token};
use crate::metrics::{
    Metrics,
    data::{Found, Query, Source, Stat, Times},
    error::{Error, Result},
    index::Filter,
    limits,
    series::Metric,
    statistic::Statistic,
    window::is_period,
};

impl Metrics {
    pub(super) async fn data_of(
        &self,
        cx: &Context,
        input: api::GetMetricDataInput,
    ) -> Result<api::GetMetricDataOutput> {
        if input.start_time >= input.end_time {
            return Err(Error::validation(
                "The parameter StartTime must be less than the parameter EndTime.",
            ));
        }
        let most = limits::DATAPOINTS_MAX;
        let page = input.max_datapoints.unwrap_or(most);
        if page < 1 || page > most {
            return Err(Error::validation(format!(
                "The parameter MaxDatapoints must be between 1 and {most}."
            )));
        }
        let from: usize = input.next_token.as_deref().map_or(Ok(0), place)?;
        let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
        let queries = queries(cx, input.metric_data_queries)?;
        let times = Times {
            start: input.start_time,
            end: input.end_time,
            now: cx.now,
        };
        let found = self.data(&home(cx), &queries, times).await?;
        let (results, next) = paged(found, ascending, from, page.unsigned_abs() as usize);
        Ok(api::GetMetricDataOutput {
            metric_data_results: Some(results),
            next_token: next.map(|next| token(&next)).transpose()?,
            messages: Some(Vec::new()),
        })
    }

    pub(super) fn listed(
        &self,
        cx: &Context,
        input: api::ListMetricsInput,
    ) -> Result<api::ListMetricsOutput> {
        let after: Option<Place> = input.next_token.as_deref().map(place).transpose()?;
        let after = after.map(|Place(namespace, name, dimensions)| Metric {
            namespace,
            name,
            dimensions: dimensions.into_iter().collect(),
        });
        let other = |account: &String| *account != cx.account_id;
        if input.owning_account.as_ref().is_some_and(other) {
            return Err(Error::unsupported(
                "Metrics of another account (OwningAccount)",
            ));
        }
        let age_s = match input.recently_active {
            Some(_) => limits::RECENTLY_ACTIVE_S,
            None => limits::LISTED_S,
        };
        let dimensions = input.dimensions.unwrap_or_default().into_iter();
        let filter = Filter {
            namespace: input.namespace,
            name: input.metric_name,
            dimensions: dimensions
                .map(|filter| (filter.name, filter.value))
                .collect(),
            since_s: cx.now.as_second() - age_s,
        };
        let (metrics, more) = self.list(&home(cx), &filter, after.as_ref());
        let last = metrics.last().filter(|_| more);
        let next = last.map(|last| {
            let dimensions = last.dimensions.clone().into_iter().collect();
            token(&Place(
                last.namespace.clone(),
                last.name.clone(),
                dimensions,
            ))
        });
        Ok(api::ListMetricsOutput {
            metrics: Some(metrics.iter().map(shown_metric).collect()),
            next_token: next.transpose()?,
            owning_accounts: None,
        })
    }
}

/// A metric behind which a page begins.
#[derive(Serialize, Deserialize)]
struct Place(String, String, Vec<(String, String)>);

/// Queries as they were asked for; also those of an alarm.
pub fn queries(cx: &Context, given: Vec<api::MetricDataQuery>) -> Result<Vec<Query>> {
    if given.is_empty() || given.len() > limits::QUERIES_MAX {
        return Err(Error::validation(format!(
            "The collection MetricDataQueries must have a size between 1 and {}.",
            limits::QUERIES_MAX
        )));
    }
    let mut ids = HashSet::new();
    let mut queries = Vec::with_capacity(given.len());
    for (n, query) in given.into_iter().enumerate() {
        let place = format!("MetricDataQueries.member.{}", n + 1);
        let other = |account: &String| *account != cx.account_id;
        if query.account_id.as_ref().is_some_and(other) {
            return Err(Error::unsupported(
                "A metric of another account (AccountId)",
            ));
        }
        if !is_id(&query.id) {
            return Err(Error::validation(format!(
                "The value {:.60} for parameter {place}.Id is not matching the expected pattern \
                 ^[a-z][a-zA-Z0-9_]*$.",
                query.id
            )));
        }
        if !ids.insert(query.id.clone()) {
            return Err(Error::validation(format!(
                "The values for parameter Id in MetricDataQueries are not unique: {:.60}.",
                query.id
            )));
        }
        queries.push(one(query, &place)?);
    }
    if !queries.iter().any(|query| query.returned) {
        return Err(Error::validation(
            "At least one element of MetricDataQueries must have ReturnData true.",
        ));
    }
    Ok(queries)
}

fn one(query: api::MetricDataQuery, place: &str) -> Result<Query> {
    let source = match (query.metric_stat, query.expression) {
        (Some(given), None) => Source::Stat(stat(given, place)?),
        (None, Some(text)) => {
            let period_s = query.period.map(i64::from);
            check_period(period_s.unwrap_or(60), &format!("{place}.Period"))?;
            Source::Expression { text, period_s }
        }
        _ => {
            return Err(Error::validation(format!(
                "Exactly one of the parameters {place}.MetricStat and {place}.Expression is \
                 required."
            )));
        }
    };
    Ok(Query {
        id: query.id,
        source,
        label: query.label,
        returned: query.return_data.unwrap_or(true),
    })
}

fn stat(given: api::MetricStat, place: &str) -> Result<Stat> {
    let period_s = i64::from(given.period);
    check_period(period_s, &format!("{place}.MetricStat.Period"))?;
    let Some(statistic) = Statistic::parse(&given.stat) else {
        return Err(Error::validation(format!(
            "The value {:.60} for parameter {place}.MetricStat.Stat is not supported.",
            given.stat
        )));
    };
    let needed = |value: Option<String>, name: &str| {
        value.ok_or_else(|| {
            Error::validation(format!(
                "The parameter {place}.MetricStat.Metric.{name} is required."
            ))
        })
    };
    Ok(Stat {
        metric: Metric {
            namespace: needed(given.metric.namespace, "Namespace")?,
            name: needed(given.metric.metric_name, "MetricName")?,
            dimensions: dimensions(given.metric.dimensions),
        },
        period_s,
        statistic,
        statistic_name: given.stat,
        unit: given.unit,
    })
}

fn check_period(period_s: i64, name: &str) -> Result<()> {
    match is_period(period_s) {
        true => Ok(()),
        false => Err(Error::validation(format!(
            "The parameter {name} must be 1, 5, 10, 20, 30 or a multiple of 60."
        ))),
    }
}

fn is_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A page of all datapoints, result by result; and where the next one begins, if there is one.
fn paged(
    found: Vec<Found>,
    ascending: bool,
    from: usize,
    count: usize,
) -> (Vec<api::MetricDataResult>, Option<usize>) {
    let to = from.saturating_add(count);
    let (mut results, mut before) = (Vec::new(), 0);
    for Found { id, label, points } in found {
        let (first, length) = (before, points.len());
        before += length;
        // Those that begin behind the page, and those that ended before it, are on others.
        if first >= to || (first + length <= from && !(length == 0 && from == 0)) {
            continue;
        }
        let mut points: Vec<(i64, f64)> = points.into_iter().collect();
        if !ascending {
            points.reverse();
        }
        let part = points
            .into_iter()
            .take(to - first)
            .skip(from.saturating_sub(first));
        let (times, values): (Vec<i64>, Vec<f64>) = part.unzip();
        let times = times
            .into_iter()
            .filter_map(|at| Timestamp::from_second(at).ok());
        let whole = first + length <= to;
        results.push(api::MetricDataResult {
            id: Some(id),
            label: Some(label),
            timestamps: Some(times.collect()),
            values: Some(values),
            status_code: Some(if whole { "Complete" } else { "PartialData" }.to_owned()),
            messages: None,
        });
    }
    (results, (before > to).then_some(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_all_points_once_and_in_order() {
        let result = |id: &str, count: i64| Found {
            id: id.to_owned(),
            label: id.to_owned(),
            points: (0..count).map(|n| (n * 60, n as f64)).collect(),
        };
        let all = [result("a", 5), result("none", 0), result("b", 4)];
        for size in 1..11 {
            let (mut from, mut seen, mut ids) = (Some(0), Vec::new(), HashSet::new());
            while let Some(at) = from {
                let (results, next) = paged(all.to_vec(), false, at, size);
                for result in results {
                    let id = result.id.unwrap();
                    ids.insert(id.clone());
                    let values = result.values.unwrap();
                    let status = result.status_code.unwrap();
                    assert!(next.is_some() || status == "Complete");
                    seen.extend(values.into_iter().map(|value| (id.clone(), value)));
                }
                from = next;
            }
            let expected = ["a4", "a3", "a2", "a1", "a0", "b3", "b2", "b1", "b0"];
            let seen: Vec<String> = seen.iter().map(|(id, n)| format!("{id}{n}")).collect();
            assert_eq!(seen, expected, "pages of {size}");
        }
        let (results, next) = paged(all.to_vec(), true, 0, 100);
        assert_eq!((results.len(), next), (3, None));
        assert_eq!(
            results[0].values.as_deref(),
            Some(&[0.0, 1.0, 2.0, 3.0, 4.0][..])
        );
    }
}
