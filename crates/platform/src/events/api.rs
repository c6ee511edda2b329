//! Asynchronous invocation in Lambda's API: the generated trait, of which these are some operations.
//! What is not about it is handed on to `functions`.

use wire::{
    Context, Error as Refusal,
    arn::Arn,
    lambda::{self as api, FunctionName, Lambda},
    schema::Operation,
};

use super::Events;
use crate::{
    functions::{AskedEventInvoke, Error, refusal, to_its_end},
    queues::definition::QueueKey,
};

type Answer<T> = Result<T, Refusal>;

/// Whether an operation of Lambda's is answered here.
pub fn owns(operation: &Operation) -> bool {
    matches!(
        operation.name,
        "Invoke"
            | "InvokeAsync"
            | "DeleteFunction"
            | "PutFunctionEventInvokeConfig"
            | "UpdateFunctionEventInvokeConfig"
            | "GetFunctionEventInvokeConfig"
            | "ListFunctionEventInvokeConfigs"
            | "DeleteFunctionEventInvokeConfig"
    )
}

impl Events {
    async fn event(&self, cx: &Context, input: api::InvocationRequest) -> Answer<()> {
        let asked = self.0.shared.functions.event(cx, input)?;
        let this = self.clone();
        to_its_end(async move { this.accept(asked).await }).await
    }

    /// Whether what is no function can be a destination.
    fn check_destination(&self, arn: &Arn) -> Result<(), Error> {
        let takes = || self.0.shared.deliveries.takes(&arn.to_string());
        match arn.service.as_str() {
            "sqs" => self.check_queue(arn),
            "sns" if arn.resource.ends_with(".fifo") => Err(Error::Invalid(format!(
                "The destination ARN {arn} is invalid: it has to be a standard topic."
            ))),
            "events" if !takes() => Err(Error::Unsupported {
                what: "An event bus as a destination",
            }),
            _ if takes() => Ok(()),
            _ => Err(Error::Invalid(format!(
                "The destination ARN {arn} is invalid."
            ))),
        }
    }

    fn check_queue(&self, arn: &Arn) -> Result<(), Error> {
        let queue = QueueKey::try_from(arn).ok();
        let queue = queue.filter(|key| self.0.shared.queues.find(key).is_some());
        match queue {
            None => Err(Error::Invalid(format!(
                "The destination ARN {arn} is invalid."
            ))),
            Some(key) if key.is_fifo() => Err(Error::Invalid(format!(
                "The destination ARN {arn} is invalid: it has to be a standard queue."
            ))),
            Some(_) => Ok(()),
        }
    }

    async fn put(
        &self,
        cx: &Context,
        name: FunctionName,
        asked: AskedEventInvoke,
        keep: bool,
    ) -> Answer<api::FunctionEventInvokeConfig> {
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            let check = |arn: &Arn| this.check_destination(arn);
            let functions = &this.0.shared.functions;
            functions
                .put_event_invoke(&cx, &name, asked, keep, check)
                .await
        })
        .await
    }
}

impl Lambda for Events {
    async fn invoke(
        &self,
        cx: &Context,
        input: api::InvocationRequest,
    ) -> Answer<api::InvocationResponse> {
        let functions = &self.0.shared.functions;
        let is_event = input.invocation_type.as_deref() == Some("Event");
        if !is_event || functions.takes_durably(cx, &input) {
            return functions.invoke(cx, input).await;
        }
        self.event(cx, input).await?;
        Ok(api::InvocationResponse {
            status_code: Some(202),
            ..api::InvocationResponse::default()
        })
    }

    /// Lambda's older form of the same.
    async fn invoke_async(
        &self,
        cx: &Context,
        input: api::InvokeAsyncRequest,
    ) -> Answer<api::InvokeAsyncResponse> {
        let invocation = api::InvocationRequest {
            function_name: input.function_name,
            payload: Some(input.invoke_args),
            ..api::InvocationRequest::default()
        };
        self.event(cx, invocation).await?;
        Ok(api::InvokeAsyncResponse { status: Some(202) })
    }

    /// The function's events go with it.
    async fn delete_function(
        &self,
        cx: &Context,
        input: api::DeleteFunctionRequest,
    ) -> Answer<api::DeleteFunctionResponse> {
        let shared = &self.0.shared;
        let deleted = shared.functions.delete_function(cx, input).await;
        shared.wake.wake();
        deleted
    }

    async fn put_function_event_invoke_config(
        &self,
        cx: &Context,
        input: api::PutFunctionEventInvokeConfigRequest,
    ) -> Answer<api::FunctionEventInvokeConfig> {
        let name = FunctionName::resolve(cx, &input.function_name, input.qualifier.as_deref())?;
        let asked = AskedEventInvoke {
            retries_max: input.maximum_retry_attempts,
            age_max_s: input.maximum_event_age_in_seconds,
            destinations: input.destination_config,
        };
        self.put(cx, name, asked, false).await
    }

    async fn update_function_event_invoke_config(
        &self,
        cx: &Context,
        input: api::UpdateFunctionEventInvokeConfigRequest,
    ) -> Answer<api::FunctionEventInvokeConfig> {
        let name = FunctionName::resolve(cx, &input.function_name, input.qualifier.as_deref())?;
        let asked = AskedEventInvoke {
            retries_max: input.maximum_retry_attempts,
            age_max_s: input.maximum_event_age_in_seconds,
            destinations: input.destination_config,
        };
        self.put(cx, name, asked, true).await
    }

    async fn get_function_event_invoke_config(
        &self,
        cx: &Context,
        input: api::GetFunctionEventInvokeConfigRequest,
    ) -> Answer<api::FunctionEventInvokeConfig> {
        let name = FunctionName::resolve(cx, &input.function_name, input.qualifier.as_deref())?;
        let functions = &self.0.shared.functions;
        functions.get_event_invoke(cx, &name).map_err(refusal)
    }

    async fn list_function_event_invoke_configs(
        &self,
        cx: &Context,
        input: api::ListFunctionEventInvokeConfigsRequest,
    ) -> Answer<api::ListFunctionEventInvokeConfigsResponse> {
        let name = FunctionName::resolve(cx, &input.function_name, None)?;
        let functions = &self.0.shared.functions;
        functions
            .list_event_invokes(cx, &name, &input)
            .map_err(refusal)
    }

    async fn delete_function_event_invoke_config(
        &self,
        cx: &Context,
        input: api::DeleteFunctionEventInvokeConfigRequest,
    ) -> Answer<()> {
        let name = FunctionName::resolve(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            this.0
                .shared
                .functions
                .delete_event_invoke(&cx, &name)
                .await
        })
        .await
    }
}
