//! Refusals as SNS writes them.

use http::StatusCode;
use wire::{Error as Refusal, sns::errors};

use crate::topics::error::Error;

pub fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::Parameter(_) | Error::Plain(_) => errors::invalid_parameter(message),
        Error::AttributeValue(_) => errors::invalid_parameter_value(message),
        Error::Validation(_) => errors::validation(message),
        Error::NotFound(_) => errors::not_found(message),
        Error::NoResource => errors::resource_not_found(message),
        Error::NotAllowed(_) => errors::authorization_error(message),
        Error::TooManyTags(_) => errors::tag_limit_exceeded(message),
        Error::TooManyFilters(_) => errors::filter_policy_limit_exceeded(message),
        Error::TooManySubscriptions(_) => errors::subscription_limit_exceeded(message),
        Error::TooManyTopics(_) => errors::topic_limit_exceeded(message),
        Error::EmptyBatch => errors::empty_batch_request(message),
        Error::TooManyEntries => errors::too_many_entries_in_batch_request(message),
        Error::IdsNotDistinct => errors::batch_entry_ids_not_distinct(message),
        Error::BatchId(_) => errors::invalid_batch_entry_id(message),
        Error::BatchTooLong => errors::batch_request_too_long(message),
        Error::NotSupported(_) => {
            Refusal::new("NotImplemented", StatusCode::NOT_IMPLEMENTED, message)
        }
        Error::Platform { source, .. } => {
            tracing::error!(error = &*source as &dyn std::error::Error, "SNS");
            errors::internal_error(message)
        }
    }
}
