//! Queues themselves: making, changing, listing and deleting them.

use std::sync::Arc;

use uuid::Uuid;
use wire::{Context, Map, sqs as api};

use crate::queues::{
    Created, Queue, Queues,
    attributes::{self, By},
    definition::{Attributes, Definition, QueueId, QueueKey},
    error::{Error, Result},
    limits, paging, permissions, redrive, tags, url,
};

impl Queues {
    pub(super) async fn create_of(
        &self,
        cx: &Context,
        input: api::CreateQueueRequest,
    ) -> Result<api::CreateQueueResult> {
        let key = QueueKey {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: input.queue_name,
        };
        let given = input.attributes.unwrap_or_default();
        let wanted = attributes::of_new(&key, pairs(&given))?;
        let mut tags = Default::default();
        tags::add(&mut tags, pairs(&input.tags.unwrap_or_default()))?;
        let definition = Definition {
            id: QueueId::new(&key, random()),
            created_s: cx.now.as_second(),
            modified_s: cx.now.as_second(),
            attributes: wanted.clone(),
            tags,
            purged_until: 0,
            purged_at_ms: None,
            key: key.clone(),
        };
        let there = match self.find(&key) {
            Some(queue) => queue,
            None => {
                self.check_target(&key, &wanted, &given)?;
                match self.create(definition).await? {
                    Created::New(_) => return Ok(self.created(cx, &key)),
                    Created::There(queue) => queue,
                }
            }
        };
        let names = given.keys().map(String::as_str);
        match attributes::difference(&there.definition().attributes, &wanted, names) {
            Some(name) => Err(Error::NameExists(name)),
            None => Ok(self.created(cx, &key)),
        }
    }

    fn created(&self, cx: &Context, key: &QueueKey) -> api::CreateQueueResult {
        api::CreateQueueResult {
            queue_url: Some(self.url(cx, key)),
        }
    }

    /// The queue's URL for this caller.
    fn url(&self, cx: &Context, key: &QueueKey) -> String {
        url::write(self.tls_host(), &cx.host, key)
    }

    /// That the dead-letter queue, if one is given, is there and takes this queue's.
    fn check_target(&self, key: &QueueKey, wanted: &Attributes, given: &Map<String>) -> Result<()> {
        let (Some(redrive), Some(text)) = (&wanted.redrive, given.get("RedrivePolicy")) else {
            return Ok(());
        };
        let target = self.find(&redrive.dead_letter_queue);
        let target = target.map(|target| target.definition());
        redrive::check(key, text, target.as_ref().map(|target| &target.attributes))
    }

    pub(super) async fn delete_of(
        &self,
        cx: &Context,
        input: api::DeleteQueueRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "DeleteQueue")?;
        self.delete_queue(&queue).await?;
        self.move_tasks().forget(&queue.definition().key).await?;
        Ok(())
    }

    pub(super) fn attributes_of(
        &self,
        cx: &Context,
        input: api::GetQueueAttributesRequest,
    ) -> Result<api::GetQueueAttributesResult> {
        let queue = self.named(cx, &input.queue_url, "GetQueueAttributes")?;
        let names = input.attribute_names.unwrap_or_default();
        let shown = attributes::read(&queue.definition(), queue.counts(), &names)?;
        let shown: Map<String> = shown.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        Ok(api::GetQueueAttributesResult {
            attributes: Some(shown).filter(|shown| !shown.is_empty()),
        })
    }

    pub(super) async fn set_attributes_of(
        &self,
        cx: &Context,
        input: api::SetQueueAttributesRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "SetQueueAttributes")?;
        let given = input.attributes;
        // The target is looked at ahead of the change, which holds the queue's lock.
        let mut wanted = queue.definition().attributes.clone();
        let key = queue.definition().key.clone();
        attributes::apply(&mut wanted, &key, By::Set, pairs(&given))?;
        self.check_target(&key, &wanted, &given)?;
        let now_s = cx.now.as_second();
        let change = |definition: &mut Definition| {
            let mut changed = definition.attributes.clone();
            attributes::apply(&mut changed, &definition.key, By::Set, pairs(&given))?;
            definition.attributes = changed;
            definition.modified_s = now_s;
            Ok::<(), Error>(())
        };
        self.change(&queue, change).await.map(drop)
    }

    pub(super) fn url_of(
        &self,
        cx: &Context,
        input: api::GetQueueUrlRequest,
    ) -> Result<api::GetQueueUrlResult> {
        let owner = input.queue_owner_aws_account_id;
        let key = QueueKey {
            account_id: owner.unwrap_or_else(|| cx.account_id.clone()),
            region: cx.region.clone(),
            name: input.queue_name,
        };
        self.at(cx, &key, "GetQueueUrl")?;
        Ok(api::GetQueueUrlResult {
            queue_url: Some(self.url(cx, &key)),
        })
    }

    pub(super) fn listed(
        &self,
        cx: &Context,
        input: api::ListQueuesRequest,
    ) -> Result<api::ListQueuesResult> {
        let prefix = input.queue_name_prefix.unwrap_or_default();
        let keys = self.keys(cx).filter(|key| key.name.starts_with(&prefix));
        let token = input.next_token.as_deref();
        let (page, next_token) = paging::page(keys, name, input.max_results, token)?;
        let urls: Vec<String> = page.iter().map(|key| self.url(cx, key)).collect();
        Ok(api::ListQueuesResult {
            queue_urls: Some(urls).filter(|urls| !urls.is_empty()),
            next_token,
        })
    }

    fn keys(&self, cx: &Context) -> impl Iterator<Item = QueueKey> {
        let queues = self.list(&cx.account_id, &cx.region).into_iter();
        queues.map(|queue| queue.definition().key.clone())
    }

    pub(super) fn sources_of(
        &self,
        cx: &Context,
        input: api::ListDeadLetterSourceQueuesRequest,
    ) -> Result<api::ListDeadLetterSourceQueuesResult> {
        let target = self.named(cx, &input.queue_url, "ListDeadLetterSourceQueues")?;
        let target = target.definition().key.clone();
        let sources = self.dead_letter_sources(&target).into_iter();
        let token = input.next_token.as_deref();
        let (page, next_token) = paging::page(sources, name, input.max_results, token)?;
        Ok(api::ListDeadLetterSourceQueuesResult {
            queue_urls: page.iter().map(|key| self.url(cx, key)).collect(),
            next_token,
        })
    }

    /// The queues whose dead letters go to this one.
    pub(super) fn dead_letter_sources(&self, target: &QueueKey) -> Vec<QueueKey> {
        let queues = self.list(&target.account_id, &target.region);
        let is_source = |queue: &Arc<Queue>| {
            let definition = queue.definition();
            let redrive = definition.attributes.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.dead_letter_queue == *target)
        };
        let sources = queues.iter().filter(|queue| is_source(queue));
        sources
            .map(|queue| queue.definition().key.clone())
            .collect()
    }

    pub(super) async fn purge_of(&self, cx: &Context, input: api::PurgeQueueRequest) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "PurgeQueue")?;
        let definition = queue.definition();
        let now_ms = cx.now.as_millisecond();
        let since = definition.purged_at_ms.map(|at| now_ms - at);
        if since.is_some_and(|since| (0..limits::PURGE_EVERY_MS).contains(&since)) {
            return Err(Error::PurgeInProgress(definition.key.name.clone()));
        }
        Ok(self.purge(&queue).await?)
    }

    pub(super) async fn tag_of(&self, cx: &Context, input: api::TagQueueRequest) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "TagQueue")?;
        let change =
            |definition: &mut Definition| tags::add(&mut definition.tags, pairs(&input.tags));
        self.change(&queue, change).await.map(drop)
    }

    pub(super) async fn untag_of(&self, cx: &Context, input: api::UntagQueueRequest) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "UntagQueue")?;
        let change = |definition: &mut Definition| {
            definition
                .tags
                .retain(|key, _| !input.tag_keys.contains(key));
            Ok::<(), Error>(())
        };
        self.change(&queue, change).await.map(drop)
    }

    pub(super) fn tags_of(
        &self,
        cx: &Context,
        input: api::ListQueueTagsRequest,
    ) -> Result<api::ListQueueTagsResult> {
        let queue = self.named(cx, &input.queue_url, "ListQueueTags")?;
        let tags: Map<String> = queue.definition().tags.clone().into_iter().collect();
        Ok(api::ListQueueTagsResult {
            tags: Some(tags).filter(|tags| !tags.is_empty()),
        })
    }

    pub(super) async fn add_permission_of(
        &self,
        cx: &Context,
        input: api::AddPermissionRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "AddPermission")?;
        let change = |definition: &mut Definition| {
            let held = definition.attributes.policy.as_ref();
            let (accounts, actions) = (&input.aws_account_ids, &input.actions);
            let policy = permissions::add(&definition.key, held, &input.label, accounts, actions)?;
            definition.attributes.policy = Some(policy);
            Ok::<(), Error>(())
        };
        self.change(&queue, change).await.map(drop)
    }

    pub(super) async fn remove_permission_of(
        &self,
        cx: &Context,
        input: api::RemovePermissionRequest,
    ) -> Result<()> {
        let queue = self.named(cx, &input.queue_url, "RemovePermission")?;
        let change = |definition: &mut Definition| {
            let held = definition.attributes.policy.as_ref();
            definition.attributes.policy =
                permissions::remove(&definition.key, held, &input.label)?;
            Ok::<(), Error>(())
        };
        self.change(&queue, change).await.map(drop)
    }
}

fn name(key: &QueueKey) -> &str {
    &key.name
}

fn pairs(map: &Map<String>) -> impl Iterator<Item = (&str, &str)> + Clone {
    map.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

fn random() -> u64 {
    // Of version 4's bits only six in the other half are fixed.
    (Uuid::new_v4().as_u128() >> 64) as u64
}
