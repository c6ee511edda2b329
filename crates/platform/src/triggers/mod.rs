//! What wakes functions: event source mappings read a queue and invoke a function with what they
//! got. The only place that knows both.
//!
//! [`EventSourceMappings`] keeps their records and, for each that is enabled, a poller. The API
//! changes records; a reconciler brings the pollers after them.

mod api;
mod counts;
mod create;
mod error;
pub mod filter;
mod limits;
mod list;
mod mapping;
mod poller;
mod requested;
mod tables;
mod tags;
#[cfg(test)]
mod tests;
mod update;
mod view;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use store::{Page, Store};

pub use api::owns;
pub use counts::{Counts, MappingsView};
pub(crate) use poller::{Verdict, Written, verdict};
pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    background::{Background, Wake},
    functions::Functions,
    queues::{Queues, definition::QueueKey},
};
use error::Result;
use mapping::{Mapping, Mappings, Phase};
use poller::{Deps, Plan, Poller};
use tables::MAPPINGS;

/// The event source mappings of this platform; a cheap handle.
#[derive(Clone)]
pub struct EventSourceMappings(Arc<Inner>);

struct Inner {
    store: Store,
    functions: Functions,
    queues: Queues,
    mappings: Mappings,
    /// Held while a mapping is added, of which there may be no second.
    creating: tokio::sync::Mutex<()>,
    /// Of the reconciler.
    wake: Wake,
    counts: Arc<Counts>,
    stopping: AtomicBool,
}

const LOAD_PAGE: u32 = 500;

impl EventSourceMappings {
    /// Loads what is stored; polling begins with the first pass of the reconciler.
    pub async fn open(
        store: Store,
        functions: Functions,
        queues: Queues,
        background: &Background,
    ) -> Result<Self, store::Error> {
        let mappings = Self(Arc::new(Inner {
            store,
            functions,
            queues,
            mappings: Mappings::default(),
            creating: tokio::sync::Mutex::default(),
            wake: Wake::default(),
            counts: Arc::default(),
            stopping: AtomicBool::new(false),
        }));
        mappings.load().await?;
        let (this, wake) = (mappings.clone(), mappings.0.wake.clone());
        background.keep(
            "event_source_mappings",
            limits::RECONCILE_EVERY,
            wake,
            move || {
                let this = this.clone();
                async move { this.reconcile().await }
            },
        );
        Ok(mappings)
    }

    /// Ends polling; batches that are with functions go on.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        for mapping in self.0.mappings.all() {
            if let Some(poller) = mapping.poller().as_ref() {
                poller.stop();
            }
        }
    }

    /// Ends polling and waits for the batches that are with functions.
    pub async fn stop(&self, within: Duration) {
        self.begin_stop();
        let pollers = self.0.mappings.all().into_iter();
        let pollers: Vec<Poller> = pollers.filter_map(|it| it.poller().take()).collect();
        let finished = async {
            for poller in pollers {
                poller.finished().await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            tracing::warn!("batches of event source mappings were still under way at the end");
        }
    }

    /// What an operator may know of all mappings together.
    pub fn view(&self) -> MappingsView {
        let all = self.0.mappings.all();
        let of = |phase| {
            all.iter()
                .filter(|mapping| mapping.phase() == phase)
                .count()
        };
        MappingsView {
            by_state: Phase::ALL.map(|phase| (phase.as_str(), of(phase))),
            counts: self.0.counts.clone(),
        }
    }

    /// The ARNs of the functions that each queue is mapped to.
    pub fn functions_by_queue(&self) -> HashMap<QueueKey, Vec<String>> {
        let mut functions: HashMap<_, Vec<_>> = HashMap::new();
        for mapping in self.0.mappings.all() {
            let record = mapping.record();
            let of_queue = functions.entry(record.queue.clone()).or_default();
            of_queue.push(record.target.arn());
        }
        functions
    }

    async fn load(&self) -> Result<(), store::Error> {
        let mut after: Option<Vec<String>> = None;
        loop {
            let from = after.clone();
            let page = self.0.store.read(move |tx| {
                let from = from.as_deref();
                let from: Option<Vec<&str>> =
                    from.map(|it| it.iter().map(String::as_str).collect());
                let page = Page {
                    prefix: &[],
                    after: from.as_deref(),
                    limit: LOAD_PAGE,
                };
                MAPPINGS.list(tx, page)
            });
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.parts().map(str::to_owned).collect());
            for stored in page {
                let phase = Phase::of(&stored.record);
                let mapping = Mapping::new(stored.record, stored.revision, phase);
                self.0.mappings.insert(mapping);
            }
        }
    }

    /// Brings every mapping to what its record says.
    async fn reconcile(&self) -> Result<(), store::Error> {
        let mut ended = Ok(());
        for mapping in self.0.mappings.all() {
            if self.0.stopping.load(Ordering::SeqCst) {
                break;
            }
            if let Err(error) = self.reconcile_one(&mapping).await {
                ended = Err(error);
            }
        }
        ended
    }

    async fn reconcile_one(&self, mapping: &Arc<Mapping>) -> Result<(), store::Error> {
        let seen = mapping.held();
        let wanted = seen.record.enabled && !seen.record.deleting;
        if wanted {
            let plan = Plan::of(&seen);
            let mut poller = mapping.poller();
            match poller.as_ref().filter(|poller| !poller.is_finished()) {
                Some(poller) => poller.go_on(plan),
                None if self.0.stopping.load(Ordering::SeqCst) => return Ok(()),
                None => *poller = Some(Poller::start(self.deps(), mapping.clone(), plan)),
            }
            mapping.settle(&seen, Phase::Enabled);
            return Ok(());
        }
        let under_way = {
            let poller = mapping.poller();
            let running = poller.as_ref().filter(|poller| !poller.is_finished());
            running.inspect(|poller| poller.stop()).is_some()
        };
        if under_way {
            return Ok(());
        }
        mapping.set_problem(None);
        match seen.record.deleting {
            true => self.remove(mapping).await,
            false => {
                mapping.settle(&seen, Phase::Disabled);
                Ok(())
            }
        }
    }

    async fn remove(&self, mapping: &Mapping) -> Result<(), store::Error> {
        let id = mapping.id.clone();
        let removed = self
            .0
            .store
            .write(move |tx| MAPPINGS.delete(tx, &id.parts()));
        removed.await?;
        self.0.mappings.remove(&mapping.id);
        Ok(())
    }

    fn deps(&self) -> Deps {
        Deps {
            functions: self.0.functions.clone(),
            queues: self.0.queues.clone(),
            counts: self.0.counts.clone(),
            wake: self.0.wake.clone(),
        }
    }
}
