//! Amazon EventBridge Pipes: from one source, filtered and enriched, to one target.
//!
//! A pipe that runs has a worker ([`worker`]) which reads its queue. A message is deleted after its
//! target has taken it, and comes back by its visibility timeout otherwise: no crash loses one. The
//! API changes records; a reconciler brings the workers after them.

mod api;
mod batch;
mod change;
mod error;
mod held;
mod limits;
mod requested;
mod show;
mod tables;
mod template;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use store::{Page, Store};

pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    background::{Background, Wake},
    buses::Buses,
    deliveries::Deliveries,
    functions::Functions,
    queues::Queues,
};
use held::{Held, Phase, Pipe};
use tables::{PIPES, Wanted};
use worker::Worker;

/// The pipes of this platform; a cheap handle.
#[derive(Clone)]
pub struct Pipes(Arc<Inner>);

struct Inner {
    store: Store,
    queues: Queues,
    functions: Functions,
    buses: Buses,
    deliveries: Deliveries,
    pipes: Held,
    /// Held while a record changes.
    changing: tokio::sync::Mutex<()>,
    wake: Wake,
    stopping: AtomicBool,
}

const LOAD_PAGE: u32 = 500;

impl Pipes {
    /// Loads what is stored; reading begins with the first pass of the reconciler.
    pub async fn open(
        store: Store,
        queues: Queues,
        functions: Functions,
        buses: Buses,
        deliveries: Deliveries,
        background: &Background,
    ) -> Result<Self, store::Error> {
        let pipes = Self(Arc::new(Inner {
            store,
            queues,
            functions,
            buses,
            deliveries,
            pipes: Held::default(),
            changing: tokio::sync::Mutex::default(),
            wake: Wake::default(),
            stopping: AtomicBool::new(false),
        }));
        pipes.load().await?;
        let (this, wake) = (pipes.clone(), pipes.0.wake.clone());
        background.keep("pipes", limits::RECONCILE_EVERY, wake, move || {
            let this = this.clone();
            async move { this.reconcile().await }
        });
        Ok(pipes)
    }

    /// Ends reading; batches that are under way go on.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        for pipe in self.0.pipes.all() {
            if let Some(worker) = pipe.worker().as_ref() {
                worker.stop();
            }
        }
    }

    /// Ends reading and waits for the batches that are under way.
    pub async fn stop(&self, within: Duration) {
        self.begin_stop();
        let pipes = self.0.pipes.all().into_iter();
        let workers: Vec<Worker> = pipes.filter_map(|pipe| pipe.worker().take()).collect();
        let finished = async {
            for worker in workers {
                worker.finished().await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            tracing::warn!("batches of pipes were still under way at the end");
        }
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
                PIPES.list(tx, page)
            });
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.parts().map(str::to_owned).collect());
            for stored in page {
                let phase = Phase::of(stored.record.wanted);
                self.0.pipes.put(Pipe::new(stored.record, phase));
            }
        }
    }

    /// Brings every pipe to what its record says.
    async fn reconcile(&self) -> Result<(), store::Error> {
        for pipe in self.0.pipes.all() {
            if self.0.stopping.load(Ordering::SeqCst) {
                break;
            }
            self.reconcile_one(&pipe).await?;
        }
        Ok(())
    }

    async fn reconcile_one(&self, pipe: &Arc<Pipe>) -> Result<(), store::Error> {
        let record = pipe.record();
        let is_current = |worker: &Worker| worker.works_by(&record) && !worker.is_finished();
        if record.wanted == Wanted::Running {
            let mut worker = pipe.worker();
            match worker.as_ref() {
                Some(worker) if is_current(worker) => {}
                // The next one begins when this one is done with what it has.
                Some(old) if !old.is_finished() => {
                    old.stop();
                    return Ok(());
                }
                _ => *worker = Some(Worker::start(self.clone(), pipe.clone(), record.clone())),
            }
            pipe.settle(&record, Phase::Running);
            return Ok(());
        }
        {
            let mut worker = pipe.worker();
            if let Some(running) = worker.as_ref().filter(|worker| !worker.is_finished()) {
                running.stop();
                return Ok(());
            }
            *worker = None;
        }
        pipe.set_problem(None);
        if record.wanted == Wanted::Stopped {
            pipe.settle(&record, Phase::Stopped);
            return Ok(());
        }
        let key = record.key.clone();
        let gone = self.0.store.write(move |tx| PIPES.delete(tx, &key.parts()));
        gone.await?;
        self.0.pipes.remove(&record.key);
        Ok(())
    }
}
