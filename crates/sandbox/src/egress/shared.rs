//! What all environments' outbound networks have in common: the operator's settings, the bounds
//! over all of them, the counters.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

/// The operator's part.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Where the platform listens. Every address of the host is denied anyway; these are denied
    /// also where they are not the host's own, such as a published address.
    pub platform: Vec<SocketAddr>,
    /// Networks (address, prefix length) denied to every function, whatever its policy.
    pub denied: Vec<(IpAddr, u8)>,
    /// Where the host's name servers are written.
    pub resolv_conf: PathBuf,
    /// Flows open at once over all environments.
    pub flows_max: usize,
}

impl Default for EgressConfig {
    fn default() -> Self {
        EgressConfig {
            platform: Vec::new(),
            denied: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            flows_max: 65_536,
        }
    }
}

/// One per process; make it before the first [`attach`](super::attach).
#[derive(Debug)]
pub struct EgressShared {
    config: EgressConfig,
}

impl EgressShared {
    pub fn new(config: EgressConfig) -> std::io::Result<Arc<EgressShared>> {
        Ok(Arc::new(EgressShared { config }))
    }

    pub(super) fn config(&self) -> &EgressConfig {
        &self.config
    }
}
