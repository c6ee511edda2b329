//! Tags of mappings: TagResource, UntagResource and ListTags on their ARNs.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Context, Map, arn::Arn};

use super::{
    EventSourceMappings,
    error::{Error, Result},
    mapping::Mapping,
    tables::MappingRecord,
};

const TAGS_MAX: usize = 50;
const KEY_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 256;

impl EventSourceMappings {
    pub(super) async fn tag(&self, cx: &Context, uuid: &str, tags: Map<String>) -> Result<()> {
        self.retag(cx, uuid, |held| held.extend(tags)).await
    }

    pub(super) async fn untag(&self, cx: &Context, uuid: &str, keys: &[String]) -> Result<()> {
        self.retag(cx, uuid, |held| held.retain(|key, _| !keys.contains(key)))
            .await
    }

    pub(super) fn tags(&self, cx: &Context, uuid: &str) -> Result<Map<String>> {
        let tags = self.tagged(cx, uuid)?.record().tags.clone();
        Ok(tags.into_iter().collect())
    }

    async fn retag(
        &self,
        cx: &Context,
        uuid: &str,
        act: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<()> {
        let mapping = self.tagged(cx, uuid)?;
        let _changing = mapping.changing.lock().await;
        let mut record = MappingRecord::clone(&mapping.record());
        act(&mut record.tags);
        check(&record.tags)?;
        let phase = mapping.phase();
        self.change(&mapping, record, phase).await
    }

    fn tagged(&self, cx: &Context, uuid: &str) -> Result<Arc<Mapping>> {
        let missing = |_| {
            let id = super::tables::MappingId {
                account_id: cx.account_id.clone(),
                region: cx.region.clone(),
                uuid: uuid.to_owned(),
            };
            Error::NoSuchArn(id.arn())
        };
        self.find(cx, uuid).map_err(missing)
    }
}

/// The UUID in a mapping's ARN, if it is one.
pub fn mapping_of(arn: &str) -> Option<(Arn, String)> {
    let arn: Arn = arn.parse().ok()?;
    let uuid = arn.resource.strip_prefix("event-source-mapping:");
    let uuid = uuid.filter(|_| arn.service == "lambda")?.to_owned();
    Some((arn, uuid))
}

pub fn check(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid("Number of tags exceeds resource tag limit."));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > KEY_LENGTH_MAX {
            return Err(Error::Invalid(format!(
                "A tag's key has to have between 1 and {KEY_LENGTH_MAX} characters: {key}"
            )));
        }
        if value.chars().count() > VALUE_LENGTH_MAX {
            return Err(Error::Invalid(format!(
                "A tag's value has to have at most {VALUE_LENGTH_MAX} characters: that of {key}"
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::Invalid(format!(
                "Tag keys that begin with aws: are reserved for AWS: {key}"
            )));
        }
    }
    Ok(())
}
