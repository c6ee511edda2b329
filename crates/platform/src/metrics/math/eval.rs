//! From a tree and the series it names to a value.

use std::collections::BTreeMap;

use super::{
    Result, SERIES_MAX, Series, Span, Value, functions,
    parse::{Expr, Operator},
    wrong,
};

/// What an expression may refer to.
pub trait Names {
    /// The value of another query; none where there is no such id.
    fn query(&self, id: &str) -> Option<Result<Value>>;
    /// The metrics among the queries, in order, with their ids.
    fn metrics(&self) -> Vec<(String, Series)>;
    /// What a search found.
    fn search(&self, call: &Expr) -> Option<Vec<Series>>;
}

/// `period_s` is that of what the expression makes where no series of it has one.
pub fn evaluate(expr: &Expr, names: &dyn Names, span: Span, period_s: i64) -> Result<Value> {
    let cx = Cx {
        names,
        span,
        period_s,
    };
    cx.value(expr)
}

pub struct Cx<'a> {
    pub names: &'a dyn Names,
    pub span: Span,
    pub period_s: i64,
}

impl Cx<'_> {
    pub fn value(&self, expr: &Expr) -> Result<Value> {
        match expr {
            Expr::Number(number) => Ok(Value::Scalar(*number)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Name(name) => match self.names.query(name) {
                Some(value) => value,
                None => wrong(format!("'{name}' is not the Id of another query")),
            },
            Expr::List(items) => self.list(items),
            Expr::Call(name, arguments) => functions::call(self, name, arguments, expr),
            Expr::Negate(inner) => each(self.value(inner)?, |value| -value),
            Expr::Not(inner) => each(self.value(inner)?, |value| f64::from(value == 0.0)),
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                both(left, right, |a, b| applied(*operator, a, b))
            }
        }
    }

    fn list(&self, items: &[Expr]) -> Result<Value> {
        let mut all = Vec::new();
        for item in items {
            match self.value(item)? {
                Value::Series(series) => all.push(series),
                Value::Many(many) => all.extend(many),
                Value::Scalar(number) => all.push(self.constant(number)?),
                Value::Text(_) => return wrong("A text is no element of an array"),
            }
            if all.len() > SERIES_MAX {
                return wrong("The expression has too many time series");
            }
        }
        Ok(Value::Many(all))
    }

    /// A series that is always the same.
    pub fn constant(&self, number: f64) -> Result<Series> {
        let times = self.span.times(self.period_s)?;
        Ok(Series {
            label: String::new(),
            period_s: self.period_s,
            points: times.map(|at| (at, number)).collect(),
        })
    }
}

/// Applies something to each number of a value.
pub fn each(value: Value, apply: impl Fn(f64) -> f64) -> Result<Value> {
    let series = |mut series: Series| {
        series.points = series
            .points
            .into_iter()
            .map(|(at, value)| (at, apply(value)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        series
    };
    Ok(match value {
        Value::Scalar(number) => Value::Scalar(apply(number)),
        Value::Series(one) => Value::Series(series(one)),
        Value::Many(many) => Value::Many(many.into_iter().map(series).collect()),
        Value::Text(_) => return wrong("A text is no number"),
    })
}

/// Applies something to the numbers of two values that have the same time. Where a series has none,
/// or the result is no number, there is none.
pub fn both(left: Value, right: Value, apply: impl Fn(f64, f64) -> f64) -> Result<Value> {
    use Value::{Many, Scalar, Text};
    Ok(match (left, right) {
        (Text(_), _) | (_, Text(_)) => return wrong("A text is no number"),
        (Scalar(a), Scalar(b)) => Scalar(apply(a, b)),
        (left, Scalar(b)) => each(left, |a| apply(a, b))?,
        (Scalar(a), right) => each(right, |b| apply(a, b))?,
        (Value::Series(a), Value::Series(b)) => Value::Series(joined(&a, &b, &apply)),
        (Many(many), Value::Series(b)) => {
            Many(many.iter().map(|a| joined(a, &b, &apply)).collect())
        }
        (Value::Series(a), Many(many)) => Many(
            many.iter()
                .map(|b| named_as(joined(&a, b, &apply), b))
                .collect(),
        ),
        (Many(left), Many(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(&right);
            Many(pairs.map(|(a, b)| joined(a, b, &apply)).collect())
        }
        (Many(_), Many(_)) => return wrong("Two arrays have to be of the same length"),
    })
}

fn named_as(mut series: Series, other: &Series) -> Series {
    series.label.clone_from(&other.label);
    series
}

fn joined(left: &Series, right: &Series, apply: &impl Fn(f64, f64) -> f64) -> Series {
    let pair = |(at, a): (&i64, &f64)| Some((*at, apply(*a, *right.points.get(at)?)));
    let points = left.points.iter().filter_map(pair);
    Series {
        label: left.label.clone(),
        period_s: left.period_s.max(right.period_s),
        points: points.filter(|(_, value)| value.is_finite()).collect(),
    }
}

fn applied(operator: Operator, a: f64, b: f64) -> f64 {
    match operator {
        Operator::Or => f64::from(a != 0.0 || b != 0.0),
        Operator::And => f64::from(a != 0.0 && b != 0.0),
        Operator::Equal => f64::from(a == b),
        Operator::NotEqual => f64::from(a != b),
        Operator::LessOrEqual => f64::from(a <= b),
        Operator::GreaterOrEqual => f64::from(a >= b),
        Operator::Less => f64::from(a < b),
        Operator::Greater => f64::from(a > b),
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
    }
}

/// What of all series has the same time, made into one.
pub fn across(many: &[Series], fold: impl Fn(&[f64]) -> f64) -> Series {
    let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for series in many {
        for (at, value) in &series.points {
            by_time.entry(*at).or_default().push(*value);
        }
    }
    let points = by_time.into_iter().map(|(at, values)| (at, fold(&values)));
    Series {
        label: String::new(),
        period_s: many
            .iter()
            .map(|series| series.period_s)
            .max()
            .unwrap_or(60),
        points: points.filter(|(_, value)| value.is_finite()).collect(),
    }
}
