//! The connection to one station, and the environments that came out of it.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use guest::jail::message::{Configuration, Failure, Help, MESSAGE_MAX, Order, Report};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    environment::{Environment, Live},
    helper::{Helper, system},
    link::{self, Link},
    memory::MemoryWatch,
};
use crate::{
    Error, Exit, ExitStatus,
    cgroup::{Cpu, Groups},
    jailer::message::{Request, Root},
};

/// How long the root of a version may take to be built.
const READY_MAX: Duration = Duration::from_secs(20);

pub struct Station {
    link: Arc<Link>,
    helper: Arc<Helper>,
    memory: Arc<MemoryWatch>,
    /// The station whose helper this is; it dies with that.
    _beside: Option<Arc<Station>>,
    environments: Mutex<HashMap<u32, Entry>>,
    snapshots: Mutex<HashMap<u32, watch::Sender<Stage>>>,
    next: AtomicU32,
    dead: AtomicBool,
}

/// An environment between the order to start it and the report of its end.
struct Entry {
    started: Option<oneshot::Sender<Outcome>>,
    exit: oneshot::Sender<Exit>,
    environment: Arc<Environment>,
}

/// How far an environment's snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Init,
    Armed,
    Frozen,
    /// There will be none.
    Failed(Failure),
    /// What there was of it has ended.
    Gone,
}

/// Of an order to start.
pub type Outcome = Result<(), Failure>;

/// What who started an environment waits for.
pub struct Expected {
    pub started: oneshot::Receiver<Outcome>,
    pub exit: oneshot::Receiver<Exit>,
}

impl Station {
    pub async fn make(
        helper: Arc<Helper>,
        memory: Arc<MemoryWatch>,
        root: Root,
        configuration: Configuration,
    ) -> Result<Arc<Self>, Error> {
        let (link, theirs) = link::pair().map_err(|error| system("make a socket pair", error))?;
        let label = root.label.clone();
        helper
            .request(&Request::Station(root), &[theirs.as_raw_fd()])
            .await?;
        drop(theirs);
        let mut buffer = vec![0; MESSAGE_MAX];
        await_ready(&link, &mut buffer, &label).await?;
        let order = Order::Configure(Box::new(configuration));
        link.send(&order.encode(), &[])
            .await
            .map_err(|error| system("configure the station", error))?;
        Ok(Self::settle(link, buffer, helper, memory, None))
    }

    /// Starts a helper beside this station, to be a station itself.
    pub async fn help(
        self: &Arc<Self>,
        help: &Help,
        configuration: Configuration,
    ) -> Result<Arc<Self>, Error> {
        let (link, theirs) = link::pair().map_err(|error| system("make a socket pair", error))?;
        let configure = Order::Configure(Box::new(configuration));
        link.send(&configure.encode(), &[])
            .await
            .map_err(|error| system("configure the zygote", error))?;
        self.link
            .send(&Order::Help(help.clone()).encode(), &[theirs.as_raw_fd()])
            .await
            .map_err(|error| system("order a zygote", error))?;
        drop(theirs);
        let mut buffer = vec![0; MESSAGE_MAX];
        await_ready(&link, &mut buffer, "the zygote").await?;
        let (helper, memory) = (self.helper.clone(), self.memory.clone());
        Ok(Self::settle(
            link,
            buffer,
            helper,
            memory,
            Some(self.clone()),
        ))
    }

    fn settle(
        link: Link,
        buffer: Vec<u8>,
        helper: Arc<Helper>,
        memory: Arc<MemoryWatch>,
        beside: Option<Arc<Self>>,
    ) -> Arc<Self> {
        let station = Arc::new(Station {
            link: Arc::new(link),
            helper,
            memory,
            _beside: beside,
            environments: Mutex::default(),
            snapshots: Mutex::default(),
            next: AtomicU32::new(0),
            dead: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&station);
        tokio::spawn(listen(station.link.clone(), weak, buffer));
        station
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire) || self.link.is_closed() || self.helper.is_dead()
    }

    pub fn groups(&self) -> &dyn Groups {
        self.helper.groups.as_ref()
    }

    pub fn helper(&self) -> &Arc<Helper> {
        &self.helper
    }

    pub fn memory(&self) -> &MemoryWatch {
        &self.memory
    }

    pub fn next_id(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
        self.environments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots(&self) -> MutexGuard<'_, HashMap<u32, watch::Sender<Stage>>> {
        let snapshots = self.snapshots.lock();
        snapshots.unwrap_or_else(PoisonError::into_inner)
    }

    /// The stages of an environment's snapshot.
    pub fn snapshot(&self, id: u32) -> watch::Receiver<Stage> {
        let sender = watch::Sender::new(Stage::Init);
        let receiver = sender.subscribe();
        // One that has ended already has no entry to end with.
        if self.table().contains_key(&id) {
            self.snapshots().insert(id, sender);
        } else {
            sender.send_replace(Stage::Gone);
        }
        receiver
    }

    fn reached(&self, id: u32, stage: Stage) {
        if let Some(sender) = self.snapshots().get(&id) {
            sender.send_replace(stage);
        }
    }

    /// Orders something about a snapshot.
    pub async fn order(&self, order: &Order) -> Result<(), Error> {
        let sent = self.link.send(&order.encode(), &[]).await;
        sent.map_err(|error| system("order a snapshot", error))
    }

    /// Lets go of a snapshot, without waiting.
    pub fn discard(self: &Arc<Self>, id: u32) {
        let station = self.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { station.order(&Order::Discard { id }).await });
        }
    }

    /// Enters an environment that is about to be ordered.
    pub fn expect(&self, id: u32, environment: Arc<Environment>) -> Expected {
        let (started_sender, started) = oneshot::channel();
        let (exit_sender, exit) = oneshot::channel();
        let entry = Entry {
            started: Some(started_sender),
            exit: exit_sender,
            environment,
        };
        self.table().insert(id, entry);
        Expected { started, exit }
    }

    /// Orders the start of an expected environment. If that fails, or is given up, the
    /// environment is forgotten.
    pub async fn order_start(&self, id: u32, message: &[u8], fds: &[i32]) -> io::Result<()> {
        let mut unsent = Unsent {
            station: self,
            id: Some(id),
        };
        let outcome = self.link.send(message, fds).await;
        if outcome.is_ok() {
            unsent.id = None;
        }
        outcome
    }

    /// Takes an environment out that never came to be; its slot is as good as new.
    pub fn forget(&self, id: u32) {
        if let Some(entry) = self.table().remove(&id)
            && let Some((_, live)) = entry.environment.ended(0)
        {
            self.helper.slots().leave();
            self.recycle(live);
        }
    }

    fn heard(&self, report: Report, mut fds: Vec<OwnedFd>) {
        match report {
            Report::Started { id } => {
                let mut table = self.table();
                let Some(entry) = table.get_mut(&id) else {
                    return;
                };
                let (started, environment) = (entry.started.take(), entry.environment.clone());
                drop(table);
                environment.started(fds.pop());
                let told = started.is_some_and(|started| started.send(Ok(())).is_ok());
                if !told {
                    // Who ordered it went away meanwhile.
                    environment.kill();
                }
            }
            Report::NotStarted { id, failure } => {
                let started = self
                    .table()
                    .get_mut(&id)
                    .and_then(|entry| entry.started.take());
                self.forget(id);
                if let Some(started) = started {
                    let _ = started.send(Err(failure));
                }
            }
            Report::Exited { id, wait_status } => {
                let Some(entry) = self.table().remove(&id) else {
                    return;
                };
                self.reached(id, Stage::Gone);
                self.snapshots().remove(&id);
                let Some((exit, live)) = entry.environment.ended(wait_status) else {
                    return;
                };
                // First, so that who hears of the end finds room for another.
                self.helper.slots().leave();
                let _ = entry.exit.send(exit);
                self.recycle(live);
            }
            Report::Armed { id } => self.reached(id, Stage::Armed),
            Report::Frozen { id } => self.reached(id, Stage::Frozen),
            Report::NotFrozen { id, failure } => self.reached(id, Stage::Failed(failure)),
            Report::Ready | Report::Broken(_) => {
                tracing::warn!("station: unexpected {report:?}");
            }
        }
    }

    /// Gives the slot back, off everybody's path.
    fn recycle(&self, live: Live) {
        let helper = self.helper.clone();
        tokio::spawn(async move {
            let Live {
                slot,
                mut settings,
                attachment,
                ..
            } = live;
            if let Some(attachment) = attachment {
                settings.device = attachment.detach().await;
                if settings.device.is_none() {
                    helper.condemn(slot);
                    return;
                }
            }
            if let Some(Cpu::Share { memory_mb }) = settings.cpu {
                let boost = Cpu::Boost { memory_mb };
                settings.cpu = helper
                    .groups
                    .limit_cpu(slot, boost)
                    .is_ok()
                    .then_some(boost);
            }
            let (request, device) = helper.slots().give_back(slot, settings);
            if let Some(device) = device {
                helper.egress.close(device);
            }
            helper.ask(Some(request));
        });
    }

    /// The station is gone, and the kernel has killed its environments.
    fn bury_all(&self) {
        self.dead.store(true, Ordering::Release);
        for (_, sender) in self.snapshots().drain() {
            sender.send_replace(Stage::Gone);
        }
        let entries: Vec<_> = self.table().drain().collect();
        for (_, entry) in entries {
            let Some((exit, live)) = entry.environment.ended(libc::SIGKILL) else {
                continue;
            };
            debug_assert_eq!(exit.status, ExitStatus::Signal(libc::SIGKILL));
            self.helper.slots().leave();
            let _ = entry.exit.send(exit);
            self.helper.condemn(live.slot);
        }
    }
}

struct Unsent<'a> {
    station: &'a Station,
    id: Option<u32>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.station.forget(id);
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.link.close();
    }
}

async fn await_ready(link: &Link, buffer: &mut [u8], what: &str) -> Result<(), Error> {
    let (length, _) = timeout(READY_MAX, link.receive(buffer))
        .await
        .map_err(|_| Error::TimedOut(READY_MAX))?
        .map_err(|error| system("hear of the station", error))?;
    match Report::decode(&buffer[..length]) {
        Some(Report::Ready) => Ok(()),
        Some(Report::Broken(why)) => Err(system(
            &format!("prepare {what}: {why}"),
            io::ErrorKind::Other.into(),
        )),
        _ => Err(system(
            &format!("prepare {what}"),
            io::ErrorKind::BrokenPipe.into(),
        )),
    }
}

async fn listen(link: Arc<Link>, station: Weak<Station>, mut buffer: Vec<u8>) {
    // What reports need; the buffer that configuring took is far larger.
    buffer.truncate(1024);
    buffer.shrink_to_fit();
    loop {
        let received = link.receive(&mut buffer).await;
        let Some(station) = station.upgrade() else {
            return;
        };
        match received {
            Ok((length, fds)) if length > 0 => match Report::decode(&buffer[..length]) {
                Some(report) => station.heard(report, fds),
                None => tracing::warn!("station: a report that is none"),
            },
            _ => return station.bury_all(),
        }
    }
}
