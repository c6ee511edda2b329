//! What is stored: a small row per timer, found by when it is due.

use store::{Migration, ReadTx, Result, Row, Tx, params};

use super::{Due, Next, limits};

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The table's definition, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [Migration::new(first, "timers", TABLE)]
}

/// `due` is when it ticks, `scheduled` which of its occurrences that is, both in milliseconds.
const TABLE: &str = "
CREATE TABLE timers (
    owner {text} NOT NULL, id {text} NOT NULL, due {int} NOT NULL, scheduled {int} NOT NULL,
    PRIMARY KEY (owner, id)
) {strict};
CREATE INDEX timers_due ON timers (due, owner, id);
";

/// A timer as it was found: due, whose, and which.
#[derive(Debug, Clone)]
pub struct Found {
    pub owner: String,
    pub due: Due,
}

/// Some of those that are due, in their order, behind one.
pub fn due(tx: &mut ReadTx, now_ms: i64, after: Option<&Found>) -> Result<Vec<Found>> {
    const ALL: &str = "SELECT owner, id, due, scheduled FROM timers WHERE due <= $1 \
                       ORDER BY due, owner, id LIMIT $2";
    const BEHIND: &str = "SELECT owner, id, due, scheduled FROM timers WHERE due <= $1 \
                          AND (due, owner, id) > ($2, $3, $4) ORDER BY due, owner, id LIMIT $5";
    let rows = match after {
        None => tx.query(ALL, params![now_ms, limits::DUE_AT_ONCE])?,
        Some(Found { owner, due }) => tx.query(
            BEHIND,
            params![now_ms, due.due_ms, owner, &due.id, limits::DUE_AT_ONCE],
        )?,
    };
    rows.iter().map(found).collect()
}

/// When the first of those is due that were not at that time.
pub fn next_due_ms(tx: &mut ReadTx, now_ms: i64) -> Result<Option<i64>> {
    let sql = "SELECT min(due) AS next FROM timers WHERE due > $1";
    tx.query_one(sql, params![now_ms])?.get("next")
}

/// Gives a timer its next tick if its last is still that one.
pub fn advance(tx: &mut Tx, owner: &str, due: &Due, next: Option<Next>) -> Result<bool> {
    let Due {
        id,
        due_ms,
        scheduled_ms,
    } = due;
    let changed = match next {
        Some(next) => tx.execute(
            "UPDATE timers SET due = $1, scheduled = $2 \
             WHERE owner = $3 AND id = $4 AND due = $5 AND scheduled = $6",
            params![
                next.due_ms,
                next.scheduled_ms,
                owner,
                id,
                *due_ms,
                *scheduled_ms
            ],
        )?,
        None => tx.execute(
            "DELETE FROM timers WHERE owner = $1 AND id = $2 AND due = $3 AND scheduled = $4",
            params![owner, id, *due_ms, *scheduled_ms],
        )?,
    };
    Ok(changed > 0)
}

pub fn set(tx: &mut Tx, owner: &str, id: &str, next: Option<Next>) -> Result<()> {
    match next {
        Some(next) => tx.execute(
            "INSERT INTO timers (owner, id, due, scheduled) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (owner, id) DO UPDATE SET due = excluded.due, \
             scheduled = excluded.scheduled",
            params![owner, id, next.due_ms, next.scheduled_ms],
        )?,
        None => tx.execute(
            "DELETE FROM timers WHERE owner = $1 AND id = $2",
            params![owner, id],
        )?,
    };
    Ok(())
}

pub fn get(tx: &mut ReadTx, owner: &str, id: &str) -> Result<Option<Next>> {
    let sql = "SELECT due, scheduled FROM timers WHERE owner = $1 AND id = $2";
    let row = tx.query_opt(sql, params![owner, id])?;
    let next = |row: Row| {
        Ok(Next {
            scheduled_ms: row.get("scheduled")?,
            due_ms: row.get("due")?,
        })
    };
    row.map(next).transpose()
}

pub fn count(tx: &mut ReadTx) -> Result<i64> {
    tx.query_one("SELECT count(*) AS n FROM timers", params![])?
        .get("n")
}

fn found(row: &Row) -> Result<Found> {
    Ok(Found {
        owner: row.get("owner")?,
        due: Due {
            id: row.get("id")?,
            due_ms: row.get("due")?,
            scheduled_ms: row.get("scheduled")?,
        },
    })
}
