//! The storage engines bare: the rows that a message is made of, inserted, updated and deleted as
//! many a commit as the platform's were, by one connection that does nothing else.
//!
//! SQLite waits for the disk at every commit (WAL, `synchronous=FULL`); PostgreSQL gets whole arrays,
//! one statement a table, as its cost is the round trip.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rusqlite::Connection;
use tokio_postgres::NoTls;

use super::{
    client::BODY_BYTES,
    load::Operation,
    target::{Kind, Target},
};

const TIME: Duration = Duration::from_millis(700);
/// Rows made for one figure at most.
const ROWS_MAX: usize = 150_000;
const FILL_AT_ONCE: usize = 5_000;
const QUEUE: i64 = 1;

const TABLES: [&str; 2] = [
    "CREATE TABLE messages (
        queue BIGINT NOT NULL, seq BIGINT NOT NULL, due BIGINT NOT NULL, receives BIGINT NOT NULL,
        first_received BIGINT NOT NULL, sent_at BIGINT NOT NULL, message_group TEXT, source TEXT,
        PRIMARY KEY (queue, seq)
    )",
    "CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
];

pub struct Floor {
    engine: Engine,
    /// The rows that are there: from the oldest to behind the newest.
    rows: Range<i64>,
}

enum Engine {
    Sqlite(Connection, #[allow(dead_code)] tempfile::TempDir),
    Postgres(tokio::runtime::Runtime, tokio_postgres::Client),
}

impl Floor {
    /// None for peers.
    pub fn of(kind: Kind, target: &Target) -> Result<Option<Self>> {
        let engine = match (kind, target.postgres_url()) {
            (Kind::Sqlite, _) => Engine::sqlite()?,
            (_, Some(url)) => Engine::postgres(url)?,
            _ => return Ok(None),
        };
        Ok(Some(Floor { engine, rows: 0..0 }))
    }

    pub fn fill(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let some = left.min(FILL_AT_ONCE);
            self.insert(some)?;
            left -= some;
        }
        Ok(())
    }

    /// Messages a second at so many a commit, for a cycle with one of each change per message. There
    /// are as many rows afterwards as before.
    pub fn rate(&mut self, operation: Operation, per_commit: f64) -> Result<f64> {
        let group = (per_commit.round() as usize).clamp(1, ROWS_MAX);
        match operation {
            Operation::Send => {
                let (rate, rows) = during(group, ROWS_MAX, |group| self.insert(group))?;
                self.delete_all(rows)?;
                Ok(rate)
            }
            Operation::Receive => {
                let rows = self.prepare(group)?;
                let mut from = self.rows.start;
                let (rate, _) = during(group, rows, |group| {
                    let some = from..from + group as i64;
                    from = some.end;
                    self.engine.update(some)
                })?;
                self.delete_all(rows)?;
                Ok(rate)
            }
            Operation::Delete => {
                let rows = self.prepare(group)?;
                let (rate, done) = during(group, rows, |group| self.delete(group))?;
                self.delete_all(rows - done)?;
                Ok(rate)
            }
            Operation::Cycle => {
                self.insert(2 * group)?;
                let (rate, _) = during(group, ROWS_MAX, |group| {
                    let new = self.rows.end..self.rows.end + group as i64;
                    let middle = self.rows.start + group as i64;
                    let updated = middle..middle + group as i64;
                    let gone = self.rows.start..middle;
                    self.engine.all(new.clone(), updated, gone)?;
                    self.rows = middle..new.end;
                    Ok(())
                })?;
                self.delete_all(2 * group)?;
                // Where a message needs several commits, it needs them here too.
                Ok(rate * per_commit.min(1.0))
            }
        }
    }

    /// New rows, enough for a figure.
    fn prepare(&mut self, group: usize) -> Result<usize> {
        let rows = (group * 2_000).min(ROWS_MAX) / group * group;
        self.fill(rows)?;
        Ok(rows)
    }

    fn insert(&mut self, count: usize) -> Result<()> {
        let new = self.rows.end..self.rows.end + count as i64;
        self.engine.insert(new.clone())?;
        self.rows.end = new.end;
        Ok(())
    }

    fn delete(&mut self, count: usize) -> Result<()> {
        let gone = self.rows.start..self.rows.start + count as i64;
        self.engine.delete(gone.clone())?;
        self.rows.start = gone.end;
        Ok(())
    }

    fn delete_all(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let some = left.min(FILL_AT_ONCE);
            self.delete(some)?;
            left -= some;
        }
        Ok(())
    }
}

/// Groups for a while: rows a second, and how many.
fn during(
    group: usize,
    rows_max: usize,
    mut act: impl FnMut(usize) -> Result<()>,
) -> Result<(f64, usize)> {
    let begun = Instant::now();
    let mut rows = 0;
    while begun.elapsed() < TIME && rows + group <= rows_max.max(group) {
        act(group)?;
        rows += group;
    }
    Ok((rows as f64 / begun.elapsed().as_secs_f64(), rows))
}

fn body() -> Vec<u8> {
    // What a body is stored with: attributes, a nonce and a tag.
    vec![0x5a; BODY_BYTES + 64]
}

impl Engine {
    fn sqlite() -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder")?;
        let connection = Connection::open(dir.path().join("floor.db")).context("open SQLite")?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .context("set up SQLite")?;
        for table in TABLES {
            let clustered = if table.contains("seq)") {
                " WITHOUT ROWID"
            } else {
                ""
            };
            connection
                .execute_batch(&format!("{table}{clustered}"))
                .context("make tables")?;
        }
        Ok(Engine::Sqlite(connection, dir))
    }

    fn postgres(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start tokio")?;
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let [messages, bodies] = TABLES.map(|table| {
                let table = table.replace("CREATE TABLE ", "CREATE TABLE floor_");
                table.replace("INTEGER", "BIGINT").replace("BLOB", "BYTEA")
            });
            client
                .batch_execute(&format!(
                    "{messages} WITH (fillfactor = 60); {bodies};
                     ALTER TABLE floor_bodies ALTER COLUMN body SET STORAGE EXTERNAL"
                ))
                .await?;
            Ok::<_, tokio_postgres::Error>(client)
        });
        Ok(Engine::Postgres(
            runtime,
            client.context("set up PostgreSQL")?,
        ))
    }

    fn insert(&mut self, rows: Range<i64>) -> Result<()> {
        self.all(rows, 0..0, 0..0)
    }

    fn update(&mut self, rows: Range<i64>) -> Result<()> {
        self.all(0..0, rows, 0..0)
    }

    fn delete(&mut self, rows: Range<i64>) -> Result<()> {
        self.all(0..0, 0..0, rows)
    }

    /// One transaction.
    fn all(&mut self, new: Range<i64>, updated: Range<i64>, gone: Range<i64>) -> Result<()> {
        match self {
            Engine::Sqlite(connection, _) => {
                sqlite(connection, new, updated, gone).context("write to SQLite")
            }
            Engine::Postgres(runtime, client) => runtime
                .block_on(postgres(client, new, updated, gone))
                .context("write to PostgreSQL"),
        }
    }
}

fn sqlite(
    connection: &mut Connection,
    new: Range<i64>,
    updated: Range<i64>,
    gone: Range<i64>,
) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let body = body();
    for seq in new {
        let sql = "INSERT INTO messages VALUES (?1, ?2, ?2, 0, 0, ?2, NULL, NULL)";
        tx.prepare_cached(sql)?.execute((QUEUE, seq))?;
        let sql = "INSERT INTO bodies VALUES (?1, ?2)";
        tx.prepare_cached(sql)?.execute((seq, &body))?;
    }
    for seq in updated {
        let sql = "UPDATE messages SET due = ?2 + 1, receives = receives + 1, first_received = ?2 \
                   WHERE queue = ?1 AND seq = ?2";
        tx.prepare_cached(sql)?.execute((QUEUE, seq))?;
    }
    for seq in gone {
        let sql = "DELETE FROM messages WHERE queue = ?1 AND seq = ?2";
        tx.prepare_cached(sql)?.execute((QUEUE, seq))?;
        let sql = "DELETE FROM bodies WHERE seq = ?1";
        tx.prepare_cached(sql)?.execute([seq])?;
    }
    tx.commit()
}

async fn postgres(
    client: &mut tokio_postgres::Client,
    new: Range<i64>,
    updated: Range<i64>,
    gone: Range<i64>,
) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    if !new.is_empty() {
        let bodies: Vec<_> = new.clone().map(|_| body()).collect();
        let seqs: Vec<_> = new.collect();
        let sql = "INSERT INTO floor_messages SELECT $1::INT8, s, s, 0, 0, s, NULL, NULL \
                   FROM unnest($2::INT8[]) AS s";
        tx.execute(sql, &[&QUEUE, &seqs]).await?;
        let sql = "INSERT INTO floor_bodies SELECT * FROM unnest($1::INT8[], $2::BYTEA[])";
        tx.execute(sql, &[&seqs, &bodies]).await?;
    }
    if !updated.is_empty() {
        let seqs: Vec<_> = updated.collect();
        let sql = "UPDATE floor_messages SET due = due + 1, receives = receives + 1, \
                   first_received = sent_at WHERE queue = $1 AND seq = ANY($2)";
        tx.execute(sql, &[&QUEUE, &seqs]).await?;
    }
    if !gone.is_empty() {
        let seqs: Vec<_> = gone.collect();
        let sql = "DELETE FROM floor_messages WHERE queue = $1 AND seq = ANY($2)";
        tx.execute(sql, &[&QUEUE, &seqs]).await?;
        let sql = "DELETE FROM floor_bodies WHERE seq = ANY($1)";
        tx.execute(sql, &[&seqs]).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_leaves_as_many_rows_as_it_found() {
        let engine = Engine::sqlite().expect("SQLite opens");
        let mut floor = Floor { engine, rows: 0..0 };
        floor.fill(50).expect("it is filled");
        for operation in Operation::ALL {
            let rate = floor.rate(operation, 30.0).expect("it is measured");
            assert!(rate > 0.0, "{operation:?}");
        }
        let Engine::Sqlite(connection, _) = &floor.engine else {
            unreachable!("it was opened");
        };
        for table in ["messages", "bodies"] {
            let sql = format!("SELECT count(*) FROM {table}");
            let count = connection.query_row(&sql, [], |row| row.get(0));
            assert_eq!(count, Ok(50), "{table}");
        }
    }
}
