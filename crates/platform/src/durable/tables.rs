//! What is stored: a small row per execution, which says when it next has something to do, and one
//! per operation and per event of its history. The latter two are sealed: they hold what functions
//! were given and gave.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use store::{Migration, ReadTx, Result, Row, Tx, params};

use super::{
    core::{Changes, Event, Head, Operation},
    limits,
};
use crate::{functions::execution::FunctionKey, secrets::Secrets};

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [Migration::new(first, "durable_executions", TABLES)]
}

/// `due` is when an execution next has something to do, in milliseconds; a `busy` one has work that
/// a new process begins again. `format` is the version of what stands in `body`.
const TABLES: &str = "
CREATE TABLE durable_executions (
    id {text} PRIMARY KEY, account {text} NOT NULL, region {text} NOT NULL,
    function {text} NOT NULL, name {text} NOT NULL, version {text} NOT NULL,
    status {text} NOT NULL, started {int} NOT NULL, due {int} NOT NULL, busy {int} NOT NULL,
    format {int} NOT NULL, body {text} NOT NULL
) {strict};
CREATE UNIQUE INDEX durable_executions_by_name
    ON durable_executions (account, region, function, name);
CREATE INDEX durable_executions_by_start
    ON durable_executions (account, region, function, started, id);
CREATE INDEX durable_executions_due ON durable_executions (due);
CREATE INDEX durable_executions_busy ON durable_executions (id) WHERE busy = 1;
CREATE TABLE durable_operations (
    execution {text} NOT NULL, position {int} NOT NULL, format {int} NOT NULL,
    body {text} NOT NULL, PRIMARY KEY (execution, position)
) {strict};
CREATE TABLE durable_events (
    execution {text} NOT NULL, number {int} NOT NULL, format {int} NOT NULL,
    body {text} NOT NULL, PRIMARY KEY (execution, number)
) {strict};
";

/// The format that is written today. A newer one brings the way from each older.
const FORMAT: u32 = 1;

/// Statements over the three tables, with what opens the rows.
#[derive(Clone)]
pub struct Tables(pub Arc<Secrets>);

/// Changes as they are written: sealed before the transaction, which may run several times.
pub struct Sealed {
    head: Head,
    body: String,
    due_ms: i64,
    busy: bool,
    operations: Vec<(u32, String)>,
    events: Vec<(u32, String)>,
}

/// Which executions of a function are listed.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub version: Option<String>,
    pub name: Option<String>,
    pub statuses: Vec<String>,
    /// Neither is among those.
    pub after_ms: Option<i64>,
    pub before_ms: Option<i64>,
    pub newest_first: bool,
    /// Start and id of the last one of the page before.
    pub from: Option<(i64, String)>,
    pub limit: usize,
}

impl Tables {
    pub fn seal(&self, changes: &Changes) -> Result<Sealed> {
        let id = &changes.head.id;
        let operations = changes.operations.iter();
        let operations = operations.map(|(at, one)| Ok((*at, self.sealed(id, one)?)));
        let events = changes.events.iter();
        let events = events.map(|event| Ok((event.number, self.sealed(id, event)?)));
        Ok(Sealed {
            body: json(&changes.head)?,
            due_ms: changes.due_ms.unwrap_or(i64::MAX),
            busy: changes.busy,
            operations: operations.collect::<Result<_>>()?,
            events: events.collect::<Result<_>>()?,
            head: changes.head.clone(),
        })
    }

    /// An execution, and when it has something to do as it stands here.
    pub fn head(tx: &mut ReadTx, id: &str) -> Result<Option<(Head, i64)>> {
        let sql = "SELECT format, body, due FROM durable_executions WHERE id = $1";
        let row = tx.query_opt(sql, params![id])?;
        row.map(|row| Ok((opened_head(&row)?, row.get("due")?)))
            .transpose()
    }

    /// The execution of a name, which a function has one of.
    pub fn named(tx: &mut ReadTx, function: &FunctionKey, name: &str) -> Result<Option<Head>> {
        let sql = "SELECT format, body FROM durable_executions \
                   WHERE account = $1 AND region = $2 AND function = $3 AND name = $4";
        let FunctionKey {
            account_id,
            region,
            name: function,
        } = function;
        let row = tx.query_opt(sql, params![account_id, region, function, name])?;
        row.map(|row| opened_head(&row)).transpose()
    }

    /// Operations in their order, from one on; fewer than [`limits::LOAD_ROWS`] are the last.
    pub fn operations(&self, tx: &mut ReadTx, id: &str, from: u32) -> Result<Vec<Operation>> {
        let sql = "SELECT format, body FROM durable_operations \
                   WHERE execution = $1 AND position >= $2 ORDER BY position LIMIT $3";
        let rows = tx.query(sql, params![id, from, limits::LOAD_ROWS])?;
        rows.iter().map(|row| self.opened(id, row)).collect()
    }

    /// Events from a number on, up to [`limits::LOAD_ROWS`]; backwards where that is asked.
    pub fn events(
        &self,
        tx: &mut ReadTx,
        id: &str,
        from: u32,
        backwards: bool,
    ) -> Result<Vec<Event>> {
        let sql = match backwards {
            false => {
                "SELECT format, body FROM durable_events \
                 WHERE execution = $1 AND number >= $2 ORDER BY number LIMIT $3"
            }
            true => {
                "SELECT format, body FROM durable_events \
                 WHERE execution = $1 AND number <= $2 ORDER BY number DESC LIMIT $3"
            }
        };
        let rows = tx.query(sql, params![id, from, limits::LOAD_ROWS])?;
        rows.iter().map(|row| self.opened(id, row)).collect()
    }

    /// The ids of those that have something to do by a time, the longest overdue first.
    pub fn due(tx: &mut ReadTx, now_ms: i64) -> Result<Vec<String>> {
        let sql = "SELECT id FROM durable_executions WHERE due <= $1 ORDER BY due LIMIT $2";
        let rows = tx.query(sql, params![now_ms, limits::DUE_AT_ONCE])?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// When the next one has something to do.
    pub fn next_due_ms(tx: &mut ReadTx) -> Result<Option<i64>> {
        let sql = "SELECT due FROM durable_executions ORDER BY due LIMIT 1";
        let row = tx.query_opt(sql, params![])?;
        row.map(|row| row.get("due")).transpose()
    }

    /// Those that are busy, after an id.
    pub fn busy(tx: &mut ReadTx, after: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM durable_executions \
                   WHERE busy = 1 AND id > $1 ORDER BY id LIMIT $2";
        let rows = tx.query(sql, params![after, limits::DUE_AT_ONCE])?;
        rows.iter().map(|row| row.get("id")).collect()
    }

    /// Executions of a function in the order in which they began.
    pub fn list(tx: &mut ReadTx, function: &FunctionKey, asked: &Listing) -> Result<Vec<Head>> {
        let FunctionKey {
            account_id,
            region,
            name,
        } = function;
        let mut params: Vec<store::Value> = vec![account_id.into(), region.into(), name.into()];
        let mut sql = "SELECT format, body FROM durable_executions \
                       WHERE account = $1 AND region = $2 AND function = $3"
            .to_owned();
        let mut also = |condition: &str, value: store::Value| {
            params.push(value);
            let number = params.len();
            sql.push_str(&format!(" AND {condition} ${number}"));
        };
        if let Some(version) = &asked.version {
            also("version =", version.into());
        }
        if let Some(name) = &asked.name {
            also("name =", name.into());
        }
        if let Some(after_ms) = asked.after_ms {
            also("started >", after_ms.into());
        }
        if let Some(before_ms) = asked.before_ms {
            also("started <", before_ms.into());
        }
        if !asked.statuses.is_empty() {
            let first = params.len() + 1;
            let numbers = (first..first + asked.statuses.len()).map(|n| format!("${n}"));
            let numbers: Vec<String> = numbers.collect();
            sql.push_str(&format!(" AND status IN ({})", numbers.join(", ")));
            params.extend(asked.statuses.iter().map(store::Value::from));
        }
        if let Some((started_ms, id)) = &asked.from {
            let beyond = if asked.newest_first { "<" } else { ">" };
            let (at, after) = (params.len() + 1, params.len() + 2);
            sql.push_str(&format!(
                " AND (started {beyond} ${at} OR (started = ${at} AND id {beyond} ${after}))"
            ));
            params.extend([store::Value::from(*started_ms), id.into()]);
        }
        let order = if asked.newest_first { " DESC" } else { "" };
        let limit = params.len() + 1;
        sql.push_str(&format!(
            " ORDER BY started{order}, id{order} LIMIT ${limit}"
        ));
        params.push(i64::try_from(asked.limit).unwrap_or(i64::MAX).into());
        let rows = tx.query(&*sql, &params)?;
        rows.iter().map(opened_head).collect()
    }

    /// Removes an execution with all that belongs to it.
    pub fn remove(tx: &mut Tx, id: &str) -> Result<()> {
        for sql in [
            "DELETE FROM durable_operations WHERE execution = $1",
            "DELETE FROM durable_events WHERE execution = $1",
            "DELETE FROM durable_executions WHERE id = $1",
        ] {
            tx.execute(sql, params![id])?;
        }
        Ok(())
    }

    fn sealed(&self, id: &str, record: &impl Serialize) -> Result<String> {
        let json = json(record)?;
        self.0
            .seal(&owner(id), json.as_bytes())
            .map_err(|error| statement(format!("seal what an execution holds: {error}")))
    }

    fn opened<T: DeserializeOwned>(&self, id: &str, row: &Row) -> Result<T> {
        check_format(row)?;
        let sealed: String = row.get("body")?;
        let opened = self.0.open_sealed(&owner(id), &sealed);
        let opened = opened.map_err(|error| statement(format!("open what {id} holds: {error}")))?;
        read(&opened)
    }
}

impl Sealed {
    pub fn insert(&self, tx: &mut Tx) -> Result<()> {
        let head = &self.head;
        let sql = "INSERT INTO durable_executions \
                   (id, account, region, function, name, version, status, started, due, busy, \
                    format, body) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let row = params![
            &head.id,
            &head.account_id,
            &head.region,
            &head.function,
            &head.name,
            &head.version,
            head.status.as_str(),
            head.started_ms,
            self.due_ms,
            i64::from(self.busy),
            FORMAT,
            &self.body
        ];
        tx.execute(sql, row)?;
        self.write_rest(tx)
    }

    /// Over what is there; nothing if the execution is gone.
    pub fn update(&self, tx: &mut Tx) -> Result<()> {
        let sql = "UPDATE durable_executions \
                   SET status = $1, due = $2, busy = $3, format = $4, body = $5 WHERE id = $6";
        let row = params![
            self.head.status.as_str(),
            self.due_ms,
            i64::from(self.busy),
            FORMAT,
            &self.body,
            &self.head.id
        ];
        match tx.execute(sql, row)? {
            0 => Ok(()),
            _ => self.write_rest(tx),
        }
    }

    fn write_rest(&self, tx: &mut Tx) -> Result<()> {
        let id = &self.head.id;
        for (position, body) in &self.operations {
            let sql = "INSERT INTO durable_operations (execution, position, format, body) \
                       VALUES ($1, $2, $3, $4) ON CONFLICT (execution, position) \
                       DO UPDATE SET format = excluded.format, body = excluded.body";
            tx.execute(sql, params![id, *position, FORMAT, body])?;
        }
        for (number, body) in &self.events {
            let sql = "INSERT INTO durable_events (execution, number, format, body) \
                       VALUES ($1, $2, $3, $4)";
            tx.execute(sql, params![id, *number, FORMAT, body])?;
        }
        Ok(())
    }
}

fn owner(id: &str) -> String {
    format!("durable-execution:{id}")
}

fn opened_head(row: &Row) -> Result<Head> {
    check_format(row)?;
    read(row.get::<String>("body")?.as_bytes())
}

fn check_format(row: &Row) -> Result<()> {
    match row.get::<u32>("format")? {
        FORMAT => Ok(()),
        other => Err(statement(format!(
            "a durable execution is stored in format {other}, this program knows {FORMAT}"
        ))),
    }
}

fn json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|error| statement(format!("write a durable execution: {error}")))
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| statement(format!("read a durable execution: {error}")))
}

fn statement(reason: String) -> store::Error {
    store::Error::Statement { reason }
}
