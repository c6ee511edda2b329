//! Versioned records: a serde type kept as JSON under a key of parts, with a revision.
//!
//! Every record kind has a physical table of one shape, made by a migration with
//! [`Migration`](crate::Migration) and [`records_table!`](crate::records_table). A record stored
//! by an older program is upgraded when it is read; one stored by a newer program is refused.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Cause, Error, Result};
use crate::tx::{ReadTx, Tx};
use crate::value::Row;

/// A type that is stored.
pub trait Record: Serialize + DeserializeOwned {
    /// The physical table.
    const TABLE: &'static str;
    /// The shape written today. Counts up with every change that old data does not fit.
    const VERSION: u32;

    /// Makes today's record of one stored as an older version.
    fn upgrade(version: u32, body: serde_json::Value) -> Result<Self, Cause> {
        let _ = body;
        Err(format!("there is no upgrade from version {version}").into_cause())
    }
}

trait IntoCause {
    fn into_cause(self) -> Cause;
}

impl IntoCause for String {
    fn into_cause(self) -> Cause {
        Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(self))
    }
}

/// The definition of a record table, for a migration.
#[macro_export]
macro_rules! records_table {
    ($name:literal) => {
        concat!(
            "CREATE TABLE ",
            $name,
            " (key {text} PRIMARY KEY, version {int} NOT NULL, revision {int} NOT NULL,",
            " body {text} NOT NULL) {clustered};"
        )
    };
}

/// Sorts before every character a part may hold, so keys sort part by part.
const SEPARATOR: char = '\u{1f}';
const AFTER_SEPARATOR: char = ' ';
const KEY_BYTES_MAX: usize = 2048;

/// A key of one or more parts, such as account, region and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Parts are not empty and have no control characters.
    pub fn new(parts: &[&str]) -> Result<Self> {
        let bad = |reason| {
            let parts = parts.iter().map(|&part| part.to_owned()).collect();
            Err(Error::BadKey { parts, reason })
        };
        if parts.is_empty() || parts.iter().any(|part| part.is_empty()) {
            return bad("a part is empty");
        }
        if parts
            .iter()
            .any(|part| part.chars().any(|c| c < AFTER_SEPARATOR))
        {
            return bad("a part has a control character");
        }
        let key = parts.join(&SEPARATOR.to_string());
        if key.len() > KEY_BYTES_MAX {
            bad("it is too long")
        } else {
            Ok(Self(key))
        }
    }

    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(SEPARATOR)
    }

    /// The last part: the name of the thing.
    pub fn name(&self) -> &str {
        self.parts().next_back().unwrap_or_default()
    }
}

/// A stored record with its key and revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<R> {
    pub key: Key,
    /// Starts at 1 and counts the changes.
    pub revision: i64,
    pub record: R,
}

/// Which records to list: those under a prefix of whole parts, after a key, in key order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    pub prefix: &'a [&'a str],
    /// Start behind this key; it need not exist any more.
    pub after: Option<&'a [&'a str]>,
    pub limit: u32,
}

/// The table of a record type: no state, the operations are on a transaction.
pub struct Table<R>(PhantomData<fn() -> R>);

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Table<R> {}

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Record> Table<R> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    pub fn get(&self, tx: &mut ReadTx, key: &[&str]) -> Result<Option<Stored<R>>> {
        let sql = format!(
            "SELECT key, version, revision, body FROM {} WHERE key = $1",
            R::TABLE
        );
        let row = tx.query_opt(&sql, crate::params![Key::new(key)?.0])?;
        row.map(stored).transpose()
    }

    /// [`Table::get`] of a record that has to be there.
    pub fn require(&self, tx: &mut ReadTx, key: &[&str]) -> Result<Stored<R>> {
        self.get(tx, key)?.ok_or_else(|| missing::<R>(key))
    }

    /// Stores a new record; [`Error::AlreadyExists`] if the key is taken.
    pub fn insert(&self, tx: &mut Tx, key: &[&str], record: &R) -> Result<()> {
        let sql = format!(
            "INSERT INTO {} (key, version, revision, body) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (key) DO NOTHING",
            R::TABLE
        );
        let row = crate::params![Key::new(key)?.0, R::VERSION, encode(record)?];
        match tx.execute(&sql, row)? {
            0 => Err(Error::AlreadyExists {
                what: what::<R>(key),
            }),
            _ => Ok(()),
        }
    }

    /// Stores a record whether or not there was one; gives its revision.
    pub fn put(&self, tx: &mut Tx, key: &[&str], record: &R) -> Result<i64> {
        let table = R::TABLE;
        let sql = format!(
            "INSERT INTO {table} (key, version, revision, body) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (key) DO UPDATE SET version = excluded.version, \
             revision = {table}.revision + 1, body = excluded.body RETURNING revision"
        );
        let row = crate::params![Key::new(key)?.0, R::VERSION, encode(record)?];
        tx.query_one(&sql, row)?.get("revision")
    }

    /// Replaces a record that is still at the revision it was read at; gives the new one.
    pub fn update(&self, tx: &mut Tx, key: &[&str], expected: i64, record: &R) -> Result<i64> {
        let sql = format!(
            "UPDATE {} SET version = $1, revision = revision + 1, body = $2 \
             WHERE key = $3 AND revision = $4",
            R::TABLE
        );
        let row = crate::params![R::VERSION, encode(record)?, Key::new(key)?.0, expected];
        match tx.execute(&sql, row)? {
            0 => Err(self.conflict(tx, key, expected)?),
            _ => Ok(expected + 1),
        }
    }

    /// Removes a record; says whether there was one.
    pub fn delete(&self, tx: &mut Tx, key: &[&str]) -> Result<bool> {
        let sql = format!("DELETE FROM {} WHERE key = $1", R::TABLE);
        Ok(tx.execute(&sql, crate::params![Key::new(key)?.0])? > 0)
    }

    /// Removes a record that is still at the revision it was read at.
    pub fn delete_at(&self, tx: &mut Tx, key: &[&str], expected: i64) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE key = $1 AND revision = $2", R::TABLE);
        match tx.execute(&sql, crate::params![Key::new(key)?.0, expected])? {
            0 => Err(self.conflict(tx, key, expected)?),
            _ => Ok(()),
        }
    }

    /// Removes everything under a prefix; gives the number of records.
    pub fn delete_under(&self, tx: &mut Tx, prefix: &[&str]) -> Result<u64> {
        let (above, below) = bounds(prefix)?;
        let sql = format!("DELETE FROM {} WHERE key > $1 AND key < $2", R::TABLE);
        tx.execute(&sql, crate::params![above, below])
    }

    pub fn list(&self, tx: &mut ReadTx, page: Page<'_>) -> Result<Vec<Stored<R>>> {
        let (above, below) = bounds(page.prefix)?;
        let after = page.after.map(Key::new).transpose()?;
        let above = after.map_or(above.clone(), |after| after.0.max(above));
        let sql = format!(
            "SELECT key, version, revision, body FROM {} WHERE key > $1 AND key < $2 \
             ORDER BY key LIMIT $3",
            R::TABLE
        );
        let rows = tx.query(&sql, crate::params![above, below, page.limit])?;
        rows.into_iter().map(stored).collect()
    }

    pub fn count(&self, tx: &mut ReadTx, prefix: &[&str]) -> Result<u64> {
        let (above, below) = bounds(prefix)?;
        let sql = format!(
            "SELECT count(*) AS n FROM {} WHERE key > $1 AND key < $2",
            R::TABLE
        );
        tx.query_one(&sql, crate::params![above, below])?.get("n")
    }

    fn conflict(&self, tx: &mut ReadTx, key: &[&str], expected: i64) -> Result<Error> {
        let sql = format!("SELECT revision FROM {} WHERE key = $1", R::TABLE);
        let row = tx.query_opt(&sql, crate::params![Key::new(key)?.0])?;
        Ok(match row {
            Some(row) => Error::Conflict {
                what: what::<R>(key),
                expected,
                found: row.get("revision")?,
            },
            None => missing::<R>(key),
        })
    }
}

/// The open interval of the keys below a prefix.
fn bounds(prefix: &[&str]) -> Result<(String, String)> {
    if prefix.is_empty() {
        return Ok((String::new(), char::MAX.to_string()));
    }
    let key = Key::new(prefix)?.0;
    Ok((
        format!("{key}{SEPARATOR}"),
        format!("{key}{AFTER_SEPARATOR}"),
    ))
}

fn encode<R: Record>(record: &R) -> Result<String> {
    serde_json::to_string(record).map_err(|error| Error::Statement {
        reason: format!("a record of {} does not serialise: {error}", R::TABLE),
    })
}

fn stored<R: Record>(mut row: Row) -> Result<Stored<R>> {
    let key = Key(row.take("key")?);
    let version: u32 = row.get("version")?;
    let body: String = row.take("body")?;
    let parts: Vec<&str> = key.parts().collect();
    let record = decode(version, &body, &parts)?;
    Ok(Stored {
        revision: row.get("revision")?,
        record,
        key,
    })
}

fn decode<R: Record>(version: u32, body: &str, key: &[&str]) -> Result<R> {
    if version > R::VERSION {
        let (found, known) = (version, R::VERSION);
        return Err(Error::NewerRecord {
            what: what::<R>(key),
            found,
            known,
        });
    }
    let damaged = |reason: String| {
        Error::corrupt(format!("{} of version {version}: {reason}", what::<R>(key)))
    };
    if version == R::VERSION {
        return serde_json::from_str(body).map_err(|error| damaged(error.to_string()));
    }
    let body = serde_json::from_str(body).map_err(|error| damaged(error.to_string()))?;
    R::upgrade(version, body).map_err(|error| damaged(error.to_string()))
}

fn what<R: Record>(key: &[&str]) -> String {
    format!("{} {}", R::TABLE, key.join("/"))
}

fn missing<R: Record>(key: &[&str]) -> Error {
    Error::NotFound {
        what: what::<R>(key),
    }
}
