//! From a stored definition to one that runs, in the background of create and update: what waiters
//! wait for. It can be begun again at any time, which is what happens after a crash.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use sandbox::Launch;

use super::{
    Functions,
    code::Packages,
    definitions::Published,
    error::{Error, Result},
    execution::{
        CodeDirectory, Definition, FunctionKey, LogFormat, LogLevel, VersionId, VersionKey,
    },
    executor::DeployFault,
    images::{ImageError, ImageSpec},
    limits, network, new_revision_id,
    tables::{FunctionRecord, LastUpdate, Reason, Spec, State, UpdateStatus, VersionRecord},
};

impl Functions {
    pub(super) fn settle_later(&self, key: FunctionKey) {
        self.settle_after(key, Duration::ZERO);
    }

    pub(super) fn settle_after(&self, key: FunctionKey, pause: Duration) {
        let this = self.clone();
        tokio::spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            this.settle(&key).await;
            this.settle_snapshots(&key).await;
        });
    }

    /// Deploys what is stored and records how that went.
    async fn settle(&self, key: &FunctionKey) {
        // Before it is its turn: others need not wait for what takes minutes.
        let _pulled = self.pull_ahead(key).await;
        let Ok(_turn) = self.0.deploying.acquire().await else {
            return;
        };
        let _deploying = self.0.deployments.lock(key).await;
        let Some(entry) = self.0.definitions.get(key) else {
            return;
        };
        if !entry.record.is_unsettled() {
            return;
        }
        let latest = VersionId::latest();
        let deploy = || self.deploy(&entry.record, &entry.record.spec, latest.clone());
        let outcome = patiently(deploy).await;
        if let Err(reason) = &outcome {
            tracing::warn!(function = key.name, reason = reason.text, "not deployed");
        }
        let generation = entry.record.spec.generation;
        let settled = self.change_all(key, |draft| {
            if draft.record.spec.generation == generation {
                settle_versions(&mut draft.published, generation, &outcome);
                settled(&mut draft.record, outcome);
            }
            Ok(())
        });
        match settled.await {
            Ok(_) => {}
            // Deleted meanwhile, and perhaps before it was deployed.
            Err(Error::FunctionNotFound { .. }) => self.undeploy(key),
            // The change that failed has it begun anew.
            Err(error) => {
                tracing::error!(
                    ?error,
                    function = key.name,
                    "the function's state is not stored; will try again"
                );
            }
        }
    }

    /// Sees to it that the executor has what is to answer a version's requests.
    pub(super) async fn ensure_deployed(&self, key: &VersionKey) -> Result<()> {
        let (function, version) = (&key.function, &key.version);
        let _deploying = self.0.deployments.lock(function).await;
        let entry = self.find_qualified(function, Some(version))?;
        let published = entry.published.version(version);
        let record = match published {
            Some(published) => &published.of_function(&entry.record),
            None => &entry.record,
        };
        let Some(spec) = record.answering() else {
            return Err(Error::NotActive {
                state: record.state.as_str(),
            });
        };
        if self.deployed_generation(key) == Some(spec.generation) {
            return Ok(());
        }
        let deployed = self.deploy(record, spec, version.clone()).await;
        let deployed = deployed.map_err(|undeployed| undeployed.reason);
        // Deleted while it was being deployed?
        if self.0.definitions.get(function).is_none() {
            self.undeploy(function);
        } else if !self.exists(function, Some(version)) {
            self.undeploy_version(key);
        }
        deployed.map_err(|reason| Error::Platform {
            caller: "The function could not be made ready to run.",
            source: Arc::new(super::DeployError(reason.text, DeployFault::Platform)),
        })
    }

    pub(super) fn undeploy(&self, key: &FunctionKey) {
        let mut deployed = self
            .0
            .deployed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deployed.retain(|held, _| held.function != *key);
        self.0.executor.remove(key);
    }

    pub(super) fn undeploy_version(&self, key: &VersionKey) {
        let mut deployed = self
            .0
            .deployed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deployed.remove(key);
        self.0.executor.remove_version(key);
    }

    fn deployed_generation(&self, key: &VersionKey) -> Option<i64> {
        let deployed = self
            .0
            .deployed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deployed.get(key).copied()
    }

    pub(super) async fn deploy(
        &self,
        record: &FunctionRecord,
        spec: &Spec,
        version: VersionId,
    ) -> Result<(), Undeployed> {
        let key = VersionKey {
            function: record.key(),
            version: version.clone(),
        };
        let definition = self.definition(record, spec, version).await;
        let definition = definition.map_err(|reason| Undeployed {
            reason,
            may_pass: false,
        })?;
        let generation = definition.generation;
        let deployed = self.0.executor.deploy(definition).await;
        deployed.map_err(|error| Undeployed {
            may_pass: matches!(error.1, DeployFault::Passing | DeployFault::InitKilled),
            reason: reason(error.1.code(), error),
        })?;
        let mut deployed = self
            .0
            .deployed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deployed.insert(key, generation);
        Ok(())
    }

    async fn definition(
        &self,
        record: &FunctionRecord,
        spec: &Spec,
        version: VersionId,
    ) -> Result<Definition, Reason> {
        let internal = |error: Error| {
            tracing::error!(
                ?error,
                function = record.name,
                "a function cannot be prepared"
            );
            reason("InternalError", error)
        };
        let pinned = self.check_runtime_version(record, spec);
        pinned.map_err(|why| reason("InvalidRuntime", why))?;
        let packages: &Packages = &self.0.packages;
        let (launch, code, layers) = match &spec.image {
            Some(image) => self.of_image(image).await?,
            None => {
                let launch = self.0.runtimes.launch(&spec.runtime);
                let code = packages.directory(&spec.code).await;
                (
                    launch.map_err(|error| reason("InvalidRuntime", error))?,
                    code.map_err(internal)?,
                    self.layer_directories(spec).await.map_err(internal)?,
                )
            }
        };
        let network = network::parse(spec.network.as_deref());
        let environment = self.environment(record, spec).map_err(internal)?;
        Ok(Definition {
            key: record.key(),
            generation: spec.generation,
            runtime: spec.runtime.clone(),
            launch,
            handler: spec.handler.clone(),
            role: record.role.clone(),
            architecture: spec.architecture.clone(),
            code,
            layers,
            image_environment: spec
                .image
                .as_ref()
                .map_or_else(Vec::new, ImageSpec::variables),
            environment: environment.unwrap_or_default().into_iter().collect(),
            memory_mb: spec.memory_mb,
            tmp_mb: spec.tmp_mb,
            timeout_s: spec.timeout_s,
            network: network.map_err(|error| reason("InvalidConfiguration", error))?,
            log_group: spec.logging.group.clone(),
            log_format: match spec.logging.format.as_str() {
                "JSON" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            application_log_level: level(spec.logging.application_level.as_deref()),
            system_log_level: level(spec.logging.system_level.as_deref()),
            tracing_active: spec.tracing_active,
            snap_start: spec.snap_start && !version.is_latest(),
            version,
        })
    }
}

/// Why something is not deployed.
pub(super) struct Undeployed {
    pub reason: Reason,
    may_pass: bool,
}

/// Deploys what has to be told of as failed otherwise, for good. That a process of ours was killed
/// meanwhile is no fault of a function's: then it is tried again.
pub(super) async fn patiently<T: Future<Output = Result<(), Undeployed>>>(
    deploy: impl Fn() -> T,
) -> Result<(), Reason> {
    let mut waits = limits::DEPLOYMENT_TRIED_AGAIN_AFTER.iter();
    loop {
        match (deploy().await, waits.next()) {
            (Ok(()), _) => return Ok(()),
            (Err(undeployed), Some(wait)) if undeployed.may_pass => {
                tracing::info!(reason = undeployed.reason.text, "deployed again soon");
                tokio::time::sleep(*wait).await;
            }
            (Err(undeployed), _) => return Err(undeployed.reason),
        }
    }
}

/// The versions that were published of a spec before it was deployed are as it is.
fn settle_versions(published: &mut Published, generation: i64, outcome: &Result<(), Reason>) {
    // With SnapStart they have an init of their own to see through.
    let pending = |version: &&Arc<VersionRecord>| {
        let waits = version.state == State::Pending && !version.spec.snap_start;
        waits && version.spec.generation == generation
    };
    let pending: Vec<_> = published
        .versions
        .values()
        .filter(pending)
        .cloned()
        .collect();
    for version in pending {
        let mut version = (*version).clone();
        let (state, reason, status) = match outcome {
            Ok(()) => (State::Active, None, UpdateStatus::Successful),
            Err(why) => (State::Failed, Some(why.clone()), UpdateStatus::Failed),
        };
        version.state = state;
        version.state_reason.clone_from(&reason);
        version.last_update = Some(LastUpdate { status, reason });
        published.put_version(version);
    }
}

impl Functions {
    /// Gets the image of what is about to be deployed. What fails here fails again when it is, and
    /// is told then.
    async fn pull_ahead(&self, key: &FunctionKey) -> Option<Vec<Arc<CodeDirectory>>> {
        let entry = self.0.definitions.get(key)?;
        let image = entry.record.spec.image.as_ref()?;
        self.0.images.directories(image).await.ok()
    }

    /// How a function from an image is launched, and what it holds on to.
    async fn of_image(&self, image: &ImageSpec) -> Result<FromCode, Reason> {
        let directories = self.0.images.directories(image).await;
        let directories = directories.map_err(|error| {
            tracing::warn!(image = image.uri, ?error, "an image cannot be had");
            let code = match error {
                ImageError::NotFound => "ImageDeleted",
                ImageError::Denied => "ImageAccessDenied",
                ImageError::Invalid(_) | ImageError::TooLarge => "InvalidImage",
                _ => "InternalError",
            };
            reason(code, format!("The image {}: {error}", image.uri))
        })?;
        let launch = image.launch(&directories);
        if launch.program.is_empty() {
            let what = "The image has neither an entry point nor a command";
            return Err(reason("InvalidImage", what));
        }
        let no_code = Arc::new(CodeDirectory(PathBuf::new()));
        Ok((Launch::Image(launch), no_code, directories))
    }
}

/// The launch, the code's directory, and those of layers.
type FromCode = (Launch, Arc<CodeDirectory>, Vec<Arc<CodeDirectory>>);

/// A spec's deployment is over.
fn settled(record: &mut FunctionRecord, outcome: Result<(), Reason>) {
    let created = record.last_update.is_none() || record.state != State::Active;
    record.revision_id = new_revision_id();
    match outcome {
        Ok(()) => {
            record.state = State::Active;
            record.state_reason = None;
            record.serving = None;
            record.last_update = Some(LastUpdate {
                status: UpdateStatus::Successful,
                reason: None,
            });
        }
        Err(reason) => {
            if created {
                record.state = State::Failed;
                record.state_reason = Some(reason.clone());
            }
            record.last_update = Some(LastUpdate {
                status: UpdateStatus::Failed,
                reason: Some(reason),
            });
        }
    }
}

/// An update begins: until it has succeeded, what answered requests before goes on doing so.
pub(super) fn begin_update(record: &mut FunctionRecord, mut spec: Spec) {
    spec.generation = record.spec.generation + 1;
    let before = std::mem::replace(&mut record.spec, spec);
    if record.state == State::Active && record.serving.is_none() {
        record.serving = Some(Box::new(before));
    }
    record.revision_id = new_revision_id();
    record.last_update = Some(LastUpdate {
        status: UpdateStatus::InProgress,
        reason: Some(Reason::creating()),
    });
}

/// Lambda takes one change at a time, and none while the function is being created.
pub(super) fn check_updatable(record: &FunctionRecord) -> Result<()> {
    if record.update_in_progress() {
        return Err(Error::UpdateInProgress { arn: record.arn() });
    }
    match record.state {
        State::Pending => Err(Error::NotActive {
            state: State::Pending.as_str(),
        }),
        State::Active | State::Failed => Ok(()),
    }
}

fn reason(code: &str, error: impl std::fmt::Display) -> Reason {
    Reason {
        code: code.to_owned(),
        text: error.to_string(),
    }
}

fn level(name: Option<&str>) -> LogLevel {
    match name {
        Some("TRACE") => LogLevel::Trace,
        Some("DEBUG") => LogLevel::Debug,
        Some("WARN") => LogLevel::Warn,
        Some("ERROR") => LogLevel::Error,
        Some("FATAL") => LogLevel::Fatal,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_nothing_else() {
        let limit = limits::DEPLOYMENT_TRIED_AGAIN_AFTER.len();
        for (failures, may_pass, tries, succeeds) in [
            (0, true, 1, true),
            (limit, true, limit + 1, true),
            (limit + 1, true, limit + 1, false),
            (1, false, 1, false),
        ] {
            let tried = Cell::new(0);
            let deploy = || {
                tried.set(tried.get() + 1);
                let failed = tried.get() <= failures;
                let undeployed = Undeployed {
                    reason: reason("InternalError", "lost"),
                    may_pass,
                };
                std::future::ready(if failed { Err(undeployed) } else { Ok(()) })
            };
            assert_eq!(patiently(deploy).await.is_ok(), succeeds);
            assert_eq!(tried.get(), tries);
        }
    }
}
