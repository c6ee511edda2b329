//! The statements: what a batch of changes is in the store, and how messages are read back.
//!
//! PostgreSQL gets many rows a statement, as each costs a round trip; SQLite one, as a statement
//! costs it nothing.

use std::fmt::Write as _;

use store::{Dialect, ReadTx, Result, Tx, Value};

use super::{
    dedup::DedupKey,
    state::{Entry, Phase, Standing},
};
use crate::queues::{definition::QueueId, message::Sent};

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Rows {
    pub messages: Vec<MessageRow>,
    pub bodies: Vec<(i64, Vec<u8>)>,
    pub dedups: Vec<DedupRow>,
    pub moves: Vec<MoveRow>,
    pub standings: Vec<(QueueId, Standing)>,
    pub deletes: Vec<(QueueId, i64)>,
    /// A new floor of sequence numbers, in milliseconds.
    pub floor_ms: Option<i64>,
}

#[derive(Debug)]
pub struct MessageRow {
    pub queue: QueueId,
    pub standing: Standing,
    pub sent_at_ms: i64,
    pub group: Option<String>,
    pub source: Option<String>,
}

#[derive(Debug)]
pub struct DedupRow {
    pub queue: QueueId,
    pub at_ms: i64,
    pub key: DedupKey,
    pub sent: Sent,
}

/// A message that changes its queue, and with it its number.
#[derive(Debug)]
pub struct MoveRow {
    pub from: QueueId,
    pub old: i64,
    pub row: MessageRow,
    /// Its content, if that changes.
    pub body: Option<Vec<u8>>,
}

impl MessageRow {
    pub fn new(queue: QueueId, sequence: i64, entry: &Entry) -> Self {
        Self {
            queue,
            standing: entry.standing(sequence),
            sent_at_ms: entry.sent_at_ms,
            group: entry.group.as_deref().map(str::to_owned),
            source: entry.source.as_deref().map(str::to_owned),
        }
    }

    fn values(&self, out: &mut Vec<Value>) {
        let standing = &self.standing;
        out.extend([
            Value::Int(self.queue.0),
            Value::Int(standing.sequence),
            Value::Int(standing.due_ms),
            Value::Int(standing.receives.into()),
            Value::Int(standing.first_received_ms),
            Value::Int(self.sent_at_ms),
            Value::from(self.group.clone()),
            Value::from(self.source.clone()),
        ]);
    }
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        let Self {
            messages,
            moves,
            standings,
            deletes,
            ..
        } = self;
        messages.is_empty() && moves.is_empty() && standings.is_empty() && deletes.is_empty()
    }

    /// The highest of the sequence numbers that are new.
    pub fn highest(&self) -> Option<i64> {
        let moved = self.moves.iter().map(|row| row.row.standing.sequence);
        let sent = self.messages.iter().map(|row| row.standing.sequence);
        sent.chain(moved).max()
    }

    pub fn write(&self, tx: &mut Tx) -> Result<()> {
        if let Some(floor_ms) = self.floor_ms {
            let sql = "UPDATE queue_floor SET floor_ms = $1 WHERE id = 1";
            tx.execute(sql, store::params![floor_ms])?;
        }
        insert_messages(tx, &self.messages)?;
        insert_bodies(tx, &self.bodies)?;
        insert_dedups(tx, &self.dedups)?;
        for row in &self.moves {
            move_message(tx, row)?;
        }
        update_standings(tx, &self.standings)?;
        delete(tx, &self.deletes)
    }
}

fn insert_messages(tx: &mut Tx, rows: &[MessageRow]) -> Result<()> {
    let head = "INSERT INTO queue_messages \
                (queue, seq, due, receives, first_received, sent_at, message_group, source) VALUES ";
    in_chunks(
        tx,
        rows,
        |count| format!("{head}{}", values(count, 8)),
        MessageRow::values,
    )
}

fn insert_bodies(tx: &mut Tx, rows: &[(i64, Vec<u8>)]) -> Result<()> {
    let head = "INSERT INTO queue_bodies (seq, body) VALUES ";
    in_chunks(
        tx,
        rows,
        |count| format!("{head}{}", values(count, 2)),
        |row, out| {
            out.extend([Value::Int(row.0), Value::Blob(row.1.clone())]);
        },
    )
}

/// An id that was forgotten with a purge may come again within its millisecond: one of the two is
/// enough to remember.
fn insert_dedups(tx: &mut Tx, rows: &[DedupRow]) -> Result<()> {
    let head = "INSERT INTO queue_dedups (queue, at, key, seq, message_id) VALUES ";
    in_chunks(
        tx,
        rows,
        |count| format!("{head}{} ON CONFLICT DO NOTHING", values(count, 5)),
        |row, out| {
            out.extend([
                Value::Int(row.queue.0),
                Value::Int(row.at_ms),
                Value::Blob(row.key.to_vec()),
                Value::Int(row.sent.sequence),
                Value::Text(row.sent.message_id.to_string()),
            ]);
        },
    )
}

/// Only what is still there is moved: it may have been purged since.
fn move_message(tx: &mut Tx, row: &MoveRow) -> Result<()> {
    let old = store::params![row.from.0, row.old];
    let sql = "DELETE FROM queue_messages WHERE queue = $1 AND seq = $2";
    if tx.execute(sql, old)? == 0 {
        return Ok(());
    }
    insert_messages(tx, std::slice::from_ref(&row.row))?;
    let new = row.row.standing.sequence;
    let Some(body) = &row.body else {
        let sql = "UPDATE queue_bodies SET seq = $1 WHERE seq = $2";
        return tx.execute(sql, store::params![new, row.old]).map(drop);
    };
    let sql = "DELETE FROM queue_bodies WHERE seq = $1";
    tx.execute(sql, store::params![row.old])?;
    let sql = "INSERT INTO queue_bodies (seq, body) VALUES ($1, $2)";
    tx.execute(sql, store::params![new, body.as_slice()])
        .map(drop)
}

fn update_standings(tx: &mut Tx, rows: &[(QueueId, Standing)]) -> Result<()> {
    let text = |count| match count {
        1 => "UPDATE queue_messages SET due = $1, receives = $2, first_received = $3 \
              WHERE queue = $4 AND seq = $5"
            .to_owned(),
        _ => format!(
            "UPDATE queue_messages AS m SET due = v.due, receives = v.receives, \
             first_received = v.first_received \
             FROM (VALUES {}) AS v (due, receives, first_received, queue, seq) \
             WHERE m.queue = v.queue AND m.seq = v.seq",
            integers(count, 5)
        ),
    };
    in_chunks(tx, rows, text, |(queue, standing), out| {
        out.extend([
            Value::Int(standing.due_ms),
            Value::Int(standing.receives.into()),
            Value::Int(standing.first_received_ms),
            Value::Int(queue.0),
            Value::Int(standing.sequence),
        ]);
    })
}

fn delete(tx: &mut Tx, rows: &[(QueueId, i64)]) -> Result<()> {
    let text = |count| match count {
        1 => "DELETE FROM queue_messages WHERE queue = $1 AND seq = $2".to_owned(),
        _ => format!(
            "DELETE FROM queue_messages AS m USING (VALUES {}) AS v (queue, seq) \
             WHERE m.queue = v.queue AND m.seq = v.seq",
            integers(count, 2)
        ),
    };
    in_chunks(tx, rows, text, |(queue, sequence), out| {
        out.extend([Value::Int(queue.0), Value::Int(*sequence)]);
    })?;
    let text = |count| match count {
        1 => "DELETE FROM queue_bodies WHERE seq = $1".to_owned(),
        _ => format!(
            "DELETE FROM queue_bodies AS b USING (VALUES {}) AS v (seq) WHERE b.seq = v.seq",
            integers(count, 1)
        ),
    };
    in_chunks(tx, rows, text, |(_, sequence), out| {
        out.push(Value::Int(*sequence))
    })
}

/// Runs a statement over all rows, as many at once as the engine likes.
fn in_chunks<T>(
    tx: &mut Tx,
    mut rows: &[T],
    text: impl Fn(usize) -> String,
    bind: impl Fn(&T, &mut Vec<Value>),
) -> Result<()> {
    let sizes: &[usize] = match tx.dialect() {
        Dialect::Sqlite => &[1],
        Dialect::Postgres => &[64, 16, 4, 1],
    };
    let mut params = Vec::new();
    for &size in sizes {
        if rows.len() < size {
            continue;
        }
        let sql = text(size);
        while rows.len() >= size {
            let (chunk, rest) = rows.split_at(size);
            params.clear();
            chunk.iter().for_each(|row| bind(row, &mut params));
            tx.execute(sql.as_str(), &params)?;
            rows = rest;
        }
    }
    Ok(())
}

/// `($1,$2),($3,$4)`.
fn values(rows: usize, columns: usize) -> String {
    tuples(rows, columns, |out, number| {
        let _ = write!(out, "${number}");
    })
}

/// The same where nothing else says that they are integers.
fn integers(rows: usize, columns: usize) -> String {
    tuples(rows, columns, |out, number| {
        let _ = write!(out, "CAST(${number} AS BIGINT)");
    })
}

fn tuples(rows: usize, columns: usize, write: impl Fn(&mut String, usize)) -> String {
    let mut out = String::new();
    for row in 0..rows {
        out.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            if column > 0 {
                out.push(',');
            }
            write(&mut out, row * columns + column + 1);
        }
        out.push(')');
    }
    out
}

/// Messages of a queue as they are read.
pub struct Page {
    pub messages: Vec<(i64, Entry)>,
    pub is_last: bool,
}

/// The next messages behind a number.
pub fn page(tx: &mut ReadTx, queue: QueueId, after: i64, limit: usize) -> Result<Page> {
    let sql = "SELECT seq, due, receives, first_received, sent_at, message_group, source \
               FROM queue_messages WHERE queue = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.query(sql, store::params![queue.0, after, most])?;
    let is_last = rows.len() < limit;
    let messages = rows.iter().map(message).collect::<Result<_>>()?;
    Ok(Page { messages, is_last })
}

fn message(row: &store::Row) -> Result<(i64, Entry)> {
    let text = |column: usize| Ok(row.get::<Option<String>>(column)?.map(Into::into));
    let entry = Entry {
        phase: Phase::Ready,
        due_ms: row.get(1)?,
        receives: row.get(2)?,
        first_received_ms: row.get(3)?,
        sent_at_ms: row.get(4)?,
        received_ms: 0,
        group: text(5)?,
        source: text(6)?,
        stored: None,
    };
    Ok((row.get(0)?, entry))
}

/// How many messages a queue has behind a number, and the last one that was ever received.
pub fn summary(tx: &mut ReadTx, queue: QueueId, after: i64) -> Result<(i64, i64)> {
    let sql = "SELECT COUNT(*), MAX(CASE WHEN receives > 0 THEN seq ELSE 0 END) \
               FROM queue_messages WHERE queue = $1 AND seq > $2";
    let row = tx.query_one(sql, store::params![queue.0, after])?;
    Ok((row.get(0)?, row.get::<Option<i64>>(1)?.unwrap_or(0)))
}

/// What a FIFO queue was sent since then, read so many at a time, as one query has a bound.
pub fn dedups(
    tx: &mut ReadTx,
    queue: QueueId,
    since_ms: i64,
    page: usize,
) -> Result<Vec<(i64, DedupKey, Sent)>> {
    let sql = format!(
        "SELECT at, key, seq, message_id FROM queue_dedups \
         WHERE queue = $1 AND (at, key) > ($2, $3) ORDER BY at, key LIMIT {page}"
    );
    let mut known = Vec::new();
    // Before every key of the first millisecond.
    let mut after = (since_ms.saturating_add(1), Vec::new());
    loop {
        let params = store::params![queue.0, after.0, after.1.as_slice()];
        let rows = tx.query(sql.as_str(), params)?;
        for row in &rows {
            after = (row.get(0)?, row.get(1)?);
            let id: String = row.get(3)?;
            if let (Ok(key), Ok(message_id)) = (DedupKey::try_from(after.1.as_slice()), id.parse())
            {
                let sequence = row.get(2)?;
                let sent = Sent {
                    message_id,
                    sequence,
                };
                known.push((after.0, key, sent));
            }
        }
        if rows.len() < page {
            return Ok(known);
        }
    }
}

/// The contents of messages, in any order; those that are gone are left out.
pub fn bodies(tx: &mut ReadTx, sequences: &[i64]) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut found = Vec::with_capacity(sequences.len());
    for chunk in sequences.chunks(100) {
        // Few lengths, so that few statements are kept; a repeated number finds nothing more.
        let size = [1, 10, 100].into_iter().find(|size| *size >= chunk.len());
        let size = size.unwrap_or(100);
        let numbers: Vec<String> = (1..=size).map(|number| format!("${number}")).collect();
        let sql = format!(
            "SELECT seq, body FROM queue_bodies WHERE seq IN ({})",
            numbers.join(",")
        );
        let last = chunk.last().copied().unwrap_or_default();
        let padded = chunk.iter().copied().chain(std::iter::repeat(last));
        let params: Vec<Value> = padded.take(size).map(Value::Int).collect();
        for mut row in tx.query(sql.as_str(), &params)? {
            found.push((row.get(0)?, row.take(1)?));
        }
    }
    Ok(found)
}

/// Deletes a queue's oldest messages up to a number, and says how many those were.
pub fn wipe(tx: &mut Tx, queue: QueueId, until: i64, limit: usize) -> Result<u64> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let oldest = "SELECT seq FROM queue_messages WHERE queue = $1 AND seq <= $2 \
                  ORDER BY seq LIMIT $3";
    let rows = tx.query(oldest, store::params![queue.0, until, most])?;
    let rows: Vec<(QueueId, i64)> = rows
        .iter()
        .map(|row| Ok((queue, row.get(0)?)))
        .collect::<Result<_>>()?;
    delete(tx, &rows)?;
    Ok(rows.len() as u64)
}

#[cfg(test)]
mod tests {
    use store::{Store, StoreConfig};
    use uuid::Uuid;

    use super::*;

    const QUEUE: QueueId = QueueId(1);

    async fn store_in(dir: &tempfile::TempDir) -> Store {
        let config = StoreConfig::new(dir.path().to_str().expect("a path of text"));
        let store = Store::open(config, &crate::queues::migrations(1)).await;
        store.expect("the store opens")
    }

    fn row(at_ms: i64, number: u8) -> DedupRow {
        DedupRow {
            queue: QUEUE,
            at_ms,
            key: [number; 16],
            sent: Sent {
                message_id: Uuid::from_u128(number.into()),
                sequence: number.into(),
            },
        }
    }

    async fn write(store: &Store, dedups: Vec<DedupRow>) {
        let rows = Rows {
            dedups,
            ..Rows::default()
        };
        let written = store.write(move |tx| rows.write(tx)).await;
        written.expect("they are written");
    }

    /// The ids' numbers, in their order.
    async fn read(store: &Store, since_ms: i64, page: usize) -> Vec<i64> {
        let read = store
            .read(move |tx| dedups(tx, QUEUE, since_ms, page))
            .await;
        let read = read.expect("they are read").into_iter();
        read.map(|(_, _, sent)| sent.sequence).collect()
    }

    #[tokio::test]
    async fn more_of_one_millisecond_than_a_page_has_are_all_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_in(&dir).await;
        let at_once = (0..10).map(|number| row(7, number));
        let others = [row(5, 98), row(6, 97), row(8, 99)];
        write(&store, at_once.chain(others).collect()).await;
        for page in [1, 2, 3, 5, 100] {
            let expected: Vec<i64> = [97].into_iter().chain(0..10).chain([99]).collect();
            assert_eq!(read(&store, 5, page).await, expected, "{page} at a time");
        }
    }

    #[tokio::test]
    async fn an_id_that_was_forgotten_may_come_again_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_in(&dir).await;
        write(&store, vec![row(7, 1)]).await;
        write(&store, vec![row(7, 1), row(7, 2)]).await;
        assert_eq!(read(&store, 0, 100).await, [1, 2]);
    }
}
