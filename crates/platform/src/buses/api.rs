//! EventBridge's API: the generated trait, and which of AWS's errors each of ours is.

use http::StatusCode;
use wire::{
    Context, Error as Refusal,
    event_bridge::{self as api, EventBridge, errors},
};

use super::{Buses, error::Error, tables::RuleState, try_out::test_pattern};

type Answer<T> = Result<T, Refusal>;

impl EventBridge for Buses {
    async fn cancel_replay(
        &self,
        cx: &Context,
        input: api::CancelReplayRequest,
    ) -> Answer<api::CancelReplayResponse> {
        self.cancel_replay_of(cx, &input.replay_name)
            .await
            .map_err(refusal)
    }

    async fn create_api_destination(
        &self,
        cx: &Context,
        input: api::CreateApiDestinationRequest,
    ) -> Answer<api::CreateApiDestinationResponse> {
        self.create_destination_of(cx, input).await.map_err(refusal)
    }

    async fn create_archive(
        &self,
        cx: &Context,
        input: api::CreateArchiveRequest,
    ) -> Answer<api::CreateArchiveResponse> {
        self.create_archive_of(cx, input).await.map_err(refusal)
    }

    async fn create_connection(
        &self,
        cx: &Context,
        input: api::CreateConnectionRequest,
    ) -> Answer<api::CreateConnectionResponse> {
        self.create_connection_of(cx, input).await.map_err(refusal)
    }

    async fn create_event_bus(
        &self,
        cx: &Context,
        input: api::CreateEventBusRequest,
    ) -> Answer<api::CreateEventBusResponse> {
        self.create_bus(cx, input).await.map_err(refusal)
    }

    async fn deauthorize_connection(
        &self,
        cx: &Context,
        input: api::DeauthorizeConnectionRequest,
    ) -> Answer<api::DeauthorizeConnectionResponse> {
        self.deauthorize_connection_of(cx, &input.name)
            .await
            .map_err(refusal)
    }

    async fn delete_api_destination(
        &self,
        cx: &Context,
        input: api::DeleteApiDestinationRequest,
    ) -> Answer<api::DeleteApiDestinationResponse> {
        self.delete_destination_of(cx, &input.name)
            .await
            .map_err(refusal)
    }

    async fn delete_archive(
        &self,
        cx: &Context,
        input: api::DeleteArchiveRequest,
    ) -> Answer<api::DeleteArchiveResponse> {
        self.delete_archive_of(cx, &input.archive_name)
            .await
            .map_err(refusal)
    }

    async fn delete_connection(
        &self,
        cx: &Context,
        input: api::DeleteConnectionRequest,
    ) -> Answer<api::DeleteConnectionResponse> {
        self.delete_connection_of(cx, &input.name)
            .await
            .map_err(refusal)
    }

    async fn delete_event_bus(
        &self,
        cx: &Context,
        input: api::DeleteEventBusRequest,
    ) -> Answer<()> {
        self.delete_bus(cx, &input.name).await.map_err(refusal)
    }

    async fn delete_rule(&self, cx: &Context, input: api::DeleteRuleRequest) -> Answer<()> {
        self.delete_rule_of(cx, &input.name, input.event_bus_name.as_deref())
            .await
            .map_err(refusal)
    }

    async fn describe_api_destination(
        &self,
        cx: &Context,
        input: api::DescribeApiDestinationRequest,
    ) -> Answer<api::DescribeApiDestinationResponse> {
        self.describe_destination_of(cx, &input.name)
            .map_err(refusal)
    }

    async fn describe_archive(
        &self,
        cx: &Context,
        input: api::DescribeArchiveRequest,
    ) -> Answer<api::DescribeArchiveResponse> {
        self.describe_archive_of(cx, &input.archive_name)
            .await
            .map_err(refusal)
    }

    async fn describe_connection(
        &self,
        cx: &Context,
        input: api::DescribeConnectionRequest,
    ) -> Answer<api::DescribeConnectionResponse> {
        self.describe_connection_of(cx, &input.name)
            .map_err(refusal)
    }

    async fn describe_event_bus(
        &self,
        cx: &Context,
        input: api::DescribeEventBusRequest,
    ) -> Answer<api::DescribeEventBusResponse> {
        self.describe_bus(cx, input.name.as_deref())
            .await
            .map_err(refusal)
    }

    async fn describe_replay(
        &self,
        cx: &Context,
        input: api::DescribeReplayRequest,
    ) -> Answer<api::DescribeReplayResponse> {
        self.describe_replay_of(cx, &input.replay_name)
            .map_err(refusal)
    }

    async fn describe_rule(
        &self,
        cx: &Context,
        input: api::DescribeRuleRequest,
    ) -> Answer<api::DescribeRuleResponse> {
        self.describe_rule_of(cx, &input.name, input.event_bus_name.as_deref())
            .map_err(refusal)
    }

    async fn disable_rule(&self, cx: &Context, input: api::DisableRuleRequest) -> Answer<()> {
        self.switch_rule(
            cx,
            &input.name,
            input.event_bus_name.as_deref(),
            RuleState::Disabled,
        )
        .await
        .map_err(refusal)
    }

    async fn enable_rule(&self, cx: &Context, input: api::EnableRuleRequest) -> Answer<()> {
        self.switch_rule(
            cx,
            &input.name,
            input.event_bus_name.as_deref(),
            RuleState::Enabled,
        )
        .await
        .map_err(refusal)
    }

    async fn list_api_destinations(
        &self,
        cx: &Context,
        input: api::ListApiDestinationsRequest,
    ) -> Answer<api::ListApiDestinationsResponse> {
        self.list_destinations_of(cx, &input).map_err(refusal)
    }

    async fn list_archives(
        &self,
        cx: &Context,
        input: api::ListArchivesRequest,
    ) -> Answer<api::ListArchivesResponse> {
        self.list_archives_of(cx, &input).await.map_err(refusal)
    }

    async fn list_connections(
        &self,
        cx: &Context,
        input: api::ListConnectionsRequest,
    ) -> Answer<api::ListConnectionsResponse> {
        self.list_connections_of(cx, &input).map_err(refusal)
    }

    async fn list_event_buses(
        &self,
        cx: &Context,
        input: api::ListEventBusesRequest,
    ) -> Answer<api::ListEventBusesResponse> {
        self.list_buses(cx, &input).await.map_err(refusal)
    }

    async fn list_replays(
        &self,
        cx: &Context,
        input: api::ListReplaysRequest,
    ) -> Answer<api::ListReplaysResponse> {
        self.list_replays_of(cx, &input).map_err(refusal)
    }

    async fn list_rule_names_by_target(
        &self,
        cx: &Context,
        input: api::ListRuleNamesByTargetRequest,
    ) -> Answer<api::ListRuleNamesByTargetResponse> {
        self.list_rules_by_target(cx, &input).map_err(refusal)
    }

    async fn list_rules(
        &self,
        cx: &Context,
        input: api::ListRulesRequest,
    ) -> Answer<api::ListRulesResponse> {
        self.list_rules_of(cx, &input).map_err(refusal)
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceRequest,
    ) -> Answer<api::ListTagsForResourceResponse> {
        self.tags_of(cx, &input.resource_arn).map_err(refusal)
    }

    async fn list_targets_by_rule(
        &self,
        cx: &Context,
        input: api::ListTargetsByRuleRequest,
    ) -> Answer<api::ListTargetsByRuleResponse> {
        self.list_targets_of(cx, &input).map_err(refusal)
    }

    async fn put_events(
        &self,
        cx: &Context,
        input: api::PutEventsRequest,
    ) -> Answer<api::PutEventsResponse> {
        self.put_events_of(cx, input).await.map_err(refusal)
    }

    async fn put_permission(&self, cx: &Context, input: api::PutPermissionRequest) -> Answer<()> {
        self.put_permission_of(cx, input).await.map_err(refusal)
    }

    async fn put_rule(
        &self,
        cx: &Context,
        input: api::PutRuleRequest,
    ) -> Answer<api::PutRuleResponse> {
        self.put_rule_of(cx, input).await.map_err(refusal)
    }

    async fn put_targets(
        &self,
        cx: &Context,
        input: api::PutTargetsRequest,
    ) -> Answer<api::PutTargetsResponse> {
        self.put_targets_of(cx, input).await.map_err(refusal)
    }

    async fn remove_permission(
        &self,
        cx: &Context,
        input: api::RemovePermissionRequest,
    ) -> Answer<()> {
        self.remove_permission_of(cx, input).await.map_err(refusal)
    }

    async fn remove_targets(
        &self,
        cx: &Context,
        input: api::RemoveTargetsRequest,
    ) -> Answer<api::RemoveTargetsResponse> {
        self.remove_targets_of(cx, input).await.map_err(refusal)
    }

    async fn start_replay(
        &self,
        cx: &Context,
        input: api::StartReplayRequest,
    ) -> Answer<api::StartReplayResponse> {
        self.start_replay_of(cx, input).await.map_err(refusal)
    }

    async fn tag_resource(
        &self,
        cx: &Context,
        input: api::TagResourceRequest,
    ) -> Answer<api::TagResourceResponse> {
        self.tag(cx, &input.resource_arn, input.tags)
            .await
            .map_err(refusal)
    }

    async fn test_event_pattern(
        &self,
        _: &Context,
        input: api::TestEventPatternRequest,
    ) -> Answer<api::TestEventPatternResponse> {
        test_pattern(&input).map_err(refusal)
    }

    async fn untag_resource(
        &self,
        cx: &Context,
        input: api::UntagResourceRequest,
    ) -> Answer<api::UntagResourceResponse> {
        self.untag(cx, &input.resource_arn, &input.tag_keys)
            .await
            .map_err(refusal)
    }

    async fn update_api_destination(
        &self,
        cx: &Context,
        input: api::UpdateApiDestinationRequest,
    ) -> Answer<api::UpdateApiDestinationResponse> {
        self.update_destination_of(cx, input).await.map_err(refusal)
    }

    async fn update_archive(
        &self,
        cx: &Context,
        input: api::UpdateArchiveRequest,
    ) -> Answer<api::UpdateArchiveResponse> {
        self.update_archive_of(cx, input).await.map_err(refusal)
    }

    async fn update_connection(
        &self,
        cx: &Context,
        input: api::UpdateConnectionRequest,
    ) -> Answer<api::UpdateConnectionResponse> {
        self.update_connection_of(cx, input).await.map_err(refusal)
    }

    async fn update_event_bus(
        &self,
        cx: &Context,
        input: api::UpdateEventBusRequest,
    ) -> Answer<api::UpdateEventBusResponse> {
        self.update_bus(cx, input).await.map_err(refusal)
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoBus(_) | Error::NoRule { .. } | Error::NoSuch { .. } | Error::NotFound(_) => {
            errors::resource_not_found(message)
        }
        Error::Exists { .. } => errors::resource_already_exists(message),
        Error::Invalid(_) | Error::Unsupported(_) => {
            Refusal::new("ValidationException", StatusCode::BAD_REQUEST, message)
        }
        Error::Pattern(_) => errors::invalid_event_pattern(message),
        Error::OverLimit => errors::limit_exceeded(message),
        Error::IllegalStatus(_) => errors::illegal_status(message),
        Error::PolicyTooLong(_) => errors::policy_length_exceeded(message),
        Error::AccessDenied(_) => {
            Refusal::new("AccessDeniedException", StatusCode::BAD_REQUEST, message)
        }
        Error::Platform(source) => {
            let source = &*source as &dyn std::error::Error;
            tracing::error!(error = source, "a request failed");
            errors::internal(message)
        }
    }
}
