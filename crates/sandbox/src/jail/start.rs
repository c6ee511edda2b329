//! Starting one environment: a slot is furnished for it, the station is ordered to put a process
//! in, and the process reports.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use guest::jail::message::{MESSAGE_MAX, Order, Start};
use tokio::{net::TcpListener, time::timeout};

use super::{
    environment::{Environment, Live, Reins},
    helper::{Helper, system},
    slots::{Size, Slot},
    station::{Expected, Station},
    template::{MIB, Version},
};
use crate::{Error, Sandbox, cgroup::Cpu, egress, pipe::log_pipe};

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
    groups: Vec<OwnedFd>,
}

impl Doors {
    /// In the order of [`Order::Start`].
    fn fds(&self) -> Vec<i32> {
        let doors = [&self.log, &self.net, &self.user];
        doors
            .into_iter()
            .chain(&self.groups)
            .map(AsRawFd::as_raw_fd)
            .collect()
    }
}

impl Version {
    pub(super) async fn start_on(
        &self,
        station: &Arc<Station>,
        environment: Vec<CString>,
    ) -> Result<Sandbox, Error> {
        let id = station.next_id();
        let slot = station.helper().take_slot(self.size()).await?;
        let Furnished {
            live,
            owner,
            log,
            doors,
        } = self.furnish(station.helper(), slot)?;
        let message = Order::Start(Start {
            id,
            owner,
            environment,
        })
        .encode();
        let listener = live.listener.clone();
        let environment = self.watch(id, station, live);
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
            Ok(Ok(Ok(()))) => Ok(Sandbox {
                runtime_api: listener,
                log,
                exit,
                control: Box::new(Reins(environment)),
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
    fn watch(&self, id: u32, station: &Arc<Station>, live: Live) -> Arc<Environment> {
        let (slot, alarm) = (live.slot, live.settings.alarm.clone());
        let memory_mb = self.spec.memory_mb;
        let environment = Environment::new(id, memory_mb, station.clone(), live);
        if let Some(alarm) = alarm {
            let (groups, limit_bytes) = (&station.helper().groups, u64::from(memory_mb) * MIB);
            self.jail
                .memory
                .begin(slot, alarm, groups, limit_bytes, &environment);
        }
        environment
    }

    fn furnish(&self, helper: &Helper, slot: Slot) -> Result<Furnished, Error> {
        let number = slot.number;
        self.try_furnish(helper, slot).map_err(|error| {
            helper.ask(Some(helper.slots().condemn(number)));
            system("make an environment ready", error)
        })
    }

    fn try_furnish(&self, helper: &Helper, mut slot: Slot) -> io::Result<Furnished> {
        self.limit(helper, &mut slot)?;
        let (log, log_inside) = log_pipe()?;
        let attachment = self.attach(&mut slot)?;
        slot.listener.set_nonblocking(true)?;
        let live = Live {
            slot: slot.number,
            settings: slot.settings,
            freezer: slot.freezer,
            listener: Arc::new(TcpListener::from_std(slot.listener)?),
            attachment,
            peak: helper.groups.memory_peak(slot.number).map(Into::into),
        };
        let (net, user, groups) = (slot.net, slot.user, slot.entrances);
        let doors = Doors {
            log: log_inside,
            net,
            user,
            groups,
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
            groups.set_alarm(slot.number, &alarm, u64::from(size.memory_mb) * MIB)?;
            memory.add(slot.number, &alarm)?;
            slot.settings.alarm = Some(Arc::new(alarm));
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

    fn size(&self) -> Size {
        Size {
            memory_mb: self.spec.memory_mb,
            tmp_mb: self.spec.tmp_mb,
        }
    }

    fn attach(&self, slot: &mut Slot) -> io::Result<Option<egress::Attachment>> {
        let Some(device) = slot.settings.device.take() else {
            return Ok(None);
        };
        egress::attach(device, self.spec.network.clone(), &self.jail.egress).map(Some)
    }
}
