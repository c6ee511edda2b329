//! DeleteFunction.

use std::sync::Arc;

use wire::{Context, lambda::FunctionName};

use super::{
    Functions,
    error::{Error, Result},
    execution::{FunctionKey, VersionKey},
    is_alias, key_of,
    qualifier::LATEST,
    tables::{ALIASES, FUNCTION_URLS, FUNCTIONS, VERSIONS},
};

impl Functions {
    /// Removes a function with all that is its: versions, aliases, URLs, policies and reservation;
    /// or only the version that is named. Running invocations end.
    pub(super) async fn delete(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        match name.qualifier.as_deref() {
            None => self.delete_all(&key).await,
            Some(LATEST) => {
                self.find(&key)?;
                Err(Error::invalid(
                    "$LATEST version cannot be deleted without deleting the function.",
                ))
            }
            Some(alias) if is_alias(alias) => {
                self.find(&key)?;
                Err(Error::invalid(
                    "Deletion of aliases is not currently supported.",
                ))
            }
            Some(number) => self.delete_version(&key, number).await,
        }
    }

    /// A version that is not there is as good as deleted; its number is never given again.
    async fn delete_version(&self, key: &FunctionKey, number: &str) -> Result<()> {
        let entry = self.find(key)?;
        let Some(version) = entry.published.version(number) else {
            return Ok(());
        };
        let deleted = self.change_all(key, |draft| {
            let aliases = draft.published.aliases.values();
            let naming = aliases.filter(|alias| alias.names(version.number));
            let naming: Vec<&str> = naming.map(|alias| alias.name.as_str()).collect();
            if !naming.is_empty() {
                return Err(Error::Conflict(format!(
                    "Unable to delete version because the following aliases reference it: [{}]",
                    naming.join(", ")
                )));
            }
            Arc::make_mut(&mut draft.published.versions).remove(&version.number);
            draft.record.forget_qualifier(number);
            Ok(())
        });
        deleted.await?;
        self.undeploy_version(&VersionKey {
            function: key.clone(),
            version: version.id(),
        });
        Ok(())
    }

    async fn delete_all(&self, key: &FunctionKey) -> Result<()> {
        // Its reservation goes with it, and none may come in between.
        let _deciding = self.0.reservations.lock().await;
        let _changing = self.0.changes.lock(key).await;
        let entry = self.find(key)?;
        let record = entry.record.clone();
        let removed = self.0.store.write(move |tx| {
            for url in &record.urls {
                FUNCTION_URLS.delete(tx, &[&*url.id])?;
            }
            let key = [&*record.account_id, &*record.region, &*record.name];
            VERSIONS.delete_under(tx, &key)?;
            ALIASES.delete_under(tx, &key)?;
            FUNCTIONS.delete(tx, &key)
        });
        if let Err(error) = removed.await {
            self.reload(key).await;
            // It may be gone all the same, where the end of the write is not known.
            if self.0.definitions.get(key).is_none() {
                self.forget(key);
            }
            return Err(error.into());
        }
        self.0.definitions.remove(key);
        self.forget(key);
        Ok(())
    }

    fn forget(&self, key: &FunctionKey) {
        self.undeploy(key);
        self.0.executor.set_reserved_concurrency(key, None);
    }
}
