//! Pipes' API: the generated trait, and which of AWS's errors each of ours is.

use wire::{
    Context, Error as Refusal,
    pipes::{self as api, Pipes as Api, errors},
};

use super::{
    Pipes,
    change::{Changed, add_tags},
    error::Error,
    tables::Wanted,
};

type Answer<T> = Result<T, Refusal>;

/// The answer of an operation that changes a pipe: they are all alike.
macro_rules! changed {
    ($answer:ident, $changed:expr) => {{
        let Changed { record, phase } = $changed.map_err(refusal)?;
        Ok(api::$answer {
            arn: Some(record.key.arn()),
            name: Some(record.key.name.clone()),
            desired_state: Some(record.wanted.as_str().to_owned()),
            current_state: Some(phase.as_str().to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
        })
    }};
}

impl Api for Pipes {
    async fn create_pipe(
        &self,
        cx: &Context,
        input: api::CreatePipeRequest,
    ) -> Answer<api::CreatePipeResponse> {
        changed!(CreatePipeResponse, self.create(cx, input).await)
    }

    async fn update_pipe(
        &self,
        cx: &Context,
        input: api::UpdatePipeRequest,
    ) -> Answer<api::UpdatePipeResponse> {
        changed!(UpdatePipeResponse, self.update(cx, input).await)
    }

    async fn start_pipe(
        &self,
        cx: &Context,
        input: api::StartPipeRequest,
    ) -> Answer<api::StartPipeResponse> {
        changed!(
            StartPipeResponse,
            self.want(cx, &input.name, Wanted::Running).await
        )
    }

    async fn stop_pipe(
        &self,
        cx: &Context,
        input: api::StopPipeRequest,
    ) -> Answer<api::StopPipeResponse> {
        changed!(
            StopPipeResponse,
            self.want(cx, &input.name, Wanted::Stopped).await
        )
    }

    async fn delete_pipe(
        &self,
        cx: &Context,
        input: api::DeletePipeRequest,
    ) -> Answer<api::DeletePipeResponse> {
        changed!(
            DeletePipeResponse,
            self.want(cx, &input.name, Wanted::Deleted).await
        )
    }

    async fn describe_pipe(
        &self,
        cx: &Context,
        input: api::DescribePipeRequest,
    ) -> Answer<api::DescribePipeResponse> {
        self.described(cx, &input.name).map_err(refusal)
    }

    async fn list_pipes(
        &self,
        cx: &Context,
        input: api::ListPipesRequest,
    ) -> Answer<api::ListPipesResponse> {
        self.listed(cx, &input).map_err(refusal)
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceRequest,
    ) -> Answer<api::ListTagsForResourceResponse> {
        let pipe = self.find_by_arn(cx, &input.resource_arn).map_err(refusal)?;
        let tags = pipe.record().tags.clone().into_iter().collect();
        Ok(api::ListTagsForResourceResponse { tags: Some(tags) })
    }

    async fn tag_resource(
        &self,
        cx: &Context,
        input: api::TagResourceRequest,
    ) -> Answer<api::TagResourceResponse> {
        let tagged = self.retag(cx, &input.resource_arn, |held| add_tags(held, input.tags));
        tagged.await.map_err(refusal)?;
        Ok(api::TagResourceResponse {})
    }

    async fn untag_resource(
        &self,
        cx: &Context,
        input: api::UntagResourceRequest,
    ) -> Answer<api::UntagResourceResponse> {
        let untagged = self.retag(cx, &input.resource_arn, |held| {
            held.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        });
        untagged.await.map_err(refusal)?;
        Ok(api::UntagResourceResponse {})
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoPipe(_) => errors::not_found(message),
        Error::Exists(_) | Error::Conflict(_) => errors::conflict(message),
        Error::Invalid(_) | Error::Unsupported(_) => errors::validation(message),
        Error::OverLimit => errors::service_quota_exceeded(message),
        Error::Platform(source) => {
            let source = &*source as &dyn std::error::Error;
            tracing::error!(error = source, "a request failed");
            errors::internal(message)
        }
    }
}
