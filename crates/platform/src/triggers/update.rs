//! UpdateEventSourceMapping and DeleteEventSourceMapping: the record is changed at once, the
//! reconciler sees to the rest.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{FunctionName, UpdateEventSourceMappingRequest},
};

use super::{
    EventSourceMappings,
    create::target,
    error::{Error, Result},
    mapping::{Mapping, Phase},
    requested::Asked,
    tables::{MAPPINGS, MappingRecord},
};

impl EventSourceMappings {
    pub(super) async fn update(
        &self,
        cx: &Context,
        name: Option<&FunctionName>,
        input: UpdateEventSourceMappingRequest,
    ) -> Result<Arc<Mapping>> {
        let mapping = self.find(cx, &input.uuid)?;
        let enabled = input.enabled;
        let asked = Asked::from(input);
        asked.check_foreign()?;
        let _changing = mapping.changing.lock().await;
        let before = mapping.record();
        if before.deleting {
            return Err(Error::InUse { verb: "update" });
        }
        let mut record = MappingRecord::clone(&before);
        if let Some(name) = name {
            record.target = target(cx, name);
        }
        record.settings = asked.settings(record.queue.is_fifo(), Some(&before.settings))?;
        record.enabled = enabled.unwrap_or(before.enabled);
        record.last_modified = cx.now;
        if record.target != before.target {
            self.check_queue(cx, &record.queue, &record.target)?;
            self.check_unique(&record)?;
        }
        let phase = match (before.enabled, record.enabled) {
            (false, true) => Phase::Enabling,
            (true, false) => Phase::Disabling,
            _ => Phase::Updating,
        };
        self.change(&mapping, record, phase).await?;
        Ok(mapping.clone())
    }

    /// The mapping is gone when the batches under way are done.
    pub(super) async fn delete(&self, cx: &Context, uuid: &str) -> Result<Arc<Mapping>> {
        let mapping = self.find(cx, uuid)?;
        let _changing = mapping.changing.lock().await;
        let mut record = MappingRecord::clone(&mapping.record());
        if record.deleting {
            return Err(Error::InUse { verb: "delete" });
        }
        record.deleting = true;
        record.last_modified = cx.now;
        self.change(&mapping, record, Phase::Deleting).await?;
        Ok(mapping.clone())
    }

    /// Stores a changed record. `changing` is held by the caller.
    pub(super) async fn change(
        &self,
        mapping: &Mapping,
        record: MappingRecord,
        phase: Phase,
    ) -> Result<()> {
        let (stored, expected) = (record.clone(), mapping.held().revision);
        let write = self
            .0
            .store
            .write(move |tx| MAPPINGS.update(tx, &stored.id.parts(), expected, &stored));
        let revision = match write.await {
            Ok(revision) => revision,
            Err(error) => {
                self.reload(mapping).await;
                return Err(error.into());
            }
        };
        mapping.set_phase(phase);
        mapping.put(record, revision);
        Ok(())
    }

    /// After a write whose end is not known: takes over what is stored.
    async fn reload(&self, mapping: &Mapping) {
        let id = mapping.id.clone();
        let read = self.0.store.read(move |tx| MAPPINGS.get(tx, &id.parts()));
        match read.await {
            Ok(Some(stored)) => mapping.put(stored.record, stored.revision),
            Ok(None) => self.0.mappings.remove(&mapping.id),
            Err(error) => {
                tracing::error!(%error, uuid = mapping.id.uuid, "a mapping could not be read again");
            }
        }
        self.0.wake.wake();
    }
}
