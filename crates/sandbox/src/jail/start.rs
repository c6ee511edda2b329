//! Starting one environment: a slot is furnished for it, the station is ordered to put a process
//! in, and the process reports.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use guest::jail::message::{Group, Kind, MESSAGE_MAX, Order, Start};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use super::{
    environment::{Environment, Live, Reins, Within},
    helper::{Helper, system},
    slots::{Size, Slot},
    station::{Expected, Station},
    template::{MIB, Version},
};
use crate::{Error, Exit, Sandbox, cgroup::Cpu, egress, pipe::log_pipe};

/// How long starting a process may take, from the order to its `exec`.
const STARTED_MAX: Duration = Duration::from_secs(10);

/// A slot with everything in it that an environment needs.
struct Furnished {
    live: Live,
    owner: u32,
    log: OwnedFd,
    doors: Doors,
}

/// What the process enters through. Ours are closed once the order is sent.
struct Doors {
    log: OwnedFd,
    net: OwnedFd,
    user: OwnedFd,
    line: Option<OwnedFd>,
    group: Option<(Group, OwnedFd)>,
    old_groups: Vec<OwnedFd>,
}

impl Doors {
    /// In the order of [`Order::Start`].
    fn fds(&self) -> Vec<i32> {
        let doors = [&self.log, &self.net, &self.user];
        doors
            .into_iter()
            .chain(&self.line)
            .chain(self.group.as_ref().map(|(_, directory)| directory))
            .chain(&self.old_groups)
            .map(AsRawFd::as_raw_fd)
            .collect()
    }
}

/// What is wanted of a start.
pub struct Wish {
    pub environment: Vec<CString>,
    /// A descriptor for it as number 3: the read end of a line, for a process that is to be told
    /// more on it, or the write end of its extensions' log.
    pub line: Option<OwnedFd>,
    /// The read end of what it says on its line, where that is its extensions' log.
    pub extension_log: Option<OwnedFd>,
    /// It is to wait on its line for its function.
    pub waits: bool,
    pub kind: Kind,
}

impl Wish {
    pub fn plain(environment: Vec<CString>) -> Self {
        Wish {
            environment,
            line: None,
            extension_log: None,
            waits: false,
            kind: Kind::Plain,
        }
    }
}

impl Wish {
    /// Of a process that starts external extensions, whose output goes to its line.
    pub fn extended(environment: Vec<CString>) -> Result<Self, Error> {
        let (log, line) = log_pipe().map_err(|error| system("make a log", error))?;
        Ok(Wish {
            line: Some(line),
            extension_log: Some(log),
            ..Self::plain(environment)
        })
    }
}

/// An environment whose process runs. Dropped, it is killed.
pub struct Running {
    pub reins: Reins,
    pub runtime_api: Arc<TcpListener>,
    pub platform: Option<Arc<TcpListener>>,
    pub log: OwnedFd,
    pub extension_log: Option<OwnedFd>,
    pub exit: oneshot::Receiver<Exit>,
    /// The station's number for it.
    pub id: u32,
}

impl Running {
    pub fn into_sandbox(self) -> Sandbox {
        let inward = Arc::new(Within(self.reins.0.clone()));
        Sandbox {
            runtime_api: self.runtime_api,
            platform: self.platform,
            log: self.log,
            extension_log: self.extension_log,
            inward,
            exit: self.exit,
            control: Box::new(self.reins),
        }
    }
}

fn listening(listener: std::net::TcpListener) -> io::Result<Arc<TcpListener>> {
    listener.set_nonblocking(true)?;
    Ok(Arc::new(TcpListener::from_std(listener)?))
}

impl Version {
    pub(super) async fn start_on(
        &self,
        station: &Arc<Station>,
        wish: Wish,
    ) -> Result<Running, Error> {
        let id = station.next_id();
        let slot = station.helper().take_slot(self.size()).await?;
        let Furnished {
            live,
            owner,
            log,
            mut doors,
        } = self.furnish(station.helper(), slot, wish.waits)?;
        doors.line = wish.line;
        let message = Order::Start(Start {
            id,
            owner,
            waits: doors.line.is_some(),
            kind: wish.kind,
            group: doors.group.as_ref().map_or(Group::None, |(kind, _)| *kind),
            environment: wish.environment,
        });
        let message = message.encode();
        let (runtime_api, platform) = (live.listener.clone(), live.platform.clone());
        let environment = self.watch(station, live);
        let Expected { started, exit } = station.expect(id, environment.clone());
        if message.len() > MESSAGE_MAX {
            station.forget(id);
            let what = "the environment variables are too large".into();
            return Err(Error::InvalidEntrypoint(what));
        }
        station
            .order_start(id, &message, &doors.fds())
            .await
            .map_err(|error| system("order an environment", error))?;
        drop(doors);
        match timeout(STARTED_MAX, started).await {
            Ok(Ok(Ok(()))) => Ok(Running {
                reins: Reins(environment),
                runtime_api,
                platform,
                log,
                extension_log: wish.extension_log,
                exit,
                id,
            }),
            Ok(Ok(Err(failure))) => Err(self.explain(failure)),
            Ok(Err(_)) => Err(system(
                "start an environment",
                io::ErrorKind::BrokenPipe.into(),
            )),
            Err(_) => {
                environment.kill();
                Err(Error::TimedOut(STARTED_MAX))
            }
        }
    }

    /// The environment as the server knows it from now on, its memory under watch.
    fn watch(&self, station: &Arc<Station>, live: Live) -> Arc<Environment> {
        let (slot, alarm) = (live.slot, live.settings.alarm.clone());
        let memory_mb = self.spec.memory_mb;
        let environment = Environment::new(memory_mb, station.clone(), live);
        if let Some(alarm) = alarm {
            let (groups, limit_bytes) = (&station.helper().groups, u64::from(memory_mb) * MIB);
            self.jail
                .memory
                .begin(slot, alarm, groups, limit_bytes, &environment);
        }
        environment
    }

    /// A process that waits has no outbound network before it is a function's.
    fn furnish(&self, helper: &Helper, slot: Slot, waits: bool) -> Result<Furnished, Error> {
        let number = slot.number;
        self.try_furnish(helper, slot, waits).map_err(|error| {
            helper.slots().leave();
            helper.condemn(number);
            system("make an environment ready", error)
        })
    }

    fn try_furnish(&self, helper: &Helper, mut slot: Slot, waits: bool) -> io::Result<Furnished> {
        self.limit(helper, &mut slot)?;
        let (log, log_inside) = log_pipe()?;
        let attachment = match slot.settings.device.take_if(|_| !waits) {
            Some(device) => Some(self.attach(device)?),
            None => None,
        };
        let live = Live {
            slot: slot.number,
            settings: slot.settings,
            freezer: slot.freezer,
            listener: listening(slot.listener)?,
            platform: slot.platform.map(listening).transpose()?,
            attachment,
            init: None,
            peak: helper.groups.memory_peak(slot.number).map(Into::into),
        };
        let doors = Doors {
            log: log_inside,
            net: slot.net,
            user: slot.user,
            line: None,
            group: slot.group,
            old_groups: slot.entrances,
        };
        Ok(Furnished {
            live,
            owner: slot.owner,
            log,
            doors,
        })
    }

    /// Sets what the slot's control group has from another size.
    fn limit(&self, helper: &Helper, slot: &mut Slot) -> io::Result<()> {
        let (groups, memory) = (&helper.groups, &self.jail.memory);
        let size = self.size();
        if slot.settings.size != Some(size) {
            let hard = u64::from(size.memory_mb) + u64::from(size.tmp_mb);
            groups.limit_memory(slot.number, hard * MIB)?;
            slot.settings.size = Some(size);
            slot.settings.alarm = None;
        }
        if slot.settings.alarm.is_none()
            && let Some(alarm) = groups.memory_alarm(slot.number)
        {
            let alarm = Arc::new(alarm);
            memory.add(slot.number, &alarm, groups, u64::from(size.memory_mb) * MIB)?;
            slot.settings.alarm = Some(alarm);
        }
        let boost = Cpu::Boost {
            memory_mb: size.memory_mb,
        };
        if slot.settings.cpu.map(Cpu::quota_us) != Some(boost.quota_us()) {
            groups.limit_cpu(slot.number, boost)?;
        }
        slot.settings.cpu = Some(boost);
        Ok(())
    }

    pub(super) fn size(&self) -> Size {
        Size {
            memory_mb: self.spec.memory_mb,
            tmp_mb: self.spec.tmp_mb,
        }
    }

    pub(super) fn attach(&self, device: egress::Device) -> io::Result<egress::Attachment> {
        egress::attach(device, self.spec.network.clone(), &self.jail.egress)
    }
}
