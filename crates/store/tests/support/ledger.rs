//! What the crash tests write: entries whose parts are in three tables, so that half an entry
//! shows, and the check that there is none.

use std::collections::HashSet;

use lambent_store::{BlobHash, Migration, ReadTx, Result, Tx, params};

pub const MIGRATIONS: &[Migration] = &[
    Migration::new(
        1,
        "entries",
        "CREATE TABLE entry (id {int} PRIMARY KEY, body {text} NOT NULL) {strict}; \
         CREATE TABLE copy (id {int} PRIMARY KEY, length {int} NOT NULL, blob {text}) {strict}",
    ),
    Migration::new(
        2,
        "totals",
        "CREATE TABLE total (writer {int} PRIMARY KEY, entries {int} NOT NULL) {strict}",
    ),
];

/// One transaction: an entry, its copy, and the writer's total.
pub fn enter(tx: &mut Tx, id: i64, writer: i64, blob: Option<BlobHash>) -> Result<()> {
    let body = "e".repeat(usize::try_from(id % 3000).unwrap_or(0));
    let length = body.len() as i64;
    tx.execute(
        "INSERT INTO entry (id, body) VALUES ($1, $2)",
        params![id, body],
    )?;
    tx.execute(
        "INSERT INTO total (writer, entries) VALUES ($1, 1) \
         ON CONFLICT (writer) DO UPDATE SET entries = total.entries + 1",
        params![writer],
    )?;
    let blob = blob.map(String::from);
    tx.execute(
        "INSERT INTO copy (id, length, blob) VALUES ($1, $2, $3)",
        params![id, length, blob],
    )?;
    Ok(())
}

/// The content of an entry's blob.
#[allow(dead_code, reason = "the checking process only verifies the hash")]
pub fn blob(id: i64) -> Vec<u8> {
    format!("blob of entry {id}\n").repeat(20).into_bytes()
}

/// What is in the ledger from an id on.
pub struct Found {
    pub ids: HashSet<i64>,
    #[allow(dead_code, reason = "the writing process does not look")]
    pub blobs: Vec<BlobHash>,
    /// How many entries there are below that id.
    #[allow(dead_code, reason = "the writing process does not look")]
    pub earlier: usize,
}

/// Reads the ledger and panics if an entry is there in part.
pub fn find(tx: &mut ReadTx, from: i64) -> Result<Found> {
    let parts = tx.query_one(
        "SELECT (SELECT count(*) FROM entry) AS entries, (SELECT count(*) FROM copy) AS copies, \
         (SELECT sum(entries) FROM total) AS total, \
         (SELECT count(*) FROM entry JOIN copy ON entry.id = copy.id \
          WHERE length(entry.body) = copy.length) AS whole",
        params![],
    )?;
    let entries: i64 = parts.get("entries")?;
    let total = parts.get::<Option<i64>>("total")?.unwrap_or(0);
    let found = (
        parts.get::<i64>("copies")?,
        total,
        parts.get::<i64>("whole")?,
    );
    assert_eq!(
        found,
        (entries, entries, entries),
        "copies, total, whole entries"
    );
    let mut ids = HashSet::new();
    let mut blobs = Vec::new();
    for row in tx.query("SELECT id, blob FROM copy WHERE id >= $1", params![from])? {
        ids.insert(row.get("id")?);
        let blob: Option<String> = row.get("blob")?;
        blobs.extend(blob.and_then(|blob| blob.parse::<BlobHash>().ok()));
    }
    let earlier = entries as usize - ids.len();
    Ok(Found {
        ids,
        blobs,
        earlier,
    })
}
