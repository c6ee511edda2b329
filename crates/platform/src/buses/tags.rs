//! Tags of buses and rules.

use std::collections::BTreeMap;

use wire::{
    Context,
    event_bridge::{ListTagsForResourceResponse, Tag, TagResourceResponse, UntagResourceResponse},
};

use super::{
    Buses,
    error::{Error, Result},
    held::Rule,
    limits,
    names::Tagged,
};

impl Buses {
    pub(super) async fn tag(
        &self,
        cx: &Context,
        arn: &str,
        given: Vec<Tag>,
    ) -> Result<TagResourceResponse> {
        self.retag(cx, arn, |tags| add(tags, given)).await?;
        Ok(TagResourceResponse {})
    }

    pub(super) async fn untag(
        &self,
        cx: &Context,
        arn: &str,
        keys: &[String],
    ) -> Result<UntagResourceResponse> {
        let without = |tags: &mut BTreeMap<String, String>| {
            tags.retain(|key, _| !keys.contains(key));
            Ok(())
        };
        self.retag(cx, arn, without).await?;
        Ok(UntagResourceResponse {})
    }

    pub(super) fn tags_of(&self, cx: &Context, arn: &str) -> Result<ListTagsForResourceResponse> {
        let tags = match self.tagged(cx, arn)? {
            Tagged::Bus(key) => self.bus(&key)?.record.tags.clone(),
            Tagged::Rule(key, rule) => self
                .bus_of_rule(&key, &rule)?
                .rule(&rule)?
                .record
                .tags
                .clone(),
        };
        let tags = tags.into_iter().map(|(key, value)| Tag { key, value });
        Ok(ListTagsForResourceResponse {
            tags: Some(tags.collect()),
        })
    }

    async fn retag(
        &self,
        cx: &Context,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<()>,
    ) -> Result<()> {
        let tagged = self.tagged(cx, arn)?;
        let changing = self.0.changing.lock().await;
        match tagged {
            Tagged::Bus(key) => {
                let bus = self.bus(&key)?;
                let mut record = bus.record.clone();
                change(&mut record.tags)?;
                self.store_bus(&changing, bus.with(record)).await
            }
            Tagged::Rule(key, name) => {
                let bus = self.bus_of_rule(&key, &name)?;
                let mut record = bus.rule(&name)?.record.clone();
                change(&mut record.tags)?;
                self.store_rule(&changing, &bus, Rule::new(record)?).await
            }
        }
    }

    /// What an ARN of the caller's names.
    fn tagged(&self, cx: &Context, arn: &str) -> Result<Tagged> {
        let tagged = Tagged::read(arn);
        let tagged = tagged.ok_or_else(|| {
            Error::parameter("ResourceARN", "Provided Arn is not in correct format.")
        })?;
        let (Tagged::Bus(key) | Tagged::Rule(key, _)) = &tagged;
        self.check_own(cx, key)?;
        Ok(tagged)
    }
}

/// Puts tags beside those that are there, over those of the same key; all or none.
pub fn add(held: &mut BTreeMap<String, String>, given: Vec<Tag>) -> Result<()> {
    let mut tags = held.clone();
    for Tag { key, value } in given {
        if key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
        {
            return Err(Error::invalid(
                "Tag keys that start with \"aws:\" are reserved for system use.",
            ));
        }
        tags.insert(key, value);
    }
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::OverLimit);
    }
    *held = tags;
    Ok(())
}
