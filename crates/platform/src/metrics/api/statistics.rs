//! GetMetricStatistics.

use std::collections::BTreeMap;

use wire::{Context, Timestamp, cloudwatch as api};

use super::{dimensions, home};
use crate::metrics::{
    Metrics,
    data::Wanted,
    distribution::Distribution,
    error::{Error, Result},
    limits,
    series::Metric,
    statistic::Statistic,
    window::{Window, is_period},
};

impl Metrics {
    pub(super) async fn statistics_of(
        &self,
        cx: &Context,
        input: api::GetMetricStatisticsInput,
    ) -> Result<api::GetMetricStatisticsOutput> {
        let asked = Asked::of(&input)?;
        check_times(&input)?;
        let metric = Metric {
            namespace: input.namespace,
            name: input.metric_name,
            dimensions: dimensions(input.dimensions),
        };
        let series = self
            .index()
            .series(&home(cx), &metric, input.unit.as_deref());
        let window = Window::new(
            input.start_time,
            input.end_time,
            input.period.into(),
            cx.now,
        );
        let wanted = series.iter().map(|(_, id)| Wanted {
            series: vec![id.clone()],
            window,
        });
        let points = self.points(wanted.collect()).await?;
        let mut datapoints = Vec::new();
        for ((unit, _), points) in series.iter().zip(points) {
            for (at_s, values) in window.periods(&points) {
                datapoints.extend(asked.datapoint(at_s, unit, &values));
            }
        }
        datapoints.sort_by_key(|point| point.timestamp);
        if i64::try_from(datapoints.len()).unwrap_or(i64::MAX) > limits::STATISTICS_DATAPOINTS_MAX {
            return Err(too_many(datapoints.len() as i64));
        }
        Ok(api::GetMetricStatisticsOutput {
            label: Some(metric.name),
            datapoints: Some(datapoints),
        })
    }
}

/// The statistics that are asked for.
struct Asked {
    plain: Vec<Statistic>,
    extended: Vec<(String, Statistic)>,
}

impl Asked {
    fn of(input: &api::GetMetricStatisticsInput) -> Result<Self> {
        let plain = input.statistics.as_deref().unwrap_or_default();
        let extended = input.extended_statistics.as_deref().unwrap_or_default();
        if plain.is_empty() && extended.is_empty() {
            return Err(Error::Missing(
                "Must specify either Statistics or ExtendedStatistics".to_owned(),
            ));
        }
        let mut asked = Self {
            plain: plain
                .iter()
                .filter_map(|name| Statistic::parse(name))
                .collect(),
            extended: Vec::new(),
        };
        for name in extended {
            let Some(statistic) = Statistic::parse_extended(name) else {
                return Err(Error::invalid(format!(
                    "The value {name:.60} for parameter ExtendedStatistics is not supported."
                )));
            };
            asked.extended.push((name.clone(), statistic));
        }
        Ok(asked)
    }

    /// None where a period's values tell nothing of what is asked.
    fn datapoint(&self, at_s: i64, unit: &str, values: &Distribution) -> Option<api::Datapoint> {
        let mut point = api::Datapoint {
            timestamp: Timestamp::from_second(at_s).ok(),
            unit: Some(unit.to_owned()),
            ..api::Datapoint::default()
        };
        for statistic in &self.plain {
            let value = statistic.of(values);
            match statistic {
                Statistic::SampleCount => point.sample_count = value,
                Statistic::Average => point.average = value,
                Statistic::Sum => point.sum = value,
                Statistic::Minimum => point.minimum = value,
                _ => point.maximum = value,
            }
        }
        let extended = self.extended.iter();
        let extended: BTreeMap<String, f64> = extended
            .filter_map(|(name, statistic)| Some((name.clone(), statistic.of(values)?)))
            .collect();
        if self.plain.is_empty() && extended.is_empty() {
            return None;
        }
        if !extended.is_empty() {
            point.extended_statistics = Some(extended.into_iter().collect());
        }
        Some(point)
    }
}

fn check_times(input: &api::GetMetricStatisticsInput) -> Result<()> {
    if input.start_time >= input.end_time {
        return Err(Error::invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let period_s = i64::from(input.period);
    if !is_period(period_s) {
        return Err(Error::invalid(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.",
        ));
    }
    let span_ms = input.end_time.as_millisecond() - input.start_time.as_millisecond();
    let period_ms = period_s * 1000;
    let count = (span_ms + period_ms - 1) / period_ms;
    match count > limits::STATISTICS_DATAPOINTS_MAX {
        true => Err(too_many(count)),
        false => Ok(()),
    }
}

fn too_many(count: i64) -> Error {
    Error::Combination(format!(
        "You have requested up to {count} datapoints, which exceeds the limit of {}. You may \
         reduce the datapoints requested by increasing Period, or decreasing the time range.",
        limits::STATISTICS_DATAPOINTS_MAX
    ))
}
