//! The namespaces of a test: `platform` (where the process is), `world`, and one per environment.

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use lambent_sandbox::{
    NetworkPolicy,
    egress::{Attachment, Device, EgressConfig, EgressShared, Kind, RESOLV_CONF, attach, device},
};

use crate::{
    netlink::{Batch, Netlink, link_body},
    world,
};

/// The world's address on the link to the platform.
pub const WORLD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Another address of the world.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The platform's host, on that link, on another interface, and in a range that a route makes its
/// own.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub const HOST_OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const HOST_RANGE: Ipv4Addr = Ipv4Addr::new(10, 88, 3, 4);

/// A service of the host that functions may reach.
pub const HOST_SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5432);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    RootTun,
    RootPacket,
    User,
}

impl Setup {
    pub fn to_run() -> Vec<Setup> {
        if is_root() {
            return vec![Setup::RootTun, Setup::RootPacket, Setup::User];
        }
        for setup in [Setup::RootTun, Setup::RootPacket] {
            println!("egress::{} does not run: it needs root", setup.name());
        }
        vec![Setup::User]
    }

    pub fn name(self) -> &'static str {
        match self {
            Setup::RootTun => "root_tun",
            Setup::RootPacket => "root_packet",
            Setup::User => "user",
        }
    }

    /// Becomes who the tests run as. The process has one thread.
    pub fn enter(self) -> io::Result<()> {
        if self == Setup::User {
            become_user()?;
        }
        unshare(libc::CLONE_NEWNET)
    }

    pub fn create_device(self) -> io::Result<Device> {
        match self {
            Setup::RootTun => {
                use std::os::unix::fs::OpenOptionsExt;
                // As a slot maker that no longer sees /dev does it.
                let path = File::options()
                    .read(true)
                    .custom_flags(libc::O_PATH)
                    .open("/dev/net/tun")?;
                device::create_kind(Kind::Tun, Some(std::os::fd::AsFd::as_fd(&path)))
            }
            Setup::RootPacket => device::create_kind(Kind::Packet, None),
            Setup::User => device::create_in_current_netns(None),
        }
    }
}

/// All three ends of a connection are in this process.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: limit is valid for reads and writes.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit)).expect("the limit");
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit)).expect("the hard limit");
    }
    let enough = limit.rlim_cur >= 8192;
    assert!(enough, "the tests need 8,192 file descriptors");
}

fn is_root() -> bool {
    // SAFETY: geteuid cannot fail and takes nothing.
    unsafe { libc::geteuid() == 0 }
}

fn become_user() -> io::Result<()> {
    const NOBODY: libc::uid_t = 65_534;
    // SAFETY: these take numbers, and a null pointer for a list of length zero.
    let (uid, gid) = unsafe {
        if is_root() {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
            check(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
            // Changing ids made /proc/self root's.
            check(libc::prctl(libc::PR_SET_DUMPABLE, 1))?;
        }
        (libc::geteuid(), libc::getegid())
    };
    unshare(libc::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

pub struct Lab {
    pub setup: Setup,
    pub runtime: tokio::runtime::Runtime,
    pub shared: Arc<EgressShared>,
    pub world: Arc<world::Seen>,
    files: Files,
}

impl Lab {
    pub fn new(setup: Setup) -> Lab {
        raise_descriptor_limit();
        let netlink = Netlink::open().expect("netlink");
        up(&netlink, "lo");
        let world = spawn_world();
        join(&netlink, &world.netns);
        world.go.send(()).expect("the world waits");
        let world = world.seen.recv().expect("the world's servers");
        let files = Files::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = EgressConfig {
            resolv_conf: files.path("host.conf"),
            host_services: vec![HOST_SERVICE],
            ..EgressConfig::default()
        };
        let shared = EgressShared::new(config).expect("the shared part");
        Lab {
            setup,
            runtime,
            shared,
            world,
            files,
        }
    }

    pub fn environment(&self, policy: NetworkPolicy) -> Environment<'_> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (made, device) = mpsc::channel();
        let (setup, resolv_conf) = (self.setup, self.files.path("environment.conf"));
        let thread = thread::spawn(move || {
            unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS).expect("an environment's namespaces");
            up(&Netlink::open().expect("netlink"), "lo");
            mount_resolv_conf(&resolv_conf);
            made.send(setup.create_device()).expect("the lab waits");
            queue.into_iter().for_each(|job| job());
        });
        let device = device.recv().expect("a device").expect("a device");
        let mut environment = Environment {
            lab: self,
            jobs: Some(jobs),
            thread: Some(thread),
            attachment: None,
        };
        environment.attach(device, policy);
        environment
    }

    /// Waits until `done` says so; fails after some seconds.
    pub fn eventually(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "{what} did not happen");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The host's and the environments' `resolv.conf`, in a directory that goes with the lab.
struct Files(PathBuf);

impl Files {
    fn new() -> Files {
        let files = Files(std::env::temp_dir().join(format!("egress-{}", std::process::id())));
        fs::create_dir_all(&files.0).expect("a directory");
        let host = format!("nameserver {WORLD}\n");
        fs::write(files.path("host.conf"), host).expect("the host's resolv.conf");
        fs::write(files.path("environment.conf"), RESOLV_CONF).expect("the environment's");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a device, and a thread in it.
pub struct Environment<'a> {
    lab: &'a Lab,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    attachment: Option<Attachment>,
}

impl Environment<'_> {
    /// Runs `job` inside. Threads it spawns are inside as well.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        let job: Job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            let _ = send.send(outcome);
        });
        self.jobs
            .as_ref()
            .expect("the thread runs")
            .send(job)
            .expect("the thread runs");
        match receive.recv().expect("the thread runs") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    pub fn attach(&mut self, device: Device, policy: NetworkPolicy) {
        let _runtime = self.lab.runtime.enter();
        self.attachment = Some(attach(device, policy, &self.lab.shared).expect("attached"));
    }

    pub fn detach(&mut self) -> Device {
        let attachment = self.attachment.take().expect("attached");
        self.lab
            .runtime
            .block_on(attachment.detach())
            .expect("the device is whole")
    }

    pub fn drop_attachment(&mut self) {
        self.attachment = None;
    }
}

impl Drop for Environment<'_> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
        drop(self.attachment.take());
    }
}

struct NewWorld {
    netns: File,
    go: mpsc::Sender<()>,
    seen: mpsc::Receiver<Arc<world::Seen>>,
}

fn spawn_world() -> NewWorld {
    let (send_netns, netns) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (send_seen, seen) = mpsc::channel();
    thread::spawn(move || {
        unshare(libc::CLONE_NEWNET).expect("the world's namespace");
        send_netns
            .send(File::open("/proc/thread-self/ns/net").expect("its file"))
            .expect("sent");
        wait.recv().expect("the link is there");
        let netlink = Netlink::open().expect("netlink");
        up(&netlink, "lo");
        up(&netlink, "w0");
        address(&netlink, "w0", WORLD, 24);
        for more in [ELSEWHERE, METADATA] {
            address(&netlink, "lo", more, 32);
        }
        send_seen.send(world::serve()).expect("sent");
    });
    NewWorld {
        netns: netns.recv().expect("the world's namespace"),
        go,
        seen,
    }
}

/// A veth pair between here and the world, and addresses of all kinds for the host.
fn join(netlink: &Netlink, world: &File) {
    const VETH_INFO_PEER: u16 = 1;
    let mut batch = Batch::default();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.begin(libc::RTM_NEWLINK, flags, &link_body(0, 0, 0));
    batch.attr(libc::IFLA_IFNAME, b"p0");
    batch.nest(libc::IFLA_LINKINFO, |batch| {
        batch.attr(libc::IFLA_INFO_KIND, b"veth");
        batch.nest(libc::IFLA_INFO_DATA, |batch| {
            batch.nest(VETH_INFO_PEER, |batch| {
                batch.raw(&link_body(0, 0, 0));
                batch.attr(libc::IFLA_IFNAME, b"w0");
                batch.attr_u32(libc::IFLA_NET_NS_FD, world.as_raw_fd() as u32);
            });
        });
    });
    batch.end();
    netlink.run(batch).expect("a veth pair");
    up(netlink, "p0");
    address(netlink, "p0", HOST, 24);
    address(netlink, "lo", HOST_OTHER, 32);
    // Everything else is the world's.
    route(
        netlink,
        libc::RTN_UNICAST,
        Ipv4Addr::UNSPECIFIED,
        0,
        Some(WORLD),
        "p0",
    );
    route(
        netlink,
        libc::RTN_LOCAL,
        Ipv4Addr::new(10, 88, 0, 0),
        16,
        None,
        "lo",
    );
}

fn up(netlink: &Netlink, name: &str) {
    let mut batch = Batch::default();
    batch.begin(
        libc::RTM_SETLINK,
        0,
        &link_body(index(name), libc::IFF_UP, libc::IFF_UP),
    );
    batch.end();
    netlink.run(batch).expect("up");
}

fn address(netlink: &Netlink, name: &str, address: Ipv4Addr, len: u8) {
    let mut body = [libc::AF_INET as u8, len, 0, 0, 0, 0, 0, 0];
    body[4..].copy_from_slice(&index(name).to_ne_bytes());
    let mut batch = Batch::default();
    batch.begin(libc::RTM_NEWADDR, libc::NLM_F_CREATE, &body);
    batch.attr(libc::IFA_LOCAL, &address.octets());
    batch.attr(libc::IFA_ADDRESS, &address.octets());
    batch.end();
    netlink.run(batch).expect("an address");
}

fn route(netlink: &Netlink, kind: u8, to: Ipv4Addr, len: u8, via: Option<Ipv4Addr>, name: &str) {
    let local = kind == libc::RTN_LOCAL;
    let mut body = [0u8; 12];
    body[0] = libc::AF_INET as u8;
    body[1] = len;
    body[4] = if local {
        libc::RT_TABLE_LOCAL
    } else {
        libc::RT_TABLE_MAIN
    };
    body[5] = libc::RTPROT_BOOT;
    body[6] = if local {
        libc::RT_SCOPE_HOST
    } else {
        libc::RT_SCOPE_UNIVERSE
    };
    body[7] = kind;
    let mut batch = Batch::default();
    batch.begin(libc::RTM_NEWROUTE, libc::NLM_F_CREATE, &body);
    batch.attr(libc::RTA_DST, &to.octets());
    batch.attr_u32(libc::RTA_OIF, index(name));
    if let Some(via) = via {
        batch.attr(libc::RTA_GATEWAY, &via.octets());
    }
    batch.end();
    netlink.run(batch).expect("a route");
}

pub fn index(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).expect("a name");
    // SAFETY: name is a C string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Gives this thread's mount namespace an environment's `/etc/resolv.conf`.
fn mount_resolv_conf(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("a path");
    let none = std::ptr::null();
    // SAFETY: all strings are C strings that outlive the calls.
    unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            none,
            flags,
            none.cast(),
        ))
        .expect("private");
        let target = c"/etc/resolv.conf".as_ptr();
        check(libc::mount(
            path.as_ptr(),
            target,
            none,
            libc::MS_BIND,
            none.cast(),
        ))
        .expect("bound");
    }
}

/// Enters a new network namespace for good; the file keeps it.
pub fn new_netns() -> File {
    unshare(libc::CLONE_NEWNET).expect("a namespace");
    File::open("/proc/thread-self/ns/net").expect("its file")
}

pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare takes no pointers.
    check(unsafe { libc::unshare(flags) })
}

/// Runs `body` in a child process and says whether it returned true.
pub fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
        std::process::exit(i32::from(!ok));
    }
    let mut status = 0;
    // SAFETY: status is valid for writes.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    pid > 0 && waited == pid && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
