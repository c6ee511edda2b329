//! Receiving: handing messages out, at once or when there are some.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Engine, EngineError, Queue,
    journal::{Change, Submission},
    rows,
    state::{Entry, Limit, State, Taken, Terms},
    totals,
};
use crate::queues::{
    definition::Definition,
    message::{Receive, Received},
    receipt::Receipt,
    stored::Stored,
};

/// Messages that were taken, and their write if it is to be waited for.
struct Attempt {
    claims: Vec<(i64, Entry)>,
    dead: Vec<(i64, Entry)>,
    written: Option<oneshot::Receiver<Result<(), EngineError>>>,
    next: Next,
}

/// What to do when nothing was taken.
enum Next {
    Wait,
    Again,
    Page,
    Reload,
}

impl Engine {
    /// Hands out up to `receive.max` messages; waits for a first one as long as asked. Whoever
    /// stops waiting has received nothing.
    pub async fn receive(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        receive: Receive,
    ) -> Result<Vec<Received>, EngineError> {
        let received = self.receive_or_wait(queue, receive).await?;
        if !queue.key.is_internal() {
            self.totals.received(received.len());
            queue.totals.received(received.len());
        }
        Ok(received)
    }

    async fn receive_or_wait(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        receive: Receive,
    ) -> Result<Vec<Received>, EngineError> {
        let deadline = Instant::now() + Duration::from_millis(receive.wait_ms);
        let _waiter = (receive.wait_ms > 0).then(|| Waiter::new(queue));
        loop {
            let mut woken = std::pin::pin!(queue.wake.notified());
            woken.as_mut().enable();
            let mut paged = std::pin::pin!(queue.paged.notified());
            paged.as_mut().enable();
            let room = self.journal.room(0).await;
            let attempt = self.attempt(queue, &receive, room)?;
            if !attempt.dead.is_empty() {
                self.bury_to_the_end(queue, attempt.dead).await?;
            }
            if !attempt.claims.is_empty() {
                if let Some(written) = attempt.written {
                    written.await.unwrap_or(Err(EngineError::Gone))?;
                }
                let received = self.fill(queue, attempt.claims).await?;
                if !received.is_empty() {
                    return Ok(received);
                }
                continue;
            }
            match attempt.next {
                Next::Again => {}
                Next::Reload => self.reload(queue).await?,
                Next::Page => paged.await,
                Next::Wait if self.is_ending.load(Ordering::SeqCst) => return Ok(Vec::new()),
                Next::Wait if timeout_at(deadline, woken).await.is_err() => return Ok(Vec::new()),
                Next::Wait => {}
            }
        }
    }

    fn attempt(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        receive: &Receive,
        room: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<Attempt, EngineError> {
        let definition = queue.definition();
        let terms = self.terms(&definition, receive);
        let now_ms = self.clock.now_ms();
        let mut state = queue.lock();
        if state.is_gone {
            return Err(EngineError::Gone);
        }
        if state.is_stale {
            return Ok(Attempt::nothing(Next::Reload));
        }
        let taken = match self.again(&mut state, receive, &terms, now_ms) {
            Some(taken) => taken,
            None if !queue.is_fifo() && state.is_full_now(now_ms) => {
                return Err(EngineError::OverLimit);
            }
            None => state.take(now_ms, &terms),
        };
        if let Some(id) = &receive.attempt_id
            && !taken.claims.is_empty()
        {
            let messages = taken.claims.iter().map(|(s, entry)| (*s, entry.receives));
            let messages = messages.collect();
            state.attempts.remember(id, messages, now_ms);
        }
        let attempt = self.submit(queue, taken, room);
        self.page_if_low(queue, &mut state);
        let next = match &attempt {
            attempt if !attempt.dead.is_empty() => Next::Again,
            _ if state.window.is_paging() => Next::Page,
            _ => Next::Wait,
        };
        // The next receiver takes what this one left.
        queue.told(&mut state);
        Ok(Attempt { next, ..attempt })
    }

    fn terms(&self, definition: &Definition, receive: &Receive) -> Terms {
        let attributes = &definition.attributes;
        let redrive = attributes.redrive.as_ref();
        // A dead-letter queue that is not there takes nothing: the message stays.
        let redrive = redrive.filter(|redrive| self.find(&redrive.dead_letter_queue).is_some());
        let usual_ms = i64::from(attributes.visibility_timeout_s) * 1000;
        Terms {
            max: receive.max,
            visibility_ms: receive.visibility_timeout_ms.unwrap_or(usual_ms),
            retention_ms: i64::from(attributes.retention_s) * 1000,
            limit: redrive.map_or(Limit::None, |redrive| Limit::Receives(redrive.receives_max)),
        }
    }

    /// The messages of an attempt whose answer was lost, if they are all still its own.
    fn again(
        &self,
        state: &mut State,
        receive: &Receive,
        terms: &Terms,
        now_ms: i64,
    ) -> Option<Taken> {
        let messages = state
            .attempts
            .find(receive.attempt_id.as_deref()?, now_ms)?;
        state.advance(now_ms);
        state.take_again(&messages, now_ms, terms)
    }

    /// Sends what was decided on its way to the store, with the state locked.
    fn submit(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        taken: Taken,
        room: tokio::sync::OwnedSemaphorePermit,
    ) -> Attempt {
        totals::add(&self.totals.expired, taken.expired.len());
        let claims = taken.claims.iter();
        let claims = claims.map(|(sequence, entry)| Change::Standing(entry.standing(*sequence)));
        let expired = taken
            .expired
            .iter()
            .map(|sequence| Change::Delete(*sequence));
        let changes: Vec<Change> = claims.chain(expired).collect();
        let (reply, written) = match queue.is_fifo() {
            true => Some(oneshot::channel()).unzip(),
            false => (None, None),
        };
        if !changes.is_empty() {
            self.journal.submit(Submission {
                queue: queue.clone(),
                changes,
                reply,
                room: Some(room),
            });
        }
        Attempt {
            claims: taken.claims,
            dead: taken.dead,
            written,
            next: Next::Wait,
        }
    }

    /// Adds the contents, from memory or the store. What is gone from the store is left out.
    async fn fill(
        &self,
        queue: &Arc<Queue>,
        claims: Vec<(i64, Entry)>,
    ) -> Result<Vec<Received>, EngineError> {
        let missing = claims.iter().filter(|(_, entry)| entry.stored.is_none());
        let missing: Vec<i64> = missing.map(|(sequence, _)| *sequence).collect();
        let mut read = self.contents(missing).await?;
        let mut received = Vec::with_capacity(claims.len());
        for (sequence, entry) in claims {
            let held = entry.stored.as_ref().map(|cached| cached.stored().clone());
            match held.or_else(|| read.remove(&sequence)) {
                Some(stored) => received.push(message(queue, sequence, entry, &stored)),
                // It was purged meanwhile.
                None => drop(queue.lock().remove(sequence)),
            }
        }
        Ok(received)
    }

    /// Contents that are not in memory.
    pub(super) async fn contents(
        &self,
        sequences: Vec<i64>,
    ) -> Result<HashMap<i64, Arc<Stored>>, EngineError> {
        if sequences.is_empty() {
            return Ok(HashMap::new());
        }
        let bodies = self
            .store
            .read(move |tx| rows::bodies(tx, &sequences))
            .await?;
        let open = |(sequence, blob)| Ok((sequence, Arc::new(self.sealing.open_message(blob)?)));
        bodies.into_iter().map(open).collect()
    }
}

impl Attempt {
    fn nothing(next: Next) -> Self {
        Self {
            claims: Vec::new(),
            dead: Vec::new(),
            written: None,
            next,
        }
    }
}

fn message(queue: &Queue, sequence: i64, entry: Entry, stored: &Stored) -> Received {
    Received {
        message_id: stored.message_id,
        receipt: Receipt {
            queue: queue.id,
            sequence,
            receive: entry.receives,
        },
        content: stored.content.clone(),
        sent_at_ms: entry.sent_at_ms,
        first_received_at_ms: entry.first_received_ms,
        receive_count: entry.receives,
        sequence,
        group: entry.group,
        deduplication_id: stored.deduplication_id.clone(),
        dead_letter_source: entry.source.as_deref().map(str::to_owned),
    }
}

/// Somebody who waits: as long as there is one, timers wake the queue.
struct Waiter<'a>(&'a Queue);

impl<'a> Waiter<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.lock().waiters += 1;
        Self(queue)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiters -= 1;
        // The others still want to be woken.
        self.0.told(&mut state);
    }
}
