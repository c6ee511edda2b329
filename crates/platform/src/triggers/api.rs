//! Event source mappings in Lambda's API: the generated trait, of which these are some operations.
//! The others are `functions`' ([`owns`] says which are whose).

use wire::{
    Context, Error as Refusal,
    lambda::{self as api, FunctionName, Lambda, errors},
    schema::Operation,
};

use super::{EventSourceMappings, error::Error, tags::mapping_of, view::shown};

type Answer<T> = Result<T, Refusal>;

/// Whether an operation of Lambda's is answered here. What is about tags may be about functions,
/// and is handed on.
pub fn owns(operation: &Operation) -> bool {
    matches!(
        operation.name,
        "CreateEventSourceMapping"
            | "GetEventSourceMapping"
            | "UpdateEventSourceMapping"
            | "ListEventSourceMappings"
            | "DeleteEventSourceMapping"
            | "TagResource"
            | "UntagResource"
            | "ListTags"
    )
}

/// Runs a change to its end also when the caller is gone by then.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Answer<T> {
    match tokio::spawn(change).await {
        Ok(done) => done.map_err(refusal),
        Err(error) => Err(refusal(Error::platform(error))),
    }
}

impl EventSourceMappings {
    /// The mapping that tags are asked of, if it is one and not a function.
    fn mapping_tagged(&self, cx: &Context, resource: &str) -> Answer<Option<String>> {
        let Some((arn, uuid)) = mapping_of(resource) else {
            return Ok(None);
        };
        if arn.account_id != cx.account_id {
            return Err(Refusal::access_denied(None));
        }
        match arn.region == cx.region {
            true => Ok(Some(uuid)),
            false => Err(refusal(Error::NoSuchArn(resource.to_owned()))),
        }
    }
}

impl Lambda for EventSourceMappings {
    async fn create_event_source_mapping(
        &self,
        cx: &Context,
        input: api::CreateEventSourceMappingRequest,
    ) -> Answer<api::EventSourceMappingConfiguration> {
        let name = FunctionName::resolve(cx, &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            let mapping = this.create(&cx, &name, input).await?;
            let answer = shown(&mapping);
            this.0.wake.wake();
            Ok(answer)
        })
        .await
    }

    async fn get_event_source_mapping(
        &self,
        cx: &Context,
        input: api::GetEventSourceMappingRequest,
    ) -> Answer<api::EventSourceMappingConfiguration> {
        let mapping = self.find(cx, &input.uuid).map_err(refusal)?;
        Ok(shown(&mapping))
    }

    async fn update_event_source_mapping(
        &self,
        cx: &Context,
        input: api::UpdateEventSourceMappingRequest,
    ) -> Answer<api::EventSourceMappingConfiguration> {
        let name = input.function_name.as_deref();
        let name = name
            .map(|name| FunctionName::resolve(cx, name, None))
            .transpose()?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            let mapping = this.update(&cx, name.as_ref(), input).await?;
            let answer = shown(&mapping);
            this.0.wake.wake();
            Ok(answer)
        })
        .await
    }

    async fn list_event_source_mappings(
        &self,
        cx: &Context,
        input: api::ListEventSourceMappingsRequest,
    ) -> Answer<api::ListEventSourceMappingsResponse> {
        let name = input.function_name.as_deref();
        let name = name
            .map(|name| FunctionName::resolve(cx, name, None))
            .transpose()?;
        self.list(cx, name.as_ref(), &input).map_err(refusal)
    }

    async fn delete_event_source_mapping(
        &self,
        cx: &Context,
        input: api::DeleteEventSourceMappingRequest,
    ) -> Answer<api::EventSourceMappingConfiguration> {
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            let mapping = this.delete(&cx, &input.uuid).await?;
            let answer = shown(&mapping);
            this.0.wake.wake();
            Ok(answer)
        })
        .await
    }

    async fn tag_resource(&self, cx: &Context, input: api::TagResourceRequest) -> Answer<()> {
        let Some(uuid) = self.mapping_tagged(cx, &input.resource)? else {
            return self.0.functions.tag_resource(cx, input).await;
        };
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.tag(&cx, &uuid, input.tags).await }).await
    }

    async fn untag_resource(&self, cx: &Context, input: api::UntagResourceRequest) -> Answer<()> {
        let Some(uuid) = self.mapping_tagged(cx, &input.resource)? else {
            return self.0.functions.untag_resource(cx, input).await;
        };
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.untag(&cx, &uuid, &input.tag_keys).await }).await
    }

    async fn list_tags(
        &self,
        cx: &Context,
        input: api::ListTagsRequest,
    ) -> Answer<api::ListTagsResponse> {
        let Some(uuid) = self.mapping_tagged(cx, &input.resource)? else {
            return self.0.functions.list_tags(cx, input).await;
        };
        let tags = self.tags(cx, &uuid).map_err(refusal)?;
        Ok(api::ListTagsResponse { tags: Some(tags) })
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NotFound | Error::NoSuchArn(_) => errors::resource_not_found(message),
        Error::Exists { .. } => errors::resource_conflict(message),
        Error::InUse { .. } => errors::resource_in_use(message),
        Error::Invalid(_) | Error::Unsupported { .. } => errors::invalid_parameter_value(message),
        Error::Platform(source) => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            errors::service(message)
        }
    }
}
