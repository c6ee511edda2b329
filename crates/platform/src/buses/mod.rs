//! Amazon EventBridge: buses, the rules on them and what rules send to.
//!
//! An event that was put on a bus is matched in memory ([`held`]); what the rules that match send,
//! and what archives keep, is one transaction ([`put`]), and the event is acknowledged after it.
//! From there `deliveries` has it. Definitions are stored first, then kept in memory.

mod api;
mod archive;
mod bus;
mod connection;
mod connection_auth;
mod deliver;
mod destination;
mod error;
mod event;
mod held;
mod input;
mod limits;
mod names;
mod paging;
mod permission;
mod put;
mod replay;
mod request;
mod rule;
mod schedule;
mod tables;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod tokens;
mod try_out;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicI64},
    time::Duration,
};

use store::{Page, Record, Store, Table};
use tokio::task::JoinHandle;

pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    background::{Background, Wake},
    clock::Clock,
    deliveries::Deliveries,
    outbound::Outbound,
    secrets::Secrets,
};
use held::{Archive, Bus, Rule, Shelf};
use names::{BusKey, Named};
use tables::{
    ARCHIVES, BUSES, CONNECTIONS, ConnectionRecord, DESTINATIONS, DestinationRecord, REPLAYS,
    RULES, ReplayRecord,
};

/// The buses of this platform; a cheap handle.
#[derive(Clone)]
pub struct Buses(Arc<Inner>);

struct Inner {
    store: Store,
    secrets: Arc<Secrets>,
    clock: Arc<Clock>,
    deliveries: Deliveries,
    outbound: Outbound,
    buses: Shelf<BusKey, Bus>,
    archives: Shelf<Named, Archive>,
    replays: Shelf<Named, ReplayRecord>,
    connections: Shelf<Named, ConnectionRecord>,
    destinations: Shelf<Named, DestinationRecord>,
    tokens: tokens::Tokens,
    paces: tokens::Paces,
    /// Held while a definition changes: each change is made of what is there.
    changing: tokio::sync::Mutex<()>,
    /// The number of the last event that an archive took.
    sequence: AtomicI64,
    /// Sleeps until the next scheduled rule.
    timer: Mutex<Option<JoinHandle<()>>>,
    schedules_wake: Wake,
    replays_wake: Wake,
    connections_wake: Wake,
    expire_wake: Wake,
}

/// Why buses could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("read what is stored of event buses: {0}")]
    Definition(String),
}

/// What work is done besides being woken.
const KEEP_EVERY: Duration = Duration::from_secs(300);

impl Buses {
    /// Loads what is stored. Background work begins with [`Buses::begin`].
    pub async fn open(
        store: Store,
        secrets: Arc<Secrets>,
        clock: Arc<Clock>,
        deliveries: Deliveries,
        outbound: Outbound,
    ) -> Result<Self, OpenError> {
        let buses = Self(Arc::new(Inner {
            store,
            secrets,
            clock,
            deliveries,
            outbound,
            buses: Shelf::default(),
            archives: Shelf::default(),
            replays: Shelf::default(),
            connections: Shelf::default(),
            destinations: Shelf::default(),
            tokens: tokens::Tokens::default(),
            paces: tokens::Paces::default(),
            changing: tokio::sync::Mutex::default(),
            sequence: AtomicI64::new(0),
            timer: Mutex::default(),
            schedules_wake: Wake::default(),
            replays_wake: Wake::default(),
            connections_wake: Wake::default(),
            expire_wake: Wake::default(),
        }));
        buses.load().await?;
        Ok(buses)
    }

    /// Begins with what goes on beside requests. After every kind of target is registered.
    pub fn begin(&self, background: &Background) {
        let this = self.clone();
        let wake = self.0.schedules_wake.clone();
        background.keep("rule_schedules", KEEP_EVERY, wake, move || {
            let this = this.clone();
            async move { this.keep_schedules().await }
        });
        let this = self.clone();
        let wake = self.0.replays_wake.clone();
        background.keep("event_replays", KEEP_EVERY, wake, move || {
            let this = this.clone();
            async move { this.keep_replaying().await }
        });
        let this = self.clone();
        let wake = self.0.connections_wake.clone();
        background.keep("event_connections", KEEP_EVERY, wake, move || {
            let this = this.clone();
            async move { this.keep_authorizing().await }
        });
        let this = self.clone();
        let wake = self.0.expire_wake.clone();
        background.keep("event_archives", limits::EXPIRE_EVERY, wake, move || {
            let this = this.clone();
            async move { this.expire_archives().await }
        });
    }

    async fn load(&self) -> Result<(), OpenError> {
        let inner = &self.0;
        let mut buses: HashMap<BusKey, Bus> = HashMap::new();
        for record in all(&inner.store, BUSES).await? {
            buses.insert(record.key.clone(), Bus::new(record));
        }
        let mut rules: HashMap<BusKey, Vec<Rule>> = HashMap::new();
        for record in all(&inner.store, RULES).await? {
            let key = record.bus.clone();
            let rule =
                Rule::new(record).map_err(|error| OpenError::Definition(error.to_string()))?;
            rules.entry(key).or_default().push(rule);
        }
        for (key, rules) in rules {
            // Rules are stored after their bus.
            if let Some(bus) = buses.get_mut(&key) {
                let rules = rules.into_iter();
                bus.rules = rules
                    .map(|it| (it.record.name.clone(), Arc::new(it)))
                    .collect();
            }
        }
        for record in all(&inner.store, ARCHIVES).await? {
            let (key, on) = (record.key.clone(), record.bus.clone());
            let archive = Archive::new(record);
            let archive = archive.map_err(|error| OpenError::Definition(error.to_string()))?;
            let archive = Arc::new(archive);
            if let Some(bus) = buses.get_mut(&on) {
                bus.archives.push(archive.clone());
            }
            inner.archives.put(key, archive);
        }
        for (key, bus) in buses {
            inner.buses.put(key, bus);
        }
        for record in all(&inner.store, REPLAYS).await? {
            inner.replays.put(record.key.clone(), record);
        }
        for record in all(&inner.store, CONNECTIONS).await? {
            inner.connections.put(record.key.clone(), record);
        }
        for record in all(&inner.store, DESTINATIONS).await? {
            inner.destinations.put(record.key.clone(), record);
        }
        Ok(())
    }
}

const LOAD_PAGE: u32 = 500;

async fn all<R: Record + Send + 'static>(
    store: &Store,
    table: Table<R>,
) -> Result<Vec<R>, store::Error> {
    let mut all = Vec::new();
    let mut after: Option<Vec<String>> = None;
    loop {
        let from = after.clone();
        let page = store.read(move |tx| {
            let after: Option<Vec<&str>> = from
                .as_ref()
                .map(|key| key.iter().map(String::as_str).collect());
            let page = Page {
                prefix: &[],
                after: after.as_deref(),
                limit: LOAD_PAGE,
            };
            table.list(tx, page)
        });
        let page = page.await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.key.parts().map(str::to_owned).collect());
        all.extend(page.into_iter().map(|stored| stored.record));
    }
}
