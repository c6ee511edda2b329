//! What results are called: by what tells their metrics apart, or as was asked for, with parts such
//! as `${MAX}` filled in.

use super::{
    data::{Found, Query, Source, Stat},
    series::Metric,
};

/// A metric among others of a search: its dimensions' values and its name.
pub fn of_metric(metric: &Metric) -> String {
    let values = metric.dimensions.values().map(String::as_str);
    let parts: Vec<&str> = values.chain([metric.name.as_str()]).collect();
    parts.join(" ")
}

/// Gives the results their labels.
pub fn finish(queries: &[Query], found: &mut [Found]) {
    let stats: Vec<&Stat> = queries
        .iter()
        .filter(|query| query.returned)
        .filter_map(stat_of)
        .collect();
    for one in found {
        let Some(query) = queries.iter().find(|query| query.id == one.id) else {
            continue;
        };
        if let Some(stat) = stat_of(query) {
            one.label = default_label(stat, &stats);
        }
        if let Some(wanted) = &query.label {
            one.label = filled(wanted, one, stat_of(query));
        }
    }
}

fn stat_of(query: &Query) -> Option<&Stat> {
    match &query.source {
        Source::Stat(stat) => Some(stat),
        Source::Expression { .. } => None,
    }
}

/// The metric's name; and of what differs among the metrics that are asked for what this one has.
fn default_label(stat: &Stat, all: &[&Stat]) -> String {
    let same_name = all
        .iter()
        .all(|other| other.metric.name == stat.metric.name);
    let differs = |is: &dyn Fn(&Stat) -> bool| same_name && !all.iter().all(|other| is(other));
    let mut parts: Vec<String> = Vec::new();
    if differs(&|other| other.metric.dimensions == stat.metric.dimensions) {
        parts.extend(stat.metric.dimensions.values().cloned());
    }
    parts.push(stat.metric.name.clone());
    if differs(&|other| other.statistic_name == stat.statistic_name) {
        parts.push(stat.statistic_name.clone());
    }
    if differs(&|other| other.period_s == stat.period_s) {
        parts.push(stat.period_s.to_string());
    }
    parts.join(" ")
}

fn filled(wanted: &str, found: &Found, stat: Option<&Stat>) -> String {
    let (mut out, mut rest) = (String::new(), wanted);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        match part(name.trim(), found, stat) {
            Some(part) => out.push_str(&part),
            None => out.push_str(&format!("${{{name}}}")),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn part(name: &str, found: &Found, stat: Option<&Stat>) -> Option<String> {
    let values = || found.points.values().copied();
    let count = values().count() as f64;
    let number = match name {
        "LABEL" => return Some(found.label.clone()),
        "DATAPOINT_COUNT" => return Some(found.points.len().to_string()),
        "MIN" => values().reduce(f64::min),
        "MAX" => values().reduce(f64::max),
        "SUM" => Some(values().sum()),
        "AVG" => (count > 0.0).then(|| values().sum::<f64>() / count),
        "FIRST" => values().next(),
        "LAST" => values().next_back(),
        _ => return property(name, stat?),
    };
    Some(number.map_or_else(|| "--".to_owned(), short))
}

fn property(name: &str, stat: &Stat) -> Option<String> {
    let inside = name.strip_prefix("PROP(")?.strip_suffix(')')?;
    let inside = inside.trim().trim_matches(['\'', '"']);
    match inside {
        "MetricName" => Some(stat.metric.name.clone()),
        "Namespace" => Some(stat.metric.namespace.clone()),
        "Stat" => Some(stat.statistic_name.clone()),
        "Period" => Some(stat.period_s.to_string()),
        other => {
            let dimension = other.strip_prefix("Dim.")?;
            stat.metric.dimensions.get(dimension).cloned()
        }
    }
}

/// At most three digits behind the point.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::statistic::Statistic;

    fn query(id: &str, name: &str, statistic: &str, period_s: i64, label: Option<&str>) -> Query {
        Query {
            id: id.to_owned(),
            source: Source::Stat(Stat {
                metric: Metric::new("test", name, [("Host", id)]),
                period_s,
                statistic: Statistic::parse(statistic).unwrap(),
                statistic_name: statistic.to_owned(),
                unit: None,
            }),
            label: label.map(str::to_owned),
            returned: true,
        }
    }

    fn labels(queries: &[Query]) -> Vec<String> {
        let mut found: Vec<Found> = queries
            .iter()
            .map(|query| Found {
                id: query.id.clone(),
                label: String::new(),
                points: [(0, 1.5), (60, 2.0), (120, 0.25)].into(),
            })
            .collect();
        finish(queries, &mut found);
        found.into_iter().map(|found| found.label).collect()
    }

    #[test]
    fn a_label_says_what_differs() {
        let one = query("a", "load", "Sum", 60, None);
        assert_eq!(labels(std::slice::from_ref(&one)), ["load"]);
        let other = |name, statistic, period_s| {
            let mut other = query("b", name, statistic, period_s, None);
            if let (Source::Stat(other), Source::Stat(one)) = (&mut other.source, &one.source) {
                other.metric.dimensions.clone_from(&one.metric.dimensions);
            }
            labels(&[one.clone(), other])
        };
        assert_eq!(other("load", "Sum", 30), ["load 60", "load 30"]);
        assert_eq!(other("load", "p90", 60), ["load Sum", "load p90"]);
        assert_eq!(other("load", "p90", 30), ["load Sum 60", "load p90 30"]);
        assert_eq!(other("free", "p90", 60), ["load", "free"]);
        let elsewhere = query("c", "load", "Sum", 60, None);
        assert_eq!(labels(&[one, elsewhere]), ["a load", "c load"]);
    }

    #[test]
    fn parts_of_a_label_are_filled_in() {
        for (wanted, expected) in [
            ("plain", "plain"),
            ("${LABEL}: ${MAX} of ${SUM}", "load: 2 of 3.75"),
            (
                "${FIRST} ${LAST} ${AVG} ${DATAPOINT_COUNT}",
                "1.5 0.25 1.25 3",
            ),
            (
                "${PROP('MetricName')} ${PROP('Dim.Host')} ${PROP('Stat')}",
                "load a Sum",
            ),
            ("${NEVER} ${", "${NEVER} ${"),
        ] {
            let query = query("a", "load", "Sum", 60, Some(wanted));
            assert_eq!(labels(&[query]), [expected]);
        }
    }
}
