//! The connection to one jailer, from its start to its end.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::Stdio,
    sync::{
        Arc, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    process::Child,
    sync::{Mutex, oneshot},
    time::timeout,
};

use super::{
    JailConfig,
    link::{self, Link},
    slots::{Ask, Size, Slot, Slots, Taken, Wanted},
};
use crate::{
    Error,
    cgroup::{self, Groups, Slot as Number},
    egress::EgressShared,
    jailer::{
        ARGUMENT,
        message::{Injection, MESSAGE_MAX, Notice, Request},
    },
};

/// How long the jailer may take to come up, clearing up after a crash included.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a slot may take to be made, behind all that wait for one too.
const SLOT_MAX: Duration = Duration::from_secs(10);
/// How long showing code in an environment may take.
const INJECTION_MAX: Duration = Duration::from_secs(5);
/// How long a socket may take to be made.
const SOCKET_MAX: Duration = Duration::from_secs(5);
/// How long it may take to end with everything in it.
const END_MAX: Duration = Duration::from_secs(10);

pub struct Helper {
    link: Arc<Link>,
    slots: Slots,
    pub groups: Arc<dyn Groups>,
    pub ordinary: bool,
    pub missing: Vec<String>,
    pub egress: Arc<EgressShared>,
    dead: AtomicBool,
    injections: std::sync::Mutex<HashMap<u32, oneshot::Sender<Option<String>>>>,
    next_injection: AtomicU32,
    sockets: std::sync::Mutex<HashMap<u32, oneshot::Sender<OwnedFd>>>,
    next_socket: AtomicU32,
    keeper: Mutex<Child>,
}

impl Helper {
    pub async fn start(config: &JailConfig, egress: Arc<EgressShared>) -> Result<Arc<Self>, Error> {
        let (link, theirs) = link::pair().map_err(|error| system("make a socket pair", error))?;
        let wanted = Wanted {
            ahead: config.slots_ahead,
            max: config.slots_max,
        };
        let keeper = tokio::process::Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .arg(&config.state_dir)
            .args(config.platform_port.map(|port| port.to_string()))
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| system("start the jailer", error))?;
        let mut buffer = vec![0; MESSAGE_MAX];
        let first = timeout(START_MAX, link.receive(&mut buffer))
            .await
            .map_err(|_| Error::TimedOut(START_MAX))?
            .map_err(|error| system("hear of the jailer", error))?;
        let (groups, ordinary, missing) = match Notice::decode(&buffer[..first.0]) {
            Some(Notice::Open {
                groups,
                ordinary,
                missing,
            }) => (groups, ordinary, missing),
            Some(Notice::Refused(why)) => {
                return Err(system(&why, io::ErrorKind::Unsupported.into()));
            }
            _ => return Err(system("start the jailer", io::ErrorKind::BrokenPipe.into())),
        };
        let groups = cgroup::decode(&groups)
            .ok_or_else(|| system("understand the jailer", io::ErrorKind::InvalidData.into()))?;
        let helper = Arc::new(Helper {
            link: Arc::new(link),
            slots: Slots::new(wanted),
            groups: groups.into(),
            ordinary,
            missing,
            egress,
            dead: AtomicBool::new(false),
            injections: std::sync::Mutex::default(),
            next_injection: AtomicU32::new(0),
            sockets: std::sync::Mutex::default(),
            next_socket: AtomicU32::new(0),
            keeper: Mutex::new(keeper),
        });
        tokio::spawn(listen(helper.link.clone(), Arc::downgrade(&helper), buffer));
        helper.ask(helper.slots.fill());
        Ok(helper)
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire) || self.link.is_closed()
    }

    pub async fn take_slot(&self, size: Size) -> Result<Slot, Error> {
        let (taken, ask) = self.slots.take(size)?;
        self.ask(ask);
        match taken {
            Taken::Now(slot) => Ok(*slot),
            Taken::Later(receiver) => {
                let mut waiting = Waiting {
                    slots: &self.slots,
                    receiver,
                };
                match timeout(SLOT_MAX, &mut waiting.receiver).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(system("wait for a slot", io::ErrorKind::BrokenPipe.into())),
                    Err(_) => Err(Error::TimedOut(SLOT_MAX)),
                }
            }
        }
    }

    /// A slot that was left in an unknown state.
    pub fn condemn(&self, number: Number) {
        self.slots
            .condemn(number)
            .into_iter()
            .for_each(|ask| self.ask(ask));
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    pub async fn request(&self, request: &Request, fds: &[i32]) -> Result<(), Error> {
        let sent = self.link.send(&request.encode(), fds).await;
        sent.map_err(|error| system("ask the jailer", error))
    }

    /// Shows a function's files in the environment behind this pidfd.
    pub async fn inject(
        &self,
        code: &Path,
        layer: Option<&Path>,
        init: &OwnedFd,
    ) -> Result<(), Error> {
        let id = self.next_injection.fetch_add(1, Ordering::Relaxed);
        let (done, outcome) = oneshot::channel();
        self.injections().insert(id, done);
        let injection = Injection {
            id,
            code: code.to_owned(),
            layer: layer.map(Path::to_owned),
        };
        self.request(&Request::Inject(injection), &[init.as_raw_fd()])
            .await?;
        match timeout(INJECTION_MAX, outcome).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(failed))) => Err(system(&failed, io::ErrorKind::Other.into())),
            Ok(Err(_)) => Err(system("show the code", io::ErrorKind::BrokenPipe.into())),
            Err(_) => Err(Error::TimedOut(INJECTION_MAX)),
        }
    }

    fn injections(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Option<String>>>> {
        self.injections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A TCP socket, not connected and not blocking, in the network of whoever has this slot when it
    /// is made.
    pub async fn socket(&self, slot: Number) -> io::Result<OwnedFd> {
        let id = self.next_socket.fetch_add(1, Ordering::Relaxed);
        let (done, made) = oneshot::channel();
        self.sockets().insert(id, done);
        let request = Request::Socket { id, slot };
        let sent = self.link.send(&request.encode(), &[]).await;
        let made = match sent {
            Ok(()) => timeout(SOCKET_MAX, made).await,
            Err(error) => {
                self.sockets().remove(&id);
                return Err(error);
            }
        };
        match made {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(_)) => Err(io::ErrorKind::NotConnected.into()),
            Err(_) => {
                self.sockets().remove(&id);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    fn sockets(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<OwnedFd>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends without waiting; if the socket is full, in the background.
    pub fn ask(&self, ask: Ask) {
        let Some(request) = ask else { return };
        let message = request.encode();
        match self.link.try_send(&message, &[]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let link = self.link.clone();
                tokio::spawn(async move { link.send(&message, &[]).await });
            }
            // Gone: its end is noticed where it is listened to.
            _ => {}
        }
    }

    /// Ends the jailer and everything in it, and waits until nothing is left.
    pub async fn end(&self) {
        self.link.close();
        let mut keeper = self.keeper.lock().await;
        if timeout(END_MAX, keeper.wait()).await.is_err() {
            tracing::warn!("the jailer did not end within {END_MAX:?} and is killed");
            // It goes with the keeper, and everything in it goes with it, but the control groups.
            let _ = keeper.kill().await;
            let groups = self.groups.parents();
            let removed = tokio::task::spawn_blocking(move || {
                groups.iter().for_each(|dir| drop(cgroup::destroy(dir)));
            });
            let _ = removed.await;
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.link.close();
    }
}

/// A place in the queue. Whoever leaves it gives back what was just being handed over.
struct Waiting<'a> {
    slots: &'a Slots,
    receiver: oneshot::Receiver<Result<Slot, Error>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(Ok(slot)) = self.receiver.try_recv() {
            self.slots.put_back(slot);
        }
    }
}

async fn listen(link: Arc<Link>, helper: Weak<Helper>, mut buffer: Vec<u8>) {
    loop {
        let received = link.receive(&mut buffer).await;
        let Some(helper) = helper.upgrade() else {
            return;
        };
        match received {
            Ok((length, fds)) if length > 0 => match Notice::decode(&buffer[..length]) {
                Some(Notice::Slot(notice)) => match Slot::assemble(notice, fds) {
                    Some(slot) => helper.ask(helper.slots.arrived(slot)),
                    None => helper.ask(helper.slots.failed("descriptors are missing")),
                },
                Some(Notice::SlotFailed(why)) => {
                    tracing::warn!("no slot: {why}");
                    helper.ask(helper.slots.failed(&why));
                }
                Some(Notice::Injected { id, failed }) => {
                    if let Some(done) = helper.injections().remove(&id) {
                        let _ = done.send(failed);
                    }
                }
                Some(Notice::Socket { id }) => {
                    // Without a descriptor there is none; who waits for it hears of that.
                    let wanted = helper.sockets().remove(&id);
                    if let (Some(wanted), Some(socket)) = (wanted, fds.into_iter().next()) {
                        let _ = wanted.send(socket);
                    }
                }
                Some(Notice::Warning(what)) => tracing::warn!("jailer: {what}"),
                other => tracing::warn!("jailer: unexpected {other:?}"),
            },
            _ => {
                helper.dead.store(true, Ordering::Release);
                helper.slots.close();
                helper.injections().clear();
                helper.sockets().clear();
                return;
            }
        }
    }
}

pub fn system(what: &str, source: io::Error) -> Error {
    Error::System {
        what: what.to_owned(),
        source,
    }
}
