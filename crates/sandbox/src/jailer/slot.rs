//! A slot: what an environment needs that takes long to make, made ahead.
//!
//! A network namespace with the loopback up, the listeners for the Runtime API and for calls to the
//! platform bound inside it, and an egress device; a user namespace in which one host user is Lambda's sandbox user; and the
//! control groups. The jailer keeps the namespaces so that it can make the slot ready again after
//! an environment has gone; the groups and namespaces are empty then.

use std::{
    ffi::{c_int, c_void},
    fs,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::AtomicU32,
};

use guest::jail::{
    entry::{GUEST_GID, GUEST_UID},
    message::Group,
    process, sys,
};

use super::{
    During, Trouble,
    ids::Ids,
    message::{Notice, SlotNotice},
    mounts::{self, own_namespace},
};
use crate::{
    RUNTIME_API_PORT,
    cgroup::{Groups, Slot},
    egress,
};

/// A slot number that no slot has.
const PROBE: Slot = Slot::MAX;

/// The jailer's own network namespace, to come back to, and a stack for a short-lived child.
pub struct Home {
    net: OwnedFd,
    stack: Box<[u128]>,
    /// Where functions reach the platform on their own loopback.
    platform_port: Option<u16>,
    /// Processes can be born into groups.
    births: bool,
}

impl Home {
    pub fn new(groups: &dyn Groups, platform_port: Option<u16>) -> Result<Self, Trouble> {
        let net = own_namespace("net").during(|| "open the own network namespace".into())?;
        let mut home = Home {
            net,
            stack: vec![0; 1024].into_boxed_slice(),
            platform_port,
            births: false,
        };
        home.births = home.is_born_alive(groups);
        Ok(home)
    }

    /// Whether a process that is born into a group lives. Where one of the groups involved has
    /// ever been killed as a whole, some kernels take its later children for members then.
    fn is_born_alive(&mut self, groups: &dyn Groups) -> bool {
        if groups.make(PROBE).is_err() {
            return false;
        }
        let status = groups.group(PROBE).and_then(|group| {
            let group = Some(group.as_raw_fd());
            let (stack, flags) = (&raw mut self.stack[..], sys::CLONE_VM | sys::CLONE_VFORK);
            // SAFETY: the child only ends, on a stack that is not used meanwhile.
            let made = unsafe { process::clone_on(end, stack, flags, std::ptr::null_mut(), group) };
            let (pid, _) = made.ok()?;
            sys::wait4(pid, 0).ok()?
        });
        let _ = groups.remove(PROBE);
        matches!(status, Some((_, 0)))
    }

    /// Runs `work` in the network namespace `net`.
    fn within<T>(
        &self,
        net: &OwnedFd,
        work: impl FnOnce() -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        sys::setns(net.as_raw_fd(), sys::CLONE_NEWNET)
            .during(|| "enter a network namespace".into())?;
        let done = work();
        sys::setns(self.net.as_raw_fd(), sys::CLONE_NEWNET)
            .during(|| "leave a network namespace".into())?;
        done
    }
}

/// What the jailer keeps of a slot.
pub struct Made {
    owner: u32,
    net: OwnedFd,
    user: OwnedFd,
    /// Nothing of an environment's connections is left in `net` when it has ended.
    forgets: bool,
}

impl Made {
    /// Whether it can serve another tenant.
    pub fn is_renewable(&self) -> bool {
        self.forgets
    }
}

/// What the server gets of it, in the order of [`Notice::Slot`].
pub struct Offer {
    notice: SlotNotice,
    fds: Vec<OwnedFd>,
}

impl Offer {
    pub fn send(self, socket: &OwnedFd) {
        let fds: Vec<i32> = self.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let _ = sys::send(
            socket.as_raw_fd(),
            &Notice::Slot(self.notice).encode(),
            &fds,
            0,
        );
    }
}

pub fn make(
    home: &mut Home,
    groups: &dyn Groups,
    ids: Ids,
    slot: Slot,
) -> Result<(Made, Offer), Trouble> {
    let owner = ids.of(slot);
    let user = user_namespace(home, owner)?;
    sys::unshare(sys::CLONE_NEWNET).during(|| "make a network namespace".into())?;
    let net = own_namespace("net").during(|| "open a network namespace".into());
    let device = net
        .as_ref()
        .ok()
        .map(|_| loopback_up().and_then(|()| egress_device()));
    let forgets = forget_connections();
    sys::setns(home.net.as_raw_fd(), sys::CLONE_NEWNET)
        .during(|| "leave a network namespace".into())?;
    let (net, device) = (net?, device.transpose()?.flatten());
    groups.make(slot).during(|| "make a control group".into())?;
    let made = Made {
        owner,
        net,
        user,
        forgets,
    };
    let offer = offer(home, groups, &made, slot, Fresh::Made(device))?;
    Ok((made, offer))
}

/// Makes a slot whose environment is gone ready for the next.
pub fn renew(home: &Home, groups: &dyn Groups, made: &Made, slot: Slot) -> Result<Offer, Trouble> {
    groups
        .renew(slot)
        .during(|| "renew a control group".into())?;
    offer(home, groups, made, slot, Fresh::Renewed)
}

/// What is offered: a new slot with its egress device, or one that the server knows.
enum Fresh {
    Made(Option<OwnedFd>),
    Renewed,
}

fn offer(
    home: &Home,
    groups: &dyn Groups,
    made: &Made,
    slot: Slot,
    state: Fresh,
) -> Result<Offer, Trouble> {
    let (fresh, device) = match state {
        Fresh::Made(device) => (true, device),
        Fresh::Renewed => (false, None),
    };
    // New ones for each environment: whoever still holds the last one's can accept nothing more.
    let (listener, platform) = home.within(&made.net, || {
        let runtime_api = TcpListener::bind((Ipv4Addr::LOCALHOST, RUNTIME_API_PORT))
            .during(|| "listen for the Runtime API".into())?;
        let platform = home.platform_port.map(platform_listener).transpose()?;
        Ok((runtime_api, platform))
    })?;
    let copy = |fd: &OwnedFd| fd.try_clone().during(|| "copy a descriptor".into());
    let mut fds = vec![listener.into(), copy(&made.net)?, copy(&made.user)?];
    let has_platform = platform.is_some();
    fds.extend(platform.map(OwnedFd::from));
    let freezer = groups.freezer(slot);
    let group = groups.group(slot);
    let notice = SlotNotice {
        group: match group {
            None => Group::None,
            Some(_) if home.births => Group::Birth,
            Some(_) => Group::Move,
        },
        slot,
        owner: made.owner,
        platform: has_platform,
        freezer: freezer.as_ref().map(|freezer| freezer.kind),
        fresh,
        egress: device.is_some(),
    };
    fds.extend(freezer.map(|freezer| freezer.file));
    fds.extend(device);
    fds.extend(group);
    fds.extend(
        groups
            .entrances(slot)
            .during(|| "open a control group".into())?,
    );
    Ok(Offer { notice, fds })
}

/// A TCP socket in a slot's network, which does not block: it stays there whoever connects it.
pub fn socket(home: &Home, made: &Made) -> Result<OwnedFd, Trouble> {
    home.within(&made.net, || {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: plain socket call.
        let socket = unsafe { libc::socket(libc::AF_INET, kind, 0) };
        mounts::check(socket.min(0)).during(|| "make a socket".into())?;
        // SAFETY: a new descriptor, nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(socket) })
    })
}

/// On both loopback addresses, as `localhost` may be either: with IPv6's wildcard, which takes IPv4
/// as well. Nothing else can come to it in a namespace that nobody reaches from outside.
fn platform_listener(port: u16) -> Result<TcpListener, Trouble> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
        .during(|| "listen for calls to the platform".into())
}

fn loopback_up() -> Result<(), Trouble> {
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: plain socket call.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    mounts::check(socket.min(0)).during(|| "open a socket".into())?;
    // SAFETY: a new descriptor, nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: an ifreq that lives through the call.
    mounts::check(unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    })
    .during(|| "bring the loopback up".into())
}

/// The kernel keeps a closed connection for a minute, and what it learned of a peer for longer: the
/// slot's next tenant could not bind a port that the last one had served, and could list whom it
/// had spoken to. Whether that was switched off for the calling process's network namespace.
fn forget_connections() -> bool {
    let settings = [("tcp_max_tw_buckets", "0"), ("tcp_no_metrics_save", "1")];
    settings
        .iter()
        .all(|(name, value)| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).is_ok())
}

/// The device for outbound connections; without one the environment has no outbound network,
/// which the server says at start.
fn egress_device() -> Result<Option<OwnedFd>, Trouble> {
    Ok(egress::device::create_in_current_netns(None)
        .ok()
        .map(egress::Device::into_fd))
}

/// A user namespace whose one user is `owner` outside and Lambda's sandbox user inside.
///
/// It is `owner`'s, not root's: what its tasks use of the kernel's quotas (inotify instances,
/// queued signals) is counted in the name of the namespace's owner as well, and a function that
/// used up root's would stop whatever on the host needs one.
fn user_namespace(home: &mut Home, owner: u32) -> Result<OwnedFd, Trouble> {
    let mut founder = Founder {
        owner,
        outcome: Err(sys::EINVAL),
        done: AtomicU32::new(0),
    };
    let shared = &raw mut founder;
    let stack = &raw mut home.stack[..];
    let flags = sys::CLONE_VM | sys::CLONE_FILES;
    // SAFETY: the child makes system calls only, on a stack that is not used again before it has
    // been reaped, and leaves `founder` alone once it says that it is done.
    let child = unsafe { process::clone_on(found, stack, flags, shared.cast(), None) };
    let (pid, _) = child.during(|| "make a user namespace".into())?;
    // SAFETY: it lives, and the child shares it.
    sys::futex_wait(unsafe { &(*shared).done }, 0);
    // SAFETY: the child is done with it.
    let outcome = unsafe { (*shared).outcome };
    let map = |name: &str, id: u32| {
        let path = format!("/proc/{pid}/{name}");
        fs::write(path, format!("{id} {owner} 1")).during(|| "map the user of a slot".into())
    };
    let mapped = map("uid_map", GUEST_UID).and_then(|()| map("gid_map", GUEST_GID));
    let _ = sys::kill(pid, sys::SIGKILL);
    let _ = sys::wait4(pid, 0);
    let namespace = outcome.during(|| "make a user namespace".into())?;
    // SAFETY: the child opened it in this process's table, and nobody else has it.
    let namespace = unsafe { OwnedFd::from_raw_fd(namespace) };
    mapped.map(|()| namespace)
}

/// A child that makes a namespace and stays in it until that is mapped.
struct Founder {
    owner: u32,
    outcome: Result<c_int, sys::Errno>,
    done: AtomicU32,
}

extern "C" fn found(founder: *mut c_void) -> c_int {
    let founder: *mut Founder = founder.cast();
    // SAFETY: `user_namespace` passes it and looks at it only once this says that it is done.
    unsafe {
        let owner = (*founder).owner;
        if owner != 0 {
            become_owner(owner);
        }
        (*founder).outcome = sys::unshare(sys::CLONE_NEWUSER).and_then(|_| {
            if owner == 0 {
                leave_some();
            }
            sys::open(c"/proc/self/ns/user", sys::O_RDONLY | sys::O_CLOEXEC)
        });
        sys::futex_set(&(*founder).done, 1);
    }
    loop {
        // No signal at all: for ever.
        let _ = sys::wait_signal(0);
    }
}

/// In effect only, and with all rights kept, so that no rule about the namespaces of ordinary
/// users applies. Where that cannot be had (a container without `CAP_SETPCAP`) the owner is root.
fn become_owner(owner: u32) {
    const NO_SETUID_FIXUP: usize = 4;
    const UNCHANGED: u32 = u32::MAX;
    if sys::prctl(sys::PR_SET_SECUREBITS, NO_SETUID_FIXUP).is_ok() {
        let _ = sys::setresuid(UNCHANGED, owner, UNCHANGED);
    }
}

/// An ordinary user has so many inotify instances, for itself and all environments: each of them
/// gets a few. (Where the owner is another for each, so is the count.)
fn leave_some() {
    let setting = c"/proc/sys/user/max_inotify_instances";
    // Best effort: a container's /proc/sys may be read-only.
    if let Ok(file) = sys::open(setting, sys::O_WRONLY | sys::O_CLOEXEC) {
        let _ = sys::write(file, b"16");
        let _ = sys::close(file);
    }
}

extern "C" fn end(_: *mut c_void) -> c_int {
    0
}
