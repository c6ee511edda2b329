//! The server engine: PostgreSQL 15 or later, one connection per thread of the store.
//!
//! Write transactions are SERIALIZABLE, so that a closure means the same here, beside other
//! nodes' closures, as it does on SQLite's single writer. What the server undoes for that is run
//! again. A server that restarts is waited for a while; once it stays away for longer, callers
//! are told at once. Nodes that must not work beside each other at all are kept apart by
//! `owner.rs`.

mod error;
mod link;
mod mark;
mod owner;
mod server;
mod types;

use std::sync::{Arc, OnceLock};

use crate::engine::{Connection, Connector, Role};
use crate::error::Result;
use crate::limits;
use crate::owner::{Owner, Tenure};
use crate::store::StoreConfig;
use link::Link;
use owner::Fence;
use server::Server;

pub(crate) struct Postgres {
    server: Arc<Server>,
    fence: OnceLock<Arc<Fence>>,
}

impl Postgres {
    pub fn at(url: &str, config: &StoreConfig) -> Result<Self> {
        Ok(Self {
            server: Arc::new(Server::at(url, config)?),
            fence: OnceLock::new(),
        })
    }
}

impl Connector for Postgres {
    fn connect(&self, role: Role) -> Result<Box<dyn Connection>> {
        let fence = match role {
            Role::Writer => self.fence.get().cloned(),
            Role::Reader => None,
        };
        Ok(Box::new(Link::open(self.server.clone(), fence)?))
    }

    fn batch_max(&self) -> usize {
        limits::POSTGRES_BATCH_MAX
    }

    fn writers(&self, config: &StoreConfig) -> usize {
        config.postgres_writers.max(1)
    }

    fn own(&self, owner: &Owner) -> Result<Tenure> {
        let (fence, tenure) = owner::own(&self.server, owner)?;
        let first = self.fence.set(fence).is_ok();
        assert!(first, "a store is opened once");
        Ok(tenure)
    }
}
