//! Subscription filters.

use wire::{Context, arn::Arn, cloudwatch_logs as api};

use super::{filters::checked, groups::limit, named, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    limits,
    pattern::Pattern,
    tables::{GroupRecord, Subscription},
    watch,
};

impl LogService {
    pub(super) async fn put_subscription(
        &self,
        cx: &Context,
        input: api::PutSubscriptionFilterRequest,
    ) -> Result<()> {
        if input.apply_on_transformed_logs == Some(true) {
            return Err(Error::unsupported("transformed logs"));
        }
        if input.field_selection_criteria.is_some() || input.emit_system_fields.is_some() {
            return Err(Error::unsupported("system fields in subscription filters"));
        }
        let key = named(cx, &input.log_group_name);
        let name = checked(&input.filter_name)?.to_owned();
        Pattern::parse(&input.filter_pattern)?;
        let group = self.groups.get(&key).await?;
        let arn: std::result::Result<Arn, _> = input.destination_arn.parse();
        let arn = arn.map_err(|_| Error::parameter("Invalid destination ARN."))?;
        match arn.service.as_str() {
            "lambda" => self.check_function(&group, &input.destination_arn)?,
            "kinesis" | "firehose" => {
                return Err(Error::unsupported(format_args!(
                    "{} as a destination of log events, as there are no streams here",
                    arn.service
                )));
            }
            "logs" => return Err(Error::unsupported("logical destinations of log events")),
            vendor => {
                return Err(Error::Parameter(format!(
                    "PutSubscriptionFilter operation cannot work with destinationArn for vendor {vendor}"
                )));
            }
        }
        let subscription = Subscription {
            pattern: input.filter_pattern,
            destination_arn: input.destination_arn,
            role_arn: input.role_arn,
            distribution: input
                .distribution
                .unwrap_or_else(|| "ByLogStream".to_owned()),
            created_ms: cx.now.as_millisecond(),
        };
        let put = |group: &mut GroupRecord| {
            let is_new = !group.subscriptions.contains_key(&name);
            if is_new && group.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX {
                return Err(Error::OverLimit);
            }
            group.subscriptions.insert(name, subscription);
            Ok(())
        };
        watch::begin(&self.groups, &group).await?;
        self.groups.change(&key, put).await?;
        self.wake_watching.wake();
        Ok(())
    }

    /// The function has to let the group's events in, and not to log into the group itself.
    fn check_function(&self, group: &GroupRecord, function: &str) -> Result<()> {
        if watch::logs_into(&self.functions, function) == Some(group.key()) {
            return Err(Error::parameter(
                "The destination function logs into this log group, so that it would be told of what \
                 it says of what it is told.",
            ));
        }
        match watch::admitted(&self.functions, group, function) {
            Some(_) => Ok(()),
            None => Err(Error::parameter(
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs \
                 permission to execute your function.",
            )),
        }
    }

    pub(super) async fn delete_subscription(
        &self,
        cx: &Context,
        input: api::DeleteSubscriptionFilterRequest,
    ) -> Result<()> {
        let remove = |group: &mut GroupRecord| match group.subscriptions.remove(&input.filter_name)
        {
            Some(_) => Ok(()),
            None => Err(Error::NotFound(
                "The specified subscription filter does not exist.".to_owned(),
            )),
        };
        self.groups
            .change(&named(cx, &input.log_group_name), remove)
            .await?;
        self.wake_watching.wake();
        Ok(())
    }

    pub(super) async fn describe_subscriptions(
        &self,
        cx: &Context,
        input: api::DescribeSubscriptionFiltersRequest,
    ) -> Result<api::DescribeSubscriptionFiltersResponse> {
        let group = self.groups.get(&named(cx, &input.log_group_name)).await?;
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let prefix = input.filter_name_prefix.unwrap_or_default();
        let found: Vec<(String, Subscription)> = group
            .subscriptions
            .iter()
            .filter(|(name, _)| {
                name.starts_with(&prefix) && after.as_ref().is_none_or(|after| *name > after)
            })
            .map(|(name, subscription)| (name.clone(), subscription.clone()))
            .collect();
        let (page, next_token) =
            token::page(found, limit(input.limit, 50), |(name, _)| name.clone());
        let shown = |(name, subscription): (String, Subscription)| api::SubscriptionFilter {
            filter_name: Some(name),
            log_group_name: Some(group.name.clone()),
            filter_pattern: Some(subscription.pattern),
            destination_arn: Some(subscription.destination_arn),
            role_arn: subscription.role_arn,
            distribution: Some(subscription.distribution),
            apply_on_transformed_logs: Some(false),
            creation_time: Some(subscription.created_ms),
            ..Default::default()
        };
        Ok(api::DescribeSubscriptionFiltersResponse {
            subscription_filters: Some(page.into_iter().map(shown).collect()),
            next_token,
        })
    }
}
