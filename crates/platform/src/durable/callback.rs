//! SendDurableExecutionCallbackSuccess, Failure and Heartbeat: others answer what an execution waits
//! for.

use std::sync::Arc;

use bytes::Bytes;
use wire::Context;

use super::{
    Inner,
    core::{ErrorObject, Kind},
    error::{Error, Result},
    limits, token,
};

/// What is said of a callback.
pub enum Said {
    Success(Option<Bytes>),
    Failure(ErrorObject),
    Heartbeat,
}

impl Inner {
    pub(super) async fn callback(
        self: &Arc<Self>,
        cx: &Context,
        callback_id: &str,
        said: Said,
    ) -> Result<()> {
        let unknown = || Error::NotFound(format!("Callback not found: {callback_id}"));
        let (execution, operation) = token::of_callback(callback_id).ok_or_else(unknown)?;
        let answer = match said {
            Said::Heartbeat => None,
            Said::Success(result) => Some(Ok(text(result)?)),
            Said::Failure(error) if error.bytes() > limits::ERROR_BYTES_MAX => {
                let max = limits::ERROR_BYTES_MAX;
                let why = format!("Error object size must be less than {max} bytes.");
                return Err(Error::Invalid(why));
            }
            Said::Failure(error) => Some(Err(error)),
        };
        let lane = self.lanes.get(&execution);
        let held = self.lock(&lane).await?;
        let mut held = held
            .filter(|held| {
                let head = &held.state.head;
                let known = held.state.get(&operation);
                head.account_id == cx.account_id
                    && head.region == cx.region
                    && known.is_some_and(|known| known.kind == Kind::Callback)
            })
            .ok_or_else(unknown)?;
        let now_ms = self.clock.now_ms();
        held.state.pass_time(now_ms);
        let was_open = match answer {
            None => held.state.heartbeat(&operation, now_ms),
            Some(answer) => held.state.complete_callback(&operation, answer, now_ms),
        };
        self.commit_if_due(&lane, &mut held).await?;
        match was_open {
            true => Ok(()),
            false => Err(Error::CallbackTimeout(format!(
                "The callback {callback_id} has timed out or has been completed already."
            ))),
        }
    }
}

fn text(result: Option<Bytes>) -> Result<Option<String>> {
    let result = result.filter(|result| !result.is_empty());
    let text = result.map(|result| String::from_utf8(result.into()));
    text.transpose()
        .map_err(|_| Error::Invalid("The result of a callback has to be UTF-8.".into()))
}
