//! What the outbound network counts, over all environments. Plain atomics: read them whenever
//! metrics are asked for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::policy::Reason;

#[derive(Debug, Default)]
pub struct Counters {
    pub tcp_flows: AtomicU64,
    pub udp_flows: AtomicU64,
    pub dns_queries: AtomicU64,
    /// Payload of TCP and UDP, without DNS.
    pub bytes_to_world: AtomicU64,
    pub bytes_from_world: AtomicU64,
    /// Connections that the world refused, or could not be reached for.
    pub connects_failed: AtomicU64,
    /// Flows refused because an environment or the process has as many as it may.
    pub flows_over_limit: AtomicU64,
    /// Packets that were no whole IPv4 packet from the environment's address, or of a protocol
    /// that is not forwarded.
    pub packets_ignored: AtomicU64,
    /// Packets the environment's device would not take.
    pub packets_refused: AtomicU64,
    /// Packets of an earlier environment found, and thrown away, when its device was recycled.
    pub packets_drained: AtomicU64,
    /// Flows and connections that are open now.
    pub flows_open: AtomicUsize,
    /// Bytes held for them now.
    pub bytes_buffered: AtomicUsize,
    denied: [AtomicU64; Reason::ALL.len()],
    names_denied: AtomicU64,
}

impl Counters {
    /// Flows denied by policy, for one reason.
    pub fn denied(&self, reason: Reason) -> u64 {
        self.denied[reason as usize].load(Relaxed)
    }

    /// Name server queries denied by policy.
    pub fn names_denied(&self) -> u64 {
        self.names_denied.load(Relaxed)
    }

    pub(super) fn count_denied(&self, reason: Reason) {
        add(&self.denied[reason as usize], 1);
    }

    pub(super) fn count_name_denied(&self) {
        add(&self.names_denied, 1);
    }
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Relaxed);
}
