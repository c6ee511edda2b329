//! PutMetricData: what a request may contain, and which data it is.

use wire::cloudwatch as api;

use super::dimensions;
use crate::metrics::{
    distribution::{Distribution, StatisticSet},
    error::{Error, Result},
    limits,
    series::{Datum, Metric, NO_UNIT},
};

/// The data of a request; the first that is wrong refuses all.
pub fn data(input: api::PutMetricDataInput, now_s: i64) -> Result<Vec<Datum>> {
    if input
        .entity_metric_data
        .is_some_and(|data| !data.is_empty())
    {
        return Err(Error::unsupported(
            "Metric data of an entity (EntityMetricData)",
        ));
    }
    let given = input.metric_data.unwrap_or_default();
    if given.is_empty() {
        return Err(Error::Missing(
            "The parameter MetricData is required.".to_owned(),
        ));
    }
    if given.len() > limits::DATA_MAX {
        return Err(Error::invalid(format!(
            "The collection MetricData must not have a size greater than {}.",
            limits::DATA_MAX
        )));
    }
    let mut data = Vec::with_capacity(given.len());
    for (n, datum) in given.into_iter().enumerate() {
        let place = format!("MetricData.member.{}", n + 1);
        data.push(one(&input.namespace, datum, &place, now_s)?);
    }
    Ok(data)
}

fn one(namespace: &str, given: api::MetricDatum, place: &str, now_s: i64) -> Result<Datum> {
    let values = values(&given, place)?;
    let at_s = given.timestamp.map_or(now_s, |at| at.as_second());
    if at_s < now_s - limits::PAST_S_MAX || at_s > now_s + limits::FUTURE_S_MAX {
        return Err(Error::invalid(format!(
            "The parameter {place}.Timestamp must specify a time no more than two weeks in the \
             past and no more than two hours in the future."
        )));
    }
    let high_resolution = match given.storage_resolution {
        None | Some(60) => false,
        Some(1) => true,
        Some(_) => {
            return Err(Error::invalid(format!(
                "The parameter {place}.StorageResolution must be 1 or 60."
            )));
        }
    };
    let names = given.dimensions.as_ref().map_or(0, Vec::len);
    let metric = Metric {
        namespace: namespace.to_owned(),
        name: given.metric_name,
        dimensions: dimensions(given.dimensions),
    };
    if !metric.is_printable() {
        return Err(Error::invalid(format!(
            "The parameters Namespace, {place}.MetricName and {place}.Dimensions must contain only \
             printable characters."
        )));
    }
    if metric.dimensions.len() != names {
        return Err(Error::invalid(format!(
            "The parameter {place}.Dimensions has a dimension twice."
        )));
    }
    Ok(Datum {
        metric,
        unit: given.unit.unwrap_or_else(|| NO_UNIT.to_owned()),
        at_s,
        high_resolution,
        values,
    })
}

fn values(given: &api::MetricDatum, place: &str) -> Result<Distribution> {
    let both = |one: &str, other: &str| {
        Err(Error::Combination(format!(
            "The parameters {place}.{one} and {place}.{other} are mutually exclusive and you have \
             specified both."
        )))
    };
    let (value, set) = (given.value, given.statistic_values.as_ref());
    let several = given.values.as_deref().filter(|values| !values.is_empty());
    match (value, several, set) {
        (Some(_), Some(_), _) => both("Value", "Values"),
        (Some(_), _, Some(_)) => both("Value", "StatisticValues"),
        (Some(value), None, None) => Ok(Distribution::of(number(value, place, "Value")?, 1.0)),
        // CloudWatch takes a set beside them, too.
        (None, Some(values), _) => counted(values, given.counts.as_deref(), place),
        (None, None, Some(set)) => summed(set, place),
        (None, None, None) => Err(Error::Missing(format!(
            "One of the parameters {place}.Value, {place}.Values and {place}.StatisticValues is \
             required."
        ))),
    }
}

fn counted(values: &[f64], counts: Option<&[f64]>, place: &str) -> Result<Distribution> {
    if values.len() > limits::VALUES_MAX {
        return Err(Error::invalid(format!(
            "The collection {place}.Values must not have a size greater than {}.",
            limits::VALUES_MAX
        )));
    }
    if counts.is_some_and(|counts| counts.len() != values.len()) {
        return Err(Error::invalid(format!(
            "The parameters {place}.Values and {place}.Counts must be of the same size."
        )));
    }
    let mut all: Option<Distribution> = None;
    for (n, value) in values.iter().enumerate() {
        let value = number(*value, place, "Values")?;
        let count = counts.map_or(1.0, |counts| counts[n]);
        if number(count, place, "Counts")? < 0.0 {
            return Err(Error::invalid(format!(
                "The parameter {place}.Counts must not have a value less than 0."
            )));
        }
        if count == 0.0 {
            continue;
        }
        let one = Distribution::of(value, count);
        match &mut all {
            Some(all) => all.merge(&one),
            None => all = Some(one),
        }
    }
    all.ok_or_else(|| {
        Error::invalid(format!(
            "The parameter {place}.Counts must have a value above 0."
        ))
    })
}

fn summed(set: &api::StatisticSet, place: &str) -> Result<Distribution> {
    let of = |value, name| number(value, place, &format!("StatisticValues.{name}"));
    let set = StatisticSet {
        count: of(set.sample_count, "SampleCount")?,
        sum: of(set.sum, "Sum")?,
        minimum: of(set.minimum, "Minimum")?,
        maximum: of(set.maximum, "Maximum")?,
    };
    if set.count <= 0.0 {
        return Err(Error::invalid(format!(
            "The parameter {place}.StatisticValues.SampleCount must be greater than 0."
        )));
    }
    if set.minimum > set.maximum {
        return Err(Error::invalid(format!(
            "The parameter {place}.StatisticValues.Maximum must be greater than or equal to the \
             parameter {place}.StatisticValues.Minimum."
        )));
    }
    Ok(Distribution::of_set(set))
}

fn number(value: f64, place: &str, name: &str) -> Result<f64> {
    match value.is_finite() && value.abs() <= limits::VALUE_MAX {
        true => Ok(value),
        false => Err(Error::invalid(format!(
            "The parameter {place}.{name} must be a number between -2^360 and 2^360."
        ))),
    }
}
