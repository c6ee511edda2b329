//! Lambda durable functions: executions that outlast invocations.
//!
//! A function with a `DurableConfig` checkpoints what it has done; where it waits it ends, and is
//! invoked again with all that it checkpointed when what it waits for has come. What an execution
//! is and becomes is decided in `core/`, without clock and I/O; `lane.rs` stores it; `drive.rs`
//! invokes the function; one reconciler (`reconcile.rs`) brings up what is due.
//!
//! Everything is in the store before it is told to anybody, so that the end of the process loses
//! nothing: an invocation that was under way is made again.

mod api;
mod callback;
mod chained;
mod checkpoint;
mod core;
mod drive;
mod error;
mod history;
mod lane;
mod limits;
mod list;
mod read;
mod reconcile;
mod start;
mod stop;
mod tables;
mod token;
mod view;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use store::Store;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

pub use api::owns;
pub use tables::{MIGRATION_COUNT, migrations};

use crate::{
    alarm::Alarm,
    background::{Background, Wake},
    clock::Clock,
    functions::Functions,
    secrets::Secrets,
};
use lane::Lanes;
use start::Starter;
use tables::Tables;

/// The durable executions of this platform; a cheap handle.
#[derive(Clone)]
pub struct DurableExecutions(Arc<Inner>, #[expect(dead_code)] Arc<Ringing>);

/// The alarm's task, which ends with what it wakes.
struct Ringing(JoinHandle<()>);

impl Drop for Ringing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Inner {
    store: Store,
    tables: Tables,
    functions: Functions,
    clock: Arc<Clock>,
    lanes: Arc<Lanes>,
    alarm: Arc<Alarm>,
    /// Of the reconciler.
    wake: Wake,
    /// When those that are busy are next looked at.
    resume_ms: AtomicI64,
    stopping: watch::Sender<bool>,
    /// What goes on beside requests.
    working: AtomicUsize,
    none_working: Notify,
}

impl DurableExecutions {
    /// Takes up what is under way with the first pass of the reconciler, and from now on runs what
    /// functions with a `DurableConfig` are asked for.
    pub fn open(
        store: Store,
        secrets: Arc<Secrets>,
        functions: Functions,
        clock: Arc<Clock>,
        background: &Background,
    ) -> Self {
        let inner = Arc::new(Inner {
            store,
            tables: Tables(secrets),
            functions: functions.clone(),
            clock,
            lanes: Arc::default(),
            alarm: Arc::default(),
            wake: Wake::default(),
            resume_ms: AtomicI64::new(0),
            stopping: watch::channel(false).0,
            working: AtomicUsize::new(0),
            none_working: Notify::new(),
        });
        functions.run_durably_by(Arc::new(Starter(Arc::downgrade(&inner))));
        let (alarm, clock) = (inner.alarm.clone(), inner.clock.clone());
        let (wake, reconciling) = (inner.wake.clone(), Arc::downgrade(&inner));
        let ringing = tokio::spawn(async move { alarm.keep_ringing(&clock, &wake).await });
        background.keep(
            "durable_executions",
            limits::RECONCILE_EVERY,
            inner.wake.clone(),
            move || {
                let inner = reconciling.upgrade();
                async move {
                    match inner {
                        Some(inner) => inner.reconcile().await,
                        None => Ok(()),
                    }
                }
            },
        );
        Self(inner, Arc::new(Ringing(ringing)))
    }

    /// Begins nothing any more and lets go of those that wait for an execution's end.
    pub fn begin_stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Waits until what is under way is stored.
    pub async fn stop(&self, within: Duration) {
        self.begin_stop();
        let finished = async {
            while self.0.working.load(Ordering::Acquire) > 0 {
                self.0.none_working.notified().await;
            }
        };
        if tokio::time::timeout(within, finished).await.is_err() {
            tracing::warn!("durable executions were still under way; the next start goes on");
        }
    }
}

impl Inner {
    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Runs something beside requests; the end waits for it.
    fn work(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.working.fetch_add(1, Ordering::AcqRel);
        let this = Working(self.clone());
        tokio::spawn(async move {
            let _this = this;
            work.await;
        });
    }
}

struct Working(Arc<Inner>);

impl Drop for Working {
    fn drop(&mut self) {
        if self.0.working.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_working.notify_one();
        }
    }
}
