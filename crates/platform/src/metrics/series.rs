//! What a series is: a metric, by namespace, name and dimensions, in one unit.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use super::distribution::Distribution;

/// The unit of what has none.
pub const NO_UNIT: &str = "None";

/// All that there are.
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    NO_UNIT,
];

/// Whether CloudWatch has such a unit.
pub fn is_unit(name: &str) -> bool {
    UNITS.contains(&name)
}

/// Where a metric belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    pub account_id: String,
    pub region: String,
}

/// Two with other dimensions are two metrics; their order does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    /// Whether its names and values can be stored and shown.
    pub fn is_printable(&self) -> bool {
        let dimensions = self.dimensions.iter();
        let mut all = [&self.namespace, &self.name]
            .into_iter()
            .chain(dimensions.flat_map(|(name, value)| [name, value]));
        all.all(|text| !text.chars().any(char::is_control))
    }

    pub fn new<'a>(
        namespace: &str,
        name: &str,
        dimensions: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let dimensions = dimensions.into_iter();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// The name of a series in the store: a hash of all that it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub String);

impl SeriesId {
    pub fn of(home: &Home, metric: &Metric, unit: &str) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |part: &str| {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        };
        for part in [
            &home.account_id,
            &home.region,
            &metric.namespace,
            &metric.name,
        ] {
            add(part);
        }
        for (name, value) in &metric.dimensions {
            add(name);
            add(value);
        }
        add(unit);
        let hash = hash.finish();
        let half = hash.as_ref().iter().take(16);
        Self(half.map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Values of a metric at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    pub metric: Metric,
    /// One of CloudWatch's.
    pub unit: String,
    /// Seconds since 1970.
    pub at_s: i64,
    /// Kept by the second, and not by the minute.
    pub high_resolution: bool,
    pub values: Distribution,
}

impl Datum {
    /// One value, by the minute.
    pub fn new(metric: Metric, unit: &str, at_s: i64, value: f64) -> Self {
        Self {
            metric,
            unit: unit.to_owned(),
            at_s,
            high_resolution: false,
            values: Distribution::of(value, 1.0),
        }
    }

    /// The resolution at which it is stored first, in seconds, and when its period begins.
    pub fn place(&self) -> (i64, i64) {
        let period_s = if self.high_resolution { 1 } else { 60 };
        (period_s, self.at_s.div_euclid(period_s) * period_s)
    }
}
