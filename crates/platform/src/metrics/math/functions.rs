//! The functions of metric math.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    Result, Series, Value,
    eval::{Cx, across, both, each},
    parse::Expr,
    wrong,
};

/// What CloudWatch has and this platform has not.
const NOT_HERE: &[&str] = &[
    "ANOMALY_DETECTION_BAND",
    "DB_PERF_INSIGHTS",
    "INSIGHT_RULE_METRIC",
    "LAMBDA",
    "SELECT",
    "SERVICE_QUOTA",
];

pub fn call(cx: &Cx<'_>, name: &str, arguments: &[Expr], whole: &Expr) -> Result<Value> {
    match name {
        "METRICS" => metrics(cx, arguments),
        "SEARCH" => match cx.names.search(whole) {
            Some(found) => Ok(Value::Many(found)),
            None => wrong("SEARCH can not be used here"),
        },
        "IF" => choice(cx, arguments),
        "FILL" => fill(cx, arguments),
        "SORT" => sort(cx, arguments),
        "SLICE" => slice(cx, arguments),
        "TIME_SERIES" => match one(cx, name, arguments)? {
            Value::Scalar(number) => cx.constant(number).map(Value::Series),
            _ => wrong("TIME_SERIES takes a number"),
        },
        _ if NOT_HERE.contains(&name) => wrong(format!(
            "The function {name} is not supported by this platform yet"
        )),
        _ => plain(name, one_of(cx, name, arguments)?),
    }
}

/// Functions of one value.
fn plain(name: &str, value: Value) -> Result<Value> {
    match name {
        "ABS" => each(value, f64::abs),
        "CEIL" => each(value, f64::ceil),
        "FLOOR" => each(value, f64::floor),
        "LOG" => each(value, f64::ln),
        "LOG10" => each(value, f64::log10),
        "SUM" => folded(value, |values| values.iter().sum()),
        "AVG" => folded(value, average),
        "MIN" => folded(value, |values| {
            values.iter().copied().fold(f64::NAN, f64::min)
        }),
        "MAX" => folded(value, |values| {
            values.iter().copied().fold(f64::NAN, f64::max)
        }),
        "STDDEV" => folded(value, deviation),
        "DATAPOINT_COUNT" => match value {
            Value::Series(series) => Ok(Value::Scalar(count(series.points.len()))),
            Value::Many(many) => Ok(Value::Series(across(&many, |values| count(values.len())))),
            _ => wrong("DATAPOINT_COUNT takes time series"),
        },
        "METRIC_COUNT" => match value {
            Value::Many(many) => Ok(Value::Scalar(count(many.len()))),
            Value::Series(_) => Ok(Value::Scalar(1.0)),
            _ => wrong("METRIC_COUNT takes time series"),
        },
        "REMOVE_EMPTY" => match value {
            Value::Many(mut many) => {
                many.retain(|series| !series.points.is_empty());
                Ok(Value::Many(many))
            }
            other => Ok(other),
        },
        "FIRST" | "LAST" => match value {
            Value::Many(mut many) if !many.is_empty() => {
                let at = if name == "FIRST" { 0 } else { many.len() - 1 };
                Ok(Value::Series(many.swap_remove(at)))
            }
            Value::Many(_) => wrong(format!("{name} takes an array that is not empty")),
            other => Ok(other),
        },
        "PERIOD" => match value {
            Value::Series(series) => Ok(Value::Scalar(series.period_s as f64)),
            _ => wrong("PERIOD takes a metric"),
        },
        "DIFF" => per_series(value, |before, now| now.1 - before.1),
        "DIFF_TIME" => per_series(value, |before, now| (now.0 - before.0) as f64),
        "RATE" => per_series(value, |before, now| {
            (now.1 - before.1) / (now.0 - before.0) as f64
        }),
        "RUNNING_SUM" => mapped(value, |mut series| {
            let mut sum = 0.0;
            for value in series.points.values_mut() {
                sum += *value;
                *value = sum;
            }
            series
        }),
        "EPOCH" => timed(value, |at, _| at as f64),
        "MINUTE" => timed(value, |_, at| f64::from(at.minute())),
        "HOUR" => timed(value, |_, at| f64::from(at.hour())),
        "DAY" => timed(value, |_, at| {
            f64::from(at.weekday().to_monday_one_offset())
        }),
        "DATE" => timed(value, |_, at| f64::from(at.day())),
        "MONTH" => timed(value, |_, at| f64::from(at.month())),
        "YEAR" => timed(value, |_, at| f64::from(at.year())),
        _ => wrong(format!("There is no function {name:.60}")),
    }
}

fn one_of(cx: &Cx<'_>, name: &str, arguments: &[Expr]) -> Result<Value> {
    match arguments {
        [one] => cx.value(one),
        // As in SUM([m1, m2]), without the brackets.
        [_, _, ..] if matches!(name, "SUM" | "AVG" | "MIN" | "MAX" | "STDDEV") => {
            cx.value(&Expr::List(arguments.to_vec()))
        }
        _ => wrong(format!("The function {name:.60} takes one argument")),
    }
}

fn one(cx: &Cx<'_>, name: &str, arguments: &[Expr]) -> Result<Value> {
    match arguments {
        [one] => cx.value(one),
        _ => wrong(format!("The function {name} takes one argument")),
    }
}

fn metrics(cx: &Cx<'_>, arguments: &[Expr]) -> Result<Value> {
    let part = match arguments {
        [] => "",
        [Expr::Text(part)] => part,
        _ => return wrong("METRICS takes a text or nothing"),
    };
    let all = cx.names.metrics().into_iter();
    let named = all.filter(|(id, _)| id.contains(part));
    Ok(Value::Many(named.map(|(_, series)| series).collect()))
}

/// Of several series the result has at each time what they have; of one it is a number.
fn folded(value: Value, fold: impl Fn(&[f64]) -> f64) -> Result<Value> {
    match value {
        Value::Many(many) => Ok(Value::Series(across(&many, fold))),
        Value::Series(series) => {
            let values: Vec<f64> = series.points.into_values().collect();
            Ok(Value::Scalar(fold(&values)))
        }
        Value::Scalar(number) => Ok(Value::Scalar(number)),
        Value::Text(_) => wrong("A text is no number"),
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len())
}

fn deviation(values: &[f64]) -> f64 {
    let mean = average(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / count(values.len())).sqrt()
}

// What is counted is held in memory.
#[allow(clippy::cast_precision_loss)]
fn count(number: usize) -> f64 {
    number as f64
}

fn mapped(value: Value, map: impl Fn(Series) -> Series) -> Result<Value> {
    match value {
        Value::Series(series) => Ok(Value::Series(map(series))),
        Value::Many(many) => Ok(Value::Many(many.into_iter().map(map).collect())),
        _ => wrong("The function takes time series"),
    }
}

/// What two points that follow each other make.
fn per_series(value: Value, of: impl Fn((i64, f64), (i64, f64)) -> f64) -> Result<Value> {
    mapped(value, |mut series| {
        let all: Vec<(i64, f64)> = series.points.into_iter().collect();
        let pairs = all.windows(2).map(|pair| (pair[1].0, of(pair[0], pair[1])));
        series.points = pairs.collect();
        series
    })
}

fn timed(value: Value, of: impl Fn(i64, DateTime) -> f64) -> Result<Value> {
    mapped(value, |mut series| {
        for (at_s, value) in &mut series.points {
            let at = Timestamp::from_second(*at_s).unwrap_or_default();
            *value = of(*at_s, TimeZone::UTC.to_datetime(at));
        }
        series
    })
}

fn choice(cx: &Cx<'_>, arguments: &[Expr]) -> Result<Value> {
    let (condition, then, other) = match arguments {
        [condition, then] => (condition, then, None),
        [condition, then, other] => (condition, then, Some(other)),
        _ => return wrong("IF takes two or three arguments"),
    };
    let (condition, then) = (cx.value(condition)?, cx.value(then)?);
    let other = other.map(|other| cx.value(other)).transpose()?;
    match condition {
        Value::Scalar(number) => Ok(match (number != 0.0, other) {
            (true, _) => then,
            (false, Some(other)) => other,
            (false, None) => Value::Series(Series {
                period_s: cx.period_s,
                ..Series::default()
            }),
        }),
        Value::Series(series) => {
            let then = chosen(&series, then, |value| value != 0.0)?;
            match other {
                None => Ok(Value::Series(then)),
                Some(other) => {
                    let other = chosen(&series, other, |value| value == 0.0)?;
                    let mut all = then;
                    all.points.extend(other.points);
                    Ok(Value::Series(all))
                }
            }
        }
        Value::Many(_) | Value::Text(_) => {
            wrong("The condition of IF is a time series or a number")
        }
    }
}

/// What a value has at the times at which the condition is so.
fn chosen(condition: &Series, value: Value, is: impl Fn(f64) -> bool) -> Result<Series> {
    let mut times = condition.clone();
    times.points.retain(|_, value| is(*value));
    let picked = both(Value::Series(times), value, |_, value| value)?;
    match picked {
        Value::Series(series) => Ok(series),
        _ => wrong("IF chooses between time series and numbers"),
    }
}

fn fill(cx: &Cx<'_>, arguments: &[Expr]) -> Result<Value> {
    let [filled, with] = arguments else {
        return wrong("FILL takes two arguments");
    };
    let word = match with {
        Expr::Name(word) if matches!(word.as_str(), "REPEAT" | "LINEAR") => Some(word.as_str()),
        _ => None,
    };
    let given = match word {
        Some(_) => None,
        None => Some(cx.value(with)?),
    };
    let fill_one = |mut series: Series| -> Result<Series> {
        let period_s = if series.period_s > 0 {
            series.period_s
        } else {
            cx.period_s
        };
        // The times of the series may be between those of the request's beginning.
        let first = series
            .points
            .keys()
            .next()
            .copied()
            .unwrap_or(cx.span.start_s);
        let offset = (first - cx.span.start_s).rem_euclid(period_s);
        let span = super::Span {
            start_s: cx.span.start_s + offset,
            end_s: cx.span.end_s,
        };
        for at in span.times(period_s)? {
            if series.points.contains_key(&at) {
                continue;
            }
            let value = match (&given, word) {
                (Some(Value::Scalar(number)), _) => Some(*number),
                (Some(Value::Series(other)), _) => other.points.get(&at).copied(),
                (None, Some("REPEAT")) => series.points.range(..at).next_back().map(|(_, v)| *v),
                // From what was there: the ends of a gap are never filled ones.
                (None, _) => between(&series, at),
                (Some(_), _) => {
                    return wrong("FILL fills with a number, a time series, REPEAT or LINEAR");
                }
            };
            if let Some(value) = value {
                series.points.insert(at, value);
            }
        }
        Ok(series)
    };
    match cx.value(filled)? {
        Value::Series(series) => fill_one(series).map(Value::Series),
        Value::Many(many) => {
            let all: Result<Vec<Series>> = many.into_iter().map(fill_one).collect();
            all.map(Value::Many)
        }
        _ => wrong("FILL fills time series"),
    }
}

/// On the line between the points around a time. Filling a gap from its start on keeps to the line.
fn between(series: &Series, at: i64) -> Option<f64> {
    let (before, low) = series.points.range(..at).next_back()?;
    let (after, high) = series.points.range(at..).next()?;
    let share = (at - before) as f64 / (after - before) as f64;
    Some(low + (high - low) * share)
}

fn sort(cx: &Cx<'_>, arguments: &[Expr]) -> Result<Value> {
    let (sorted, function, order, limit) = match arguments {
        [sorted, Expr::Name(function), Expr::Name(order)] => (sorted, function, order, None),
        [sorted, Expr::Name(function), Expr::Name(order), limit] => {
            (sorted, function, order, Some(cx.value(limit)?))
        }
        _ => return wrong("SORT takes an array, AVG, MIN, MAX or SUM, and ASC or DESC"),
    };
    let Value::Many(many) = cx.value(sorted)? else {
        return wrong("SORT takes an array");
    };
    if !matches!(function.as_str(), "AVG" | "MIN" | "MAX" | "SUM")
        || !matches!(order.as_str(), "ASC" | "DESC")
    {
        return wrong("SORT takes AVG, MIN, MAX or SUM, and ASC or DESC");
    }
    let mut keyed = Vec::with_capacity(many.len());
    for series in many {
        let Value::Scalar(key) = plain(function, Value::Series(series.clone()))? else {
            return wrong("SORT takes an array");
        };
        keyed.push((key, series));
    }
    keyed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if order == "DESC" {
        keyed.reverse();
    }
    if let Some(limit) = limit {
        keyed.truncate(whole(&limit)?);
    }
    Ok(Value::Many(
        keyed.into_iter().map(|(_, series)| series).collect(),
    ))
}

fn slice(cx: &Cx<'_>, arguments: &[Expr]) -> Result<Value> {
    let (sliced, from, to) = match arguments {
        [sliced, from] => (sliced, from, None),
        [sliced, from, to] => (sliced, from, Some(whole(&cx.value(to)?)?)),
        _ => return wrong("SLICE takes an array and one or two numbers"),
    };
    let Value::Many(many) = cx.value(sliced)? else {
        return wrong("SLICE takes an array");
    };
    let from = whole(&cx.value(from)?)?;
    let to = to.unwrap_or(many.len());
    let part = many.into_iter().take(to).skip(from);
    Ok(Value::Many(part.collect()))
}

fn whole(value: &Value) -> Result<usize> {
    match value {
        // In range by the check.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Value::Scalar(number) if number.fract() == 0.0 && (0.0..=10_000.0).contains(number) => {
            Ok(*number as usize)
        }
        _ => wrong("A whole number is expected"),
    }
}
