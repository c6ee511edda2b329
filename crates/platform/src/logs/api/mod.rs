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

/// What every operation is: its work, and its error in AWS's words.
macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ty = $work:ident;)*) => {
        impl CloudWatchLogs for LogService {
            $(async fn $name(&self, cx: &Context, input: api::$input) -> Answer<$output> {
                self.$work(cx, input).await.map_err(refusal)
            })*
        }
    };
}

operations! {
    create_log_group(CreateLogGroupRequest) -> () = create_group;
    delete_log_group(DeleteLogGroupRequest) -> () = delete_group;
    describe_log_groups(DescribeLogGroupsRequest) -> api::DescribeLogGroupsResponse = describe_groups;
    list_log_groups(ListLogGroupsRequest) -> api::ListLogGroupsResponse = list_groups;
    put_retention_policy(PutRetentionPolicyRequest) -> () = put_retention;
    delete_retention_policy(DeleteRetentionPolicyRequest) -> () = delete_retention;
    put_log_group_deletion_protection(PutLogGroupDeletionProtectionRequest) -> () = put_protection;
    associate_kms_key(AssociateKmsKeyRequest) -> () = associate_key;
    disassociate_kms_key(DisassociateKmsKeyRequest) -> () = disassociate_key;
    tag_log_group(TagLogGroupRequest) -> () = tag_group;
    untag_log_group(UntagLogGroupRequest) -> () = untag_group;
    list_tags_log_group(ListTagsLogGroupRequest) -> api::ListTagsLogGroupResponse = tags_of_group;
    tag_resource(TagResourceRequest) -> () = tag_arn;
    untag_resource(UntagResourceRequest) -> () = untag_arn;
    list_tags_for_resource(ListTagsForResourceRequest) -> api::ListTagsForResourceResponse = tags_of_arn;
    create_log_stream(CreateLogStreamRequest) -> () = create_stream;
    delete_log_stream(DeleteLogStreamRequest) -> () = delete_stream;
    describe_log_streams(DescribeLogStreamsRequest) -> api::DescribeLogStreamsResponse = describe_streams;
    put_log_events(PutLogEventsRequest) -> api::PutLogEventsResponse = put_events;
    get_log_events(GetLogEventsRequest) -> api::GetLogEventsResponse = get_events;
    filter_log_events(FilterLogEventsRequest) -> api::FilterLogEventsResponse = filter_events;
    put_metric_filter(PutMetricFilterRequest) -> () = put_filter;
    delete_metric_filter(DeleteMetricFilterRequest) -> () = delete_filter;
    describe_metric_filters(DescribeMetricFiltersRequest) -> api::DescribeMetricFiltersResponse = describe_filters;
    test_metric_filter(TestMetricFilterRequest) -> api::TestMetricFilterResponse = test_filter;
    put_subscription_filter(PutSubscriptionFilterRequest) -> () = put_subscription;
    delete_subscription_filter(DeleteSubscriptionFilterRequest) -> () = delete_subscription;
    describe_subscription_filters(DescribeSubscriptionFiltersRequest) -> api::DescribeSubscriptionFiltersResponse = describe_subscriptions;
    put_resource_policy(PutResourcePolicyRequest) -> api::PutResourcePolicyResponse = put_policy;
    delete_resource_policy(DeleteResourcePolicyRequest) -> () = delete_policy;
    start_query(StartQueryRequest) -> api::StartQueryResponse = start_query_of;
    get_query_results(GetQueryResultsRequest) -> api::GetQueryResultsResponse = query_results;
    stop_query(StopQueryRequest) -> api::StopQueryResponse = stop_query_of;
    describe_queries(DescribeQueriesRequest) -> api::DescribeQueriesResponse = list_queries;
    get_log_record(GetLogRecordRequest) -> api::GetLogRecordResponse = record_at;
    get_log_group_fields(GetLogGroupFieldsRequest) -> api::GetLogGroupFieldsResponse = fields_of_group;
    put_query_definition(PutQueryDefinitionRequest) -> api::PutQueryDefinitionResponse = put_definition;
    delete_query_definition(DeleteQueryDefinitionRequest) -> api::DeleteQueryDefinitionResponse = delete_definition;
    describe_query_definitions(DescribeQueryDefinitionsRequest) -> api::DescribeQueryDefinitionsResponse = describe_definitions;
    describe_resource_policies(DescribeResourcePoliciesRequest) -> api::DescribeResourcePoliciesResponse = describe_policies;
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
