//! A function version that is ready to start environments.

use std::{
    ffi::CString,
    io,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use guest::jail::message::{Configuration, Failure, Step};
use tokio::sync::Mutex;

use super::{
    Inner,
    helper::{Helper, system},
    pool::{Key, Pool},
    snapshot,
    start::{Running, Wish},
    station::Station,
    zygote::Zygote,
};
use crate::{
    Error, Launch, RUNTIME_API_PORT, Sandbox, Snapshot, Template, TemplateSpec, cgroup::TASKS_MAX,
    jailer::message::Root, runtimes,
};

pub const MIB: u64 = 1024 * 1024;

pub struct Version {
    pub(super) jail: Arc<Inner>,
    pub(super) spec: TemplateSpec,
    environment: Vec<CString>,
    /// It has external extensions.
    extended: bool,
    station: Mutex<Option<Arc<Station>>>,
    zygote: OnceLock<Arc<Zygote>>,
    /// Where its environments come from while there are any.
    pool: OnceLock<Arc<Pool>>,
}

impl Version {
    pub async fn prepare(jail: Arc<Inner>, spec: TemplateSpec) -> Result<Arc<Self>, Error> {
        for path in spec.roots() {
            if !path.is_absolute() || path.parent().is_none() {
                let what = format!("prepare {}: {} cannot be shown", spec.label, path.display());
                return Err(system(&what, io::ErrorKind::InvalidInput.into()));
            }
        }
        if runtimes::image_has_extensions(&spec.launch) {
            let what = "external extensions (/opt/extensions) of a container image are not \
                        supported by this platform yet";
            return Err(Error::InvalidEntrypoint(what.into()));
        }
        let version = Self::new(jail, spec)?;
        version.station().await?;
        if let Some(key) = Key::of(&version.spec) {
            let pool = version.jail.pools.pool(&version.jail, key);
            let _ = version.pool.set(pool);
        }
        Ok(version)
    }

    /// Without anything made yet.
    pub(super) fn new(jail: Arc<Inner>, spec: TemplateSpec) -> Result<Arc<Self>, Error> {
        let mut environment = strings(&runtimes::environment(&spec))?;
        environment.push(
            CString::new(format!(
                "AWS_LAMBDA_RUNTIME_API=127.0.0.1:{RUNTIME_API_PORT}"
            ))
            .expect("no NUL in it"),
        );
        Ok(Arc::new(Version {
            extended: runtimes::has_extensions(&spec.layers),
            jail,
            spec,
            environment,
            station: Mutex::default(),
            zygote: OnceLock::new(),
            pool: OnceLock::new(),
        }))
    }

    /// The station; a new one if the last has died.
    pub(super) async fn station(&self) -> Result<Arc<Station>, Error> {
        let mut station = self.station.lock().await;
        if let Some(station) = station.as_ref().filter(|station| !station.is_dead()) {
            return Ok(station.clone());
        }
        let (made, helper) = match self.make_station().await {
            // The jailer died meanwhile: once more, with another.
            Err(_) if self.jail.has_lost_helper().await => self.make_station().await?,
            outcome => outcome?,
        };
        if let Some(help) = runtimes::zygote(&self.spec) {
            let zygote = || Zygote::new(help, self.configuration(&helper));
            self.zygote.get_or_init(zygote).start(&made);
        }
        *station = Some(made.clone());
        Ok(made)
    }

    async fn make_station(&self) -> Result<(Arc<Station>, Arc<Helper>), Error> {
        let helper = self.jail.helper().await?;
        let (memory, root) = (self.jail.memory.clone(), self.root());
        let configuration = self.configuration(&helper);
        let made = Station::make(helper.clone(), memory, root, configuration).await?;
        Ok((made, helper))
    }

    fn root(&self) -> Root {
        let interpreter = match &self.spec.launch {
            Launch::Bootstrap | Launch::Image(_) => None,
            Launch::Python(interpreter) | Launch::Node(interpreter) => Some(interpreter),
        };
        let (packages, packages_at) = runtimes::packages(&self.spec.launch).unwrap_or_default();
        Root {
            packages,
            packages_at,
            label: self.spec.label.clone(),
            code: self.spec.code.clone(),
            layers: self.spec.layers.clone(),
            image: match &self.spec.launch {
                Launch::Image(image) => image.layers.clone(),
                _ => Vec::new(),
            },
            roots: interpreter.map_or_else(Vec::new, |found| found.roots.clone()),
            interpreter: interpreter
                .map(|found| runtimes::inside(&found.path).into_owned())
                .unwrap_or_default(),
            commands: runtimes::commands(&self.spec.launch),
            runtime: runtimes::runtime(&self.spec.launch),
        }
    }

    fn configuration(&self, helper: &Helper) -> Configuration {
        let memory_bytes = u64::from(self.spec.memory_mb) * MIB;
        Configuration {
            programs: runtimes::programs(&self.spec),
            environment: self.environment.clone(),
            directory: runtimes::directory(&self.spec.launch),
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

    /// An environment from the pool; none if that is empty, or does not work out.
    async fn take_pooled(&self, environment: &[CString]) -> Option<Running> {
        let waiting = self.pool.get()?.take()?;
        let all = [&self.environment, environment].concat();
        match waiting.become_of(self, &all).await {
            Ok(running) => Some(running),
            Err(error) => {
                tracing::warn!("a process of the pool is not used: {error}");
                None
            }
        }
    }

    /// The zygote, which alone can make snapshots.
    pub(super) async fn forking_station(&self) -> Result<Arc<Station>, Error> {
        let station = self.station().await?;
        match self.zygote.get() {
            Some(zygote) => zygote.station(&station).await.ok_or_else(|| {
                let what = "start the interpreter to make a snapshot from";
                system(what, std::io::ErrorKind::TimedOut.into())
            }),
            None => Err(Error::NoSnapshot(
                "it takes a runtime of Python, and none of the function's variables may have a say \
                 in how the interpreter starts"
                    .into(),
            )),
        }
    }

    /// The zygote where there is one, else the station that executes; and which of the two.
    async fn starting_station(&self) -> Result<(Arc<Station>, bool), Error> {
        let station = self.station().await?;
        if let Some(zygote) = self.zygote.get()
            && let Some(forking) = zygote.station(&station).await
        {
            return Ok((forking, true));
        }
        Ok((station, false))
    }
}

#[async_trait]
impl Template for Version {
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error> {
        let environment = strings(&env)?;
        if let Some(running) = self.take_pooled(&environment).await {
            return Ok(running.into_sandbox());
        }
        let (station, forks) = self.starting_station().await?;
        let wish = |environment| match self.extended {
            true => Wish::extended(environment),
            false => Ok(Wish::plain(environment)),
        };
        let begun = self.start_on(&station, wish(environment.clone())?).await;
        let running = match begun {
            // The station died under our hands; the environment never was. Once more, on another.
            Err(Error::System { .. }) if station.is_dead() => {
                tracing::warn!(forks, "the station of {} has died", self.spec.label);
                let station = self.station().await?;
                self.start_on(&station, wish(environment)?).await
            }
            outcome => outcome,
        };
        running.map(Running::into_sandbox)
    }

    async fn start_snapshot(
        self: Arc<Self>,
        env: Vec<(String, String)>,
    ) -> Result<(Sandbox, Box<dyn Snapshot>), Error> {
        snapshot::begin(self, strings(&env)?).await
    }
}

impl Version {
    /// In Lambda's words where it is the function's fault.
    pub(super) fn explain(&self, failure: Failure) -> Error {
        let source = io::Error::from_raw_os_error(failure.errno);
        let programs = runtimes::programs(&self.spec);
        let paths: Vec<_> = programs
            .iter()
            .map(|program| program.path.to_string_lossy())
            .collect();
        let tried = paths
            .get(usize::from(failure.program))
            .map_or("", |path| path);
        // Either is a program of the function's own.
        let bootstrap = matches!(self.spec.launch, Launch::Bootstrap);
        let wrapper = runtimes::wrapper(&self.spec);
        match (failure.step, wrapper) {
            (Step::Missing | Step::Exec | Step::Directory, _)
                if let Launch::Image(image) = &self.spec.launch =>
            {
                let shown = match failure.step {
                    Step::Directory => &image.directory,
                    _ => image.program.first().map_or("", |program| program),
                };
                unexecutable(shown, &source)
            }
            (Step::Missing, _) if bootstrap => Error::InvalidEntrypoint(format!(
                "Couldn't find valid bootstrap(s): [{}]",
                paths.join(" ")
            )),
            (Step::Missing, Some(wrapper)) => unexecutable(wrapper, &source),
            (Step::Exec, wrapper) if bootstrap || wrapper.is_some() => unexecutable(tried, &source),
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

fn unexecutable(program: &str, source: &io::Error) -> Error {
    let why = match source.raw_os_error() {
        Some(libc::EACCES) => "permission denied",
        Some(libc::ENOEXEC) => "exec format error",
        Some(libc::ENOENT) => "no such file or directory",
        _ => return Error::InvalidEntrypoint(format!("fork/exec {program}: {source}")),
    };
    Error::InvalidEntrypoint(format!("fork/exec {program}: {why}"))
}

impl TemplateSpec {
    /// Everything of the host that is shown inside, beside the base system.
    fn roots(&self) -> impl Iterator<Item = &std::path::PathBuf> {
        let (of_launch, code) = match &self.launch {
            Launch::Bootstrap => ([].as_slice(), Some(&self.code)),
            Launch::Image(image) => (image.layers.as_slice(), None),
            Launch::Python(interpreter) | Launch::Node(interpreter) => {
                (interpreter.roots.as_slice(), Some(&self.code))
            }
        };
        of_launch.iter().chain(code).chain(&self.layers)
    }
}

/// `NAME=value` as `exec` wants them.
pub fn strings(variables: &[(String, String)]) -> Result<Vec<CString>, Error> {
    let join = |(name, value): &(String, String)| {
        CString::new(format!("{name}={value}")).map_err(|_| {
            let what = format!("pass the environment variable {name}");
            system(&what, io::ErrorKind::InvalidInput.into())
        })
    };
    variables.iter().map(join).collect()
}
