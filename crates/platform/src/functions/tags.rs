//! TagResource, UntagResource and ListTags. One tag means something to the platform: the one that
//! says where connections may go; changing it is an update of the function.

use std::collections::BTreeMap;

use wire::{Context, Map, arn::Arn, lambda::function_of};

use super::{
    Functions,
    deployment::{begin_update, check_updatable},
    error::{Error, Result},
    execution::FunctionKey,
    network, new_revision_id, requested,
    tables::FunctionRecord,
};

impl Functions {
    pub(super) async fn tag(&self, cx: &Context, resource: &str, tags: Map<String>) -> Result<()> {
        let key = taggable(cx, resource)?;
        self.find(&key)?;
        if tags.is_empty() {
            return Err(Error::invalid(
                "An error occurred and the request cannot be processed.",
            ));
        }
        self.retag(&key, |held| held.extend(tags)).await
    }

    pub(super) async fn untag(&self, cx: &Context, resource: &str, keys: &[String]) -> Result<()> {
        let key = taggable(cx, resource)?;
        self.retag(&key, |held| held.retain(|name, _| !keys.contains(name)))
            .await
    }

    pub(super) fn tags(&self, cx: &Context, resource: &str) -> Result<Map<String>> {
        let entry = self.find(&taggable(cx, resource)?)?;
        Ok(entry.record.tags.clone().into_iter().collect())
    }

    async fn retag(
        &self,
        key: &FunctionKey,
        act: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<()> {
        let (_, updated) = self
            .change(key, |record| {
                let mut tags = record.tags.clone();
                act(&mut tags);
                requested::check_tags(&tags)?;
                record.tags = tags;
                record.revision_id = new_revision_id();
                reroute(record)
            })
            .await?;
        if updated {
            self.settle_later(key.clone());
        }
        Ok(())
    }
}

/// Makes the network's tag take effect if it changed; says whether it did.
fn reroute(record: &mut FunctionRecord) -> Result<bool> {
    let network = record.tags.get(network::TAG).cloned();
    if network == record.spec.network {
        return Ok(false);
    }
    check_updatable(record)?;
    let mut spec = record.spec.clone();
    spec.network = network;
    begin_update(record, spec);
    Ok(true)
}

/// The function that an ARN names. Only functions themselves have tags.
fn taggable(cx: &Context, resource: &str) -> Result<FunctionKey> {
    let unknown = || Error::NotFound(format!("Resource not found: {resource}"));
    let arn: Arn = resource.parse().map_err(|_| unknown())?;
    let Some((name, qualifier)) = function_of(&arn) else {
        let kind = match arn.resource.split(':').next() {
            Some("event-source-mapping") => "Event source mapping",
            Some("capacity-provider") => "Capacity provider",
            Some("code-signing-config") => "Code signing config",
            Some("layer") => "Layer",
            _ => "Resource",
        };
        return Err(Error::NotFound(format!("{kind} not found: {resource}")));
    };
    if qualifier.is_some() {
        return Err(Error::invalid(
            "Tags on function aliases and versions are not supported. Please specify a function \
             ARN.",
        ));
    }
    if (&arn.account_id, &arn.region) != (&cx.account_id, &cx.region) {
        return Err(Error::FunctionNotFound {
            arn: resource.to_owned(),
        });
    }
    Ok(super::key_of(cx, name))
}
