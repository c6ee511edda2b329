//! One connection, used by one thread, driven by that thread's own small runtime: no other
//! thread has to be woken for an answer, and nothing runs while there is nothing to do.
//!
//! The statements that only mark a boundary (BEGIN, SAVEPOINT, RELEASE) are not sent by
//! themselves: they wait for the next statement and share its round trip.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{SimpleQueryMessage, Statement};

use super::error::{classify, lost};
use super::server::{Server, Wire};
use super::types::{Bound, Read};
use crate::engine::{CommitFault, Connection};
use crate::error::{Error, Fault, Reach, Result};
use crate::limits;
use crate::sql::{self, Dialect};
use crate::value::{Row, Value};

/// Any number of ours: who changes the schema holds this advisory lock.
const SCHEMA_LOCK: i64 = 0x6c61_6d62_656e_7401;

const BEGIN_WRITE: &str =
    "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT pg_current_xact_id()::text AS transaction";

pub(super) struct Link {
    server: Arc<Server>,
    wire: Option<Wire>,
    statements: HashMap<String, Prepared>,
    /// Boundaries that were not sent yet.
    pending: String,
    /// The server's number of the transaction, to ask for its fate if the commit's answer is lost.
    transaction: Option<u64>,
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Link {
    pub fn open(server: Arc<Server>) -> Result<Self> {
        let wire = Some(server.reach()?);
        Ok(Self {
            server,
            wire,
            statements: HashMap::new(),
            pending: String::new(),
            transaction: None,
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
        let wire = self.wire.as_ref().ok_or_else(lost)?;
        let client = &wire.client;
        let exchange = async {
            // In this order: the first poll of each sends its messages.
            tokio::join!(biased; boundaries(client, &pending), act(client))
        };
        let answers = wire
            .runtime
            .block_on(async { tokio::time::timeout(limits::ANSWER_WAIT, exchange).await });
        let (before, answer) = answers.map_err(|_| lost())?;
        let before = before.map_err(classify)?;
        self.transaction = transaction(&before).or(self.transaction);
        answer.map_err(classify)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.ask(async |_| Ok(()))
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

    /// What became of a transaction whose commit was not answered.
    fn settle(&mut self, error: Error) -> Result<(), CommitFault> {
        let unknown = |error| {
            CommitFault::Unknown(Error::CommitUnknown {
                source: Arc::new(error),
            })
        };
        let Some(transaction) = self.transaction else {
            return Err(unknown(error));
        };
        let timeline = self.disconnect();
        let began = Instant::now();
        while began.elapsed() < limits::OUTAGE_BORNE {
            let wire = self.server.reach().map_err(unknown)?;
            // A replica that took over counts its transactions by itself.
            if timeline.as_ref() != Some(&wire.timeline) {
                break;
            }
            self.wire = Some(wire);
            match self.fate(transaction) {
                Ok(Some(fate)) if fate == "committed" => return Ok(()),
                Ok(Some(fate)) if fate == "aborted" => {
                    return Err(CommitFault::Undone(Fault::new(
                        Reach::Transaction,
                        busy(error),
                    )));
                }
                // The old session has not noticed yet that we are gone, or the new one is too.
                Ok(Some(_)) | Err(_) => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) => break,
            }
        }
        Err(unknown(error))
    }

    fn fate(&mut self, transaction: u64) -> Result<Option<String>, Fault> {
        let sql = format!("SELECT pg_xact_status('{transaction}'::xid8) AS fate");
        let answer = self.ask(async |client| client.simple_query(&sql).await)?;
        Ok(field(&answer, "fate").map(str::to_owned))
    }

    /// Closes the connection in a way the server understands; gives its timeline.
    fn disconnect(&mut self) -> Option<String> {
        self.statements.clear();
        self.pending.clear();
        let Wire {
            runtime,
            client,
            connection,
            timeline,
        } = self.wire.take()?;
        drop(client);
        let _ = runtime
            .block_on(async { tokio::time::timeout(Duration::from_millis(100), connection).await });
        Some(timeline)
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
        self.transaction = None;
        self.later(BEGIN_WRITE);
        Ok(())
    }

    fn begin_read(&mut self) -> Result<(), Fault> {
        self.later("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        Ok(())
    }

    /// Not SERIALIZABLE: its snapshot would be older than the wait for the lock.
    fn begin_schema(&mut self) -> Result<(), Fault> {
        self.later("BEGIN ISOLATION LEVEL READ COMMITTED");
        self.later(&format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"));
        self.flush()
    }

    fn commit(&mut self) -> Result<(), CommitFault> {
        self.later("COMMIT");
        match self.flush() {
            Ok(()) => Ok(()),
            Err(fault) if fault.reach == Reach::Connection => self.settle(fault.error),
            Err(Fault { error, .. }) => {
                Err(CommitFault::Undone(Fault::new(Reach::Transaction, error)))
            }
        }
    }

    fn rollback(&mut self) {
        let begun = !self.pending.starts_with("BEGIN");
        self.pending.clear();
        if begun {
            self.later("ROLLBACK");
            let _ = self.flush();
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
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|bound| bound as _).collect();
        let rows = self.ask(async |client| client.query(&prepared.statement, &bound).await)?;
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

    fn script(&mut self, sql: &str) -> Result<(), Fault> {
        self.ask(async |client| client.batch_execute(sql).await)
    }
}

async fn boundaries(
    client: &tokio_postgres::Client,
    sql: &str,
) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
    if sql.is_empty() {
        Ok(Vec::new())
    } else {
        client.simple_query(sql).await
    }
}

fn transaction(answer: &[SimpleQueryMessage]) -> Option<u64> {
    field(answer, "transaction")?.parse().ok()
}

fn field<'a>(answer: &'a [SimpleQueryMessage], name: &str) -> Option<&'a str> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.try_get(name).ok().flatten(),
        _ => None,
    })
}

/// The closures may simply run again.
fn busy(error: Error) -> Error {
    Error::Busy {
        source: Arc::new(error),
    }
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
