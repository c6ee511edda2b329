//! Tags of log groups, by the group's name and by its ARN.

use wire::{Context, Map, cloudwatch_logs as api};

use super::{group_of, named};
use crate::logs::{
    LogService,
    error::{Error, Result},
    limits,
    lines::GroupKey,
};

impl LogService {
    pub(super) async fn tag_group(
        &self,
        cx: &Context,
        input: api::TagLogGroupRequest,
    ) -> Result<()> {
        let key = named(cx, &input.log_group_name);
        self.groups
            .change(&key, |group| add(&mut group.tags, input.tags))
            .await
    }

    pub(super) async fn untag_group(
        &self,
        cx: &Context,
        input: api::UntagLogGroupRequest,
    ) -> Result<()> {
        let key = named(cx, &input.log_group_name);
        self.untag(&key, &input.tags).await
    }

    pub(super) async fn tags_of_group(
        &self,
        cx: &Context,
        input: api::ListTagsLogGroupRequest,
    ) -> Result<api::ListTagsLogGroupResponse> {
        let group = self.groups.get(&named(cx, &input.log_group_name)).await?;
        Ok(api::ListTagsLogGroupResponse {
            tags: Some(group.tags.clone()),
        })
    }

    pub(super) async fn tag_arn(&self, cx: &Context, input: api::TagResourceRequest) -> Result<()> {
        let key = resource(cx, &input.resource_arn)?;
        let tagged = self
            .groups
            .change(&key, |group| add(&mut group.tags, input.tags));
        tagged.await.map_err(no_resource)
    }

    pub(super) async fn untag_arn(
        &self,
        cx: &Context,
        input: api::UntagResourceRequest,
    ) -> Result<()> {
        let key = resource(cx, &input.resource_arn)?;
        self.untag(&key, &input.tag_keys).await.map_err(no_resource)
    }

    pub(super) async fn tags_of_arn(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceRequest,
    ) -> Result<api::ListTagsForResourceResponse> {
        let key = resource(cx, &input.resource_arn)?;
        let group = self.groups.get(&key).await.map_err(no_resource)?;
        Ok(api::ListTagsForResourceResponse {
            tags: Some(group.tags.clone()),
        })
    }

    async fn untag(&self, key: &GroupKey, names: &[String]) -> Result<()> {
        let remove = |group: &mut crate::logs::tables::GroupRecord| {
            group.tags.retain(|name, _| !names.contains(name));
            Ok(())
        };
        self.groups.change(key, remove).await
    }
}

pub fn add(tags: &mut Map<String>, new: Map<String>) -> Result<()> {
    if let Some(name) = new.keys().find(|name| name.starts_with("aws:")) {
        return Err(Error::Parameter(format!(
            "The tag key {name} begins with aws:, which is reserved."
        )));
    }
    tags.extend(new);
    match tags.len() > limits::TAGS_MAX {
        true => Err(Error::TooManyTags(format!(
            "A resource can have no more than {} tags.",
            limits::TAGS_MAX
        ))),
        false => Ok(()),
    }
}

pub fn has(tags: &Map<String>, wanted: &api::TagFilter) -> bool {
    let found = tags.get(&wanted.key);
    let fits = |value: &String| {
        let values = wanted.values.as_ref();
        values.is_none_or(|values| values.is_empty() || values.contains(value))
    };
    found.is_some_and(fits)
}

fn resource(cx: &Context, arn: &str) -> Result<GroupKey> {
    let key = group_of(arn).ok_or_else(|| no_resource(Error::NoGroup))?;
    match key.account_id == cx.account_id && key.region == cx.region {
        true => Ok(key),
        false => Err(no_resource(Error::NoGroup)),
    }
}

fn no_resource(error: Error) -> Error {
    match error {
        Error::NoGroup => Error::NotFound("The specified resource does not exist.".to_owned()),
        other => other,
    }
}
