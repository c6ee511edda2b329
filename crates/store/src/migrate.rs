//! Brings the schema up to date at start, one transaction per migration.
//!
//! Refuses a database that is newer than the program, and a list with gaps. Two processes that
//! start at once take turns: each looks again at what is applied once it holds the lock.

use crate::engine::{CommitFault, Connection};
use crate::error::{Error, Fault, Result};
use crate::sql::{self, Sql};
use crate::value::Row;

/// A step of the schema. Numbers count from 1 without gaps; a published step never changes.
///
/// Table definitions use the words `{int} {real} {text} {blob} {bool}` for types, and close with
/// `{strict}`, or with `{clustered}` where the rows are stored by their primary key.
#[derive(Debug, Clone)]
pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    pub sql: Sql<'static>,
}

impl Migration {
    pub const fn new(number: u32, name: &'static str, sql: &'static str) -> Self {
        Self {
            number,
            name,
            sql: Sql::Both(sql),
        }
    }

    pub const fn each(
        number: u32,
        name: &'static str,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Self {
        Self {
            number,
            name,
            sql: Sql::each(sqlite, postgres),
        }
    }
}

const JOURNAL: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
     (number {int} PRIMARY KEY, name {text} NOT NULL) {strict}";

pub(crate) fn migrate(connection: &mut dyn Connection, migrations: &[Migration]) -> Result<()> {
    check_numbers(migrations)?;
    let mut made = 0;
    while step(connection, migrations)? {
        made += 1;
    }
    if made > 0 {
        tracing::info!(made, number = migrations.len(), "schema migrated");
    }
    Ok(())
}

fn check_numbers(migrations: &[Migration]) -> Result<()> {
    for (due, migration) in (1..).zip(migrations) {
        if migration.number != due {
            let reason = format!("{} stands where {due} is due", migration.number);
            return Err(Error::Migrations { reason });
        }
    }
    Ok(())
}

/// Applies the next migration, if there is one.
fn step(connection: &mut dyn Connection, migrations: &[Migration]) -> Result<bool> {
    connection.begin_schema().map_err(error)?;
    let applied = apply_next(connection, migrations);
    if !matches!(applied, Ok(true)) {
        connection.rollback();
        return applied;
    }
    connection
        .commit()
        .map(|()| true)
        .map_err(|fault| match fault {
            CommitFault::Undone(fault) => fault.error,
            CommitFault::Unknown(error) => error,
        })
}

fn apply_next(connection: &mut dyn Connection, migrations: &[Migration]) -> Result<bool> {
    let dialect = connection.dialect();
    connection
        .script(&sql::define(JOURNAL, dialect))
        .map_err(error)?;
    let applied = connection
        .query(
            "SELECT number, name FROM schema_migrations ORDER BY number",
            &[],
        )
        .map_err(error)?;
    let done = check_applied(&applied, migrations)?;
    let Some(migration) = migrations.get(done) else {
        return Ok(false);
    };
    connection
        .script(&sql::define(migration.sql.text(dialect), dialect))
        .map_err(error)?;
    let row = crate::params![migration.number, migration.name];
    connection
        .execute(
            "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)",
            row,
        )
        .map_err(error)?;
    tracing::debug!(
        number = migration.number,
        name = migration.name,
        "migration applied"
    );
    Ok(true)
}

/// How many of the migrations are applied.
fn check_applied(applied: &[Row], migrations: &[Migration]) -> Result<usize> {
    let known = migrations.len() as u32;
    for (row, due) in applied.iter().zip(1..) {
        let (number, name) = (row.get::<u32>("number")?, row.get::<String>("name")?);
        if number > known {
            let found = applied.last().map_or(Ok(number), |row| row.get("number"))?;
            return Err(Error::NewerSchema { found, known });
        }
        let ours = &migrations[due as usize - 1];
        if number != due || name != ours.name {
            let reason = format!(
                "the database was migrated by {number} \"{name}\" where this program has \
                 {due} \"{}\"",
                ours.name
            );
            return Err(Error::Migrations { reason });
        }
    }
    Ok(applied.len())
}

fn error(fault: Fault) -> Error {
    fault.error
}
