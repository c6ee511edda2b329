//! PutRuntimeManagementConfig and GetRuntimeManagementConfig: when a function gets another version
//! of its runtime.
//!
//! A runtime's version here is that of the interpreter on the host, and there is one at a time: a
//! function can be kept from running on another (`Manual`), but not go on running on one that the
//! host has no more.

use serde::{Deserialize, Serialize};
use wire::{
    Context,
    lambda::{
        FunctionName, GetRuntimeManagementConfigResponse, PutRuntimeManagementConfigRequest,
        PutRuntimeManagementConfigResponse,
    },
};

use sandbox::Launch;

use super::{
    Functions, arn_of,
    error::{Error, Result},
    key_of,
    qualifier::{Configured, LATEST, configured},
    tables::{FunctionRecord, Spec},
};

/// When a function's runtime is updated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuntimeUpdates {
    #[default]
    Auto,
    FunctionUpdate,
    /// Never: it runs on this version, by ARN, or not at all.
    Manual(String),
}

impl RuntimeUpdates {
    fn shown(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Auto => ("Auto", None),
            Self::FunctionUpdate => ("FunctionUpdate", None),
            Self::Manual(version) => ("Manual", Some(version.clone())),
        }
    }
}

impl Functions {
    pub(super) async fn manage_runtime(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: PutRuntimeManagementConfigRequest,
    ) -> Result<PutRuntimeManagementConfigResponse> {
        let key = key_of(cx, &name.name);
        let entry = self.find_resource(&key, name.qualifier.as_deref())?;
        if !matches!(name.qualifier.as_deref(), None | Some(LATEST)) {
            return Err(Error::Unsupported {
                what: "Runtime management of a published version (Qualifier)",
            });
        }
        let known = self.runtime_version(&entry.record, &entry.record.spec);
        let updates = match (input.update_runtime_on.as_str(), input.runtime_version_arn) {
            ("Manual", None) => {
                return Err(Error::invalid(
                    "RuntimeVersionArn is required if UpdateRuntimeOn is Manual.",
                ));
            }
            ("Manual", Some(arn)) if known.as_ref() == Some(&arn) => RuntimeUpdates::Manual(arn),
            ("Manual", Some(arn)) => {
                return Err(Error::Invalid(format!(
                    "The runtime version {arn} is not here. This function's runtime has the \
                     version {}.",
                    known.unwrap_or_else(|| "of its image".to_owned())
                )));
            }
            (_, Some(_)) => {
                return Err(Error::invalid(
                    "RuntimeVersionArn can be given only if UpdateRuntimeOn is Manual.",
                ));
            }
            ("FunctionUpdate", None) => RuntimeUpdates::FunctionUpdate,
            _ => RuntimeUpdates::Auto,
        };
        let (update_runtime_on, runtime_version_arn) = updates.shown();
        let changed = self.change(&key, |record| {
            record.spec.runtime_updates = updates.clone();
            Ok(())
        });
        changed.await?;
        Ok(PutRuntimeManagementConfigResponse {
            update_runtime_on: update_runtime_on.to_owned(),
            function_arn: shown_arn(&key, name),
            runtime_version_arn,
        })
    }

    pub(super) fn runtime_management(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<GetRuntimeManagementConfigResponse> {
        let key = key_of(cx, &name.name);
        let entry = self.find_resource(&key, name.qualifier.as_deref())?;
        let spec = match configured(&entry, name.qualifier.as_deref()) {
            Some(Configured::Published(version)) => &version.spec,
            Some(Configured::Latest(_)) | None => &entry.record.spec,
        };
        let (update_runtime_on, runtime_version_arn) = spec.runtime_updates.shown();
        Ok(GetRuntimeManagementConfigResponse {
            update_runtime_on: Some(update_runtime_on.to_owned()),
            function_arn: Some(shown_arn(&key, name)),
            runtime_version_arn,
        })
    }

    /// The ARN of the version of its runtime that a function runs on: made of the runtime's name
    /// and its interpreter's version. None where there is no such runtime here.
    pub(super) fn runtime_version(&self, record: &FunctionRecord, spec: &Spec) -> Option<String> {
        let version = match self.0.runtimes.launch(&spec.runtime) {
            Ok(Launch::Python(found) | Launch::Node(found)) => found.version,
            Ok(_) => String::new(),
            Err(_) => return None,
        };
        let region = &record.region;
        let partition = wire::arn::partition(region);
        let name = format!("{}\n{version}\n{region}", spec.runtime);
        let hash = store::BlobHash::of(name.as_bytes());
        Some(format!("arn:{partition}:lambda:{region}::runtime:{hash}"))
    }

    /// Refuses to run a function on another version than it was pinned to.
    pub(super) fn check_runtime_version(
        &self,
        record: &FunctionRecord,
        spec: &Spec,
    ) -> Result<(), String> {
        let RuntimeUpdates::Manual(pinned) = &spec.runtime_updates else {
            return Ok(());
        };
        match self.runtime_version(record, spec) {
            Some(here) if here != *pinned => Err(format!(
                "The function is to run on the runtime version {pinned}, and this machine has \
                 {here}"
            )),
            _ => Ok(()),
        }
    }
}

/// Lambda shows the version with it.
fn shown_arn(key: &super::FunctionKey, name: &FunctionName) -> String {
    let qualifier = name.qualifier.as_deref().unwrap_or("$LATEST");
    arn_of(key, Some(qualifier))
}
