//! One try with one event, from its queue to its end or its next try.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    deliveries::DeliveryMessages,
    events::{
        Shared,
        counts::{AGES_MAX, Counts, add, one},
        deliver::{Delivery, Message, Outgoing},
        event::Event,
        record::Over,
        verdict::{self, Cause, Past, Try, Verdict},
    },
    functions::{
        self, EventTerms,
        execution::{FunctionKey, Outcome},
    },
    queues::{EngineError, Queue, ReplaceError, message::Received},
};

/// What the worker has to know.
pub struct Ran {
    pub bytes: usize,
    /// There was no room for it.
    pub was_refused: bool,
}

pub async fn run(
    shared: Arc<Shared>,
    function: FunctionKey,
    queue: Arc<Queue>,
    message: Received,
) -> Ran {
    let bytes = message.content.body.len();
    let this = One {
        shared: &shared,
        function: &function,
        queue: &queue,
        message: &message,
    };
    Ran {
        bytes,
        was_refused: this.tried().await,
    }
}

struct One<'a> {
    shared: &'a Arc<Shared>,
    function: &'a FunctionKey,
    queue: &'a Arc<Queue>,
    message: &'a Received,
}

impl One<'_> {
    /// Says whether the function had no room for it.
    async fn tried(&self) -> bool {
        let Ok(event) = Event::read(&self.message.content) else {
            tracing::error!(queue = self.queue.key.name, "a stored event is damaged");
            self.replace(Vec::new()).await;
            return false;
        };
        let qualifier = event.qualifier.as_deref();
        let functions = &self.shared.functions;
        let Some(terms) = functions.event_terms(self.function, qualifier) else {
            return self.without_function(&event).await;
        };
        let past = self.past(&event);
        if let Some(cause) = verdict::before(&terms, past) {
            self.over(&event, &terms, Err(cause), None).await;
            return false;
        }
        let (tried, outcome) = self.invoke(&event, past).await;
        // The settings may have changed while it ran, and the function may be gone.
        let terms = functions
            .event_terms(self.function, qualifier)
            .unwrap_or(terms);
        // How old it is counts from the end of the run.
        match verdict::after(tried, &terms, self.past(&event)) {
            Verdict::Succeeded => self.over(&event, &terms, Ok(()), outcome.as_ref()).await,
            Verdict::GivenUp(cause) => {
                self.over(&event, &terms, Err(cause), outcome.as_ref())
                    .await;
            }
            Verdict::Again { after_s } => {
                let again = event.again(after_s);
                self.replace(vec![(self.queue.clone(), again)]).await;
            }
            Verdict::Wait { after_ms } => self.wait(after_ms).await,
        }
        tried == Try::NotRun
    }

    fn past(&self, event: &Event) -> Past {
        Past {
            age_ms: self.shared.queues.clock().now_ms() - event.accepted_at_ms,
            runs: event.runs,
            tries: self.message.receive_count,
        }
    }

    async fn invoke(&self, event: &Event, past: Past) -> (Try, Option<Outcome>) {
        let counts = &self.shared.counts;
        let age_ms = past.age_ms.max(0).unsigned_abs();
        add(&counts.age_ms, age_ms);
        self.shared.measure(self.function, |measured| {
            if measured.ages_ms.len() < AGES_MAX {
                measured.ages_ms.push(age_ms);
            }
        });
        let running = Running::enter(counts);
        let invocation = event.invocation();
        let ended = self
            .shared
            .functions
            .run(self.function, event.qualifier.as_deref(), invocation)
            .await;
        drop(running);
        match ended {
            Ok(outcome) => {
                one(&counts.runs);
                match outcome.error {
                    None => (Try::Succeeded, Some(outcome)),
                    Some(_) => {
                        one(&counts.failed_runs);
                        (Try::Failed, Some(outcome))
                    }
                }
            }
            Err(functions::Error::Recursive) => (Try::Recursive, None),
            Err(error) => {
                one(&counts.refused);
                let request_id = &event.request_id;
                tracing::debug!(request_id, %error, "an event could not run");
                (Try::NotRun, None)
            }
        }
    }

    /// The event is done or given up: it goes, and its destinations learn of it, together.
    async fn over(
        &self,
        event: &Event,
        terms: &EventTerms,
        ended: Result<(), Cause>,
        outcome: Option<&Outcome>,
    ) {
        let delivery = Delivery {
            shared: self.shared,
            function: self.function,
            terms,
            over: Over {
                event,
                function_arn: &terms.arn,
                condition: ended.map_or_else(Cause::as_str, |()| "Success"),
                runs: event.runs + u32::from(outcome.is_some()),
                outcome,
            },
        };
        let Outgoing {
            record,
            dead_letter,
        } = delivery.messages(ended.is_ok()).await;
        let (records, letters) = (record.iter().count(), dead_letter.iter().count());
        let mut delivered: Vec<DeliveryMessages> = record.into_iter().chain(dead_letter).collect();
        let messages = delivered.iter_mut().map(|all| mem::take(&mut all.messages));
        let replaced = self.replace(messages.flatten().collect()).await;
        // What was open for them may close.
        drop(delivered);
        if !replaced {
            return;
        }
        let counts = &self.shared.counts;
        add(&counts.destination_sent, records as u64);
        add(&counts.dead_letter_sent, letters as u64);
        if ended.is_err() {
            self.shared
                .measure(self.function, |measured| measured.dropped += 1);
        }
        one(match ended {
            Ok(()) => &counts.succeeded,
            Err(Cause::RetriesExhausted) => &counts.dropped.retries_exhausted,
            Err(Cause::EventAgeExceeded) => &counts.dropped.age_exceeded,
            Err(Cause::Recursive) => &counts.dropped.recursive,
            Err(Cause::ZeroReservedConcurrency) => &counts.dropped.zero_reserved_concurrency,
        });
    }

    /// The event goes, and these come in its place. Says whether that is so now.
    async fn replace(&self, messages: Vec<Message>) -> bool {
        let queues = &self.shared.queues;
        match queues
            .replace(self.queue, self.message.receipt, messages)
            .await
        {
            Ok(_) => true,
            // Somebody else has it, or its function is gone.
            Err(ReplaceError::NotHeld | ReplaceError::Engine(EngineError::Gone)) => false,
            // A target went meanwhile: what is there is looked at anew.
            Err(ReplaceError::NoTarget) => {
                self.wait(0).await;
                false
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    function = self.function.name,
                    "an event's end"
                );
                self.wait(crate::events::limits::WAIT_FIRST_MS).await;
                false
            }
        }
    }

    /// It is tried again after a time.
    async fn wait(&self, after_ms: i64) {
        let queues = &self.shared.queues;
        let changes = [(self.message.receipt, after_ms)];
        queues.change_visibility_if_held(self.queue, &changes).await;
    }

    /// The function is gone, or the version or alias that the event was for.
    async fn without_function(&self, event: &Event) -> bool {
        match self.shared.functions.born(self.function) {
            Some(_) => {
                let request_id = &event.request_id;
                tracing::warn!(
                    request_id,
                    arn = event.invoked_function_arn,
                    "an event's function is gone"
                );
                if self.replace(Vec::new()).await {
                    one(&self.shared.counts.dropped.deleted);
                }
            }
            None => {
                self.wait(crate::events::limits::WAIT_FIRST_MS).await;
                self.shared.wake.wake();
            }
        }
        true
    }
}

/// Counts an event while it runs.
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
