//! The host's name servers, as `/etc/resolv.conf` has them now. Queries of environments go to them
//! from the host's own sockets, so a stub on the host's loopback serves too.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The resolver library asks no more than three.
const SERVERS_MAX: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Resolvers {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    checked: Option<Instant>,
    modified: Option<SystemTime>,
    servers: Arc<[SocketAddr]>,
}

impl Resolvers {
    pub(super) fn new(path: PathBuf) -> Resolvers {
        let seen = Seen {
            checked: None,
            modified: None,
            servers: parse(""),
        };
        Resolvers {
            path,
            seen: Mutex::new(seen),
        }
    }

    /// Reads the file again when it has changed, and looks for that every few seconds.
    pub(super) fn current(&self, now: Instant) -> Arc<[SocketAddr]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let due = seen
            .checked
            .is_none_or(|checked| now.duration_since(checked) >= LOOK_AGAIN);
        if due {
            seen.checked = Some(now);
            let modified = modified(&self.path);
            if modified.is_none() || modified != seen.modified {
                seen.modified = modified;
                seen.servers = parse(&fs::read_to_string(&self.path).unwrap_or_default());
            }
        }
        seen.servers.clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Without any, the one on this host, as the resolver library has it.
fn parse(text: &str) -> Arc<[SocketAddr]> {
    let mut servers: Vec<SocketAddr> = text.lines().filter_map(server).take(SERVERS_MAX).collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    servers.into()
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    if words.next()? != "nameserver" {
        return None;
    }
    let address = words.next()?;
    match address.split_once('%') {
        None => Some((address.parse::<IpAddr>().ok()?, 53).into()),
        Some((address, zone)) => {
            let address = address.parse::<Ipv6Addr>().ok()?;
            Some(SocketAddrV6::new(address, 53, 0, scope(zone)?).into())
        }
    }
}

fn scope(zone: &str) -> Option<u32> {
    let name = std::ffi::CString::new(zone).ok()?;
    // SAFETY: name is a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index != 0 {
        Some(index)
    } else {
        zone.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_resolver_library_does() {
        let text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 127.0.0.53 # stub\n\
                    nameserver fe80::1%lo\nnameserver nonsense\noptions edns0\n\
                    \tnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let servers: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.53:53", "[fe80::1%1]:53", "10.0.0.1:53"]);
        assert_eq!(*parse("search a"), [(Ipv4Addr::LOCALHOST, 53).into()]);
    }
}
