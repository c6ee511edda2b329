//! CreateEventSourceMapping.

use std::sync::Arc;

use uuid::Uuid;
use wire::{
    Context,
    lambda::{CreateEventSourceMappingRequest, FunctionName},
};

use super::{
    EventSourceMappings,
    error::{Error, Result},
    mapping::{Mapping, Phase},
    requested::{self, Asked},
    tables::{FunctionRef, MAPPINGS, MappingId, MappingRecord, Target},
    tags,
};
use crate::{functions::Functions, identity::Principal, queues::definition::QueueKey};

/// What Lambda says of a queue that is not there, having tried to read it.
pub const NO_QUEUE: &str = "Error occurred while ReceiveMessage. SQS Error Code: \
     AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.";

impl EventSourceMappings {
    pub(super) async fn create(
        &self,
        cx: &Context,
        name: &FunctionName,
        mut input: CreateEventSourceMappingRequest,
    ) -> Result<Arc<Mapping>> {
        let has_kafka_servers = input.self_managed_event_source.is_some();
        let queue = requested::source(input.event_source_arn.as_deref(), has_kafka_servers)?;
        let enabled = input.enabled.unwrap_or(true);
        let tags = input.tags.take().unwrap_or_default().into_iter().collect();
        let asked = Asked::from(input);
        asked.check_foreign()?;
        let settings = asked.settings(queue.is_fifo(), None)?;
        tags::check(&tags)?;
        let target = target(cx, name);
        self.check_target(&target)?;
        self.check_queue(cx, &queue, &target)?;
        let record = MappingRecord {
            id: MappingId {
                account_id: cx.account_id.clone(),
                region: cx.region.clone(),
                uuid: Uuid::new_v4().to_string(),
            },
            queue,
            target,
            enabled,
            deleting: false,
            settings,
            tags,
            last_modified: cx.now,
        };
        self.add(record).await
    }

    /// Stores a new mapping, unless there is one of its queue to its function.
    async fn add(&self, record: MappingRecord) -> Result<Arc<Mapping>> {
        let _creating = self.0.creating.lock().await;
        self.check_unique(&record)?;
        let stored = record.clone();
        let write = self
            .0
            .store
            .write(move |tx| MAPPINGS.insert(tx, &stored.id.parts(), &stored));
        write.await?;
        let phase = match record.enabled {
            true => Phase::Creating,
            false => Phase::Disabled,
        };
        let mapping = Mapping::new(record, 1, phase);
        self.0.mappings.insert(mapping.clone());
        Ok(mapping)
    }

    pub(super) fn check_unique(&self, new: &MappingRecord) -> Result<()> {
        let same = |held: &MappingRecord| {
            held.queue == new.queue && held.target == new.target && held.id != new.id
        };
        let (account_id, region) = (&new.id.account_id, &new.id.region);
        let found = self.0.mappings.list(account_id, region, None, same, 1);
        match found.first() {
            Some(there) => Err(Error::Exists {
                queue: new.queue.arn().to_string(),
                function: new.target.function.name.clone(),
                uuid: there.id.uuid.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn check_target(&self, target: &Target) -> Result<u32> {
        let timeout_s = self
            .0
            .functions
            .timeout_s(&target.key(), target.qualifier.as_deref());
        timeout_s.ok_or_else(|| Error::invalid("Function does not exist"))
    }

    pub(super) fn check_queue(
        &self,
        cx: &Context,
        queue: &QueueKey,
        target: &Target,
    ) -> Result<()> {
        let timeout_s = self.check_target(target)?;
        if queue.region != cx.region {
            return Err(Error::Invalid(format!(
                "Event source {} must be in the same region as the function ({}).",
                queue.arn(),
                cx.region
            )));
        }
        let found = self
            .0
            .queues
            .find(queue)
            .ok_or_else(|| Error::invalid(NO_QUEUE))?;
        let reader = reader(&self.0.functions, target);
        if let Some(action) = found.refuses_reader(&reader, cx.now) {
            return Err(Error::Invalid(not_permitted(action)));
        }
        let visibility_s = found.definition().attributes.visibility_timeout_s;
        if visibility_s < timeout_s {
            return Err(Error::Invalid(format!(
                "Queue visibility timeout: {visibility_s} seconds is less than Function timeout: \
                 {timeout_s} seconds"
            )));
        }
        Ok(())
    }
}

/// What Lambda says where the queue's policy does not let the function's role do this.
pub fn not_permitted(action: &str) -> String {
    format!("The provided execution role does not have permissions to call {action} on SQS")
}

/// Who reads a queue for a function: its role, or its account while there is no such function.
pub fn reader(functions: &Functions, target: &Target) -> Principal {
    let account_id = target.function.account_id.clone();
    let principal = functions.principal(&target.key(), target.qualifier.as_deref());
    principal.unwrap_or(Principal::Account { account_id })
}

pub fn target(cx: &Context, name: &FunctionName) -> Target {
    Target {
        function: FunctionRef {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: name.name.clone(),
        },
        qualifier: name.qualifier.clone(),
    }
}
