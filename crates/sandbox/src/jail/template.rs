//! A function version that is ready to start environments.

use std::{ffi::CString, io, os::fd::AsRawFd, sync::Arc, time::Duration};

use async_trait::async_trait;
use guest::jail::message::{Configuration, Failure, MESSAGE_MAX, Order, Start, Step};
use tokio::{net::TcpListener, sync::Mutex, time::timeout};

use super::{
    Inner,
    environment::{Environment, Live, Reins},
    helper::{Helper, system},
    slots::{Size, Slot},
    station::{Expected, Station},
};
use crate::{
    Error, Launch, RUNTIME_API_PORT, Sandbox, Template, TemplateSpec,
    cgroup::{Cpu, TASKS_MAX},
    egress,
    jailer::message::Root,
    pipe::log_pipe,
    runtimes,
};

/// How long starting a process may take, from the order to its `exec`.
const STARTED_MAX: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;

pub struct Version {
    jail: Arc<Inner>,
    spec: TemplateSpec,
    environment: Vec<CString>,
    station: Mutex<Option<Arc<Station>>>,
}

impl Version {
    pub async fn prepare(jail: Arc<Inner>, spec: TemplateSpec) -> Result<Arc<Self>, Error> {
        let mut environment = strings(&spec.env)?;
        environment.push(
            CString::new(format!(
                "AWS_LAMBDA_RUNTIME_API=127.0.0.1:{RUNTIME_API_PORT}"
            ))
            .expect("no NUL in it"),
        );
        for path in spec.roots() {
            if !path.is_absolute() || path.parent().is_none() {
                let what = format!("prepare {}: {} cannot be shown", spec.label, path.display());
                return Err(system(&what, io::ErrorKind::InvalidInput.into()));
            }
        }
        let version = Arc::new(Version {
            jail,
            spec,
            environment,
            station: Mutex::default(),
        });
        version.station().await?;
        Ok(version)
    }

    /// The station; a new one if the last has died.
    async fn station(&self) -> Result<Arc<Station>, Error> {
        let mut station = self.station.lock().await;
        if let Some(station) = station.as_ref().filter(|station| !station.is_dead()) {
            return Ok(station.clone());
        }
        let helper = self.jail.helper().await?;
        let made = Station::make(
            helper.clone(),
            self.jail.memory.clone(),
            self.root(),
            self.configuration(&helper),
        )
        .await?;
        *station = Some(made.clone());
        Ok(made)
    }

    fn root(&self) -> Root {
        Root {
            label: self.spec.label.clone(),
            code: self.spec.code.clone(),
            layers: self.spec.layers.clone(),
            roots: match &self.spec.launch {
                Launch::Bootstrap => Vec::new(),
                Launch::Python(interpreter) | Launch::Node(interpreter) => {
                    interpreter.roots.clone()
                }
            },
            runtime: runtimes::runtime(&self.spec.launch),
        }
    }

    fn configuration(&self, helper: &Helper) -> Configuration {
        let memory_bytes = u64::from(self.spec.memory_mb) * MIB;
        Configuration {
            programs: runtimes::programs(&self.spec.launch, self.spec.memory_mb),
            environment: self.environment.clone(),
            tmp_kib: u64::from(self.spec.tmp_mb) * 1024,
            data_bytes_max: if helper.groups.limits_memory() {
                0
            } else {
                memory_bytes
            },
            tasks_max: TASKS_MAX,
            seccomp: self.jail.seccomp.clone(),
        }
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

#[async_trait]
impl Template for Version {
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error> {
        let environment = strings(&env)?;
        let station = self.station().await?;
        let helper = station.helper().clone();
        let mut slot = helper.take_slot(self.size()).await?;
        let prepared = self.limit(&helper, &mut slot).and_then(|()| {
            let (log, log_inside) = log_pipe()?;
            Ok((log, log_inside, self.attach(&mut slot)?))
        });
        let (log, log_inside, attachment) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                helper.ask(Some(helper.slots().condemn(slot.number)));
                return Err(system("make an environment ready", error));
            }
        };
        let Slot {
            number,
            owner,
            listener,
            net,
            user,
            freezer,
            entrances,
            settings,
        } = slot;
        let listener = match listening(listener) {
            Ok(listener) => Arc::new(listener),
            Err(error) => {
                helper.ask(Some(helper.slots().condemn(number)));
                return Err(system("listen for the Runtime API", error));
            }
        };
        let peak = helper.groups.memory_peak(number).map(Into::into);
        let alarm = settings.alarm.clone();
        let live = Live {
            slot: number,
            settings,
            freezer,
            listener: listener.clone(),
            attachment,
            peak,
        };
        let id = station.next_id();
        let message = Order::Start(Start {
            id,
            owner,
            environment,
        })
        .encode();
        let environment = Environment::new(id, self.spec.memory_mb, station.clone(), live);
        if let Some(alarm) = alarm {
            let limit_bytes = u64::from(self.spec.memory_mb) * MIB;
            self.jail
                .memory
                .begin(number, alarm, &helper.groups, limit_bytes, &environment);
        }
        let Expected { started, exit } = station.expect(id, environment.clone());
        let fds: Vec<i32> = [&log_inside, &net, &user]
            .into_iter()
            .chain(&entrances)
            .map(AsRawFd::as_raw_fd)
            .collect();
        if message.len() > MESSAGE_MAX {
            station.forget(id);
            return Err(Error::InvalidEntrypoint(
                "the environment variables are too large".into(),
            ));
        }
        station
            .order_start(id, &message, &fds)
            .await
            .map_err(|error| system("order an environment", error))?;
        match timeout(STARTED_MAX, started).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(failure))) => return Err(self.explain(failure)),
            Ok(Err(_)) => {
                return Err(system(
                    "start an environment",
                    io::ErrorKind::BrokenPipe.into(),
                ));
            }
            Err(_) => {
                environment.kill();
                return Err(Error::TimedOut(STARTED_MAX));
            }
        }
        Ok(Sandbox {
            runtime_api: listener,
            log,
            exit,
            control: Box::new(Reins(environment)),
        })
    }
}

impl Version {
    /// In Lambda's words where it is the function's fault.
    fn explain(&self, failure: Failure) -> Error {
        let source = io::Error::from_raw_os_error(failure.errno);
        let programs = runtimes::programs(&self.spec.launch, self.spec.memory_mb);
        let paths: Vec<_> = programs
            .iter()
            .map(|program| program.path.to_string_lossy())
            .collect();
        let tried = paths
            .get(usize::from(failure.program))
            .map_or("", |path| path);
        match (failure.step, &self.spec.launch) {
            (Step::Missing, Launch::Bootstrap) => Error::InvalidEntrypoint(format!(
                "Couldn't find valid bootstrap(s): [{}]",
                paths.join(" ")
            )),
            (Step::Exec, Launch::Bootstrap) => {
                let why = match failure.errno {
                    libc::EACCES => "permission denied",
                    libc::ENOEXEC => "exec format error",
                    libc::ENOENT => "no such file or directory",
                    _ => return Error::InvalidEntrypoint(format!("fork/exec {tried}: {source}")),
                };
                Error::InvalidEntrypoint(format!("fork/exec {tried}: {why}"))
            }
            (Step::Clone | Step::Init, _) if failure.errno == libc::EAGAIN => {
                Error::Exhausted("no more processes can be made".into())
            }
            (step, _) => system(
                &format!("start {}: {}", self.spec.label, step.text()),
                source,
            ),
        }
    }
}

impl TemplateSpec {
    /// Everything of the host that is shown inside, beside the base system.
    fn roots(&self) -> impl Iterator<Item = &std::path::PathBuf> {
        let interpreter = match &self.launch {
            Launch::Bootstrap => [].as_slice(),
            Launch::Python(interpreter) | Launch::Node(interpreter) => &interpreter.roots,
        };
        interpreter.iter().chain([&self.code]).chain(&self.layers)
    }
}

/// `NAME=value` as `exec` wants them.
fn strings(variables: &[(String, String)]) -> Result<Vec<CString>, Error> {
    let join = |(name, value): &(String, String)| {
        CString::new(format!("{name}={value}")).map_err(|_| {
            let what = format!("pass the environment variable {name}");
            system(&what, io::ErrorKind::InvalidInput.into())
        })
    };
    variables.iter().map(join).collect()
}

fn listening(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
