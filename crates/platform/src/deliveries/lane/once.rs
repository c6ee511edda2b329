//! One try with one delivery, from its lane to its end or its next try.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    deliveries::{
        Delivery, Failure, Plan, Shared,
        counts::{Counts, one},
        limits,
        outgoing::Outgoing,
        retry::{Cause, Past, Verdict},
        stored,
    },
    queues::{
        EngineError, Queue, ReplaceError,
        message::{NewMessage, Received},
    },
};

/// What the worker has to know.
pub enum Ended {
    Made,
    /// The target did not take it.
    Failed,
    Other,
}

pub async fn run(shared: Arc<Shared>, queue: Arc<Queue>, message: Received) -> Ended {
    // The semaphore is never closed.
    let _permit = shared.tries.clone().acquire_owned().await;
    let this = One {
        shared: &shared,
        queue: &queue,
        message: &message,
    };
    this.tried().await
}

struct One<'a> {
    shared: &'a Arc<Shared>,
    queue: &'a Arc<Queue>,
    message: &'a Received,
}

impl One<'_> {
    async fn tried(&self) -> Ended {
        let Ok(delivery) = stored::read(&self.message.content) else {
            tracing::error!(lane = self.queue.key.name, "a stored delivery is damaged");
            self.replace(Vec::new()).await;
            return Ended::Other;
        };
        if delivery.retry.is_over(self.age_ms()) {
            self.give_up(&delivery, None, Cause::AgeExceeded).await;
            return Ended::Other;
        }
        let counts = &self.shared.counts;
        one(&counts.tries);
        let running = Running::enter(counts);
        let tried = tokio::time::timeout(limits::TRY_WITHIN, self.attempt(&delivery)).await;
        drop(running);
        let tried = tried.unwrap_or_else(|_| {
            Err(Failure::again(
                "TIMEOUT",
                "The target did not answer in time",
            ))
        });
        let messages = match tried {
            Ok(messages) => messages,
            Err(failure) => {
                one(&counts.failed_tries);
                self.failed(&delivery, &failure).await;
                return Ended::Failed;
            }
        };
        if self.replace(messages).await {
            one(&counts.delivered);
        }
        Ended::Made
    }

    /// Gives the messages by which it is made, if it is made by such; otherwise it is made.
    async fn attempt(&self, delivery: &Delivery) -> Result<Vec<(Arc<Queue>, NewMessage)>, Failure> {
        match self.shared.plan(delivery).await? {
            Plan::Message(queue, message) => Ok(vec![(queue, message)]),
            Plan::Spread(more) => {
                let resolved = self.shared.resolve(more).await;
                let resolved =
                    resolved.map_err(|error| Failure::again("InternalError", error.to_string()))?;
                Ok(resolved.into_iter().map(Outgoing::pair).collect())
            }
            Plan::Try => {
                let kind = delivery.kind();
                let target = self.shared.target(kind);
                let target = target.ok_or_else(|| Failure::again("InternalError", kind))?;
                target.deliver(delivery).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn failed(&self, delivery: &Delivery, failure: &Failure) {
        let past = Past {
            age_ms: self.age_ms(),
            tries: self.message.receive_count,
        };
        let verdict = delivery.retry.after(past, failure.is_final, random());
        let target = delivery.target.as_str();
        tracing::debug!(target, %failure, ?verdict, "a delivery failed");
        match verdict {
            Verdict::Again { after_ms } => self.wait(after_ms).await,
            Verdict::GivenUp(cause) => self.give_up(delivery, Some(failure), cause).await,
        }
    }

    /// The delivery goes, and its dead letter comes in its place.
    async fn give_up(&self, delivery: &Delivery, failure: Option<&Failure>, cause: Cause) {
        let counts = &self.shared.counts;
        let retries = self.message.receive_count.saturating_sub(1);
        let source = delivery.from.source_arn.as_str();
        let target = delivery.target.as_str();
        tracing::info!(
            source,
            target,
            failure = failure.map(tracing::field::display),
            "a delivery is given up"
        );
        let mut letters = Vec::new();
        if let Some(letter) = &delivery.dead_letter {
            let why = (failure, cause, retries);
            match self.shared.dead_letter(delivery, letter, why).await {
                Ok(message) => letters.push(message),
                Err(error) => {
                    one(&counts.dead_letter_errors);
                    tracing::warn!(source, queue = letter.arn, %error, "a dead letter cannot be sent");
                }
            }
        }
        let outcome = match letters.is_empty() {
            true => &counts.dropped,
            false => &counts.dead_lettered,
        };
        if self.replace(letters).await {
            one(outcome);
        }
    }

    /// The delivery goes, and these come in its place. Says whether that is so now.
    async fn replace(&self, messages: Vec<(Arc<Queue>, NewMessage)>) -> bool {
        let queues = &self.shared.queues;
        let replaced = queues
            .replace(self.queue, self.message.receipt, messages)
            .await;
        match replaced {
            Ok(_) => true,
            // Somebody else has it.
            Err(ReplaceError::NotHeld | ReplaceError::Engine(EngineError::Gone)) => false,
            // A target went meanwhile: what is there is looked at anew.
            Err(ReplaceError::NoTarget) => {
                self.wait(limits::WAIT_FIRST_MS).await;
                false
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    lane = self.queue.key.name,
                    "a delivery's end"
                );
                self.wait(limits::WAIT_FIRST_MS).await;
                false
            }
        }
    }

    async fn wait(&self, after_ms: i64) {
        let changes = [(self.message.receipt, after_ms)];
        let queues = &self.shared.queues;
        queues.change_visibility_if_held(self.queue, &changes).await;
    }

    fn age_ms(&self) -> i64 {
        self.shared.queues.clock().now_ms() - self.message.sent_at_ms
    }
}

/// From 0 up to 1, for the jitter of retries.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all wait as long.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.0,
    }
}

/// Counts a try while it runs.
struct Running<'a>(&'a Counts);

impl<'a> Running<'a> {
    fn enter(counts: &'a Counts) -> Self {
        one(&counts.running);
        Self(counts)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
