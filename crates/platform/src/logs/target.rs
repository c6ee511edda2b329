//! A log group as a target of deliveries: an event of a rule becomes a log event.

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use wire::Timestamp;

use super::{
    LogService,
    api::group_of,
    limits,
    lines::{
        Needs,
        frame::{EVENT_OVERHEAD_BYTES, Frame, Kind},
    },
};
use crate::deliveries::{Delivery, Failure, Parameters, Plan, Target};

#[async_trait]
impl Target for LogService {
    async fn plan(&self, _: &Delivery) -> Result<Plan, Failure> {
        Ok(Plan::Try)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let gone = || Failure::last("NO_RESOURCE", "The specified log group does not exist.");
        let key = group_of(&delivery.target).ok_or_else(gone)?;
        match self.groups.get(&key).await {
            Ok(_) => {}
            Err(super::Error::NoGroup) => return Err(gone()),
            Err(error) => return Err(Failure::again("SERVICE_ERROR", error.to_string())),
        }
        if !self.admits(delivery, &key) {
            return Err(delivery.not_allowed("logs:PutLogEvents"));
        }
        if delivery.body.len() + EVENT_OVERHEAD_BYTES > limits::BATCH_BYTES_MAX {
            let message = "The event is longer than a log event can be";
            return Err(Failure::last("INVALID_PARAMETER", message));
        }
        let now_ms = Timestamp::now().as_millisecond();
        let (mut stream, mut time_ms) = (None, None);
        if let Parameters::Logs(to) = &delivery.parameters {
            (stream, time_ms) = (to.stream.clone(), to.time_ms);
        }
        let oldest = now_ms - limits::EVENT_AGE_MAX_MS;
        let newest = now_ms + limits::EVENT_AHEAD_MAX_MS;
        let timestamp_ms = time_ms.unwrap_or(now_ms).clamp(oldest, newest);
        // As EventBridge names them: a stream for each event.
        let stream = stream.unwrap_or_else(|| delivery.id.clone());
        let (logs, body) = (self.groups.logs().clone(), delivery.body.clone());
        let put = spawn_blocking(move || {
            let frame = Frame {
                kind: Kind::Event,
                timestamp_ms,
                ingested_ms: now_ms,
                stream: stream.as_bytes(),
                message: body.as_bytes(),
            };
            logs.put(&key, &stream, Needs::Nothing, &[frame])
        });
        let put = put.await.map_err(|error| error.to_string());
        let put = put.and_then(|put| put.map_err(|error| error.to_string()));
        put.map_err(|error| Failure::again("SERVICE_ERROR", error))
    }
}

impl LogService {
    /// Whether a resource policy lets the sender in; a role of the group's account needs none.
    fn admits(&self, delivery: &Delivery, key: &super::GroupKey) -> bool {
        let asker = delivery.asker();
        if asker.principal.account_id() == Some(&key.account_id) {
            return true;
        }
        let from = &delivery.from;
        let resource = format!("{}:*", key.arn());
        self.policies.admit(
            &asker.principal,
            &key.account_id,
            &key.region,
            &resource,
            (&from.source_arn, &from.account_id),
            Timestamp::now(),
        )
    }
}
