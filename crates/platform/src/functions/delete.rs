//! DeleteFunction.

use wire::{Context, lambda::FunctionName};

use super::{
    Functions,
    error::{Error, Result},
    execution::FunctionKey,
    is_alias, key_of,
    tables::{FUNCTION_URLS, FUNCTIONS},
};

impl Functions {
    /// Removes a function with its URLs, policy and reservation. Running invocations end.
    pub(super) async fn delete(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        // Its reservation goes with it, and none may come in between.
        let _deciding = self.0.reservations.lock().await;
        let _changing = self.0.changes.lock(&key).await;
        let entry = self.find(&key)?;
        match name.qualifier.as_deref() {
            None => {}
            Some("$LATEST") => {
                return Err(Error::invalid(
                    "$LATEST version cannot be deleted without deleting the function.",
                ));
            }
            Some(alias) if is_alias(alias) => {
                return Err(Error::invalid(
                    "Deletion of aliases is not currently supported.",
                ));
            }
            // A version that is not there is as good as deleted.
            Some(_) => return Ok(()),
        }
        let record = entry.record.clone();
        let removed = self.0.store.write(move |tx| {
            for url in &record.urls {
                FUNCTION_URLS.delete(tx, &[&*url.id])?;
            }
            FUNCTIONS.delete(tx, &[&*record.account_id, &*record.region, &*record.name])
        });
        if let Err(error) = removed.await {
            self.reload(&key).await;
            // It may be gone all the same, where the end of the write is not known.
            if self.0.definitions.get(&key).is_none() {
                self.forget(&key);
            }
            return Err(error.into());
        }
        self.0.definitions.remove(&key);
        self.forget(&key);
        Ok(())
    }

    fn forget(&self, key: &FunctionKey) {
        self.undeploy(key);
        self.0.executor.set_reserved_concurrency(key, None);
    }
}
