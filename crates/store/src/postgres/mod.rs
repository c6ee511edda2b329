//! The server engine: PostgreSQL 15 or later, one connection per thread of the store.
//!
//! Write transactions are SERIALIZABLE, so that a closure means the same here, beside other
//! nodes' closures, as it does on SQLite's single writer. What the server undoes for that is run
//! again. A server that restarts is waited for a while; once it stays away for longer, callers
//! are told at once.

mod error;
mod link;
mod mark;
mod server;
mod types;

use std::sync::Arc;

use crate::engine::{Connection, Connector, Role};
use crate::error::Result;
use crate::limits;
use crate::store::StoreConfig;
use link::Link;
use server::Server;

pub(crate) struct Postgres {
    server: Arc<Server>,
}

impl Postgres {
    pub fn at(url: &str, config: &StoreConfig) -> Result<Self> {
        Ok(Self {
            server: Arc::new(Server::at(url, config)?),
        })
    }
}

impl Connector for Postgres {
    fn connect(&self, _: Role) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Link::open(self.server.clone())?))
    }

    fn batch_max(&self) -> usize {
        limits::POSTGRES_BATCH_MAX
    }

    fn writers(&self, config: &StoreConfig) -> usize {
        config.postgres_writers.max(1)
    }
}
