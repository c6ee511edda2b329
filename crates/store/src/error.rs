//! What can go wrong in the store, typed where a caller decides something by it.
//!
//! The error is cheap to clone: a commit that fails answers every transaction of its batch.

use std::sync::Arc;

use crate::owner::{self, Owner};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An underlying error, shared between the answers of one batch.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{what} exists already")]
    AlreadyExists { what: String },
    #[error("{what} does not exist")]
    NotFound { what: String },
    #[error("{what} is at revision {found}, not at {expected}")]
    Conflict {
        what: String,
        expected: i64,
        found: i64,
    },
    #[error("a constraint of the database refuses the change")]
    Constraint { source: Cause },
    #[error("a record key cannot be made of {parts:?}: {reason}")]
    BadKey {
        parts: Vec<String>,
        reason: &'static str,
    },

    /// Nothing of the transaction was kept; it may be tried again when there is room.
    #[error("the disk of the store is full")]
    DiskFull { source: Cause },
    /// Another writer was in the way for longer than the store retries.
    #[error("the store is busy")]
    Busy { source: Cause },
    /// The database server cannot be reached. Nothing of the transaction was kept.
    #[error("the database is unavailable")]
    Unavailable { source: Cause },
    /// The commit itself failed in a way that does not tell whether it was done, and the database
    /// could not be asked: the transaction happened wholly or not at all.
    #[error("it is unknown whether the transaction was committed")]
    CommitUnknown { source: Cause },
    #[error("the store could not read or write")]
    Io { source: Cause },
    #[error("the stored data is damaged: {what}")]
    Corrupt { what: String },
    #[error("refused: {what}")]
    TooLarge { what: String },
    #[error("the statement took longer than it may")]
    TimedOut { source: Cause },

    #[error(
        "the database has schema {found}, this program knows up to {known}: \
         use the newer program"
    )]
    NewerSchema { found: u32, known: u32 },
    #[error("{what} was written as version {found}, this program knows up to {known}")]
    NewerRecord {
        what: String,
        found: u32,
        known: u32,
    },
    #[error("the list of migrations is wrong: {reason}")]
    Migrations { reason: String },
    #[error("the store cannot be opened: {reason}")]
    Config { reason: String },

    /// A living process has it to itself.
    #[error(
        "it is in use by {}: stop that one first, or give this one a place of its own",
        owner::named(.by)
    )]
    Owned { by: Option<Owner> },
    /// Another process became the owner while this one could not be reached. Nothing of the
    /// transaction was kept, and what this process remembers of the store is no longer true.
    #[error("the store was taken over by {}", owner::named(.by))]
    NotOwner { by: Option<Owner> },

    /// The statement itself is wrong: our mistake, never the caller's data.
    #[error("the statement is refused: {reason}")]
    Statement { reason: String },
    #[error("the database refuses the statement")]
    Sql { source: Cause },
    #[error("the transaction is over, an earlier statement of it failed")]
    Over { source: Cause },
    #[error("the transaction panicked: {message}")]
    Panicked { message: String },
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn io(source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull {
                source: Arc::new(source),
            },
            _ => Self::Io {
                source: Arc::new(source),
            },
        }
    }

    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. } | Self::Busy { .. } | Self::Unavailable { .. }
        )
    }
}

/// How far the damage of a failed statement reaches. The order is that of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Rolling back to the savepoint undoes it.
    Statement,
    /// The database has ended the whole transaction, other closures' work included.
    Transaction,
    /// The connection cannot be used any more.
    Connection,
}

/// An error with its reach, as an engine reports it to the code that runs the batch.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub error: Error,
    pub reach: Reach,
}

impl Fault {
    pub fn new(reach: Reach, error: Error) -> Self {
        Self { error, reach }
    }

    /// The same fault, reaching at least so far.
    pub fn widened(self, reach: Reach) -> Self {
        Self {
            reach: self.reach.max(reach),
            ..self
        }
    }
}
