//! SnapStart: a version that was published with it is `Pending` until the snapshot of its init is made.
//!
//! The snapshot is a process, so it does not outlive this one: after a restart those of active versions
//! are made again, a few at a time.

use wire::lambda::SnapStart;

use super::{
    Functions,
    deployment::patiently,
    error::{Error, Result},
    execution::{FunctionKey, VersionKey},
    tables::{LastUpdate, Reason, Spec, State, UpdateStatus, VersionRecord},
};

/// Lambda's condition: Python from here on. (Its other two runtimes do not run here.)
const PYTHON_MINOR_MIN: u32 = 12;

/// Whether a request asks for it; nothing said is as before.
pub fn asked(given: Option<&SnapStart>, before: bool) -> bool {
    match given.and_then(|given| given.apply_on.as_deref()) {
        Some(apply_on) => apply_on == "PublishedVersions",
        None => before,
    }
}

/// Refuses it for runtimes that have none, in Lambda's words.
pub fn check(snap_start: bool, runtime: &str) -> Result<()> {
    let minor = runtime.strip_prefix("python3.");
    let minor = minor.and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= PYTHON_MINOR_MIN => Ok(()),
        _ if !snap_start => Ok(()),
        _ if runtime.is_empty() => Err(Error::Unsupported {
            what: "SnapStart for container images",
        }),
        _ => Err(Error::Invalid(format!(
            "{runtime} is not supported for SnapStart enabled functions."
        ))),
    }
}

/// Whether a version's own deployment is still to come, with its init.
pub fn is_pending(version: &VersionRecord) -> bool {
    version.state == State::Pending && version.spec.snap_start
}

impl Functions {
    /// Makes the snapshots that versions of a function wait for.
    pub(super) async fn settle_snapshots(&self, key: &FunctionKey) {
        let _making = self.0.snapshots.lock(key).await;
        while let Some(version) = self.next_pending(key) {
            let Ok(_turn) = self.0.snapshotting.acquire().await else {
                return;
            };
            if !self.settle_snapshot(key, &version).await {
                return;
            }
        }
    }

    fn next_pending(&self, key: &FunctionKey) -> Option<VersionRecord> {
        let entry = self.0.definitions.get(key)?;
        // Before that there may be no code yet to run.
        if entry.record.state == State::Pending {
            return None;
        }
        let mut versions = entry.published.versions.values();
        versions
            .find(|version| is_pending(version))
            .map(|version| (**version).clone())
    }

    /// Whether what came of it is stored.
    async fn settle_snapshot(&self, key: &FunctionKey, version: &VersionRecord) -> bool {
        let Some(entry) = self.0.definitions.get(key) else {
            return false;
        };
        let of_version = VersionKey {
            function: key.clone(),
            version: version.id(),
        };
        let record = version.of_function(&entry.record);
        let outcome = patiently(|| self.deploy(&record, &version.spec, version.id())).await;
        if let Err(reason) = &outcome {
            let (function, version) = (&key.name, version.number);
            tracing::warn!(function, version, reason = reason.text, "no snapshot");
        }
        let stored = self.change_all(key, |draft| {
            if let Some(held) = draft.published.versions.get(&version.number) {
                let mut settled = (**held).clone();
                settle(&mut settled, outcome);
                draft.published.put_version(settled);
            }
            Ok(())
        });
        let stored = stored.await;
        // Deleted meanwhile?
        if !self.exists(key, Some(&version.id())) {
            self.undeploy_version(&of_version);
        }
        match stored {
            Ok(_) => true,
            Err(Error::FunctionNotFound { .. }) => false,
            Err(error) => {
                tracing::error!(
                    ?error,
                    function = key.name,
                    "a version's state is not stored"
                );
                false
            }
        }
    }

    /// Makes the snapshots of active versions again, after a restart.
    pub(super) fn remake_snapshots(&self, key: FunctionKey) {
        let this = self.clone();
        tokio::spawn(async move {
            let Some(entry) = this.0.definitions.get(&key) else {
                return;
            };
            for version in entry.published.versions.values() {
                if version.state != State::Active || !version.spec.snap_start {
                    continue;
                }
                let Ok(_turn) = this.0.snapshotting.acquire().await else {
                    return;
                };
                let of_version = VersionKey {
                    function: key.clone(),
                    version: version.id(),
                };
                // A request for it may have been faster. What fails, the next one sees for itself.
                if let Err(error) = this.ensure_deployed(&of_version).await {
                    let version = version.number;
                    tracing::warn!(?error, function = key.name, version, "no snapshot");
                }
            }
        });
    }

    /// Lambda's `OptimizationStatus`: whether there is a snapshot.
    pub(super) fn optimization_status(&self, key: FunctionKey, spec: &Spec, version: &str) -> &str {
        let key = VersionKey {
            function: key,
            version: version.into(),
        };
        match spec.snap_start && !key.version.is_latest() && self.0.executor.has_snapshot(&key) {
            true => "On",
            false => "Off",
        }
    }
}

fn settle(version: &mut VersionRecord, outcome: Result<(), Reason>) {
    let (state, reason, status) = match outcome {
        Ok(()) => (State::Active, None, UpdateStatus::Successful),
        Err(why) => (State::Failed, Some(why), UpdateStatus::Failed),
    };
    version.state = state;
    version.state_reason.clone_from(&reason);
    version.last_update = Some(LastUpdate { status, reason });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_are_lambdas_of_those_that_run_here() {
        for (runtime, taken) in [
            ("python3.12", true),
            ("python3.14", true),
            ("python3.11", false),
            ("nodejs22.x", false),
            ("provided.al2023", false),
        ] {
            assert_eq!(check(true, runtime).is_ok(), taken, "{runtime}");
            assert!(check(false, runtime).is_ok());
        }
        let refused = check(true, "nodejs22.x").unwrap_err().to_string();
        assert_eq!(
            refused,
            "nodejs22.x is not supported for SnapStart enabled functions."
        );
    }

    #[test]
    fn what_is_not_said_stays() {
        let said = |apply_on: &str| SnapStart {
            apply_on: Some(apply_on.to_owned()),
        };
        for before in [true, false] {
            assert_eq!(asked(None, before), before);
            assert_eq!(asked(Some(&SnapStart::default()), before), before);
            assert!(asked(Some(&said("PublishedVersions")), before));
            assert!(!asked(Some(&said("None")), before));
        }
    }
}
