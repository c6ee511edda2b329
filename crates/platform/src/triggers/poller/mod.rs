//! A mapping's poller: reads the queue, hands batches to the function, and deletes what succeeded.
//!
//! What is decided is decided purely: when a batch is complete (`batch.rs`), how many may be with
//! the function at once (`scale.rs`), what its answer says (`response.rs`). `run.rs` acts.

mod batch;
mod invoke;
mod receive;
mod response;
mod run;
mod scale;

use std::sync::Arc;

use tokio::{sync::watch, task::JoinHandle};

use super::{
    counts::Counts,
    filter::Criteria,
    mapping::{Held, Mapping},
    tables::{MappingRecord, Target},
};
use crate::{
    background::Wake,
    functions::{Functions, execution::FunctionKey},
    queues::{Queues, definition::QueueKey},
};
pub use receive::Written;
pub use response::{Verdict, verdict};
use run::Run;

/// What pollers work with.
#[derive(Clone)]
pub struct Deps {
    pub functions: Functions,
    pub queues: Queues,
    pub counts: Arc<Counts>,
    /// Told when a poller has ended.
    pub wake: Wake,
}

/// What a poller is to do, from a mapping's record.
pub struct Plan {
    revision: i64,
    record: Arc<MappingRecord>,
    queue: QueueKey,
    function: FunctionKey,
    function_arn: String,
    /// None if the stored patterns are not understood: then nothing is received.
    criteria: Option<Criteria>,
}

impl Plan {
    pub fn of(held: &Held) -> Arc<Self> {
        let record = held.record.clone();
        let patterns = record.settings.filters.iter().flatten().map(String::as_str);
        let criteria = Criteria::compile(patterns);
        if let Err(error) = &criteria {
            tracing::error!(%error, uuid = record.id.uuid, "stored filter criteria");
        }
        Arc::new(Self {
            revision: held.revision,
            queue: record.queue.clone(),
            function: record.target.key(),
            function_arn: record.target.arn(),
            criteria: criteria.ok(),
            record,
        })
    }

    fn target(&self) -> &Target {
        &self.record.target
    }

    /// The version or alias that is invoked, if one was named.
    fn qualifier(&self) -> Option<&str> {
        self.record.target.qualifier.as_deref()
    }
}

#[derive(Clone)]
enum Orders {
    Run(Arc<Plan>),
    Stop,
}

/// A poller at work.
pub struct Poller {
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

impl Poller {
    pub fn start(deps: Deps, mapping: Arc<Mapping>, plan: Arc<Plan>) -> Self {
        let (orders, told) = watch::channel(Orders::Run(plan.clone()));
        let ended = Ended(deps.wake.clone());
        let task = tokio::spawn(async move {
            // The end wakes the reconciler, also that of a panic.
            let _ended = ended;
            Run::new(deps, mapping, plan, told).run().await;
        });
        Self { orders, task }
    }

    /// Goes on by a plan that may be new; also one that was told to stop, if it has not ended.
    pub fn go_on(&self, plan: Arc<Plan>) {
        self.orders.send_if_modified(|orders| {
            let same = matches!(orders, Orders::Run(held) if held.revision == plan.revision);
            if !same {
                *orders = Orders::Run(plan);
            }
            !same
        });
    }

    /// Reads no more, and ends when the batches under way are done.
    pub fn stop(&self) {
        self.orders.send_if_modified(|orders| {
            let running = matches!(orders, Orders::Run(_));
            *orders = Orders::Stop;
            running
        });
    }

    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it as a crash does.
    #[cfg(test)]
    pub fn kill(self) {
        self.task.abort();
    }

    pub async fn finished(self) {
        // A panic is in the log already.
        let _ = self.task.await;
    }
}

struct Ended(Wake);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.wake();
    }
}
