//! One connection, used by one thread, driven by that thread's own small runtime: no other
//! thread has to be woken for an answer, and nothing runs while there is nothing to do.
//!
//! The statements that only mark a boundary inside a transaction (SAVEPOINT, RELEASE) are not sent
//! by themselves: they wait for the next statement and share its round trip. The BEGIN of a write
//! goes alone: a statement sent along with one that fails would be a transaction of its own.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio_postgres::{SimpleQueryMessage, Statement};

use super::error::{classify, lost};
use super::mark::{self, Mark};
use super::owner::Fence;
use super::server::{Server, Wire};
use super::types::{Bound, Read};
use crate::engine::{CommitFault, Connection};
use crate::error::{Cause, Error, Fault, Reach, Result};
use crate::limits;
use crate::sql::{self, Dialect};
use crate::value::{Row, Value};

/// Any number of ours: who changes the schema holds this advisory lock.
const SCHEMA_LOCK: i64 = 0x6c61_6d62_656e_7401;

const SETTLE_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Link {
    server: Arc<Server>,
    /// What a writer of a store with an owner has to look at.
    fence: Option<Arc<Fence>>,
    wire: Option<Wire>,
    statements: HashMap<String, Prepared>,
    /// Boundaries that were not sent yet.
    pending: String,
    mark: Mark,
    /// How long an answer is waited for; a migration takes what it takes.
    patience: Option<Duration>,
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Link {
    pub fn open(server: Arc<Server>, fence: Option<Arc<Fence>>) -> Result<Self> {
        fence.as_ref().map_or(Ok(()), |fence| fence.check())?;
        let wire = Some(server.reach()?);
        let patience = Some(server.statement_time_max + limits::SILENCE_BORNE);
        Ok(Self {
            server,
            fence,
            wire,
            patience,
            statements: HashMap::new(),
            pending: String::new(),
            mark: Mark::new()?,
        })
    }

    fn later(&mut self, boundary: &str) {
        if !self.pending.is_empty() {
            self.pending.push(';');
        }
        self.pending.push_str(boundary);
    }

    /// Sends the boundaries that wait, and then whatever `act` sends, in one round trip.
    fn ask<T>(
        &mut self,
        act: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Fault> {
        let pending = std::mem::take(&mut self.pending);
        let patience = self.patience;
        let wire = self.wire.as_ref().ok_or_else(lost)?;
        let client = &wire.client;
        let exchange = async {
            // In this order: the first poll of each sends its messages.
            tokio::join!(biased; boundaries(client, &pending), act(client))
        };
        let (before, answer) = wire.runtime.block_on(async {
            match patience {
                Some(patience) => tokio::time::timeout(patience, exchange).await,
                None => Ok(exchange.await),
            }
            .map_err(|_| lost())
        })?;
        // A boundary that failed (cancelled by an administrator, say) leaves unsure which savepoint
        // the next one means: rolling back to it could take an earlier closure's work away.
        before.map_err(|error| classify(error).widened(Reach::Transaction))?;
        answer.map_err(classify)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.ask(async |_| Ok(()))
    }

    /// Begins what waits, together with the fence's own statements, if this process is still the
    /// store's owner.
    fn pass(&mut self, fence: &Fence, hold: &str) -> Result<(), Fault> {
        let whole = |fault: Fault| fault.widened(Reach::Transaction);
        self.later(hold);
        let script = std::mem::take(&mut self.pending);
        let answer = self.query_simply(&script).map_err(whole)?;
        if Fence::holds(&answer) {
            return Ok(());
        }
        let found = self.query_simply(Fence::LOOK).map_err(whole)?;
        Err(Fault::new(Reach::Transaction, fence.lose(&found)))
    }

    fn query_simply(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Fault> {
        self.ask(async |client| client.simple_query(sql).await)
    }

    fn prepared(&mut self, sql: &str, params: &[Value]) -> Result<Prepared, Fault> {
        if let Some(prepared) = self.statements.get(sql) {
            if prepared.statement.params().len() != params.len() {
                return Err(refuse(sql, params.len()));
            }
            return Ok(prepared.clone());
        }
        if sql::check_parameters(sql, params.len()).is_err() {
            return Err(refuse(sql, params.len()));
        }
        let statement = self.ask(async |client| client.prepare(sql).await)?;
        let columns = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let prepared = Prepared { statement, columns };
        if self.statements.len() >= limits::STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    /// Finds out what became of a transaction whose commit was not answered.
    fn settle(&mut self, fault: Fault) -> Result<(), CommitFault> {
        let unknown = |error| {
            let source: Cause = Arc::new(error);
            CommitFault::Unknown(Error::CommitUnknown { source })
        };
        let began = Instant::now();
        while began.elapsed() < self.server.outage_borne {
            self.disconnect();
            self.wire = Some(self.server.reach().map_err(unknown)?);
            self.later(&self.mark.insert());
            match self.flush() {
                Ok(()) => return Err(CommitFault::Undone(undone(fault))),
                Err(Fault {
                    error: Error::AlreadyExists { .. },
                    ..
                }) => return Ok(()),
                // The old transaction is still under way, or the server went away again.
                Err(_) => std::thread::sleep(SETTLE_PAUSE),
            }
        }
        Err(unknown(fault.error))
    }

    fn disconnect(&mut self) {
        self.statements.clear();
        self.pending.clear();
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl Connection for Link {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin_write(&mut self) -> Result<(), Fault> {
        if let Some(clear) = self.mark.clear(false) {
            self.later(&clear);
            self.flush()?;
        }
        self.mark.next();
        self.later("BEGIN ISOLATION LEVEL SERIALIZABLE");
        match self.fence.clone() {
            Some(fence) => self.pass(&fence, &fence.hold_and_insert(&self.mark)),
            None => {
                self.later(&self.mark.insert());
                self.flush()
            }
        }
    }

    fn begin_read(&mut self) -> Result<(), Fault> {
        self.later("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        Ok(())
    }

    /// Not SERIALIZABLE: its snapshot would be older than the wait for the lock.
    fn begin_schema(&mut self) -> Result<(), Fault> {
        self.later("BEGIN ISOLATION LEVEL READ COMMITTED");
        self.later("SET LOCAL lock_timeout = 0");
        self.later("SET LOCAL statement_timeout = 0");
        self.patience = None;
        self.later(&format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"));
        self.later(mark::TABLE);
        match self.fence.clone() {
            Some(fence) => self.pass(&fence, &fence.hold()),
            None => self.flush(),
        }
    }

    fn commit(&mut self) -> Result<(), CommitFault> {
        self.later("COMMIT");
        match self.flush() {
            Ok(()) => Ok(()),
            Err(fault) if is_before_commit(&fault.error) => Err(CommitFault::Undone(fault)),
            // Also where the server answered with an error: what cancels a statement may come when
            // the commit is done and the answer is not sent.
            Err(fault) => self.settle(fault),
        }
    }

    fn rollback(&mut self) {
        let begun = !self.pending.starts_with("BEGIN");
        self.pending.clear();
        if begun {
            self.later("ROLLBACK");
            if self.flush().is_err() {
                // Otherwise the next transaction would begin inside this one.
                self.disconnect();
            }
        }
    }

    fn savepoint(&mut self) -> Result<(), Fault> {
        self.later("SAVEPOINT closure");
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        self.later("RELEASE closure");
        Ok(())
    }

    fn rollback_to_savepoint(&mut self) -> Result<(), Fault> {
        self.later("ROLLBACK TO closure");
        self.release()
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Fault> {
        let prepared = self.prepared(sql, params)?;
        let bound: Vec<Bound<'_>> = params.iter().map(Bound).collect();
        self.ask(async |client| client.execute_raw(&prepared.statement, &bound).await)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Fault> {
        let prepared = self.prepared(sql, params)?;
        let bound: Vec<Bound<'_>> = params.iter().map(Bound).collect();
        let rows = self.ask(async |client| {
            let mut answer = pin!(client.query_raw(&prepared.statement, &bound).await?);
            let mut rows = Vec::new();
            while let Some(row) = answer.try_next().await? {
                rows.push(row);
                if rows.len() > limits::ROWS_MAX {
                    break;
                }
            }
            Ok(rows)
        })?;
        if rows.len() > limits::ROWS_MAX {
            let reason = format!("it gives more than {} rows: {sql}", limits::ROWS_MAX);
            return Err(Fault::new(Reach::Statement, Error::Statement { reason }));
        }
        let width = prepared.columns.len();
        let decode = |row: tokio_postgres::Row| {
            let values = (0..width).map(|at| row.try_get::<_, Read>(at).map(|Read(value)| value));
            Ok(Row::new(
                prepared.columns.clone(),
                values.collect::<Result<_, _>>()?,
            ))
        };
        rows.into_iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(classify)
    }

    fn idle(&mut self) {
        if let Some(clear) = self.mark.clear(true) {
            self.later(&clear);
            if let Err(fault) = self.flush() {
                tracing::debug!(error = %fault.error, "marks of commits were not cleared");
            }
        }
    }

    fn script(&mut self, sql: &str) -> Result<(), Fault> {
        self.ask(async |client| client.batch_execute(sql).await)
    }
}

async fn boundaries(
    client: &tokio_postgres::Client,
    sql: &str,
) -> Result<(), tokio_postgres::Error> {
    if sql.is_empty() {
        Ok(())
    } else {
        client.batch_execute(sql).await
    }
}

/// What the server finds at a commit and before it: nothing was kept.
fn is_before_commit(error: &Error) -> bool {
    matches!(
        error,
        Error::Busy { .. } | Error::Constraint { .. } | Error::AlreadyExists { .. }
    )
}

/// The fault of a commit that did not take place: a lost connection is no reason not to repeat it.
fn undone(fault: Fault) -> Fault {
    let error = match fault.reach {
        Reach::Connection => Error::Busy {
            source: Arc::new(fault.error),
        },
        _ => fault.error,
    };
    Fault::new(Reach::Transaction, error)
}

fn refuse(sql: &str, given: usize) -> Fault {
    let reason = match sql::check_parameters(sql, given) {
        Err(reason) => reason,
        Ok(()) => "its parameters are not those of the statement".into(),
    };
    Fault::new(
        Reach::Statement,
        Error::Statement {
            reason: format!("{reason}: {sql}"),
        },
    )
}
