//! The service as its clients see it: the generated trait, and which of AWS's errors ours are.

use wire::{
    Context, Error as Refusal,
    scheduler::{self as api, Scheduler, errors},
};

use super::{Schedules, error::Error, groups, key::GroupKey, verbs, view};

type Answer<T> = Result<T, Refusal>;

/// Runs a change to its end also when the caller is gone by then: the alarm is told of what was stored.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Answer<T> {
    match tokio::spawn(change).await {
        Ok(done) => done.map_err(refusal),
        Err(error) => Err(refusal(Error::platform(error))),
    }
}

/// The group that tags are asked of.
fn tagged(cx: &Context, arn: &str) -> Answer<GroupKey> {
    let key = GroupKey::of_arn(arn);
    let own = key.filter(|key| key.account_id == cx.account_id && key.region == cx.region);
    own.ok_or_else(|| {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        refusal(Error::NoGroup(name.to_owned()))
    })
}

impl Scheduler for Schedules {
    async fn create_schedule(
        &self,
        cx: &Context,
        input: api::CreateScheduleInput,
    ) -> Answer<api::CreateScheduleOutput> {
        let (this, cx) = (self.clone(), cx.clone());
        let schedule_arn = to_its_end(async move { this.create(&cx, input).await }).await?;
        Ok(api::CreateScheduleOutput { schedule_arn })
    }

    async fn get_schedule(
        &self,
        cx: &Context,
        input: api::GetScheduleInput,
    ) -> Answer<api::GetScheduleOutput> {
        let key = verbs::key_of(cx, input.group_name.as_deref(), &input.name);
        let schedule = self.get(&key).await.map_err(refusal)?;
        Ok(view::schedule(key, schedule))
    }

    async fn update_schedule(
        &self,
        cx: &Context,
        input: api::UpdateScheduleInput,
    ) -> Answer<api::UpdateScheduleOutput> {
        let (this, cx) = (self.clone(), cx.clone());
        let schedule_arn = to_its_end(async move { this.update(&cx, input).await }).await?;
        Ok(api::UpdateScheduleOutput { schedule_arn })
    }

    async fn delete_schedule(
        &self,
        cx: &Context,
        input: api::DeleteScheduleInput,
    ) -> Answer<api::DeleteScheduleOutput> {
        let key = verbs::key_of(cx, input.group_name.as_deref(), &input.name);
        self.delete(key).await.map_err(refusal)?;
        Ok(api::DeleteScheduleOutput {})
    }

    async fn list_schedules(
        &self,
        cx: &Context,
        input: api::ListSchedulesInput,
    ) -> Answer<api::ListSchedulesOutput> {
        let (found, next_token) = self.list(cx, input).await.map_err(refusal)?;
        let schedules = found.into_iter();
        Ok(api::ListSchedulesOutput {
            next_token,
            schedules: schedules.map(|(key, it)| view::summary(key, it)).collect(),
        })
    }

    async fn create_schedule_group(
        &self,
        cx: &Context,
        input: api::CreateScheduleGroupInput,
    ) -> Answer<api::CreateScheduleGroupOutput> {
        let created = self.create_group(cx, input).await;
        Ok(api::CreateScheduleGroupOutput {
            schedule_group_arn: created.map_err(refusal)?,
        })
    }

    async fn get_schedule_group(
        &self,
        cx: &Context,
        input: api::GetScheduleGroupInput,
    ) -> Answer<api::GetScheduleGroupOutput> {
        let key = groups::key_of(cx, &input.name);
        let group = self.get_group(&key).await.map_err(refusal)?;
        Ok(view::group(key, &group))
    }

    async fn delete_schedule_group(
        &self,
        cx: &Context,
        input: api::DeleteScheduleGroupInput,
    ) -> Answer<api::DeleteScheduleGroupOutput> {
        let (this, key) = (self.clone(), groups::key_of(cx, &input.name));
        to_its_end(async move { this.delete_group(key).await }).await?;
        Ok(api::DeleteScheduleGroupOutput {})
    }

    async fn list_schedule_groups(
        &self,
        cx: &Context,
        input: api::ListScheduleGroupsInput,
    ) -> Answer<api::ListScheduleGroupsOutput> {
        let (found, next_token) = self.list_groups(cx, input).await.map_err(refusal)?;
        let groups = found.into_iter();
        Ok(api::ListScheduleGroupsOutput {
            next_token,
            schedule_groups: groups
                .map(|(key, it)| view::group_summary(key, &it))
                .collect(),
        })
    }

    async fn tag_resource(
        &self,
        cx: &Context,
        input: api::TagResourceInput,
    ) -> Answer<api::TagResourceOutput> {
        let key = tagged(cx, &input.resource_arn)?;
        let tagged = self.tag_group(key, input.tags).await;
        tagged.map_err(refusal)?;
        Ok(api::TagResourceOutput {})
    }

    async fn untag_resource(
        &self,
        cx: &Context,
        input: api::UntagResourceInput,
    ) -> Answer<api::UntagResourceOutput> {
        let key = tagged(cx, &input.resource_arn)?;
        let untagged = self.untag_group(key, input.tag_keys).await;
        untagged.map_err(refusal)?;
        Ok(api::UntagResourceOutput {})
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceInput,
    ) -> Answer<api::ListTagsForResourceOutput> {
        let key = tagged(cx, &input.resource_arn)?;
        let group = self.get_group(&key).await.map_err(refusal)?;
        let tags = group.tags.into_iter();
        Ok(api::ListTagsForResourceOutput {
            tags: Some(tags.map(|(key, value)| api::Tag { key, value }).collect()),
        })
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoSchedule(_) | Error::NoGroup(_) => errors::resource_not_found(message),
        Error::ScheduleExists(_) | Error::GroupExists(_) | Error::GroupIsGoing(_) => {
            errors::conflict(message)
        }
        Error::Invalid(_) | Error::Unsupported { .. } => errors::validation(message),
        Error::TooManyGroups(_) => errors::service_quota_exceeded(message),
        Error::Platform(source) => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            errors::internal_server(message)
        }
    }
}
