//! Durable executions in Lambda's API: the generated trait, of which these are some operations
//! ([`owns`] says which).

use std::sync::Arc;

use wire::{
    Context, Error as Refusal,
    lambda::{self as api, FunctionName, Lambda, errors},
    schema::Operation,
};

use super::{
    DurableExecutions, Inner,
    callback::Said,
    error::{Error, Result},
    view,
};

type Answer<T> = std::result::Result<T, Refusal>;

/// Whether an operation of Lambda's is answered here.
pub fn owns(operation: &Operation) -> bool {
    matches!(
        operation.name,
        "CheckpointDurableExecution"
            | "GetDurableExecution"
            | "GetDurableExecutionHistory"
            | "GetDurableExecutionState"
            | "ListDurableExecutionsByFunction"
            | "SendDurableExecutionCallbackFailure"
            | "SendDurableExecutionCallbackHeartbeat"
            | "SendDurableExecutionCallbackSuccess"
            | "StopDurableExecution"
    )
}

impl DurableExecutions {
    /// Runs something to its end also when the caller is gone by then: what it has changed in
    /// memory is to be stored.
    async fn to_its_end<T: Send + 'static, F>(&self, act: impl FnOnce(Arc<Inner>) -> F) -> Answer<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        match tokio::spawn(act(self.0.clone())).await {
            Ok(done) => done.map_err(refusal),
            Err(error) => Err(refusal(Error::platform(error))),
        }
    }

    async fn said(&self, cx: &Context, callback_id: String, said: Said) -> Answer<()> {
        let cx = cx.clone();
        self.to_its_end(|inner| async move { inner.callback(&cx, &callback_id, said).await })
            .await
    }
}

impl Lambda for DurableExecutions {
    async fn checkpoint_durable_execution(
        &self,
        cx: &Context,
        input: api::CheckpointDurableExecutionRequest,
    ) -> Answer<api::CheckpointDurableExecutionResponse> {
        let cx = cx.clone();
        self.to_its_end(|inner| async move { inner.checkpoint(&cx, input).await })
            .await
    }

    async fn get_durable_execution_state(
        &self,
        cx: &Context,
        input: api::GetDurableExecutionStateRequest,
    ) -> Answer<api::GetDurableExecutionStateResponse> {
        self.0.state(cx, input).await.map_err(refusal)
    }

    async fn get_durable_execution(
        &self,
        cx: &Context,
        input: api::GetDurableExecutionRequest,
    ) -> Answer<api::GetDurableExecutionResponse> {
        let cx = cx.clone();
        self.to_its_end(|inner| async move { inner.get(&cx, &input).await })
            .await
    }

    async fn get_durable_execution_history(
        &self,
        cx: &Context,
        input: api::GetDurableExecutionHistoryRequest,
    ) -> Answer<api::GetDurableExecutionHistoryResponse> {
        let cx = cx.clone();
        self.to_its_end(|inner| async move { inner.history(&cx, &input).await })
            .await
    }

    async fn list_durable_executions_by_function(
        &self,
        cx: &Context,
        input: api::ListDurableExecutionsByFunctionRequest,
    ) -> Answer<api::ListDurableExecutionsByFunctionResponse> {
        let qualifier = input.qualifier.as_deref();
        let name = FunctionName::resolve(cx, &input.function_name, qualifier)?;
        self.0.list(cx, &name, input).await.map_err(refusal)
    }

    async fn stop_durable_execution(
        &self,
        cx: &Context,
        input: api::StopDurableExecutionRequest,
    ) -> Answer<api::StopDurableExecutionResponse> {
        let cx = cx.clone();
        let error = input.error.map(view::read_error);
        let arn = input.durable_execution_arn;
        let stopped = self.to_its_end(|inner| async move { inner.stop(&cx, &arn, error).await });
        Ok(api::StopDurableExecutionResponse {
            stop_timestamp: view::at(stopped.await?),
        })
    }

    async fn send_durable_execution_callback_success(
        &self,
        cx: &Context,
        input: api::SendDurableExecutionCallbackSuccessRequest,
    ) -> Answer<api::SendDurableExecutionCallbackSuccessResponse> {
        let said = Said::Success(input.result);
        self.said(cx, input.callback_id, said).await?;
        Ok(api::SendDurableExecutionCallbackSuccessResponse {})
    }

    async fn send_durable_execution_callback_failure(
        &self,
        cx: &Context,
        input: api::SendDurableExecutionCallbackFailureRequest,
    ) -> Answer<api::SendDurableExecutionCallbackFailureResponse> {
        let said = Said::Failure(input.error.map(view::read_error).unwrap_or_default());
        self.said(cx, input.callback_id, said).await?;
        Ok(api::SendDurableExecutionCallbackFailureResponse {})
    }

    async fn send_durable_execution_callback_heartbeat(
        &self,
        cx: &Context,
        input: api::SendDurableExecutionCallbackHeartbeatRequest,
    ) -> Answer<api::SendDurableExecutionCallbackHeartbeatResponse> {
        self.said(cx, input.callback_id, Said::Heartbeat).await?;
        Ok(api::SendDurableExecutionCallbackHeartbeatResponse {})
    }
}

/// AWS's error for one of ours.
fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NotFound(_) => errors::resource_not_found(message),
        Error::Invalid(_) | Error::Token => errors::invalid_parameter_value(message),
        Error::CallbackTimeout(_) => errors::callback_timeout(message),
        Error::AlreadyStarted { .. } => errors::durable_execution_already_started(message),
        Error::Stopping => errors::service(message),
        Error::Platform { source, .. } => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            errors::service(message)
        }
    }
}
