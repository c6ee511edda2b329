//! The whole platform behind one handle: every request that is AWS's comes in here, as a head and a
//! body, and leaves as an answer.
//!
//! Knows no socket. The listener asks first where a request goes ([`Platform::target`]), so that
//! it knows how much of a body to read, and then for the answer.

mod answering;
mod migrations;
mod opening;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use store::{BlobHash, BlobStore, Store};
use tokio::task::JoinHandle;
use wire::Router;

use crate::{
    background::Background,
    deliveries::Deliveries,
    events::Events,
    functions::{
        Functions,
        execution::{Execution, Reception, WayIn},
        runtimes::Runtimes,
    },
    gateway::FunctionUrls,
    identity::Identity,
    invocations::InvocationCounts,
    limits,
    logs::Logs,
    measuring::Measuring,
    metering::{Metering, Prices},
    metrics::Metrics,
    queues::Queues,
    services::Services,
    triggers::EventSourceMappings,
};

pub use answering::Request;
pub(crate) use migrations::migrations;
pub use opening::{PlatformConfig, StartError};

/// A cheap handle.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    router: Router,
    identity: Arc<Identity>,
    urls: FunctionUrls,
    store: Store,
    blobs: BlobStore,
    services: Services,
    execution: Execution,
    way_in: Arc<WayIn>,
    deliveries: Deliveries,
    metering: Metering,
    measuring: Arc<Measuring>,
    prices: Prices,
    runtimes: Runtimes,
    counts: Arc<InvocationCounts>,
    /// What goes on beside requests: folding the usage, collecting packages.
    background: Vec<JoinHandle<()>>,
    reconciling: Background,
}

impl Platform {
    /// What only waits ends, so that requests which run can finish: receivers get no message, and
    /// mappings take none.
    pub fn begin_stop(&self) {
        self.inner.services.mappings.begin_stop();
        self.inner.services.pipes.begin_stop();
        self.inner.deliveries.begin_stop();
        self.inner.services.events.begin_stop();
        self.inner.services.executions.begin_stop();
        self.inner.services.logs.begin_stop();
        self.inner.services.queues.let_waiters_go();
    }

    /// Takes no more invocations, waits for those that run, and closes everything.
    pub async fn stop(&self, within: Duration) {
        let until = Instant::now() + within;
        self.inner.services.mappings.stop(within).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.pipes.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.deliveries.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.events.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.execution.drain(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.executions.stop(left).await;
        self.inner.reconciling.stop();
        for task in &self.inner.background {
            task.abort();
        }
        self.inner.measuring.finish().await;
        if let Err(error) = self.inner.metering.fold().await {
            tracing::warn!(%error, "the last use stays in the journal until the next start");
        }
        // The last words of what was ended.
        let logs = self.logs().clone();
        let _ = tokio::task::spawn_blocking(move || logs.flush()).await;
        self.inner.store.close().await;
    }

    pub fn functions(&self) -> &Functions {
        &self.inner.services.functions
    }

    pub fn queues(&self) -> &Queues {
        &self.inner.services.queues
    }

    pub fn mappings(&self) -> &EventSourceMappings {
        &self.inner.services.mappings
    }

    pub fn events(&self) -> &Events {
        &self.inner.services.events
    }

    pub fn deliveries(&self) -> &Deliveries {
        &self.inner.deliveries
    }

    /// What brings things to how they should be, by name.
    pub fn background(&self) -> &Background {
        &self.inner.reconciling
    }

    pub fn execution(&self) -> &Execution {
        &self.inner.execution
    }

    /// Says who serves the connections that functions open to the platform. Once, before the first
    /// request; until then they are closed.
    pub fn receive(&self, reception: Arc<dyn Reception>) {
        self.inner.way_in.open(reception);
    }

    pub fn logs(&self) -> &Logs {
        self.inner.services.logs.lines()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.inner.services.metrics
    }

    pub fn metering(&self) -> &Metering {
        &self.inner.metering
    }

    pub fn prices(&self) -> &Prices {
        &self.inner.prices
    }

    pub fn runtimes(&self) -> &Runtimes {
        &self.inner.runtimes
    }

    pub fn invocations(&self) -> &InvocationCounts {
        &self.inner.counts
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The certificate that SNS's messages are verified with, by the end of its URL.
    pub async fn signing_certificate(&self, file: &str) -> Option<String> {
        self.inner.services.topics.certificate(file).await
    }

    /// The package that a link of GetFunction's leads to, while it is good.
    pub async fn package(&self, token: &str, now: Timestamp) -> Option<Vec<u8>> {
        let blob: BlobHash = self.inner.services.functions.linked_package(token, now)?;
        let read = self.inner.blobs.get(blob, limits::PACKAGE_BYTES_MAX).await;
        read.inspect_err(|error| tracing::error!(%error, "read a function's package"))
            .ok()
    }

    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }
}
