//! Code signing: whose signatures an owner trusts, and what happens to code without one.
//!
//! Signatures are made by AWS Signer, which is not here, so no package has one that could be
//! trusted. `Enforce` therefore refuses every package and layer, and `Warn` lets them pass with a
//! word in the operator's log: neither treats unsigned code as signed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Migration, Page, Record, Table};
use wire::{
    Context,
    arn::Arn,
    lambda::{
        AllowedPublishers, CodeSigningConfig, CodeSigningPolicies, CreateCodeSigningConfigRequest,
        FunctionName, ListCodeSigningConfigsRequest, ListCodeSigningConfigsResponse,
        ListFunctionsByCodeSigningConfigRequest, ListFunctionsByCodeSigningConfigResponse,
        UpdateCodeSigningConfigRequest,
    },
    time::lambda_last_modified,
};

use super::{
    Functions,
    error::{Error, Result},
    key_of, limits,
    list::{marker, page_size, read_marker},
};

const CONFIGS: Table<SigningRecord> = Table::new();

/// The table's definition, numbered `number`.
pub const fn migration(number: u32) -> Migration {
    Migration::new(
        number,
        "code_signing_configs",
        store::records_table!("code_signing_configs"),
    )
}

/// Keyed by account, region and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SigningRecord {
    account_id: String,
    region: String,
    /// `csc-` and 17 characters.
    id: String,
    description: Option<String>,
    /// Versions of signing profiles, by ARN.
    publishers: Vec<String>,
    /// Of untrusted code: `Enforce` or `Warn`.
    policy: String,
    modified: Timestamp,
}

impl Record for SigningRecord {
    const TABLE: &'static str = "code_signing_configs";
    const VERSION: u32 = 1;
}

impl SigningRecord {
    fn arn(&self) -> String {
        let resource = format!("code-signing-config:{}", self.id);
        Arn::new("lambda", &self.region, &self.account_id, resource).to_string()
    }

    fn shown(&self) -> CodeSigningConfig {
        CodeSigningConfig {
            code_signing_config_id: self.id.clone(),
            code_signing_config_arn: self.arn(),
            description: self.description.clone(),
            allowed_publishers: AllowedPublishers {
                signing_profile_version_arns: self.publishers.clone(),
            },
            code_signing_policies: CodeSigningPolicies {
                untrusted_artifact_on_deployment: Some(self.policy.clone()),
            },
            last_modified: lambda_last_modified(self.modified),
        }
    }
}

impl Functions {
    pub(super) async fn create_signing(
        &self,
        cx: &Context,
        input: CreateCodeSigningConfigRequest,
    ) -> Result<CodeSigningConfig> {
        if input.tags.is_some_and(|tags| !tags.is_empty()) {
            return Err(Error::Unsupported {
                what: "Tags of a code signing configuration (Tags)",
            });
        }
        let random = uuid::Uuid::new_v4().simple().to_string();
        let policies = input.code_signing_policies.unwrap_or_default();
        let policy = policies.untrusted_artifact_on_deployment;
        let record = SigningRecord {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            id: format!("csc-{}", &random[..17]),
            description: input.description,
            publishers: input.allowed_publishers.signing_profile_version_arns,
            policy: policy.unwrap_or_else(|| "Warn".to_owned()),
            modified: cx.now,
        };
        let stored = record.clone();
        let written = self.0.store.write(move |tx| {
            let key = [&*stored.account_id, &*stored.region, &*stored.id];
            CONFIGS.insert(tx, &key, &stored)
        });
        written.await?;
        Ok(record.shown())
    }

    pub(super) async fn signing(&self, cx: &Context, arn: &str) -> Result<CodeSigningConfig> {
        Ok(self.find_signing(cx, arn).await?.shown())
    }

    pub(super) async fn update_signing(
        &self,
        cx: &Context,
        input: UpdateCodeSigningConfigRequest,
    ) -> Result<CodeSigningConfig> {
        let arn = input.code_signing_config_arn.clone();
        let id = own_id(cx, &arn)?;
        let (account, region, now) = (cx.account_id.clone(), cx.region.clone(), cx.now);
        let written = self.0.store.try_write(move |tx| {
            let key = [&*account, &*region, &*id];
            let stored = CONFIGS.get(tx, &key)?.ok_or_else(|| unknown(&arn))?;
            let mut record = stored.record;
            if let Some(description) = &input.description {
                record.description = Some(description.clone());
            }
            if let Some(publishers) = &input.allowed_publishers {
                record
                    .publishers
                    .clone_from(&publishers.signing_profile_version_arns);
            }
            let policies = input.code_signing_policies.as_ref();
            if let Some(policy) =
                policies.and_then(|all| all.untrusted_artifact_on_deployment.as_ref())
            {
                record.policy.clone_from(policy);
            }
            record.modified = now;
            CONFIGS.update(tx, &key, stored.revision, &record)?;
            Ok::<_, Error>(record.shown())
        });
        written.await
    }

    pub(super) async fn delete_signing(&self, cx: &Context, arn: &str) -> Result<()> {
        let id = own_id(cx, arn)?;
        // No function can take it on while its last user is looked for.
        let _deciding = self.0.reservations.lock().await;
        let record = self.find_signing(cx, arn).await?;
        let mut all = self.all_of(cx).into_iter();
        if all.any(|entry| entry.record.code_signing.as_deref() == Some(arn)) {
            return Err(Error::Conflict(
                "Cannot delete the code signing configuration because it is being used by \
                 functions. Remove it from all functions first."
                    .to_owned(),
            ));
        }
        let deleted = self
            .0
            .store
            .write(move |tx| CONFIGS.delete(tx, &[&*record.account_id, &*record.region, &*id]));
        deleted.await?;
        Ok(())
    }

    pub(super) async fn list_signing(
        &self,
        cx: &Context,
        input: &ListCodeSigningConfigsRequest,
    ) -> Result<ListCodeSigningConfigsResponse> {
        let limit = page_size(input.max_items, limits::LIST_SIGNING_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let (account, region) = (cx.account_id.clone(), cx.region.clone());
        let page = self.0.store.read(move |tx| {
            let after = after.as_ref().map(|id| [&*account, &*region, &**id]);
            let page = Page {
                prefix: &[&*account, &*region],
                after: after.as_ref().map(<[&str; 3]>::as_slice),
                limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
            };
            CONFIGS.list(tx, page)
        });
        let mut page = page.await?;
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more);
        Ok(ListCodeSigningConfigsResponse {
            next_marker: last.map(|stored| marker(&stored.record.id)),
            code_signing_configs: Some(page.iter().map(|stored| stored.record.shown()).collect()),
        })
    }

    pub(super) async fn signed_functions(
        &self,
        cx: &Context,
        input: &ListFunctionsByCodeSigningConfigRequest,
    ) -> Result<ListFunctionsByCodeSigningConfigResponse> {
        let arn = &input.code_signing_config_arn;
        self.find_signing(cx, arn).await?;
        let limit = page_size(input.max_items, limits::LIST_FUNCTIONS_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let definitions = &self.0.definitions;
        let all = definitions.list(&cx.account_id, &cx.region, after.as_deref(), usize::MAX);
        let having = all
            .into_iter()
            .filter(|entry| entry.record.code_signing.as_ref() == Some(arn));
        let mut page: Vec<_> = having.take(limit + 1).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more);
        Ok(ListFunctionsByCodeSigningConfigResponse {
            next_marker: last.map(|entry| marker(&entry.key.name)),
            function_arns: Some(page.iter().map(|entry| entry.record.arn()).collect()),
        })
    }

    /// Which configuration a function's next code is checked by; none takes it away.
    pub(super) async fn set_signing(
        &self,
        cx: &Context,
        name: &FunctionName,
        arn: Option<&str>,
    ) -> Result<()> {
        let key = key_of(cx, &name.name);
        self.find(&key)?;
        let _deciding = self.0.reservations.lock().await;
        if let Some(arn) = arn {
            self.find_signing(cx, arn).await?;
        }
        let changed = self.change(&key, |record| {
            record.code_signing = arn.map(str::to_owned);
            Ok(())
        });
        changed.await.map(drop)
    }

    pub(super) fn signing_of(&self, cx: &Context, name: &FunctionName) -> Result<Option<String>> {
        let entry = self.find(&key_of(cx, &name.name))?;
        Ok(entry.record.code_signing.clone())
    }

    /// Whether code may be deployed under a configuration: none here carries a signature.
    pub(super) async fn check_signature(&self, cx: &Context, arn: Option<&str>) -> Result<()> {
        let Some(arn) = arn else {
            return Ok(());
        };
        if self.find_signing(cx, arn).await?.policy == "Enforce" {
            return Err(Error::Unsigned);
        }
        tracing::warn!(arn, "unsigned code is deployed, as the policy allows");
        Ok(())
    }

    async fn find_signing(&self, cx: &Context, arn: &str) -> Result<SigningRecord> {
        let id = own_id(cx, arn)?;
        let (account, region) = (cx.account_id.clone(), cx.region.clone());
        let read = self
            .0
            .store
            .read(move |tx| CONFIGS.get(tx, &[&*account, &*region, &*id]));
        let found = read.await?.ok_or_else(|| unknown(arn))?;
        Ok(found.record)
    }
}

/// Configurations of others are as good as not there.
fn own_id(cx: &Context, arn: &str) -> Result<String> {
    let parsed: Arn = arn.parse().map_err(|_| unknown(arn))?;
    let own = (&parsed.account_id, &parsed.region) == (&cx.account_id, &cx.region);
    let id = parsed.resource.strip_prefix("code-signing-config:");
    let id = id.filter(|_| own).ok_or_else(|| unknown(arn))?;
    Ok(id.to_owned())
}

fn unknown(arn: &str) -> Error {
    Error::SigningNotFound {
        arn: arn.to_owned(),
    }
}
