//! GetDurableExecution.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{DurableConfig, GetDurableExecutionRequest, GetDurableExecutionResponse, TraceHeader},
};

use super::{Inner, error::Result, token, view};

impl Inner {
    pub(super) async fn get(
        self: &Arc<Self>,
        cx: &Context,
        input: &GetDurableExecutionRequest,
    ) -> Result<GetDurableExecutionResponse> {
        let arn = &input.durable_execution_arn;
        let lane = self.lane_of(cx, arn)?;
        let mut held = self.lock_named(&lane, arn).await?;
        held.state.pass_time(self.clock.now_ms());
        self.commit_if_due(&lane, &mut held).await?;
        let (head, operation) = (&held.state.head, &held.state.operations()[0]);
        let with_data = input.include_execution_data != Some(false);
        let error = operation.error.as_ref().filter(|_| with_data);
        let deadline = view::at(head.deadline_ms());
        Ok(GetDurableExecutionResponse {
            durable_execution_arn: arn.clone(),
            durable_execution_name: head.name.clone(),
            function_arn: token::function_arn(head),
            input_payload: operation.input.clone().filter(|_| with_data),
            result: operation.result.clone().filter(|_| with_data),
            error: error.map(view::error),
            start_timestamp: view::at(head.started_ms),
            status: head.status.as_str().to_owned(),
            end_timestamp: head.ended_ms.map(view::at),
            version: Some(head.version.clone()),
            trace_header: head.trace.clone().map(|header| TraceHeader {
                x_amzn_trace_id: Some(header),
            }),
            execution_data_included: Some(with_data),
            durable_config: Some(DurableConfig {
                kms_key_arn: None,
                retention_period_in_days: i32::try_from(head.retention_days).ok(),
                execution_timeout: i32::try_from(head.timeout_s).ok(),
            }),
            pause_details: None,
            expected_execution_timeout_timestamp: (!head.is_closed()).then_some(deadline),
        })
    }
}
