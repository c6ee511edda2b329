//! One try to have a function take a batch.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::{Deps, Plan, batch::Batch, run::visibility_ms};
use crate::{
    functions::{self, execution::Invocation},
    queues::Queue,
    triggers::counts::add,
};

/// A batch that has waited no longer than this is not looked at anew.
const FRESH_MS: i64 = 1000;

pub struct Invoked {
    pub batch: Batch,
    pub ended: Ended,
}

pub enum Ended {
    Answered {
        answer: Bytes,
        took_ms: f64,
    },
    FunctionError {
        took_ms: f64,
    },
    /// Throttled, or the platform could not; later it may.
    Refused,
    NoFunction,
    /// None of its messages was this poller's any more.
    Nothing,
}

pub async fn invoke(deps: Deps, plan: Arc<Plan>, queue: Arc<Queue>, mut batch: Batch) -> Invoked {
    let Some(timeout_s) = deps.functions.timeout_s(&plan.function, plan.qualifier()) else {
        let ended = Ended::NoFunction;
        return Invoked { batch, ended };
    };
    refresh(&deps, &queue, &mut batch, i64::from(timeout_s) * 1000).await;
    if batch.entries.is_empty() {
        let ended = Ended::Nothing;
        return Invoked { batch, ended };
    }
    let invocation = Invocation {
        request_id: Uuid::new_v4().to_string(),
        payload: batch.event(),
        client_context: None,
        cognito_identity: None,
        invoked_function_arn: plan.function_arn.clone(),
        trace_id: batch.trace_header(),
        log_tail: false,
    };
    let started = Instant::now();
    let outcome = deps
        .functions
        .run(&plan.function, plan.qualifier(), invocation)
        .await;
    let took_ms = started.elapsed().as_secs_f64() * 1000.0;
    let ended = match outcome {
        Ok(outcome) => {
            add(&deps.counts.invoked, batch.entries.len());
            match outcome.error {
                None => Ended::Answered {
                    answer: outcome.payload,
                    took_ms,
                },
                Some(_) => Ended::FunctionError { took_ms },
            }
        }
        Err(functions::Error::FunctionNotFound { .. } | functions::Error::AliasNotFound { .. }) => {
            Ended::NoFunction
        }
        Err(_) => Ended::Refused,
    };
    Invoked { batch, ended }
}

/// A batch that has waited gets the queue's whole visibility timeout anew if the function might
/// otherwise outlast it; what has become visible meanwhile is left out.
async fn refresh(deps: &Deps, queue: &Arc<Queue>, batch: &mut Batch, timeout_ms: i64) {
    let now_ms = deps.queues.clock().now_ms();
    let (waited_ms, whole_ms) = (now_ms - batch.since_ms, visibility_ms(queue));
    if waited_ms <= FRESH_MS || waited_ms + timeout_ms <= whole_ms {
        return;
    }
    let changes: Vec<_> = batch
        .receipts()
        .into_iter()
        .map(|it| (it, whole_ms))
        .collect();
    let changed = deps.queues.change_visibility_if_held(queue, &changes).await;
    let mut changed = changed.iter();
    let held: Vec<bool> = changed.by_ref().map(Result::is_ok).collect();
    let mut held = held.into_iter();
    batch.retain(|_| held.next().unwrap_or(false));
    batch.since_ms = now_ms;
}
