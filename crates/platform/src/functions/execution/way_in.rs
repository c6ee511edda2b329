//! How functions reach the platform: the address they are told, who they are there, and who serves
//! their connections.
//!
//! An environment's connections arrive at a listener in its own network namespace, so whoever
//! serves them knows whose they are. How many there may be is bounded here; what they say is
//! nothing of this crate's.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{
    identity::{Session, Sessions},
    limits,
};

/// Serves connections of functions, like those of other clients.
pub trait Reception: Send + Sync + 'static {
    /// Serves one until it ends; dropped, it is cut.
    fn serve(
        &self,
        connection: TcpStream,
        from: Arc<Session>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

pub struct WayIn {
    /// `AWS_ENDPOINT_URL`
    pub endpoint_url: String,
    pub sessions: Sessions,
    reception: OnceLock<Arc<dyn Reception>>,
    /// For connections beyond those that every environment is assured of.
    extra: Arc<Semaphore>,
}

/// Room for a connection.
pub enum Room {
    Assured,
    Extra(OwnedSemaphorePermit),
}

impl WayIn {
    pub fn new(endpoint_url: String, sessions: Sessions) -> Self {
        Self {
            endpoint_url,
            sessions,
            reception: OnceLock::new(),
            extra: Arc::new(Semaphore::new(limits::FUNCTION_CONNECTIONS_EXTRA_MAX)),
        }
    }

    /// The first one stays.
    pub fn open(&self, reception: Arc<dyn Reception>) {
        let _ = self.reception.set(reception);
    }

    pub fn reception(&self) -> Option<&Arc<dyn Reception>> {
        self.reception.get()
    }

    /// Room for another connection of an environment that has so many. Where there is none the
    /// connection is closed, which its client notices at once; waiting, it would hang.
    pub fn room(&self, connections: usize) -> Option<Room> {
        if connections < limits::FUNCTION_CONNECTIONS_ASSURED {
            return Some(Room::Assured);
        }
        let below = connections < limits::FUNCTION_CONNECTIONS_MAX;
        let extra = below.then(|| self.extra.clone().try_acquire_owned());
        extra?.ok().map(Room::Extra)
    }
}
