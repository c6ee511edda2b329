//! CreateAlias, GetAlias, UpdateAlias, DeleteAlias and ListAliases.

use wire::{
    Context,
    lambda::{self as api, AliasConfiguration, AliasRoutingConfiguration, FunctionName},
};

use super::{
    Functions, arn_of,
    definitions::{Draft, Entry},
    error::{Error, Result},
    execution::FunctionKey,
    key_of, limits,
    list::{marker, page_size, read_marker},
    new_revision_id, not_found,
    provisioned::check_alias,
    qualifier::LATEST,
    tables::{Additional, AliasRecord},
};

impl Functions {
    pub(super) async fn create_alias_of(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: api::CreateAliasRequest,
    ) -> Result<AliasConfiguration> {
        let key = key_of(cx, &name.name);
        if self.0.definitions.get(&key).is_none() {
            // Lambda looks for the version, and so says which.
            return Err(not_found(&key, Some(&input.function_version)));
        }
        let routing = input.routing_config.as_ref();
        let alias = AliasRecord {
            version: version(&input.function_version),
            additional: additional(routing)?,
            name: input.name,
            description: input.description.unwrap_or_default(),
            revision_id: new_revision_id(),
        };
        let made = alias.clone();
        let (entry, ()) = self
            .change_all(&key, |draft| {
                check(&key, draft, &alias)?;
                if draft.published.aliases.contains_key(&alias.name) {
                    let arn = arn_of(&key, Some(&alias.name));
                    return Err(Error::Conflict(format!("Alias already exists: {arn}")));
                }
                if draft.published.aliases.len() >= limits::ALIASES_MAX {
                    return Err(Error::TooManyAliases {
                        max: limits::ALIASES_MAX,
                    });
                }
                draft.published.put_alias(alias);
                Ok(())
            })
            .await?;
        Ok(shown(&entry, &made))
    }

    pub(super) fn alias(
        &self,
        cx: &Context,
        name: &FunctionName,
        alias: &str,
    ) -> Result<AliasConfiguration> {
        let key = key_of(cx, &name.name);
        let entry = self.0.definitions.get(&key);
        let entry = entry.ok_or_else(|| no_alias(&key, alias))?;
        let found = entry.published.aliases.get(alias);
        Ok(shown(&entry, found.ok_or_else(|| no_alias(&key, alias))?))
    }

    pub(super) async fn update_alias_of(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: api::UpdateAliasRequest,
    ) -> Result<AliasConfiguration> {
        let key = key_of(cx, &name.name);
        if self.0.definitions.get(&key).is_none() {
            return Err(no_alias(&key, &input.name));
        }
        let (entry, alias) = self
            .change_all(&key, |draft| {
                let held = draft.published.aliases.get(&input.name);
                let held = held.ok_or_else(|| no_alias(&key, &input.name))?;
                let mut alias = (**held).clone();
                if input
                    .revision_id
                    .as_ref()
                    .is_some_and(|asked| *asked != alias.revision_id)
                {
                    return Err(Error::WrongRevision {
                        ask: "GetFunction/GetAlias",
                    });
                }
                if let Some(asked) = &input.function_version {
                    alias.version = version(asked);
                }
                if let Some(description) = &input.description {
                    alias.description.clone_from(description);
                }
                if let Some(routing) = &input.routing_config {
                    alias.additional = additional(Some(routing))?;
                }
                alias.revision_id = new_revision_id();
                check(&key, draft, &alias)?;
                check_alias(draft, &alias)?;
                draft.published.put_alias(alias.clone());
                Ok(alias)
            })
            .await?;
        Ok(shown(&entry, &alias))
    }

    /// Removes an alias with its policy and its URL. One that is not there is as good as removed.
    pub(super) async fn delete_alias_of(
        &self,
        cx: &Context,
        name: &FunctionName,
        alias: &str,
    ) -> Result<()> {
        let key = key_of(cx, &name.name);
        let entry = self.find(&key)?;
        if !entry.published.aliases.contains_key(alias) {
            return Ok(());
        }
        let deleted = self.change_all(&key, |draft| {
            draft.forget_alias(alias);
            Ok(())
        });
        deleted.await.map(drop)
    }

    pub(super) fn list_aliases_of(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: &api::ListAliasesRequest,
    ) -> Result<api::ListAliasesResponse> {
        let entry = self.find(&key_of(cx, &name.name))?;
        let limit = page_size(input.max_items, limits::LIST_ALIASES_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let wanted = input.function_version.as_deref().map(version);
        let aliases = entry.published.aliases.values();
        let mut page: Vec<_> = aliases
            .filter(|alias| wanted.is_none_or(|wanted| alias.version == wanted))
            .filter(|alias| after.as_ref().is_none_or(|after| alias.name > *after))
            .take(limit + 1)
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        Ok(api::ListAliasesResponse {
            next_marker: page.last().filter(|_| more).map(|last| marker(&last.name)),
            aliases: Some(page.into_iter().map(|alias| shown(&entry, alias)).collect()),
        })
    }
}

impl Draft {
    fn forget_alias(&mut self, alias: &str) {
        std::sync::Arc::make_mut(&mut self.published.aliases).remove(alias);
        self.record.forget_qualifier(alias);
    }
}

fn no_alias(key: &FunctionKey, alias: &str) -> Error {
    Error::AliasNotFound {
        arn: arn_of(key, Some(alias)),
    }
}

/// A version's number; none is `$LATEST`. The model lets nothing else through; a number beyond
/// all that could be published names nothing.
fn version(text: &str) -> Option<u64> {
    match text {
        LATEST => None,
        number => Some(number.parse().unwrap_or(u64::MAX)),
    }
}

/// The other version that is asked for, if one is. The model has checked keys and weights.
fn additional(asked: Option<&AliasRoutingConfiguration>) -> Result<Option<Additional>> {
    let weights = asked.and_then(|asked| asked.additional_version_weights.as_ref());
    let mut weights = weights.into_iter().flatten();
    let first = weights.next();
    if weights.next().is_some() {
        return Err(Error::invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    Ok(first.map(|(number, weight)| Additional {
        version: number.parse().unwrap_or(u64::MAX),
        weight: *weight,
    }))
}

/// That an alias names versions that are there, and two of them if it names two.
fn check(key: &FunctionKey, draft: &Draft, alias: &AliasRecord) -> Result<()> {
    let exists = |number: u64| match draft.published.versions.contains_key(&number) {
        true => Ok(()),
        false => Err(not_found(key, Some(&number.to_string()))),
    };
    if let Some(other) = alias.additional {
        match alias.version {
            None => {
                return Err(Error::OneVersionOnly);
            }
            Some(number) if number == other.version => {
                return Err(Error::Invalid(format!(
                    "Invalid function version {number}. Function version {number} is already \
                     included in routing configuration."
                )));
            }
            Some(_) => {}
        }
    }
    alias.version.map_or(Ok(()), exists)?;
    alias
        .additional
        .map_or(Ok(()), |other| exists(other.version))
}

fn shown(entry: &Entry, alias: &AliasRecord) -> AliasConfiguration {
    let weights = |other: Additional| {
        let weights = [(other.version.to_string(), other.weight)];
        AliasRoutingConfiguration {
            additional_version_weights: Some(weights.into_iter().collect()),
        }
    };
    AliasConfiguration {
        alias_arn: Some(arn_of(&entry.key, Some(&alias.name))),
        name: Some(alias.name.clone()),
        function_version: Some(alias.version_id().to_string()),
        description: Some(alias.description.clone()),
        routing_config: alias.additional.map(weights),
        revision_id: Some(alias.revision_id.clone()),
    }
}
