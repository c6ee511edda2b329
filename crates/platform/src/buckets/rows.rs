//! The statements on versions of objects, with what follows from each for contents and files.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use store::{BlobHash, Error, ReadTx, Result, Row, Tx, params};

use super::{
    content::Lies,
    tables::{ObjectRecord, PartRecord, RECORD_VERSION},
};

/// The version id of what was put while versioning was not on.
pub const NULL: &str = "null";

/// A version of an object as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub key: String,
    /// Counts up over all versions of all objects.
    pub seq: i64,
    pub version_id: String,
    pub is_marker: bool,
    pub modified: Timestamp,
    pub size: u64,
    pub is_current: bool,
    /// Since when it is not.
    pub noncurrent_since: Option<Timestamp>,
    pub record: ObjectRecord,
}

impl Version {
    /// What there is of a key that has nothing.
    pub fn absent(key: &str, now: Timestamp) -> Self {
        Self {
            key: key.to_owned(),
            seq: 0,
            version_id: NULL.to_owned(),
            is_marker: false,
            modified: now,
            size: 0,
            is_current: false,
            noncurrent_since: None,
            record: ObjectRecord::marker(""),
        }
    }
}

/// A part, with its number and where in the object it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub number: i64,
    pub start: u64,
    pub size: u64,
    pub record: PartRecord,
}

const COLUMNS: &str = "key, seq, version_id, is_marker, modified_ms, size, version, body";

pub fn current(tx: &mut ReadTx, bucket: i64, key: &str) -> Result<Option<Version>> {
    let sql = format!("SELECT {COLUMNS} FROM objects WHERE bucket = $1 AND key = $2");
    let row = tx.query_opt(&sql, params![bucket, key.as_bytes()])?;
    row.map(|row| version(row, true)).transpose()
}

/// The version with this id, be it current or not.
pub fn find(tx: &mut ReadTx, bucket: i64, key: &str, id: &str) -> Result<Option<Version>> {
    let current = current(tx, bucket, key)?;
    if let Some(found) = current.filter(|found| found.version_id == id) {
        return Ok(Some(found));
    }
    let sql = format!(
        "SELECT {COLUMNS}, noncurrent_ms FROM object_versions \
         WHERE bucket = $1 AND key = $2 AND version_id = $3"
    );
    let row = tx.query_opt(&sql, params![bucket, key.as_bytes(), id])?;
    row.map(|row| version(row, false)).transpose()
}

/// Current versions from a key on, in order. `from` is bytes.
pub fn scan(tx: &mut ReadTx, bucket: i64, from: &[u8], limit: usize) -> Result<Vec<Version>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM objects WHERE bucket = $1 AND key >= $2 ORDER BY key LIMIT $3"
    );
    let rows = tx.query(&sql, params![bucket, from, limit as i64])?;
    rows.into_iter().map(|row| version(row, true)).collect()
}

/// Versions that are not current, from a key and within it an age on, the newest first.
pub fn scan_older(
    tx: &mut ReadTx,
    bucket: i64,
    from: (&[u8], i64),
    limit: usize,
) -> Result<Vec<Version>> {
    let sql = format!(
        "SELECT {COLUMNS}, noncurrent_ms FROM object_versions \
         WHERE bucket = $1 AND (key > $2 OR (key = $2 AND age >= $3)) \
         ORDER BY key, age LIMIT $4"
    );
    let params = params![bucket, from.0, from.1, limit as i64];
    let rows = tx.query(&sql, params)?;
    rows.into_iter().map(|row| version(row, false)).collect()
}

pub fn insert(tx: &mut Tx, bucket: i64, new: &Version) -> Result<()> {
    tx.execute(
        "INSERT INTO objects (bucket, key, seq, version_id, is_marker, modified_ms, size, version, \
         body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            bucket,
            new.key.as_bytes(),
            new.seq,
            &new.version_id,
            i64::from(new.is_marker),
            new.modified.as_millisecond(),
            new.size as i64,
            RECORD_VERSION,
            encode(&new.record)?,
        ],
    )?;
    Ok(())
}

/// What is current becomes an older version.
pub fn retire(tx: &mut Tx, bucket: i64, old: &Version, now: Timestamp) -> Result<()> {
    remove_row(tx, bucket, old)?;
    tx.execute(
        "INSERT INTO object_versions (bucket, key, age, seq, version_id, is_marker, modified_ms, \
         size, noncurrent_ms, version, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            bucket,
            old.key.as_bytes(),
            -old.seq,
            old.seq,
            &old.version_id,
            i64::from(old.is_marker),
            old.modified.as_millisecond(),
            old.size as i64,
            now.as_millisecond(),
            RECORD_VERSION,
            encode(&old.record)?,
        ],
    )?;
    Ok(())
}

/// The record of a version changes: tags, ACL, retention.
pub fn update(tx: &mut Tx, bucket: i64, version: &Version) -> Result<()> {
    let body = encode(&version.record)?;
    let key = version.key.as_bytes();
    match version.is_current {
        true => tx.execute(
            "UPDATE objects SET version = $1, body = $2 WHERE bucket = $3 AND key = $4 AND seq = $5",
            params![RECORD_VERSION, body, bucket, key, version.seq],
        )?,
        false => tx.execute(
            "UPDATE object_versions SET version = $1, body = $2 \
             WHERE bucket = $3 AND key = $4 AND age = $5",
            params![RECORD_VERSION, body, bucket, key, -version.seq],
        )?,
    };
    Ok(())
}

/// A version ends, with its content; the newest of the older ones becomes current if it was.
pub fn remove(tx: &mut Tx, bucket: i64, old: &Version) -> Result<()> {
    remove_row(tx, bucket, old)?;
    release(tx, &old.record.lies)?;
    if old.is_current {
        promote(tx, bucket, &old.key)?;
    }
    Ok(())
}

fn promote(tx: &mut Tx, bucket: i64, key: &str) -> Result<()> {
    let sql = format!(
        "SELECT {COLUMNS}, noncurrent_ms FROM object_versions WHERE bucket = $1 AND key = $2 \
         ORDER BY age LIMIT 1"
    );
    let row = tx.query_opt(&sql, params![bucket, key.as_bytes()])?;
    let Some(next) = row.map(|row| version(row, false)).transpose()? else {
        return Ok(());
    };
    remove_row(tx, bucket, &next)?;
    insert(tx, bucket, &next)
}

/// Takes a row away, and nothing else.
pub fn remove_row(tx: &mut Tx, bucket: i64, old: &Version) -> Result<()> {
    let key = old.key.as_bytes();
    match old.is_current {
        true => tx.execute(
            "DELETE FROM objects WHERE bucket = $1 AND key = $2 AND seq = $3",
            params![bucket, key, old.seq],
        )?,
        false => tx.execute(
            "DELETE FROM object_versions WHERE bucket = $1 AND key = $2 AND age = $3",
            params![bucket, key, -old.seq],
        )?,
    };
    Ok(())
}

/// Nothing refers to this content any more from where it was referred to.
pub fn release(tx: &mut Tx, lies: &Lies) -> Result<()> {
    match lies {
        Lies::Nowhere => {}
        Lies::Row(id) => {
            tx.execute("DELETE FROM object_bodies WHERE id = $1", params![*id])?;
        }
        Lies::File(hash) => release_file(tx, *hash)?,
        // There may be thousands: the collection goes through them.
        Lies::Parts(manifest) => {
            tx.execute(
                "INSERT INTO object_ended (manifest) VALUES ($1)",
                params![*manifest],
            )?;
        }
    }
    Ok(())
}

pub fn release_file(tx: &mut Tx, hash: BlobHash) -> Result<()> {
    let bytes = hash.as_bytes().as_slice();
    let row = tx.query_opt(
        "UPDATE object_files SET refs = refs - 1 WHERE hash = $1 RETURNING refs",
        params![bytes],
    )?;
    let left: i64 = row.map_or(Ok(1), |row| row.get("refs"))?;
    if left > 0 {
        return Ok(());
    }
    tx.execute("DELETE FROM object_files WHERE hash = $1", params![bytes])?;
    tx.execute(
        "INSERT INTO object_garbage (hash) VALUES ($1)",
        params![bytes],
    )?;
    Ok(())
}

/// A new file gets its first reference.
pub fn refer_first(tx: &mut Tx, hash: BlobHash) -> Result<()> {
    tx.execute(
        "INSERT INTO object_files (hash, refs) VALUES ($1, 1)",
        params![hash.as_bytes().as_slice()],
    )?;
    Ok(())
}

/// A file that something refers to is referred to once more. [`Error::NotFound`] if nothing does.
pub fn refer(tx: &mut Tx, hash: BlobHash) -> Result<()> {
    let count = tx.execute(
        "UPDATE object_files SET refs = refs + 1 WHERE hash = $1",
        params![hash.as_bytes().as_slice()],
    )?;
    match count {
        0 => Err(Error::NotFound {
            what: format!("the file {hash}"),
        }),
        _ => Ok(()),
    }
}

pub fn body(tx: &mut ReadTx, id: i64) -> Result<Vec<u8>> {
    let mut row = tx.query_one("SELECT body FROM object_bodies WHERE id = $1", params![id])?;
    row.take("body")
}

pub fn insert_body(tx: &mut Tx, id: i64, body: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO object_bodies (id, body) VALUES ($1, $2)",
        params![id, body],
    )?;
    Ok(())
}

const PART_COLUMNS: &str = "number, start, size, version, body";

/// The parts after a number, in order.
pub fn parts(tx: &mut ReadTx, manifest: i64, after: i64, limit: usize) -> Result<Vec<Part>> {
    let sql = format!(
        "SELECT {PART_COLUMNS} FROM object_parts WHERE manifest = $1 AND number > $2 \
         ORDER BY number LIMIT $3"
    );
    let rows = tx.query(&sql, params![manifest, after, limit as i64])?;
    rows.into_iter().map(part).collect()
}

/// The parts that have bytes of a range.
pub fn parts_within(tx: &mut ReadTx, manifest: i64, from: u64, to: u64) -> Result<Vec<Part>> {
    let sql = format!(
        "SELECT {PART_COLUMNS} FROM object_parts WHERE manifest = $1 AND start + size > $2 \
         AND start < $3 AND size > 0 ORDER BY number"
    );
    let rows = tx.query(&sql, params![manifest, from as i64, to as i64])?;
    rows.into_iter().map(part).collect()
}

pub fn insert_part(tx: &mut Tx, manifest: i64, part: &Part) -> Result<()> {
    tx.execute(
        "INSERT INTO object_parts (manifest, number, start, size, version, body) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            manifest,
            part.number,
            part.start as i64,
            part.size as i64,
            RECORD_VERSION,
            encode(&part.record)?,
        ],
    )?;
    Ok(())
}

/// Takes a part away, with its content.
pub fn remove_part(tx: &mut Tx, manifest: i64, part: &Part) -> Result<()> {
    tx.execute(
        "DELETE FROM object_parts WHERE manifest = $1 AND number = $2",
        params![manifest, part.number],
    )?;
    release(tx, &part.record.lies)
}

fn version(mut row: Row, is_current: bool) -> Result<Version> {
    let noncurrent_since = match is_current {
        true => None,
        false => Some(moment(row.get("noncurrent_ms")?)?),
    };
    Ok(Version {
        key: text(row.take("key")?)?,
        seq: row.get("seq")?,
        version_id: row.take("version_id")?,
        is_marker: row.get::<i64>("is_marker")? != 0,
        modified: moment(row.get("modified_ms")?)?,
        size: row.get("size")?,
        is_current,
        noncurrent_since,
        record: decode(&row, "an object")?,
    })
}

fn part(row: Row) -> Result<Part> {
    Ok(Part {
        number: row.get("number")?,
        start: row.get("start")?,
        size: row.get("size")?,
        record: decode(&row, "a part")?,
    })
}

pub fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| corrupt("an object's key"))
}

pub fn moment(ms: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(|_| corrupt("a time"))
}

pub fn encode<R: Serialize>(record: &R) -> Result<String> {
    serde_json::to_string(record).map_err(|error| Error::Statement {
        reason: format!("a record of buckets does not serialise: {error}"),
    })
}

/// The record in the columns `version` and `body`.
pub fn decode<R: DeserializeOwned>(row: &Row, what: &str) -> Result<R> {
    let found: u32 = row.get("version")?;
    if found > RECORD_VERSION {
        return Err(Error::NewerRecord {
            what: what.to_owned(),
            found,
            known: RECORD_VERSION,
        });
    }
    let body: String = row.get("body")?;
    serde_json::from_str(&body).map_err(|_| corrupt(what))
}

pub fn corrupt(what: &str) -> Error {
    Error::Corrupt {
        what: what.to_owned(),
    }
}
