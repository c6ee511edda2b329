//! The server's SQLSTATEs as the store's errors, with how far each reaches.

use std::error::Error as _;
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::error::{Cause, Error, Fault, Reach};

pub(super) fn classify(error: tokio_postgres::Error) -> Fault {
    match error
        .as_db_error()
        .map(|db| (db.code().clone(), db.message().to_owned()))
    {
        Some((state, message)) => answered(&state, message, Arc::new(error)),
        None => unanswered(error),
    }
}

/// No answer came in the time a healthy server takes.
pub(super) fn lost() -> Fault {
    let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "PostgreSQL does not answer");
    Fault::new(
        Reach::Connection,
        Error::Unavailable {
            source: Arc::new(silence),
        },
    )
}

fn answered(state: &SqlState, what: String, source: Cause) -> Fault {
    match *state {
        SqlState::UNIQUE_VIOLATION => Fault::new(Reach::Statement, Error::AlreadyExists { what }),
        // Another transaction's doing; the same closures may run again.
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Fault::new(Reach::Transaction, Error::Busy { source }),
        SqlState::IN_FAILED_SQL_TRANSACTION => {
            Fault::new(Reach::Transaction, Error::Sql { source })
        }
        SqlState::DISK_FULL => Fault::new(Reach::Statement, Error::DiskFull { source }),
        SqlState::QUERY_CANCELED => Fault::new(Reach::Statement, Error::TimedOut { source }),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            Fault::new(Reach::Statement, Error::Corrupt { what })
        }
        // A prepared statement from before another process changed the schema.
        SqlState::FEATURE_NOT_SUPPORTED if what.contains("cached plan") => {
            Fault::new(Reach::Connection, Error::Unavailable { source })
        }
        _ => by_class(state.code(), source),
    }
}

fn by_class(code: &str, source: Cause) -> Fault {
    // Connection exceptions; out of connections; the server is stopping, starting or crashed.
    let gone = ["08", "57P", "53300"]
        .iter()
        .any(|class| code.starts_with(class));
    match code.get(..2) {
        _ if gone => Fault::new(Reach::Connection, Error::Unavailable { source }),
        Some("23") => Fault::new(Reach::Statement, Error::Constraint { source }),
        Some("58") => Fault::new(Reach::Statement, Error::Io { source }),
        _ => Fault::new(Reach::Statement, Error::Sql { source }),
    }
}

/// The client gave up by itself: the connection broke, or a value did not fit.
fn unanswered(error: tokio_postgres::Error) -> Fault {
    let broken = error.is_closed()
        || error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>())
        || error.to_string().contains("timeout");
    let source = Arc::new(error);
    if broken {
        Fault::new(Reach::Connection, Error::Unavailable { source })
    } else {
        Fault::new(Reach::Statement, Error::Sql { source })
    }
}
