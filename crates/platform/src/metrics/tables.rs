//! What is stored: a row per series, a row per series and period with what is kept of its values,
//! and records of alarms, what became of them, and dashboards.

use std::collections::BTreeMap;

use store::{Migration, ReadTx, Result, Row, Tx};

use super::{
    alarms,
    distribution::Distribution,
    index::{Index, Known},
    series::{Home, Metric, SeriesId},
};

const METRICS: &str = "
CREATE TABLE metric_series (
  id {text} PRIMARY KEY, account_id {text} NOT NULL, region {text} NOT NULL,
  namespace {text} NOT NULL, name {text} NOT NULL, dimensions {text} NOT NULL,
  unit {text} NOT NULL, last_at_s {int} NOT NULL
) {clustered};
CREATE TABLE metric_points (
  series {text} NOT NULL, at_s {int} NOT NULL, period_s {int} NOT NULL, body {blob} NOT NULL,
  PRIMARY KEY (series, at_s, period_s)
) {clustered};
CREATE INDEX metric_points_age ON metric_points (period_s, at_s);";

/// The tables of metrics, for the platform's list of migrations.
pub const fn migration(number: u32) -> Migration {
    Migration::new(number, "metrics", METRICS)
}

/// The tables of alarms and dashboards, numbered from `first`.
pub const fn alarm_migrations(first: u32) -> [Migration; 3] {
    [
        Migration::new(first, "alarms", store::records_table!("alarms")),
        Migration::new(first + 1, "alarm_history", alarms::HISTORY_SQL),
        Migration::new(first + 2, "dashboards", store::records_table!("dashboards")),
    ]
}

/// All series there are.
pub fn load(tx: &mut ReadTx) -> Result<Index> {
    let mut index = Index::default();
    let sql = "SELECT id, account_id, region, namespace, name, dimensions, unit, last_at_s \
        FROM metric_series";
    for mut row in tx.query(sql, store::params![])? {
        let home = Home {
            account_id: row.take("account_id")?,
            region: row.take("region")?,
        };
        let dimensions: String = row.take("dimensions")?;
        let dimensions: BTreeMap<String, String> =
            serde_json::from_str(&dimensions).unwrap_or_default();
        let metric = Metric {
            namespace: row.take("namespace")?,
            name: row.take("name")?,
            dimensions,
        };
        let (unit, last_at_s): (String, i64) = (row.take("unit")?, row.get("last_at_s")?);
        let known = Known {
            id: SeriesId(row.take("id")?),
            last_at_s,
            stored_at_s: last_at_s,
        };
        index.set(&home, &metric, &unit, known);
    }
    Ok(index)
}

/// Notes a series, or that it has newer data.
pub fn put_series(
    tx: &mut Tx,
    id: &SeriesId,
    home: &Home,
    (metric, unit): (&Metric, &str),
    last_at_s: i64,
) -> Result<()> {
    let dimensions = serde_json::Value::from_iter(
        metric
            .dimensions
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let sql = "INSERT INTO metric_series \
        (id, account_id, region, namespace, name, dimensions, unit, last_at_s) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
        ON CONFLICT (id) DO UPDATE SET last_at_s = excluded.last_at_s";
    let row = store::params![
        &id.0,
        &home.account_id,
        &home.region,
        &metric.namespace,
        &metric.name,
        dimensions.to_string(),
        unit,
        last_at_s
    ];
    tx.execute(sql, row).map(drop)
}

pub fn delete_series(tx: &mut Tx, id: &SeriesId) -> Result<()> {
    let sql = "DELETE FROM metric_points WHERE series = $1";
    tx.execute(sql, store::params![&id.0])?;
    let sql = "DELETE FROM metric_series WHERE id = $1";
    tx.execute(sql, store::params![&id.0]).map(drop)
}

/// Adds values to those of a period.
pub fn add(tx: &mut Tx, id: &str, at_s: i64, period_s: i64, values: &Distribution) -> Result<()> {
    let place = store::params![id, at_s, period_s].to_vec();
    let sql = "SELECT body FROM metric_points WHERE series = $1 AND at_s = $2 AND period_s = $3";
    let before = tx.query_opt(sql, &place)?;
    let before = before.and_then(|row| body(&row)).map(|mut before| {
        before.merge(values);
        before
    });
    let bytes = before.as_ref().unwrap_or(values).to_bytes();
    let sql = "INSERT INTO metric_points (series, at_s, period_s, body) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (series, at_s, period_s) DO UPDATE SET body = excluded.body";
    let row = store::params![id, at_s, period_s, bytes];
    tx.execute(sql, row).map(drop)
}

/// A period's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub at_s: i64,
    pub period_s: i64,
    pub values: Distribution,
}

/// The points of a series from a time on and before another, in the order of time; at most one
/// more than `limit`.
pub fn points(
    tx: &mut ReadTx,
    id: &str,
    from_s: i64,
    to_s: i64,
    limit: usize,
) -> Result<Vec<Point>> {
    let sql = "SELECT at_s, period_s, body FROM metric_points \
        WHERE series = $1 AND at_s >= $2 AND at_s < $3 ORDER BY at_s LIMIT $4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let rows = tx.query(sql, store::params![id, from_s, to_s, limit])?;
    let mut points = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(values) = body(&row) {
            points.push(Point {
                at_s: row.get("at_s")?,
                period_s: row.get("period_s")?,
                values,
            });
        }
    }
    Ok(points)
}

/// Moves points older than a time to a coarser resolution, or away; gives how many. Points of one
/// period may be moved one after the other.
pub fn roll_up(
    tx: &mut Tx,
    period_s: i64,
    before_s: i64,
    to_s: Option<i64>,
    limit: u32,
) -> Result<usize> {
    let sql = "SELECT series, at_s, body FROM metric_points \
        WHERE period_s = $1 AND at_s < $2 ORDER BY at_s LIMIT $3";
    let rows = tx.query(sql, store::params![period_s, before_s, limit])?;
    let mut sums: BTreeMap<(String, i64), Distribution> = BTreeMap::new();
    for row in &rows {
        let (series, at_s): (String, i64) = (row.get("series")?, row.get("at_s")?);
        let sql = "DELETE FROM metric_points WHERE series = $1 AND at_s = $2 AND period_s = $3";
        tx.execute(sql, store::params![&series, at_s, period_s])?;
        let (Some(coarser), Some(values)) = (to_s, body(row)) else {
            continue;
        };
        let place = (series, at_s.div_euclid(coarser) * coarser);
        match sums.get_mut(&place) {
            Some(sum) => sum.merge(&values),
            None => {
                sums.insert(place, values);
            }
        }
    }
    if let Some(coarser) = to_s {
        for ((series, at_s), values) in &sums {
            add(tx, series, *at_s, coarser, values)?;
        }
    }
    Ok(rows.len())
}

fn body(row: &Row) -> Option<Distribution> {
    let bytes: Vec<u8> = row.get("body").ok()?;
    let values = Distribution::from_bytes(&bytes);
    if values.is_none() {
        tracing::error!("a metric's point is damaged, and left out");
    }
    values
}
