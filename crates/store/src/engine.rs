//! What the store asks of an engine: a connection that runs statements inside transactions and
//! savepoints, and something that makes connections.

use std::sync::Arc;

use crate::error::{Error, Fault, Result};
use crate::owner::{Owner, Tenure};
use crate::sql::Dialect;
use crate::store::StoreConfig;
use crate::tx::Tx;
use crate::value::{Row, Value};

/// How a commit failed.
#[derive(Debug)]
pub(crate) enum CommitFault {
    /// Nothing was kept.
    Undone(Fault),
    /// The connection broke before the answer came.
    Unknown(Error),
}

/// Blocking: each connection belongs to one thread of the store.
pub(crate) trait Connection: Send {
    fn dialect(&self) -> Dialect;

    fn begin_write(&mut self) -> Result<(), Fault>;
    fn begin_read(&mut self) -> Result<(), Fault>;
    /// Begins a transaction that only one process at a time can be in, to change the schema.
    fn begin_schema(&mut self) -> Result<(), Fault>;
    fn commit(&mut self) -> Result<(), CommitFault>;
    /// Ends a transaction whose changes are not wanted; errors show at the next begin.
    fn rollback(&mut self);

    fn savepoint(&mut self) -> Result<(), Fault>;
    fn release(&mut self) -> Result<(), Fault>;
    fn rollback_to_savepoint(&mut self) -> Result<(), Fault>;

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Fault>;
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Fault>;
    /// Runs several statements without parameters.
    fn script(&mut self, sql: &str) -> Result<(), Fault>;
    /// Housekeeping, when there was no work for a while.
    fn idle(&mut self) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

pub(crate) trait Connector: Send + Sync {
    fn connect(&self, role: Role) -> Result<Box<dyn Connection>>;
    fn batch_max(&self) -> usize;
    fn writers(&self, config: &StoreConfig) -> usize;
    /// Makes this process the store's only owner, before it connects. May wait for one that is
    /// just ending; refuses beside a living one.
    fn own(&self, owner: &Owner) -> Result<Tenure>;
}

/// A connection that is made when it is needed and made again after it broke.
pub(crate) struct Session {
    connector: Arc<dyn Connector>,
    role: Role,
    open: Option<Tx>,
}

impl Session {
    pub fn new(connector: Arc<dyn Connector>, role: Role) -> Self {
        Self {
            connector,
            role,
            open: None,
        }
    }

    pub fn tx(&mut self) -> Result<&mut Tx> {
        let tx = match self.open.take() {
            Some(tx) => tx,
            None => Tx::new(self.connector.connect(self.role)?),
        };
        Ok(self.open.insert(tx))
    }

    pub fn batch_max(&self) -> usize {
        self.connector.batch_max()
    }

    pub fn idle(&mut self) {
        if let Some(tx) = &mut self.open {
            tx.connection().idle();
        }
    }

    /// Ends what was begun, where there is still a connection for it.
    pub fn rollback(&mut self) {
        if let Some(tx) = &mut self.open {
            tx.connection().rollback();
        }
    }

    pub fn disconnect(&mut self) {
        self.open = None;
    }
}
