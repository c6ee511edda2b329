//! Changing what is said of a version: tags, ACL, retention, legal hold, until when it is restored.

use std::sync::Arc;

use super::{
    Buckets,
    error::{Error, Result},
    notify::Happening,
    place::Failure,
    registry::Bucket,
    rows::{self, Version},
    tables::ObjectRecord,
};

impl Buckets {
    /// Changes the record of a version, the current one without an id. `change` may run again, as
    /// transactions do.
    pub(super) async fn change_version(
        &self,
        bucket: &Arc<Bucket>,
        key: &str,
        version_id: Option<&str>,
        happening: Option<Happening>,
        change: impl Fn(&mut ObjectRecord) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Version> {
        let (key, version_id) = (key.to_owned(), version_id.map(str::to_owned));
        let changed = self.against(bucket.clone(), move |tx, this, bucket| {
            let found = match &version_id {
                Some(id) => rows::find(tx, bucket.id(), &key, id)?,
                None => rows::current(tx, bucket.id(), &key)?,
            };
            let found = found.filter(|found| !found.is_marker);
            let mut found = found.ok_or_else(|| Error::no_key(&key))?;
            change(&mut found.record)?;
            rows::update(tx, bucket.id(), &found)?;
            if let Some(happening) = &happening {
                this.tell(tx, bucket, &found, happening)?;
            }
            Ok(found)
        });
        let changed = changed.await.map_err(Failure::into_error)?;
        self.changed(bucket);
        Ok(changed)
    }
}
