//! Which series there are: in memory, so that metrics are listed and found without reading the store.

use std::collections::{BTreeMap, HashMap};

use super::{
    limits,
    series::{Home, Metric, SeriesId},
};

#[derive(Debug, Default)]
pub struct Index {
    homes: HashMap<Home, BTreeMap<Metric, BTreeMap<String, Known>>>,
    count: usize,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: SeriesId,
    /// The newest time that it has data of, and what of that the store knows.
    pub last_at_s: i64,
    pub stored_at_s: i64,
}

impl Index {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, home: &Home, metric: &Metric, unit: &str) -> Option<&Known> {
        self.homes.get(home)?.get(metric)?.get(unit)
    }

    pub fn set(&mut self, home: &Home, metric: &Metric, unit: &str, known: Known) {
        let metrics = match self.homes.get_mut(home) {
            Some(metrics) => metrics,
            None => self.homes.entry(home.clone()).or_default(),
        };
        let units = match metrics.get_mut(metric) {
            Some(units) => units,
            None => metrics.entry(metric.clone()).or_default(),
        };
        let before = units.insert(unit.to_owned(), known);
        self.count += usize::from(before.is_none());
    }

    /// Forgets series without data since a time; gives their names.
    pub fn forget(&mut self, before_s: i64) -> Vec<SeriesId> {
        let mut gone = Vec::new();
        for metrics in self.homes.values_mut() {
            for units in metrics.values_mut() {
                units.retain(|_, known| {
                    let stays = known.last_at_s >= before_s;
                    if !stays {
                        gone.push(known.id.clone());
                    }
                    stays
                });
            }
            metrics.retain(|_, units| !units.is_empty());
        }
        self.homes.retain(|_, metrics| !metrics.is_empty());
        self.count -= gone.len();
        gone
    }

    /// The series of a metric: all of them, or the one of a unit.
    pub fn series(
        &self,
        home: &Home,
        metric: &Metric,
        unit: Option<&str>,
    ) -> Vec<(String, SeriesId)> {
        let units = self.homes.get(home).and_then(|metrics| metrics.get(metric));
        let units = units.into_iter().flatten();
        units
            .filter(|(name, _)| unit.is_none_or(|unit| unit == *name))
            .map(|(name, known)| (name.clone(), known.id.clone()))
            .collect()
    }

    /// Metrics that have data since a time, in order, behind one of them.
    pub fn metrics<'a>(
        &'a self,
        home: &Home,
        since_s: i64,
        after: Option<&'a Metric>,
    ) -> impl Iterator<Item = &'a Metric> {
        use std::ops::Bound::{Excluded, Unbounded};
        let metrics = self.homes.get(home);
        let from = after.map_or(Unbounded, Excluded);
        let metrics = metrics
            .into_iter()
            .flat_map(move |all| all.range((from, Unbounded)));
        metrics
            .filter(move |(_, units)| units.values().any(|known| known.last_at_s >= since_s))
            .map(|(metric, _)| metric)
    }
}

/// What ListMetrics and searches ask for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Dimensions that it has to have, with their values if those matter.
    pub dimensions: Vec<(String, Option<String>)>,
    pub since_s: i64,
}

impl Filter {
    pub fn takes(&self, metric: &Metric) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        is(&self.namespace, &metric.namespace)
            && is(&self.name, &metric.name)
            && self.dimensions.iter().all(|(name, value)| {
                let found = metric.dimensions.get(name);
                found.is_some_and(|found| is(value, found))
            })
    }
}

/// A page of the metrics that a filter takes, and the last of them where there are more.
pub fn page<'a>(
    index: &'a Index,
    home: &Home,
    filter: &Filter,
    after: Option<&'a Metric>,
) -> (Vec<Metric>, bool) {
    let metrics = index.metrics(home, filter.since_s, after);
    let mut found = metrics.filter(|metric| filter.takes(metric)).cloned();
    let page: Vec<Metric> = found.by_ref().take(limits::LIST_PAGE).collect();
    let more = found.next().is_some();
    (page, more)
}
