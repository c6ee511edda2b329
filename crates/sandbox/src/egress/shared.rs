//! What all environments' outbound networks have in common: the operator's settings, the bounds
//! over all of them, the counters, the way to ask the kernel which addresses are the host's.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed, mpsc},
    time::Instant,
};

use super::{
    counters::Counters,
    device::Device,
    limits::{BUFFER_BYTES_MAX, BUFFERED_BYTES_MAX, PRESSED_BYTES_MAX},
    names::Names,
    netlink::Netlink,
    policy::{Decision, Facts, Reason, decide, reaches_host},
    resolvers::Resolvers,
};

/// The operator's part.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Where the platform listens. Every address of the host is denied anyway; these are denied
    /// also where they are not the host's own, such as a published address.
    pub platform: Vec<SocketAddr>,
    /// Networks (address, prefix length) denied to every function, whatever its policy.
    pub denied: Vec<(IpAddr, u8)>,
    /// Services of the host that functions may reach, as [`HOST_NAME`](super::HOST_NAME) with the
    /// port: one for each port, and none at a name server's.
    pub host_services: Vec<SocketAddr>,
    /// Where the host's name servers are written.
    pub resolv_conf: PathBuf,
    /// Flows open at once over all environments. Never more than half of the file descriptors the
    /// process may open, so that functions cannot starve the platform's own listeners.
    pub flows_max: usize,
}

impl Default for EgressConfig {
    fn default() -> Self {
        EgressConfig {
            platform: Vec::new(),
            denied: Vec::new(),
            host_services: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            flows_max: 65_536,
        }
    }
}

/// One per process; make it before the first [`attach`](super::attach), in the network namespace
/// whose sockets functions are to use.
#[derive(Debug)]
pub struct EgressShared {
    config: EgressConfig,
    counters: Counters,
    routes: Mutex<Netlink>,
    pub(super) resolvers: Resolvers,
    closer: mpsc::Sender<Device>,
}

impl EgressShared {
    pub fn new(mut config: EgressConfig) -> io::Result<Arc<EgressShared>> {
        config.flows_max = config.flows_max.min(file_descriptors_max()? / 2);
        Ok(Arc::new(EgressShared {
            routes: Mutex::new(Netlink::open()?),
            resolvers: Resolvers::new(config.resolv_conf.clone()),
            counters: Counters::default(),
            closer: spawn_closer()?,
            config,
        }))
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the environment behind `names` may reach `to`. Asks the kernel for a route, which
    /// costs a few microseconds and is paid once per flow.
    pub(super) fn decide(&self, names: &Names, to: SocketAddrV4, now: Instant) -> Decision {
        let facts = Facts {
            host_owns: self.host_owns(*to.ip()),
            denied: &self.config.denied,
            platform: &self.config.platform,
            named: &names.rules_of(*to.ip(), now),
        };
        let decision = decide(names.policy(), to.into(), &facts);
        if let Decision::Deny(reason) = decision {
            self.counters.count_denied(reason);
            tracing::debug!(%to, %reason, "outbound flow denied");
        }
        decision
    }

    /// Where the environment behind `names` gets to by the host's name and this port.
    pub(super) fn host_service(&self, names: &Names, port: u16) -> Option<SocketAddr> {
        let services = &self.config.host_services;
        let service = services.iter().find(|service| service.port() == port);
        let allowed = service.filter(|_| reaches_host(names.policy(), port));
        if allowed.is_none() {
            self.counters.count_denied(Reason::Host);
        }
        allowed.copied()
    }

    /// Whether the host has services for functions at all.
    pub(super) fn has_host_services(&self) -> bool {
        !self.config.host_services.is_empty()
    }

    /// Exact, unlike a list of interfaces' addresses: the kernel also calls local what a route or
    /// a rule makes so. What has no route at all fails when it is connected to.
    fn host_owns(&self, ip: Ipv4Addr) -> bool {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.route_type(ip) {
            Ok(kind) => kind != libc::RTN_UNICAST,
            Err(error) => !matches!(
                error.raw_os_error(),
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL)
            ),
        }
    }

    /// Takes a place among all flows, if there is one.
    pub(super) fn permit(self: &Arc<Self>) -> Option<Permit> {
        let open = &self.counters.flows_open;
        if open.fetch_add(1, Relaxed) >= self.config.flows_max {
            open.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Permit {
            shared: self.clone(),
            buffered: 0,
        })
    }

    /// How much one direction of a flow may hold at present.
    pub(super) fn buffer_max(&self) -> usize {
        if self.counters.bytes_buffered.load(Relaxed) < BUFFERED_BYTES_MAX {
            BUFFER_BYTES_MAX
        } else {
            PRESSED_BYTES_MAX
        }
    }

    /// Closes a device. The kernel takes many milliseconds for it, in the caller's thread, so it
    /// is done in one of its own.
    pub(crate) fn close(&self, device: Device) {
        let _ = self.closer.send(device);
    }
}

/// A flow's place among all, and its share of the bytes held.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<EgressShared>,
    buffered: usize,
}

impl Permit {
    pub(super) fn set_buffered(&mut self, bytes: usize) {
        if bytes != self.buffered {
            let total = &self.shared.counters.bytes_buffered;
            total.fetch_add(bytes, Relaxed);
            total.fetch_sub(self.buffered, Relaxed);
            self.buffered = bytes;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.set_buffered(0);
        self.shared.counters.flows_open.fetch_sub(1, Relaxed);
    }
}

fn spawn_closer() -> io::Result<mpsc::Sender<Device>> {
    let (send, receive) = mpsc::channel::<Device>();
    std::thread::Builder::new()
        .name("egress-closer".into())
        .spawn(move || receive.into_iter().for_each(drop))?;
    Ok(send)
}

fn file_descriptors_max() -> io::Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: limit is valid for writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}
