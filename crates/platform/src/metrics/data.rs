//! What queries find: metrics by statistic and period, and expressions over them. GetMetricData and
//! alarms ask by this.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use wire::Timestamp;

use super::{
    Metrics,
    error::{Error, Result},
    index::Filter,
    labels, limits,
    math::{self, Expr, MathError, Names, Series, Span, Value},
    series::{Home, Metric, SeriesId},
    statistic::Statistic,
    tables::{self, Point},
    window::Window,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub id: String,
    pub source: Source,
    pub label: Option<String>,
    /// Whether it is asked for, or only what another asks for needs it.
    pub returned: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Stat(Stat),
    Expression { text: String, period_s: Option<i64> },
}

/// A metric by a statistic of each period.
#[derive(Debug, Clone, PartialEq)]
pub struct Stat {
    pub metric: Metric,
    pub period_s: i64,
    pub statistic: Statistic,
    /// As it was asked for.
    pub statistic_name: String,
    pub unit: Option<String>,
}

/// What a query found, by the times at which periods begin. An expression may find several.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub id: String,
    pub label: String,
    pub points: BTreeMap<i64, f64>,
}

/// The time that a request is about, and the time that it is.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub start: Timestamp,
    pub end: Timestamp,
    pub now: Timestamp,
}

impl Times {
    fn window(&self, period_s: i64) -> Window {
        Window::new(self.start, self.end, period_s, self.now)
    }
}

impl Metrics {
    /// What the queries that are to be returned find, in their order.
    pub async fn data(&self, home: &Home, queries: &[Query], times: Times) -> Result<Vec<Found>> {
        let plan = Plan::of(self, home, queries, times)?;
        let points = self.points(plan.wanted(self, home, times)).await?;
        let series = plan.stats.iter().zip(points);
        let series = series.map(|(stat, points)| series_of(stat, times, &points));
        let evaluation = Evaluation {
            queries,
            plan: &plan,
            series: series.collect(),
            times,
            done: RefCell::default(),
        };
        let mut found = Vec::new();
        for (n, query) in queries
            .iter()
            .enumerate()
            .filter(|(_, query)| query.returned)
        {
            evaluation.found(n, query, &mut found)?;
        }
        labels::finish(queries, &mut found);
        Ok(found)
    }

    /// The stored points of several times some series.
    pub(super) async fn points(&self, wanted: Vec<Wanted>) -> Result<Vec<Vec<Point>>> {
        let wanted = Arc::new(wanted);
        let read = self.0.store.read(move |tx| {
            let mut left = limits::POINTS_READ_MAX;
            let mut all = Vec::with_capacity(wanted.len());
            for Wanted { series, window } in wanted.iter() {
                let mut points = Vec::new();
                for id in series {
                    let (from, to) = (window.start_s, window.end_s);
                    points.append(&mut tables::points(tx, &id.0, from, to, left)?);
                    let Some(rest) = limits::POINTS_READ_MAX.checked_sub(points.len()) else {
                        return Ok(None);
                    };
                    left = left.min(rest);
                }
                all.push(points);
            }
            Ok(Some(all))
        });
        read.await?.ok_or_else(|| {
            Error::Combination(format!(
                "The request reads more than {} stored datapoints. You may reduce them by \
                 decreasing the time range or the number of metrics.",
                limits::POINTS_READ_MAX
            ))
        })
    }
}

/// Points that are to be read.
pub struct Wanted {
    pub series: Vec<SeriesId>,
    pub window: Window,
}

/// What has to be read, and what is to be made of it.
struct Plan {
    stats: Vec<Stat>,
    /// By query: its place among the stats, or its tree.
    roots: Vec<Root>,
    /// What each search found, as places among the stats.
    searches: Vec<(Expr, Vec<usize>)>,
}

enum Root {
    Stat(usize),
    Tree(Expr),
}

impl Plan {
    fn of(metrics: &Metrics, home: &Home, queries: &[Query], times: Times) -> Result<Self> {
        let mut plan = Self {
            stats: Vec::new(),
            roots: Vec::new(),
            searches: Vec::new(),
        };
        for query in queries {
            let root = match &query.source {
                Source::Stat(stat) => {
                    plan.stats.push(stat.clone());
                    Root::Stat(plan.stats.len() - 1)
                }
                Source::Expression { text, .. } => {
                    let tree = math::parse(text).map_err(|error| wrong(&query.id, &error))?;
                    let mut calls = Vec::new();
                    searches_in(&tree, &mut calls);
                    for call in calls {
                        let found = plan.search(metrics, home, &call, times);
                        found.map_err(|error| wrong(&query.id, &error))?;
                    }
                    Root::Tree(tree)
                }
            };
            plan.roots.push(root);
        }
        Ok(plan)
    }

    fn search(
        &mut self,
        metrics: &Metrics,
        home: &Home,
        call: &Expr,
        times: Times,
    ) -> math::Result<()> {
        let Expr::Call(_, arguments) = call else {
            return Ok(());
        };
        let search = math::search(arguments)?;
        let Some(statistic) = Statistic::parse(&search.statistic) else {
            let name = &search.statistic;
            return Err(MathError(format!("'{name:.60}' is no statistic")));
        };
        let since_s = times.start.as_second() - limits::RECENTLY_ACTIVE_S;
        let index = metrics.index();
        let all = index.metrics(home, since_s, None);
        let found = all.filter(|metric| search.takes(metric));
        let mut places = Vec::new();
        for metric in found.take(limits::SEARCH_MAX) {
            self.stats.push(Stat {
                metric: metric.clone(),
                period_s: search.period_s.unwrap_or(300),
                statistic,
                statistic_name: search.statistic.clone(),
                unit: None,
            });
            places.push(self.stats.len() - 1);
        }
        self.searches.push((call.clone(), places));
        Ok(())
    }

    fn wanted(&self, metrics: &Metrics, home: &Home, times: Times) -> Vec<Wanted> {
        let index = metrics.index();
        let wanted = |stat: &Stat| {
            let series = index.series(home, &stat.metric, stat.unit.as_deref());
            Wanted {
                series: series.into_iter().map(|(_, id)| id).collect(),
                window: times.window(stat.period_s),
            }
        };
        self.stats.iter().map(wanted).collect()
    }
}

fn wrong(id: &str, error: &MathError) -> Error {
    Error::validation(format!("Error in expression '{id}': {error}"))
}

fn searches_in(tree: &Expr, found: &mut Vec<Expr>) {
    match tree {
        Expr::Call(name, _) if name == "SEARCH" => found.push(tree.clone()),
        Expr::Call(_, below) | Expr::List(below) => {
            below.iter().for_each(|tree| searches_in(tree, found));
        }
        Expr::Negate(below) | Expr::Not(below) => searches_in(below, found),
        Expr::Binary(_, left, right) => {
            searches_in(left, found);
            searches_in(right, found);
        }
        Expr::Number(_) | Expr::Text(_) | Expr::Name(_) => {}
    }
}

fn series_of(stat: &Stat, times: Times, points: &[Point]) -> Series {
    let periods = times.window(stat.period_s).periods(points);
    let values = periods.into_iter();
    let values = values.filter_map(|(at, values)| Some((at, stat.statistic.of(&values)?)));
    Series {
        label: labels::of_metric(&stat.metric),
        period_s: stat.period_s,
        points: values.collect(),
    }
}

struct Evaluation<'a> {
    queries: &'a [Query],
    plan: &'a Plan,
    /// As the plan's stats.
    series: Vec<Series>,
    times: Times,
    /// By query; none while it is being evaluated, so that a circle is seen.
    done: RefCell<HashMap<usize, Option<math::Result<Value>>>>,
}

impl Evaluation<'_> {
    fn found(&self, n: usize, query: &Query, found: &mut Vec<Found>) -> Result<()> {
        let value = self.value(n).map_err(|error| wrong(&query.id, &error))?;
        let mut add = |label: String, series: Series| {
            found.push(Found {
                id: query.id.clone(),
                label,
                points: series.points,
            });
        };
        let is_stat = matches!(self.plan.roots[n], Root::Stat(_));
        match value {
            Value::Series(series) if is_stat => add(series.label.clone(), series),
            Value::Series(series) => add(query.id.clone(), series),
            Value::Many(many) => {
                for series in many {
                    let label = match series.label.is_empty() {
                        true => query.id.clone(),
                        false => series.label.clone(),
                    };
                    add(label, series);
                }
            }
            Value::Scalar(_) | Value::Text(_) => {
                let text = "The expression must return a time series or an array of them";
                return Err(wrong(&query.id, &MathError(text.to_owned())));
            }
        }
        Ok(())
    }

    fn value(&self, n: usize) -> math::Result<Value> {
        let tree = match &self.plan.roots[n] {
            Root::Stat(place) => return Ok(Value::Series(self.series[*place].clone())),
            Root::Tree(tree) => tree,
        };
        if let Some(before) = self.done.borrow().get(&n) {
            return before.clone().unwrap_or_else(|| {
                Err(MathError(
                    "The expressions refer to each other in a circle".to_owned(),
                ))
            });
        }
        self.done.borrow_mut().insert(n, None);
        let period_s = self.period_of(&self.queries[n].source);
        let window = self.times.window(period_s);
        let span = Span {
            start_s: window.start_s,
            end_s: window.end_s,
        };
        let value = math::evaluate(tree, self, span, period_s);
        self.done.borrow_mut().insert(n, Some(value.clone()));
        value
    }

    fn period_of(&self, source: &Source) -> i64 {
        match source {
            Source::Stat(stat) => stat.period_s,
            Source::Expression {
                period_s: Some(period_s),
                ..
            } => *period_s,
            Source::Expression { .. } => {
                let periods = self.plan.stats.iter().map(|stat| stat.period_s);
                periods.max().unwrap_or(60)
            }
        }
    }
}

impl Names for Evaluation<'_> {
    fn query(&self, id: &str) -> Option<math::Result<Value>> {
        let n = self.queries.iter().position(|query| query.id == id)?;
        Some(self.value(n))
    }

    fn metrics(&self) -> Vec<(String, Series)> {
        let all = self.queries.iter().zip(&self.plan.roots);
        let metrics = all.filter_map(|(query, root)| match root {
            Root::Stat(place) => Some((query.id.clone(), self.series[*place].clone())),
            Root::Tree(_) => None,
        });
        metrics.collect()
    }

    fn search(&self, call: &Expr) -> Option<Vec<Series>> {
        let (_, places) = self.plan.searches.iter().find(|(of, _)| of == call)?;
        Some(
            places
                .iter()
                .map(|place| self.series[*place].clone())
                .collect(),
        )
    }
}

/// The metrics that a filter takes; a page of them.
impl Metrics {
    pub fn list(
        &self,
        home: &Home,
        filter: &Filter,
        after: Option<&Metric>,
    ) -> (Vec<Metric>, bool) {
        super::index::page(&self.index(), home, filter, after)
    }
}
