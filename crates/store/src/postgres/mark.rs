//! A mark for each commit, so that a commit whose answer was lost can be asked for.
//!
//! Each write transaction inserts a row under a name nobody else uses. After the connection broke,
//! inserting the same row again tells: it waits while the old transaction is still under way, it
//! is refused if that has committed, and if it succeeds, the old transaction never will. The
//! server's own transaction numbers would not do: after a crash it gives them out again.

use aws_lc_rs::rand;

use crate::error::{Error, Result};

/// The table of the marks. Marks of processes that died are cleared away at the next start.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS store_commits (writer TEXT NOT NULL, \
     batch BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (writer, batch)); \
     DELETE FROM store_commits WHERE at < now() - interval '1 day'";

/// Marks that may lie about before their writer clears them away.
const KEPT_MAX: u64 = 500;

/// A name that nobody else uses, of hexadecimal digits.
pub(super) fn name() -> Result<String> {
    let mut name = [0; 16];
    rand::fill(&mut name).map_err(|error| Error::Config {
        reason: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(name.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) struct Mark {
    writer: String,
    batch: u64,
    cleared: u64,
}

impl Mark {
    /// Of a writer with a name of its own.
    pub fn new() -> Result<Self> {
        Ok(Self {
            writer: name()?,
            batch: 0,
            cleared: 0,
        })
    }

    pub fn next(&mut self) {
        self.batch += 1;
    }

    pub fn insert(&self) -> String {
        let Self { writer, batch, .. } = self;
        format!("INSERT INTO store_commits (writer, batch) VALUES ('{writer}', {batch})")
    }

    /// The same for as many rows as `rows` gives.
    pub fn insert_if(&self, rows: &str) -> String {
        let Self { writer, batch, .. } = self;
        format!("INSERT INTO store_commits (writer, batch) SELECT '{writer}', {batch} FROM {rows}")
    }

    /// Removes the marks of finished transactions, when there are many or nothing else to do.
    pub fn clear(&mut self, idle: bool) -> Option<String> {
        let lying = self.batch - self.cleared;
        if lying == 0 || (lying < KEPT_MAX && !idle) {
            return None;
        }
        self.cleared = self.batch;
        Some(format!(
            "DELETE FROM store_commits WHERE writer = '{}'",
            self.writer
        ))
    }
}
