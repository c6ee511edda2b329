//! What a transaction's closure is given: statements, and nothing that waits for anything else.
//!
//! A statement that fails ends its transaction on both engines alike (PostgreSQL forces this, so
//! SQLite follows): whatever the closure answers afterwards, nothing of it is kept.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::engine::Connection;
use crate::error::{Error, Fault, Reach, Result};
use crate::sql::{self, Dialect, Sql};
use crate::value::{Row, Value};

/// A read-only view: one consistent snapshot of the database.
pub struct ReadTx {
    connection: Box<dyn Connection>,
    fault: Option<Fault>,
}

impl ReadTx {
    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    pub fn query<'a>(&mut self, sql: impl Into<Sql<'a>>, params: &[Value]) -> Result<Vec<Row>> {
        let sql = sql.into().text(self.dialect());
        self.run(params, |connection| connection.query(sql, params))
    }

    /// The first row, if there is any.
    pub fn query_opt<'a>(
        &mut self,
        sql: impl Into<Sql<'a>>,
        params: &[Value],
    ) -> Result<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// The first row of a statement that always gives one, such as a count.
    pub fn query_one<'a>(&mut self, sql: impl Into<Sql<'a>>, params: &[Value]) -> Result<Row> {
        let row = self.query_opt(sql, params)?;
        row.ok_or_else(|| Error::NotFound {
            what: "the row".into(),
        })
    }

    fn run<T>(
        &mut self,
        params: &[Value],
        act: impl FnOnce(&mut dyn Connection) -> Result<T, Fault>,
    ) -> Result<T> {
        if let Some(fault) = &self.fault {
            return Err(Error::Over {
                source: Arc::new(fault.error.clone()),
            });
        }
        let checked = sql::check_values(params);
        let result = checked.map_err(|error| Fault::new(Reach::Statement, error));
        result
            .and_then(|()| act(self.connection.as_mut()))
            .map_err(|fault| {
                self.fault = Some(fault.clone());
                fault.error
            })
    }

    /// The error of the statement that ended this transaction.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.fault.as_ref().map(|fault| &fault.error)
    }

    pub(crate) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}

/// A transaction that may write. Dereferences to [`ReadTx`] for its queries.
pub struct Tx {
    read: ReadTx,
}

impl Tx {
    pub(crate) fn new(connection: Box<dyn Connection>) -> Self {
        Self {
            read: ReadTx {
                connection,
                fault: None,
            },
        }
    }

    /// Runs a statement and says how many rows it changed.
    pub fn execute<'a>(&mut self, sql: impl Into<Sql<'a>>, params: &[Value]) -> Result<u64> {
        let sql = sql.into().text(self.dialect());
        self.run(params, |connection| connection.execute(sql, params))
    }

    pub(crate) fn connection(&mut self) -> &mut dyn Connection {
        self.read.connection.as_mut()
    }
}

impl Deref for Tx {
    type Target = ReadTx;

    fn deref(&self) -> &ReadTx {
        &self.read
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.read
    }
}
