//! One running environment as the server holds it.

use std::{
    ffi::CString,
    fs::File,
    io,
    mem::MaybeUninit,
    net::Ipv4Addr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use guest::jail::{
    init::{CONTINUE, STOP, TERMINATE},
    sys::{self, SIGKILL},
};
use tokio::net::{TcpListener, TcpStream};

use super::{slots::Settings, station::Station};
use crate::{
    Control, Exit, ExitStatus, Inward,
    cgroup::{Cpu, Freezer, Slot as Number},
    egress::{Attachment, Device},
};

/// Shared by the platform's [`Control`] and the station's record of it.
pub struct Environment {
    memory_mb: u32,
    /// To be killed as soon as it is there.
    doomed: AtomicBool,
    /// Killed for using more memory than it may.
    over_limit: AtomicBool,
    station: Arc<Station>,
    live: Mutex<Option<Live>>,
    /// The memory peak once it has ended, when its slot is somebody else's.
    peak_at_end: AtomicU64,
}

/// What an environment has for as long as it lives.
pub struct Live {
    pub slot: Number,
    pub settings: Settings,
    pub freezer: Option<Freezer>,
    pub listener: Arc<TcpListener>,
    pub platform: Option<Arc<TcpListener>>,
    pub attachment: Option<Attachment>,
    /// A pidfd of its init, once it runs.
    pub init: Option<OwnedFd>,
    pub peak: Option<File>,
}

impl Environment {
    pub fn new(memory_mb: u32, station: Arc<Station>, live: Live) -> Arc<Self> {
        Arc::new(Environment {
            memory_mb,
            doomed: AtomicBool::new(false),
            over_limit: AtomicBool::new(false),
            station,
            live: Mutex::new(Some(live)),
            peak_at_end: AtomicU64::new(0),
        })
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All processes are gone: takes stock and lets go of the slot.
    pub fn ended(&self, wait_status: i32) -> Option<(Exit, Live)> {
        let mut live = self.live().take()?;
        self.peak_at_end
            .store(self.peak_bytes(&live), Ordering::Release);
        let kills = self.station.groups().out_of_memory_kills(live.slot);
        let out_of_memory =
            kills > live.settings.out_of_memory_kills || self.over_limit.load(Ordering::Acquire);
        live.settings.out_of_memory_kills = kills;
        live.settings.alarm = self.station.memory().end(live.slot);
        // Whoever still holds a listener can accept nothing from the slot's next tenant.
        for listener in [Some(&live.listener), live.platform.as_ref()]
            .into_iter()
            .flatten()
        {
            // SAFETY: takes numbers only.
            unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
        }
        Some((
            Exit {
                status: status(wait_status),
                out_of_memory,
            },
            live,
        ))
    }

    /// Gives it the outbound network of the function that it has become.
    pub fn attach(&self, attach: impl FnOnce(Device) -> io::Result<Attachment>) -> io::Result<()> {
        if let Some(live) = &mut *self.live()
            && let Some(device) = live.settings.device.take()
        {
            live.attachment = Some(attach(device)?);
        }
        Ok(())
    }

    /// Its slot, as long as it lives.
    fn slot(&self) -> Option<Number> {
        self.live().as_ref().map(|live| live.slot)
    }

    pub fn kill_for_memory(&self) {
        self.over_limit.store(true, Ordering::Release);
        self.kill();
    }

    /// It runs; this is a pidfd of its init.
    pub fn started(&self, init: Option<OwnedFd>) {
        if let Some(live) = &mut *self.live() {
            live.init = init;
        }
        if self.doomed.load(Ordering::Acquire) {
            self.kill();
        }
    }

    pub fn kill(&self) {
        self.doomed.store(true, Ordering::Release);
        if let Some(live) = &*self.live() {
            // Version 1 does not let the frozen die.
            live.set_frozen(false);
            live.signal(SIGKILL);
        }
    }

    /// Gives a copy of the init's pidfd.
    pub fn init(&self) -> io::Result<Option<OwnedFd>> {
        let live = self.live();
        live.as_ref()
            .and_then(|live| live.init.as_ref())
            .map(OwnedFd::try_clone)
            .transpose()
    }
}

impl Environment {
    /// What is in `/tmp` is not the function's memory, so never more than its size.
    fn peak_bytes(&self, live: &Live) -> u64 {
        live.peak_bytes().min(u64::from(self.memory_mb) << 20)
    }
}

impl Environment {
    /// What is in its `/tmp`, where that can be seen.
    pub fn tmp_bytes(&self) -> Option<u64> {
        let init = self.init().ok().flatten()?;
        let about = format!("/proc/self/fdinfo/{}", init.as_raw_fd());
        let about = std::fs::read_to_string(about).ok()?;
        let pid = about.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        // The init's own: no process of the function's can change what is mounted there.
        let tmp = CString::new(["/proc", pid.trim(), "root", "tmp"].join("/")).ok()?;
        let mut space = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: a terminated string, and room for the answer.
        if unsafe { libc::statvfs(tmp.as_ptr(), space.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: filled in, as the call says.
        let space = unsafe { space.assume_init() };
        Some((space.f_blocks - space.f_bfree) * space.f_frsize)
    }
}

impl Live {
    /// To its init, whose end is that of all.
    fn signal(&self, signal: i32) {
        if let Some(init) = &self.init {
            let _ = sys::pidfd_send_signal(init.as_raw_fd(), signal);
        }
    }

    fn set_frozen(&self, frozen: bool) -> bool {
        let Some(Freezer { file, kind }) = &self.freezer else {
            return false;
        };
        let value = if frozen { kind.frozen() } else { kind.thawed() };
        sys::write(file.as_raw_fd(), value).is_ok()
    }

    fn peak_bytes(&self) -> u64 {
        let mut text = [0; 24];
        let Some(length) = self
            .peak
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok())
        else {
            return 0;
        };
        let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

fn status(wait_status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(wait_status) {
        ExitStatus::Signal(libc::WTERMSIG(wait_status))
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(wait_status))
    }
}

/// The platform's handle; dropped, it ends the environment.
pub struct Reins(pub Arc<Environment>);

impl Control for Reins {
    fn freeze(&self) {
        if let Some(live) = &*self.0.live()
            && !live.set_frozen(true)
        {
            live.signal(STOP);
        }
    }

    fn thaw(&self) {
        if let Some(live) = &*self.0.live()
            && !live.set_frozen(false)
        {
            live.signal(CONTINUE);
        }
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn terminate(&self) {
        if let Some(live) = &*self.0.live() {
            live.signal(TERMINATE);
        }
    }

    fn init_done(&self) {
        let environment = &self.0;
        let Some(live) = &mut *environment.live() else {
            return;
        };
        let share = Cpu::Share {
            memory_mb: environment.memory_mb,
        };
        match environment.station.groups().limit_cpu(live.slot, share) {
            Ok(()) => live.settings.cpu = Some(share),
            Err(error) => tracing::warn!("set the CPU share: {error}"),
        }
    }

    fn memory_peak_bytes(&self) -> u64 {
        match &*self.0.live() {
            Some(live) => self.0.peak_bytes(live),
            None => self.0.peak_at_end.load(Ordering::Acquire),
        }
    }
}

/// The way in, whoever holds the reins.
pub struct Within(pub Arc<Environment>);

#[async_trait]
impl Inward for Within {
    /// A socket stays in the network namespace that it was made in: the jailer makes one there, and
    /// it is connected here.
    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let environment = &self.0;
        let slot = environment.slot().ok_or(io::ErrorKind::NotConnected)?;
        let socket = environment.station.helper().socket(slot).await?;
        let connecting = {
            // As long as this is held the slot is nobody else's, and the first step is made at once.
            let live = environment.live();
            if live.is_none() {
                return Err(io::ErrorKind::NotConnected.into());
            }
            begin_to_connect(socket, port)?
        };
        // It is writable as soon as that has come to an end.
        connecting.writable().await?;
        match connecting.take_error()? {
            Some(error) => Err(error),
            None => Ok(connecting),
        }
    }
}

/// The socket does not block.
fn begin_to_connect(socket: OwnedFd, port: u16) -> io::Result<TcpStream> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: an address that lives through the call, and its length.
    let begun = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if begun == -1 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINPROGRESS) {
            return Err(error);
        }
    }
    TcpStream::from_std(socket.into())
}

impl Drop for Reins {
    fn drop(&mut self) {
        self.0.kill();
    }
}
