//! CloudWatch Logs as its clients see it: the generated trait, and which of AWS's errors each of ours
//! is. Only here are `wire`'s shapes known.

mod events;
mod filters;
mod groups;
mod policies;
mod queries;
mod streams;
mod subscriptions;
mod tags;
mod tail;
mod token;

use http::StatusCode;
use wire::{
    Context, Error as Refusal, Members, Value,
    arn::Arn,
    cloudwatch_logs::{self as api, CloudWatchLogs, errors},
};

use super::{
    LogService,
    error::{Error, Result},
    lines::GroupKey,
};

type Answer<T> = std::result::Result<T, Refusal>;

impl CloudWatchLogs for LogService {
    async fn create_log_group(
        &self,
        cx: &Context,
        input: api::CreateLogGroupRequest,
    ) -> Answer<()> {
        self.create_group(cx, input).await.map_err(refusal)
    }

    async fn delete_log_group(
        &self,
        cx: &Context,
        input: api::DeleteLogGroupRequest,
    ) -> Answer<()> {
        self.delete_group(cx, input).await.map_err(refusal)
    }

    async fn describe_log_groups(
        &self,
        cx: &Context,
        input: api::DescribeLogGroupsRequest,
    ) -> Answer<api::DescribeLogGroupsResponse> {
        self.describe_groups(cx, input).await.map_err(refusal)
    }

    async fn list_log_groups(
        &self,
        cx: &Context,
        input: api::ListLogGroupsRequest,
    ) -> Answer<api::ListLogGroupsResponse> {
        self.list_groups(cx, input).await.map_err(refusal)
    }

    async fn put_retention_policy(
        &self,
        cx: &Context,
        input: api::PutRetentionPolicyRequest,
    ) -> Answer<()> {
        self.put_retention(cx, input).await.map_err(refusal)
    }

    async fn delete_retention_policy(
        &self,
        cx: &Context,
        input: api::DeleteRetentionPolicyRequest,
    ) -> Answer<()> {
        self.delete_retention(cx, input).await.map_err(refusal)
    }

    async fn put_log_group_deletion_protection(
        &self,
        cx: &Context,
        input: api::PutLogGroupDeletionProtectionRequest,
    ) -> Answer<()> {
        self.put_protection(cx, input).await.map_err(refusal)
    }

    async fn associate_kms_key(
        &self,
        cx: &Context,
        input: api::AssociateKmsKeyRequest,
    ) -> Answer<()> {
        self.associate_key(cx, input).await.map_err(refusal)
    }

    async fn disassociate_kms_key(
        &self,
        cx: &Context,
        input: api::DisassociateKmsKeyRequest,
    ) -> Answer<()> {
        self.disassociate_key(cx, input).await.map_err(refusal)
    }

    async fn tag_log_group(&self, cx: &Context, input: api::TagLogGroupRequest) -> Answer<()> {
        self.tag_group(cx, input).await.map_err(refusal)
    }

    async fn untag_log_group(&self, cx: &Context, input: api::UntagLogGroupRequest) -> Answer<()> {
        self.untag_group(cx, input).await.map_err(refusal)
    }

    async fn list_tags_log_group(
        &self,
        cx: &Context,
        input: api::ListTagsLogGroupRequest,
    ) -> Answer<api::ListTagsLogGroupResponse> {
        self.tags_of_group(cx, input).await.map_err(refusal)
    }

    async fn tag_resource(&self, cx: &Context, input: api::TagResourceRequest) -> Answer<()> {
        self.tag_arn(cx, input).await.map_err(refusal)
    }

    async fn untag_resource(&self, cx: &Context, input: api::UntagResourceRequest) -> Answer<()> {
        self.untag_arn(cx, input).await.map_err(refusal)
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceRequest,
    ) -> Answer<api::ListTagsForResourceResponse> {
        self.tags_of_arn(cx, input).await.map_err(refusal)
    }

    async fn create_log_stream(
        &self,
        cx: &Context,
        input: api::CreateLogStreamRequest,
    ) -> Answer<()> {
        self.create_stream(cx, input).await.map_err(refusal)
    }

    async fn delete_log_stream(
        &self,
        cx: &Context,
        input: api::DeleteLogStreamRequest,
    ) -> Answer<()> {
        self.delete_stream(cx, input).await.map_err(refusal)
    }

    async fn describe_log_streams(
        &self,
        cx: &Context,
        input: api::DescribeLogStreamsRequest,
    ) -> Answer<api::DescribeLogStreamsResponse> {
        self.describe_streams(cx, input).await.map_err(refusal)
    }

    async fn put_log_events(
        &self,
        cx: &Context,
        input: api::PutLogEventsRequest,
    ) -> Answer<api::PutLogEventsResponse> {
        self.put_events(cx, input).await.map_err(refusal)
    }

    async fn get_log_events(
        &self,
        cx: &Context,
        input: api::GetLogEventsRequest,
    ) -> Answer<api::GetLogEventsResponse> {
        self.get_events(cx, input).await.map_err(refusal)
    }

    async fn filter_log_events(
        &self,
        cx: &Context,
        input: api::FilterLogEventsRequest,
    ) -> Answer<api::FilterLogEventsResponse> {
        self.filter_events(cx, input).await.map_err(refusal)
    }

    async fn put_metric_filter(
        &self,
        cx: &Context,
        input: api::PutMetricFilterRequest,
    ) -> Answer<()> {
        self.put_filter(cx, input).await.map_err(refusal)
    }

    async fn delete_metric_filter(
        &self,
        cx: &Context,
        input: api::DeleteMetricFilterRequest,
    ) -> Answer<()> {
        self.delete_filter(cx, input).await.map_err(refusal)
    }

    async fn describe_metric_filters(
        &self,
        cx: &Context,
        input: api::DescribeMetricFiltersRequest,
    ) -> Answer<api::DescribeMetricFiltersResponse> {
        self.describe_filters(cx, input).await.map_err(refusal)
    }

    async fn test_metric_filter(
        &self,
        cx: &Context,
        input: api::TestMetricFilterRequest,
    ) -> Answer<api::TestMetricFilterResponse> {
        self.test_filter(cx, input).await.map_err(refusal)
    }

    async fn put_subscription_filter(
        &self,
        cx: &Context,
        input: api::PutSubscriptionFilterRequest,
    ) -> Answer<()> {
        self.put_subscription(cx, input).await.map_err(refusal)
    }

    async fn delete_subscription_filter(
        &self,
        cx: &Context,
        input: api::DeleteSubscriptionFilterRequest,
    ) -> Answer<()> {
        self.delete_subscription(cx, input).await.map_err(refusal)
    }

    async fn describe_subscription_filters(
        &self,
        cx: &Context,
        input: api::DescribeSubscriptionFiltersRequest,
    ) -> Answer<api::DescribeSubscriptionFiltersResponse> {
        self.describe_subscriptions(cx, input)
            .await
            .map_err(refusal)
    }

    async fn put_resource_policy(
        &self,
        cx: &Context,
        input: api::PutResourcePolicyRequest,
    ) -> Answer<api::PutResourcePolicyResponse> {
        self.put_policy(cx, input).await.map_err(refusal)
    }

    async fn delete_resource_policy(
        &self,
        cx: &Context,
        input: api::DeleteResourcePolicyRequest,
    ) -> Answer<()> {
        self.delete_policy(cx, input).await.map_err(refusal)
    }

    async fn start_query(
        &self,
        cx: &Context,
        input: api::StartQueryRequest,
    ) -> Answer<api::StartQueryResponse> {
        self.start_query_of(cx, input).await.map_err(refusal)
    }

    async fn get_query_results(
        &self,
        cx: &Context,
        input: api::GetQueryResultsRequest,
    ) -> Answer<api::GetQueryResultsResponse> {
        self.query_results(cx, input).await.map_err(refusal)
    }

    async fn stop_query(
        &self,
        cx: &Context,
        input: api::StopQueryRequest,
    ) -> Answer<api::StopQueryResponse> {
        self.stop_query_of(cx, input).await.map_err(refusal)
    }

    async fn describe_queries(
        &self,
        cx: &Context,
        input: api::DescribeQueriesRequest,
    ) -> Answer<api::DescribeQueriesResponse> {
        self.list_queries(cx, input).await.map_err(refusal)
    }

    async fn get_log_record(
        &self,
        cx: &Context,
        input: api::GetLogRecordRequest,
    ) -> Answer<api::GetLogRecordResponse> {
        self.record_at(cx, input).await.map_err(refusal)
    }

    async fn get_log_group_fields(
        &self,
        cx: &Context,
        input: api::GetLogGroupFieldsRequest,
    ) -> Answer<api::GetLogGroupFieldsResponse> {
        self.fields_of_group(cx, input).await.map_err(refusal)
    }

    async fn put_query_definition(
        &self,
        cx: &Context,
        input: api::PutQueryDefinitionRequest,
    ) -> Answer<api::PutQueryDefinitionResponse> {
        self.put_definition(cx, input).await.map_err(refusal)
    }

    async fn delete_query_definition(
        &self,
        cx: &Context,
        input: api::DeleteQueryDefinitionRequest,
    ) -> Answer<api::DeleteQueryDefinitionResponse> {
        self.delete_definition(cx, input).await.map_err(refusal)
    }

    async fn describe_query_definitions(
        &self,
        cx: &Context,
        input: api::DescribeQueryDefinitionsRequest,
    ) -> Answer<api::DescribeQueryDefinitionsResponse> {
        self.describe_definitions(cx, input).await.map_err(refusal)
    }

    async fn describe_resource_policies(
        &self,
        cx: &Context,
        input: api::DescribeResourcePoliciesRequest,
    ) -> Answer<api::DescribeResourcePoliciesResponse> {
        self.describe_policies(cx, input).await.map_err(refusal)
    }
}

/// The group of this name that is the caller's.
fn named(cx: &Context, name: &str) -> GroupKey {
    GroupKey {
        account_id: cx.account_id.clone(),
        region: cx.region.clone(),
        name: name.to_owned(),
    }
}

/// The group that a name or an ARN says, one of which has to be there.
fn identified(cx: &Context, name: Option<&str>, identifier: Option<&str>) -> Result<GroupKey> {
    match (name, identifier) {
        (Some(name), None) => Ok(named(cx, name)),
        (None, Some(identifier)) => by_identifier(cx, identifier),
        (Some(_), Some(_)) => Err(Error::parameter(
            "LogGroup name and LogGroup identifier are mutually exclusive parameters.",
        )),
        (None, None) => Err(Error::parameter(
            "Either LogGroup name or LogGroup identifier must be specified.",
        )),
    }
}

/// A name, or an ARN with or without `:*` at its end.
fn by_identifier(cx: &Context, identifier: &str) -> Result<GroupKey> {
    if !identifier.starts_with("arn:") {
        return Ok(named(cx, identifier));
    }
    let key = group_of(identifier)
        .ok_or_else(|| Error::parameter(format!("Invalid ARN: {identifier}")))?;
    // What is another account's is not there.
    match key.account_id == cx.account_id && key.region == cx.region {
        true => Ok(key),
        false => Err(Error::NoGroup),
    }
}

/// The group that an ARN is of.
pub fn group_of(arn: &str) -> Option<GroupKey> {
    let arn: Arn = arn.parse().ok()?;
    let name = arn.resource.strip_prefix("log-group:")?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    let is_group = arn.service == "logs" && !name.is_empty() && !name.contains(':');
    is_group.then(|| GroupKey {
        account_id: arn.account_id,
        region: arn.region,
        name: name.to_owned(),
    })
}

pub use events::event_id;
pub use queries::pointer;

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoGroup | Error::NoStream | Error::NotFound(_) => {
            errors::resource_not_found(message)
        }
        Error::GroupExists | Error::StreamExists => errors::resource_already_exists(message),
        Error::Parameter(_) | Error::Unsupported(_) => errors::invalid_parameter(message),
        Error::Validation(_) => errors::validation(message),
        Error::OverLimit => errors::limit_exceeded(message),
        Error::TooManyTags(_) => errors::too_many_tags(message),
        Error::Conflict(_) => errors::operation_aborted(message),
        Error::Query { start, end, .. } => malformed(message, start, end),
        Error::Platform { source, .. } => {
            let source = &*source as &dyn std::error::Error;
            tracing::error!(error = source, "a request failed");
            let mut refusal = errors::service_unavailable(message);
            refusal.status = StatusCode::SERVICE_UNAVAILABLE;
            refusal
        }
    }
}

/// With where in the query it is that cannot be understood.
fn malformed(message: String, start: usize, end: usize) -> Refusal {
    let offset = |at: usize| Value::Integer(i64::try_from(at).unwrap_or(0));
    let mut location = Members::new(2);
    location.set(0, offset(start));
    location.set(1, offset(end));
    let mut error = Members::new(2);
    error.set(0, Value::Structure(location));
    error.set(1, Value::String(message.clone()));
    errors::malformed_query(message).with("queryCompileError", Value::Structure(error))
}
