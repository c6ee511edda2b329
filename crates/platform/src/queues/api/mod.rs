//! SQS's API: the generated trait, and which of AWS's errors each of ours is. Only here are `wire`'s
//! shapes known.

mod moving;
mod queue;
mod receiving;
mod sending;

use std::sync::Arc;

use http::StatusCode;
use wire::{
    Context, Error as Refusal,
    sqs::{self as api, SQS, errors},
};

use super::{
    Queue, Queues, access,
    definition::QueueKey,
    error::{Error, Result},
    url,
};

type Answer<T> = std::result::Result<T, Refusal>;

impl SQS for Queues {
    async fn create_queue(
        &self,
        cx: &Context,
        input: api::CreateQueueRequest,
    ) -> Answer<api::CreateQueueResult> {
        self.create_of(cx, input).await.map_err(refusal)
    }

    async fn delete_queue(&self, cx: &Context, input: api::DeleteQueueRequest) -> Answer<()> {
        self.delete_of(cx, input).await.map_err(refusal)
    }

    async fn get_queue_attributes(
        &self,
        cx: &Context,
        input: api::GetQueueAttributesRequest,
    ) -> Answer<api::GetQueueAttributesResult> {
        self.attributes_of(cx, input).map_err(refusal)
    }

    async fn set_queue_attributes(
        &self,
        cx: &Context,
        input: api::SetQueueAttributesRequest,
    ) -> Answer<()> {
        self.set_attributes_of(cx, input).await.map_err(refusal)
    }

    async fn get_queue_url(
        &self,
        cx: &Context,
        input: api::GetQueueUrlRequest,
    ) -> Answer<api::GetQueueUrlResult> {
        self.url_of(cx, input).map_err(refusal)
    }

    async fn list_queues(
        &self,
        cx: &Context,
        input: api::ListQueuesRequest,
    ) -> Answer<api::ListQueuesResult> {
        self.listed(cx, input).map_err(refusal)
    }

    async fn list_dead_letter_source_queues(
        &self,
        cx: &Context,
        input: api::ListDeadLetterSourceQueuesRequest,
    ) -> Answer<api::ListDeadLetterSourceQueuesResult> {
        self.sources_of(cx, input).map_err(refusal)
    }

    async fn purge_queue(&self, cx: &Context, input: api::PurgeQueueRequest) -> Answer<()> {
        self.purge_of(cx, input).await.map_err(refusal)
    }

    async fn tag_queue(&self, cx: &Context, input: api::TagQueueRequest) -> Answer<()> {
        self.tag_of(cx, input).await.map_err(refusal)
    }

    async fn untag_queue(&self, cx: &Context, input: api::UntagQueueRequest) -> Answer<()> {
        self.untag_of(cx, input).await.map_err(refusal)
    }

    async fn list_queue_tags(
        &self,
        cx: &Context,
        input: api::ListQueueTagsRequest,
    ) -> Answer<api::ListQueueTagsResult> {
        self.tags_of(cx, input).map_err(refusal)
    }

    async fn add_permission(&self, cx: &Context, input: api::AddPermissionRequest) -> Answer<()> {
        self.add_permission_of(cx, input).await.map_err(refusal)
    }

    async fn remove_permission(
        &self,
        cx: &Context,
        input: api::RemovePermissionRequest,
    ) -> Answer<()> {
        self.remove_permission_of(cx, input).await.map_err(refusal)
    }

    async fn send_message(
        &self,
        cx: &Context,
        input: api::SendMessageRequest,
    ) -> Answer<api::SendMessageResult> {
        self.send_one(cx, input).await.map_err(refusal)
    }

    async fn send_message_batch(
        &self,
        cx: &Context,
        input: api::SendMessageBatchRequest,
    ) -> Answer<api::SendMessageBatchResult> {
        self.send_batch(cx, input).await.map_err(refusal)
    }

    async fn receive_message(
        &self,
        cx: &Context,
        input: api::ReceiveMessageRequest,
    ) -> Answer<api::ReceiveMessageResult> {
        self.receive_of(cx, input).await.map_err(refusal)
    }

    async fn delete_message(&self, cx: &Context, input: api::DeleteMessageRequest) -> Answer<()> {
        self.delete_one(cx, input).await.map_err(refusal)
    }

    async fn delete_message_batch(
        &self,
        cx: &Context,
        input: api::DeleteMessageBatchRequest,
    ) -> Answer<api::DeleteMessageBatchResult> {
        self.delete_batch(cx, input).await.map_err(refusal)
    }

    async fn change_message_visibility(
        &self,
        cx: &Context,
        input: api::ChangeMessageVisibilityRequest,
    ) -> Answer<()> {
        self.change_one(cx, input).await.map_err(refusal)
    }

    async fn change_message_visibility_batch(
        &self,
        cx: &Context,
        input: api::ChangeMessageVisibilityBatchRequest,
    ) -> Answer<api::ChangeMessageVisibilityBatchResult> {
        self.change_batch(cx, input).await.map_err(refusal)
    }

    async fn start_message_move_task(
        &self,
        cx: &Context,
        input: api::StartMessageMoveTaskRequest,
    ) -> Answer<api::StartMessageMoveTaskResult> {
        self.start_move(cx, input).await.map_err(refusal)
    }

    async fn cancel_message_move_task(
        &self,
        cx: &Context,
        input: api::CancelMessageMoveTaskRequest,
    ) -> Answer<api::CancelMessageMoveTaskResult> {
        self.cancel_move(cx, input).await.map_err(refusal)
    }

    async fn list_message_move_tasks(
        &self,
        cx: &Context,
        input: api::ListMessageMoveTasksRequest,
    ) -> Answer<api::ListMessageMoveTasksResult> {
        self.list_moves(cx, input).map_err(refusal)
    }
}

impl Queues {
    /// The queue that a QueueUrl names, if the caller may do this to it.
    fn named(&self, cx: &Context, queue_url: &str, action: &str) -> Result<Arc<Queue>> {
        let named = url::read(queue_url)?;
        let key = QueueKey {
            account_id: named.account_id.unwrap_or(&cx.account_id).to_owned(),
            region: named.region.unwrap_or(&cx.region).to_owned(),
            name: named.name.to_owned(),
        };
        self.at(cx, &key, action)
    }

    fn at(&self, cx: &Context, key: &QueueKey, action: &str) -> Result<Arc<Queue>> {
        let queue = self.find(key).filter(|queue| !queue.key.is_internal());
        let queue = queue.ok_or(Error::NoQueue)?;
        let definition = queue.definition();
        access::check(cx, action, key, definition.attributes.policy.as_ref())?;
        Ok(queue)
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoQueue => errors::queue_does_not_exist(message),
        Error::NameExists(_) => errors::queue_name_exists(message),
        Error::AccessDenied(_) => Refusal::access_denied(Some(message)),
        Error::NoAddress(_) => errors::invalid_address(message),
        Error::Missing(_) => of_the_front("MissingRequiredParameterException", message),
        Error::Parameter(_) => of_the_front("InvalidParameterValueException", message),
        Error::UnknownAttribute(_) | Error::AttributeName(_) => {
            errors::invalid_attribute_name(message)
        }
        Error::AttributeValue(_) | Error::AttributeReason { .. } => {
            errors::invalid_attribute_value(message)
        }
        Error::Characters => errors::invalid_message_contents(message),
        Error::EmptyBatch(_) => errors::empty_batch_request(message),
        Error::TooManyEntries(_) => errors::too_many_entries_in_batch_request(message),
        Error::IdRepeated(_) => errors::batch_entry_ids_not_distinct(message),
        Error::BatchId => errors::invalid_batch_entry_id(message),
        Error::BatchTooLong { .. } => errors::batch_request_too_long(message),
        Error::Handle(_) => errors::receipt_handle_is_invalid(message),
        Error::OverLimit(_) => errors::over_limit(message),
        Error::PurgeInProgress(_) => errors::purge_queue_in_progress(message),
        Error::NoResource(_) => errors::resource_not_found(message),
        Error::Platform { source, .. } => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Refusal::new("InternalFailure", status, message)
        }
    }
}

/// Errors that SQS's model does not have, as they are said by the front of all services.
fn of_the_front(code: &'static str, message: String) -> Refusal {
    Refusal::new(code, StatusCode::BAD_REQUEST, message)
}

/// The entries of a batch that failed; SQS leaves the list out where there are none.
fn all_failed(entries: Vec<api::BatchResultErrorEntry>) -> Option<Vec<api::BatchResultErrorEntry>> {
    Some(entries).filter(|entries| !entries.is_empty())
}

/// What became of a batch's entry that failed. Codes in here are those of the query protocol,
/// whichever is spoken.
fn failed(id: String, error: Error) -> api::BatchResultErrorEntry {
    let code = match &error {
        Error::Missing(_) => "MissingParameter",
        Error::Characters => "InvalidMessageContents",
        Error::Handle(_) => "ReceiptHandleIsInvalid",
        Error::OverLimit(_) => "OverLimit",
        Error::NoQueue => "AWS.SimpleQueueService.NonExistentQueue",
        Error::Platform { .. } => "InternalError",
        _ => "InvalidParameterValue",
    };
    let message = Some(error.to_string());
    let sender_fault = !matches!(error, Error::Platform { .. });
    if let Error::Platform { source, .. } = error {
        let source = &*source as &dyn std::error::Error;
        tracing::error!(error = source, "an entry of a batch failed");
    }
    api::BatchResultErrorEntry {
        id,
        sender_fault,
        code: code.to_owned(),
        message,
    }
}
