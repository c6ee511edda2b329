//! StopDurableExecution.

use std::sync::Arc;

use wire::Context;

use super::{
    Inner,
    core::{ErrorObject, Status},
    error::{Error, Result},
    limits,
};

impl Inner {
    /// Ends an execution; one that is over stays as it is. Gives when it ended. An invocation that
    /// runs comes to its end, but changes nothing any more.
    pub(super) async fn stop(
        self: &Arc<Self>,
        cx: &Context,
        arn: &str,
        error: Option<ErrorObject>,
    ) -> Result<i64> {
        if error
            .as_ref()
            .is_some_and(|error| error.bytes() > limits::ERROR_BYTES_MAX)
        {
            let max = limits::ERROR_BYTES_MAX;
            let why = format!("Error object size must be less than {max} bytes.");
            return Err(Error::Invalid(why));
        }
        let lane = self.lane_of(cx, arn)?;
        let mut held = self.lock_named(&lane, arn).await?;
        let now_ms = self.clock.now_ms();
        held.state.pass_time(now_ms);
        let error =
            error.unwrap_or_else(|| ErrorObject::message("Execution stopped by user request"));
        held.state.close(Status::Stopped, None, Some(error), now_ms);
        self.commit_if_due(&lane, &mut held).await?;
        Ok(held.state.head.ended_ms.unwrap_or(now_ms))
    }
}
