//! PutProvisionedConcurrencyConfig and the operations beside it. What is configured is stored with
//! the function; the executor keeps the environments, and says what there is of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use wire::{
    Context,
    lambda::{self as api, FunctionName, ProvisionedConcurrencyConfigListItem},
};

use super::{
    Functions, arn_of,
    definitions::{Draft, Entry, Published},
    error::{Error, Result},
    execution::{FunctionKey, VersionId, VersionKey},
    key_of, limits,
    list::{marker, page_size, read_marker},
    qualifier::LATEST,
    tables::{AliasRecord, FunctionRecord, Provisioned, State},
};

/// How soon a version that could not be deployed is tried again.
const DEPLOY_AGAIN: Duration = Duration::from_secs(5);

impl Functions {
    pub(super) async fn put_provisioned(
        &self,
        cx: &Context,
        name: &FunctionName,
        asked: i32,
    ) -> Result<ProvisionedConcurrencyConfigListItem> {
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.clone().unwrap_or_default();
        let requested = u32::try_from(asked).unwrap_or_default();
        // What is left depends on all functions of the account.
        let _deciding = self.0.reservations.lock().await;
        self.find_published(&key, &qualifier)?;
        let others = self.provisioned_of_others(cx, &key);
        let reserved: u32 = self
            .all_of(cx)
            .iter()
            .filter_map(|entry| entry.record.reserved_concurrency)
            .sum();
        let account = self.0.account_concurrency;
        let (entry, ()) = self
            .change_all(&key, |draft| {
                check_place(&key, draft, &qualifier)?;
                check_no_snapshot(draft, &qualifier)?;
                let record = &mut draft.record;
                let mut total = total(record) + requested;
                if let Some(before) = record.provisioned.get(&qualifier) {
                    total -= before.requested;
                }
                match record.reserved_concurrency {
                    Some(reserved) if total > reserved => {
                        return Err(Error::invalid(
                            "Requested Provisioned Concurrency should not be greater than the \
                             reservedConcurrentExecution for function",
                        ));
                    }
                    Some(_) => {}
                    None => check_left(account.saturating_sub(reserved + others), total)?,
                }
                let config = Provisioned {
                    requested,
                    last_modified: cx.now,
                };
                record.provisioned.insert(qualifier.clone(), config);
                Ok(())
            })
            .await?;
        // The first look comes before anything is begun.
        let mut shown = self.shown_config(&entry, &qualifier);
        shown.status = Some("IN_PROGRESS".to_owned());
        shown.status_reason = None;
        Ok(shown)
    }

    pub(super) fn get_provisioned(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<ProvisionedConcurrencyConfigListItem> {
        let qualifier = name.qualifier.clone().unwrap_or_default();
        let entry = self.find_published(&key_of(cx, &name.name), &qualifier)?;
        match entry.record.provisioned.contains_key(&qualifier) {
            true => Ok(self.shown_config(&entry, &qualifier)),
            false => Err(Error::NotProvisioned),
        }
    }

    /// One that is not there is as good as removed.
    pub(super) async fn delete_provisioned(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.clone().unwrap_or_default();
        let entry = self.find_published(&key, &qualifier)?;
        if !entry.record.provisioned.contains_key(&qualifier) {
            return Ok(());
        }
        let deleted = self.change(&key, |record| {
            record.provisioned.remove(&qualifier);
            Ok(())
        });
        deleted.await.map(drop)
    }

    pub(super) fn list_provisioned(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: &api::ListProvisionedConcurrencyConfigsRequest,
    ) -> Result<api::ListProvisionedConcurrencyConfigsResponse> {
        let entry = self.find(&key_of(cx, &name.name))?;
        let limit = page_size(input.max_items, limits::LIST_ALIASES_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let qualifiers = entry.record.provisioned.keys();
        let mut page: Vec<_> = qualifiers
            .filter(|qualifier| after.as_ref().is_none_or(|after| *qualifier > after))
            .take(limit + 1)
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more);
        Ok(api::ListProvisionedConcurrencyConfigsResponse {
            next_marker: last.map(|qualifier| marker(qualifier)),
            provisioned_concurrency_configs: Some(
                page.iter()
                    .map(|qualifier| self.shown_config(&entry, qualifier))
                    .collect(),
            ),
        })
    }

    /// Tells the executor what to keep ready, and has those versions deployed.
    pub(super) fn provision(&self, entry: &Entry) {
        let targets = targets(&entry.record, &entry.published);
        self.0.executor.provision(&entry.key, &targets);
        for version in targets.into_keys() {
            let (this, function) = (self.clone(), entry.key.clone());
            tokio::spawn(async move {
                let key = VersionKey { function, version };
                this.deploy_provisioned(&key).await;
            });
        }
    }

    async fn deploy_provisioned(&self, key: &VersionKey) {
        while self.is_provisioned(key) {
            let Err(error) = self.ensure_deployed(key).await else {
                return;
            };
            // One that is still being made is come back to when it is.
            if matches!(error, Error::NotActive { .. }) {
                return;
            }
            tracing::warn!(?error, function = key.function.name, "not provisioned yet");
            tokio::time::sleep(DEPLOY_AGAIN).await;
        }
    }

    fn is_provisioned(&self, key: &VersionKey) -> bool {
        let entry = self.0.definitions.get(&key.function);
        entry.is_some_and(|entry| {
            targets(&entry.record, &entry.published).contains_key(&key.version)
        })
    }

    /// Provisioned for functions that have nothing reserved, but for one of them.
    pub(super) fn provisioned_of_others(&self, cx: &Context, key: &FunctionKey) -> u32 {
        let all = self.all_of(cx);
        let others = all.iter().filter(|entry| entry.key != *key);
        let unreserved = others.filter(|entry| entry.record.reserved_concurrency.is_none());
        unreserved.map(|entry| total(&entry.record)).sum()
    }

    /// What can be provisioned: a published version, or an alias.
    fn find_published(&self, key: &FunctionKey, qualifier: &str) -> Result<Arc<Entry>> {
        if qualifier == LATEST || qualifier.is_empty() {
            return Err(unpublished());
        }
        self.find_resource(key, Some(qualifier))
    }

    fn shown_config(&self, entry: &Entry, qualifier: &str) -> ProvisionedConcurrencyConfigListItem {
        let config = &entry.record.provisioned[qualifier];
        let version = version_of(&entry.published, qualifier);
        let version = version.unwrap_or_else(VersionId::latest);
        let there = self.0.executor.provisioned(&VersionKey {
            function: entry.key.clone(),
            version,
        });
        let status = match &there.failure {
            _ if there.allocated >= config.requested => "READY",
            Some(_) => "FAILED",
            None => "IN_PROGRESS",
        };
        let signed = |number: u32| i32::try_from(number).ok();
        ProvisionedConcurrencyConfigListItem {
            function_arn: Some(arn_of(&entry.key, Some(qualifier))),
            requested_provisioned_concurrent_executions: signed(config.requested),
            available_provisioned_concurrent_executions: signed(there.available),
            allocated_provisioned_concurrent_executions: signed(there.allocated),
            status: Some(status.to_owned()),
            status_reason: there.failure.filter(|_| status == "FAILED"),
            last_modified: Some(seconds(config.last_modified)),
        }
    }
}

/// All that is provisioned for a function.
pub(super) fn total(record: &FunctionRecord) -> u32 {
    record.provisioned.values().map(|held| held.requested).sum()
}

/// How many environments of each version are to be kept ready.
fn targets(record: &FunctionRecord, published: &Published) -> HashMap<VersionId, u32> {
    let mut targets = HashMap::new();
    for (qualifier, config) in &record.provisioned {
        if let Some(version) = version_of(published, qualifier) {
            *targets.entry(version).or_default() += config.requested;
        }
    }
    targets
}

/// The version that a qualifier's environments are of.
fn version_of(published: &Published, qualifier: &str) -> Option<VersionId> {
    if let Some(alias) = published.aliases.get(qualifier) {
        return Some(alias.version_id());
    }
    published.version(qualifier).map(|version| version.id())
}

/// That a version's environments are provisioned in one place only, and can be at all.
/// Lambda has one or the other.
fn check_no_snapshot(draft: &Draft, qualifier: &str) -> Result<()> {
    let published = &draft.published;
    let alias = published.aliases.get(qualifier);
    let version = match alias.and_then(|alias| alias.version) {
        Some(number) => published.versions.get(&number),
        None => published.version(qualifier),
    };
    match version {
        Some(version) if version.spec.snap_start => Err(Error::invalid(
            "Provisioned Concurrency is not supported for SnapStart enabled functions.",
        )),
        _ => Ok(()),
    }
}

fn check_place(key: &FunctionKey, draft: &Draft, qualifier: &str) -> Result<()> {
    let published = &draft.published;
    let Some(alias) = published.aliases.get(qualifier) else {
        let Some(version) = published.version(qualifier) else {
            // Deleted between the look and the change.
            return Err(super::not_found(key, Some(qualifier)));
        };
        if version.state == State::Failed {
            return Err(Error::NotActive {
                state: State::Failed.as_str(),
            });
        }
        let by_alias = aliases_of(draft, version.number).next();
        return match by_alias {
            Some(_) => Err(Error::Conflict(
                "Version is pointed by a Provisioned Concurrency alias".to_owned(),
            )),
            None => Ok(()),
        };
    };
    if alias.additional.is_some() {
        return Err(Error::invalid(
            "Alias with weights can not be used with Provisioned Concurrency",
        ));
    }
    let Some(number) = alias.version else {
        return Err(unpublished());
    };
    if draft.record.provisioned.contains_key(&number.to_string()) {
        return Err(Error::Conflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already \
             Provisioned version"
                .to_owned(),
        ));
    }
    let mut others = aliases_of(draft, number).filter(|other| other.name != alias.name);
    match others.next() {
        Some(_) => Err(Error::Conflict(
            "Version is pointed by a Provisioned Concurrency alias".to_owned(),
        )),
        None => Ok(()),
    }
}

/// That an alias which has provisioned concurrency can become this.
pub(super) fn check_alias(draft: &Draft, alias: &AliasRecord) -> Result<()> {
    if !draft.record.provisioned.contains_key(&alias.name) {
        return Ok(());
    }
    let taken = |number: u64| {
        let mut others = aliases_of(draft, number).filter(|other| other.name != alias.name);
        draft.record.provisioned.contains_key(&number.to_string()) || others.next().is_some()
    };
    match (alias.version, alias.additional) {
        (Some(number), None) if !taken(number) => Ok(()),
        _ => Err(Error::invalid(
            "Invalid alias configuration for Provisioned Concurrency",
        )),
    }
}

/// The aliases of a version that have provisioned concurrency.
fn aliases_of(draft: &Draft, number: u64) -> impl Iterator<Item = &Arc<AliasRecord>> {
    let provisioned = &draft.record.provisioned;
    let aliases = draft.published.aliases.values();
    aliases
        .filter(move |alias| alias.version == Some(number) && provisioned.contains_key(&alias.name))
}

/// That enough of an account's concurrency is left for functions that have none of their own.
fn check_left(unreserved: u32, asked: u32) -> Result<()> {
    let min = limits::UNRESERVED_CONCURRENCY_MIN;
    if asked > unreserved {
        return Err(Error::Invalid(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved \
             concurrency [{unreserved}]."
        )));
    }
    if unreserved - asked < min {
        return Err(Error::Invalid(format!(
            "Specified ConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution below its minimum value of [{min}]."
        )));
    }
    Ok(())
}

fn unpublished() -> Error {
    Error::invalid(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_stay_for_functions_without_any() {
        assert!(check_left(1000, 900).is_ok());
        assert!(check_left(1000, 901).is_err());
        assert!(check_left(10, 11).is_err());
    }

    #[test]
    fn times_are_told_to_the_second() {
        let at = Timestamp::new(1_700_000_000, 999_000_000).unwrap();
        assert_eq!(seconds(at), "2023-11-14T22:13:20+0000");
    }
}
