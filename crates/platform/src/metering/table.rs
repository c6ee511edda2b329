//! The folded usage in the store.

use store::{Result, Store, Tx};

use super::UsageRow;
use crate::limits;

/// Both tables, for the platform's list of migrations.
pub const MIGRATION_SQL: &str = "
CREATE TABLE usage (
  account_id {text} NOT NULL, day {text} NOT NULL, region {text} NOT NULL, function {text} NOT NULL,
  version {text} NOT NULL, architecture {text} NOT NULL, memory_mb {int} NOT NULL,
  requests {int} NOT NULL, errors {int} NOT NULL, throttles {int} NOT NULL,
  billed_ms {int} NOT NULL, init_ms {int} NOT NULL, max_memory_mb {int} NOT NULL,
  PRIMARY KEY (account_id, day, region, function, version, architecture, memory_mb)
) {clustered};
CREATE TABLE usage_folded (journal {text} PRIMARY KEY) {clustered};";

/// The columns of provisioned concurrency, which came later.
pub const PROVISIONED_MIGRATION_SQL: &str = "
ALTER TABLE usage ADD COLUMN provisioned_billed_ms {int} NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN provisioned_ms {int} NOT NULL DEFAULT 0;";

const ADD: &str = "
INSERT INTO usage (account_id, day, region, function, version, architecture, memory_mb,
  requests, errors, throttles, billed_ms, init_ms, max_memory_mb, provisioned_billed_ms,
  provisioned_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (account_id, day, region, function, version, architecture, memory_mb) DO UPDATE SET
  requests = usage.requests + excluded.requests, errors = usage.errors + excluded.errors,
  throttles = usage.throttles + excluded.throttles,
  billed_ms = usage.billed_ms + excluded.billed_ms, init_ms = usage.init_ms + excluded.init_ms,
  provisioned_billed_ms = usage.provisioned_billed_ms + excluded.provisioned_billed_ms,
  provisioned_ms = usage.provisioned_ms + excluded.provisioned_ms,
  max_memory_mb = CASE WHEN usage.max_memory_mb > excluded.max_memory_mb
    THEN usage.max_memory_mb ELSE excluded.max_memory_mb END";

/// Adds a journal's rows, unless this journal has been added before, and forgets others.
pub async fn add(
    store: &Store,
    journal: String,
    rows: Vec<UsageRow>,
    gone: Vec<String>,
) -> Result<()> {
    store
        .write(move |tx| {
            for journal in &gone {
                let sql = "DELETE FROM usage_folded WHERE journal = $1";
                tx.execute(sql, store::params![journal])?;
            }
            let sql = "INSERT INTO usage_folded (journal) VALUES ($1) ON CONFLICT DO NOTHING";
            if tx.execute(sql, store::params![&journal])? == 0 {
                return Ok(());
            }
            rows.iter().try_for_each(|row| add_row(tx, row))
        })
        .await
}

/// Forgets the journals of a node that has no file of them any more.
pub async fn forget_all(store: &Store, node: &str) -> Result<()> {
    // What begins with the node's name and a slash.
    let (from, to) = (format!("{node}/"), format!("{node}0"));
    let (first, last) = (from.clone(), to.clone());
    let any = store.read(move |tx| {
        let sql = "SELECT 1 AS one FROM usage_folded WHERE journal > $1 AND journal < $2 LIMIT 1";
        Ok(tx.query_opt(sql, store::params![&first, &last])?.is_some())
    });
    if !any.await? {
        return Ok(());
    }
    let forgotten = store.write(move |tx| {
        let sql = "DELETE FROM usage_folded WHERE journal > $1 AND journal < $2";
        tx.execute(sql, store::params![&from, &to])
    });
    forgotten.await.map(drop)
}

fn add_row(tx: &mut Tx, row: &UsageRow) -> Result<()> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    tx.execute(
        ADD,
        store::params![
            &row.account_id,
            &row.day,
            &row.region,
            &row.function,
            &row.version,
            &row.architecture,
            row.memory_mb,
            count(row.requests),
            count(row.errors),
            count(row.throttles),
            count(row.billed_ms),
            count(row.init_ms),
            count(row.max_memory_mb),
            count(row.provisioned_billed_ms),
            count(row.provisioned_ms)
        ],
    )?;
    Ok(())
}

/// Gives one row more than an answer may have where there are more.
pub async fn read(
    store: &Store,
    account_id: Option<&str>,
    from_day: &str,
    to_day: &str,
) -> Result<Vec<UsageRow>> {
    const COLUMNS: &str = "SELECT account_id, day, region, function, version, architecture, \
        memory_mb, requests, errors, throttles, billed_ms, init_ms, max_memory_mb, \
        provisioned_billed_ms, provisioned_ms FROM usage";
    const ORDER: &str = "ORDER BY day, region, function, version, architecture, memory_mb, \
        account_id LIMIT";
    let limit = limits::USAGE_ROWS_ANSWERED_MAX + 1;
    let account_id = account_id.map(str::to_owned);
    let (from_day, to_day) = (from_day.to_owned(), to_day.to_owned());
    let rows = store
        .read(move |tx| match &account_id {
            Some(account_id) => tx.query(
                &*format!("{COLUMNS} WHERE account_id = $1 AND day >= $2 AND day <= $3 {ORDER} $4"),
                store::params![account_id, &from_day, &to_day, limit],
            ),
            None => tx.query(
                &*format!("{COLUMNS} WHERE day >= $1 AND day <= $2 {ORDER} $3"),
                store::params![&from_day, &to_day, limit],
            ),
        })
        .await?;
    rows.iter()
        .map(|row| {
            let count = |name| row.get::<i64>(name).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(UsageRow {
                account_id: row.get("account_id")?,
                region: row.get("region")?,
                function: row.get("function")?,
                version: row.get("version")?,
                architecture: row.get("architecture")?,
                memory_mb: row.get("memory_mb")?,
                day: row.get("day")?,
                requests: count("requests")?,
                errors: count("errors")?,
                throttles: count("throttles")?,
                billed_ms: count("billed_ms")?,
                init_ms: count("init_ms")?,
                max_memory_mb: count("max_memory_mb")?,
                provisioned_billed_ms: count("provisioned_billed_ms")?,
                provisioned_ms: count("provisioned_ms")?,
            })
        })
        .collect()
}
