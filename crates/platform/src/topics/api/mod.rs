//! SNS's operations in the shapes of the wire: the generated trait, of which every method hands on to
//! the service and back.

mod refusal;

use std::collections::BTreeMap;

use wire::{
    Context, Error as Refusal, Map,
    sns::{self as api, SNS},
};

use super::{
    Topics, batch,
    error::{Error, Result},
    message::{Draft, DraftValue},
    name, phones,
    publish::Published,
    shown::sequence_number,
    subscribe::{AskedSubscription, Listed},
    topic::AskedTopic,
};
use refusal::refusal;

type Answer<T> = Result<T, Refusal>;

const PENDING: &str = "pending confirmation";

impl SNS for Topics {
    async fn create_topic(
        &self,
        cx: &Context,
        input: api::CreateTopicInput,
    ) -> Answer<api::CreateTopicResponse> {
        if input.data_protection_policy.is_some() {
            return Err(refusal(no_data_protection()));
        }
        let asked = AskedTopic {
            name: input.name,
            attributes: map(input.attributes),
            tags: tags(input.tags.unwrap_or_default()),
        };
        let arn = self.create(cx, asked).await.map_err(refusal)?;
        Ok(api::CreateTopicResponse {
            topic_arn: Some(arn),
        })
    }

    async fn delete_topic(&self, cx: &Context, input: api::DeleteTopicInput) -> Answer<()> {
        self.delete(cx, &input.topic_arn).await.map_err(refusal)
    }

    async fn get_topic_attributes(
        &self,
        cx: &Context,
        input: api::GetTopicAttributesInput,
    ) -> Answer<api::GetTopicAttributesResponse> {
        let attributes = self.attributes(cx, &input.topic_arn).map_err(refusal)?;
        Ok(api::GetTopicAttributesResponse {
            attributes: Some(attributes.into_iter().collect()),
        })
    }

    async fn set_topic_attributes(
        &self,
        cx: &Context,
        input: api::SetTopicAttributesInput,
    ) -> Answer<()> {
        let value = input.attribute_value.unwrap_or_default();
        let attribute = (input.attribute_name.as_str(), value.as_str());
        self.set_attribute(cx, &input.topic_arn, attribute)
            .await
            .map_err(refusal)
    }

    async fn list_topics(
        &self,
        cx: &Context,
        input: api::ListTopicsInput,
    ) -> Answer<api::ListTopicsResponse> {
        let (arns, next_token) = self.list(cx, token(&input.next_token)).map_err(refusal)?;
        let topic = |arn| api::Topic {
            topic_arn: Some(arn),
        };
        Ok(api::ListTopicsResponse {
            topics: Some(arns.into_iter().map(topic).collect()),
            next_token,
        })
    }

    async fn add_permission(&self, cx: &Context, input: api::AddPermissionInput) -> Answer<()> {
        let given = (&input.aws_account_id[..], &input.action_name[..]);
        self.add_permission(cx, &input.topic_arn, &input.label, given)
            .await
            .map_err(refusal)
    }

    async fn remove_permission(
        &self,
        cx: &Context,
        input: api::RemovePermissionInput,
    ) -> Answer<()> {
        self.remove_permission(cx, &input.topic_arn, &input.label)
            .await
            .map_err(refusal)
    }

    async fn tag_resource(
        &self,
        cx: &Context,
        input: api::TagResourceRequest,
    ) -> Answer<api::TagResourceResponse> {
        self.tag(cx, &input.resource_arn, tags(input.tags))
            .await
            .map_err(refusal)?;
        Ok(api::TagResourceResponse {})
    }

    async fn untag_resource(
        &self,
        cx: &Context,
        input: api::UntagResourceRequest,
    ) -> Answer<api::UntagResourceResponse> {
        self.untag(cx, &input.resource_arn, &input.tag_keys)
            .await
            .map_err(refusal)?;
        Ok(api::UntagResourceResponse {})
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceRequest,
    ) -> Answer<api::ListTagsForResourceResponse> {
        let held = self.tags(cx, &input.resource_arn).map_err(refusal)?;
        let tag = |(key, value)| api::Tag { key, value };
        Ok(api::ListTagsForResourceResponse {
            tags: Some(held.into_iter().map(tag).collect()),
        })
    }

    async fn subscribe(
        &self,
        cx: &Context,
        input: api::SubscribeInput,
    ) -> Answer<api::SubscribeResponse> {
        let asked = AskedSubscription {
            topic_arn: input.topic_arn,
            protocol: input.protocol,
            endpoint: input.endpoint,
            attributes: map(input.attributes),
        };
        let subscription = self.subscribe(cx, asked).await.map_err(refusal)?;
        let is_shown =
            subscription.record.pending.is_none() || input.return_subscription_arn == Some(true);
        let arn = match is_shown {
            true => subscription.arn.clone(),
            false => PENDING.to_owned(),
        };
        Ok(api::SubscribeResponse {
            subscription_arn: Some(arn),
        })
    }

    async fn confirm_subscription(
        &self,
        cx: &Context,
        input: api::ConfirmSubscriptionInput,
    ) -> Answer<api::ConfirmSubscriptionResponse> {
        let guards = input.authenticate_on_unsubscribe.as_deref() == Some("true");
        let arn = self
            .confirm(cx, &input.topic_arn, &input.token, guards)
            .await;
        Ok(api::ConfirmSubscriptionResponse {
            subscription_arn: Some(arn.map_err(refusal)?),
        })
    }

    async fn unsubscribe(&self, cx: &Context, input: api::UnsubscribeInput) -> Answer<()> {
        self.unsubscribe(cx, &input.subscription_arn)
            .await
            .map_err(refusal)
    }

    async fn get_subscription_attributes(
        &self,
        cx: &Context,
        input: api::GetSubscriptionAttributesInput,
    ) -> Answer<api::GetSubscriptionAttributesResponse> {
        let attributes = self.subscription_attributes(cx, &input.subscription_arn);
        Ok(api::GetSubscriptionAttributesResponse {
            attributes: Some(attributes.map_err(refusal)?.into_iter().collect()),
        })
    }

    async fn set_subscription_attributes(
        &self,
        cx: &Context,
        input: api::SetSubscriptionAttributesInput,
    ) -> Answer<()> {
        let value = input.attribute_value.unwrap_or_default();
        let attribute = (input.attribute_name.as_str(), value.as_str());
        self.set_subscription_attribute(cx, &input.subscription_arn, attribute)
            .await
            .map_err(refusal)
    }

    async fn list_subscriptions(
        &self,
        cx: &Context,
        input: api::ListSubscriptionsInput,
    ) -> Answer<api::ListSubscriptionsResponse> {
        let page = self.list_subscriptions(cx, token(&input.next_token));
        let (page, next_token) = page.map_err(refusal)?;
        Ok(api::ListSubscriptionsResponse {
            subscriptions: Some(page.into_iter().map(listed).collect()),
            next_token,
        })
    }

    async fn list_subscriptions_by_topic(
        &self,
        cx: &Context,
        input: api::ListSubscriptionsByTopicInput,
    ) -> Answer<api::ListSubscriptionsByTopicResponse> {
        let page = self.list_topics_subscriptions(cx, &input.topic_arn, token(&input.next_token));
        let (page, next_token) = page.map_err(refusal)?;
        Ok(api::ListSubscriptionsByTopicResponse {
            subscriptions: Some(page.into_iter().map(listed).collect()),
            next_token,
        })
    }

    async fn publish(
        &self,
        cx: &Context,
        input: api::PublishInput,
    ) -> Answer<api::PublishResponse> {
        let arn = target(&input).map_err(refusal)?;
        let draft = Draft {
            body: input.message,
            subject: input.subject,
            structure: input.message_structure,
            attributes: attributes(input.message_attributes),
            group: input.message_group_id,
            deduplication_id: input.message_deduplication_id,
        };
        let published = self.publish(cx, &arn, draft).await.map_err(refusal)?;
        Ok(api::PublishResponse {
            sequence_number: published.sequence.map(sequence_number),
            message_id: Some(published.message_id),
        })
    }

    async fn publish_batch(
        &self,
        cx: &Context,
        input: api::PublishBatchInput,
    ) -> Answer<api::PublishBatchResponse> {
        let entries = input.publish_batch_request_entries;
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        // A topic that is not there is said before what is wrong with the entries.
        self.permitted(cx, "Publish", &input.topic_arn)
            .map_err(refusal)?;
        batch::check(&ids).map_err(refusal)?;
        let drafts = entries.into_iter().map(|entry| Draft {
            body: entry.message,
            subject: entry.subject,
            structure: entry.message_structure,
            attributes: attributes(entry.message_attributes),
            group: entry.message_group_id,
            deduplication_id: entry.message_deduplication_id,
        });
        let published = self.publish_batch(cx, &input.topic_arn, drafts.collect());
        let published = published.await.map_err(refusal)?;
        let entry = |(id, published): (String, Published)| api::PublishBatchResultEntry {
            id: Some(id),
            sequence_number: published.sequence.map(sequence_number),
            message_id: Some(published.message_id),
        };
        Ok(api::PublishBatchResponse {
            successful: Some(ids.into_iter().zip(published).map(entry).collect()),
            failed: Some(Vec::new()),
        })
    }

    // Refused below: what is not there, and so not written as the operations that are.

    fn set_sms_attributes(
        &self,
        _: &Context,
        input: api::SetSMSAttributesInput,
    ) -> impl Future<Output = Answer<api::SetSMSAttributesResponse>> + Send {
        refused(phones::set_sms_attributes(&map(Some(input.attributes))))
    }

    fn opt_in_phone_number(
        &self,
        _: &Context,
        input: api::OptInPhoneNumberInput,
    ) -> impl Future<Output = Answer<api::OptInPhoneNumberResponse>> + Send {
        refused(phones::about_number(&input.phone_number))
    }

    fn create_platform_application(
        &self,
        _: &Context,
        input: api::CreatePlatformApplicationInput,
    ) -> impl Future<Output = Answer<api::CreatePlatformApplicationResponse>> + Send {
        let attributes = map(Some(input.attributes));
        refused(phones::create_application(
            &input.name,
            &input.platform,
            &attributes,
        ))
    }

    fn get_platform_application_attributes(
        &self,
        _: &Context,
        input: api::GetPlatformApplicationAttributesInput,
    ) -> impl Future<Output = Answer<api::GetPlatformApplicationAttributesResponse>> + Send {
        refused(phones::about_application(&input.platform_application_arn))
    }

    fn set_platform_application_attributes(
        &self,
        _: &Context,
        input: api::SetPlatformApplicationAttributesInput,
    ) -> impl Future<Output = Answer<()>> + Send {
        let attributes = map(Some(input.attributes));
        refused(phones::set_application(
            &input.platform_application_arn,
            &attributes,
        ))
    }

    fn create_platform_endpoint(
        &self,
        _: &Context,
        input: api::CreatePlatformEndpointInput,
    ) -> impl Future<Output = Answer<api::CreateEndpointResponse>> + Send {
        refused(phones::about_application(&input.platform_application_arn))
    }

    fn put_data_protection_policy(
        &self,
        _: &Context,
        _: api::PutDataProtectionPolicyInput,
    ) -> impl Future<Output = Answer<()>> + Send {
        refused(no_data_protection())
    }
}

fn refused<T: Send>(error: Error) -> impl Future<Output = Answer<T>> + Send {
    std::future::ready(Err(refusal(error)))
}

fn no_data_protection() -> Error {
    Error::NotSupported("look into messages for what is personal (DataProtectionPolicy)".into())
}

/// The topic that Publish is for: named as such or as a target.
fn target(input: &api::PublishInput) -> Result<String> {
    if input.phone_number.is_some() {
        return Err(Error::NotSupported(
            "send text messages (PhoneNumber)".into(),
        ));
    }
    match (&input.topic_arn, &input.target_arn) {
        (Some(_), Some(_)) => Err(Error::parameter(
            "TopicArn or TargetArn Reason: both were specified; only one is allowed",
        )),
        (Some(arn), None) => Ok(arn.clone()),
        (None, Some(arn)) => {
            let parsed = name::arn("TargetArn", arn)?;
            match parsed.resource.starts_with("endpoint/") {
                true => Err(Error::parameter(
                    "TargetArn Reason: No endpoint found for the target arn specified",
                )),
                false => Ok(arn.clone()),
            }
        }
        (None, None) => Err(Error::parameter(
            "TopicArn or TargetArn Reason: no value for required parameter",
        )),
    }
}

fn token(given: &Option<String>) -> Option<&str> {
    given.as_deref().filter(|token| !token.is_empty())
}

fn map(given: Option<Map<String>>) -> BTreeMap<String, String> {
    given.unwrap_or_default().into_iter().collect()
}

fn tags(given: Vec<api::Tag>) -> Vec<(String, String)> {
    given.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

fn attributes(given: Option<Map<api::MessageAttributeValue>>) -> Vec<(String, DraftValue)> {
    let value = |value: api::MessageAttributeValue| DraftValue {
        data_type: value.data_type,
        text: value.string_value,
        binary: value.binary_value,
    };
    let given = given.unwrap_or_default().into_iter();
    given.map(|(name, held)| (name, value(held))).collect()
}

fn listed(listed: Listed) -> api::Subscription {
    let record = &listed.subscription.record;
    let arn = match record.pending {
        Some(_) => "PendingConfirmation".to_owned(),
        None => listed.subscription.arn.clone(),
    };
    api::Subscription {
        subscription_arn: Some(arn),
        owner: Some(record.owner.clone()),
        protocol: Some(record.protocol.clone()),
        endpoint: Some(record.endpoint.clone()),
        topic_arn: Some(listed.topic_arn),
    }
}
