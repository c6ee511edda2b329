//! Reading a queue's messages into memory: all of them at the start and when memory is not to be
//! trusted any more, and page by page as a long backlog is worked off.

use std::sync::Arc;

use store::{Page, ReadTx};

use super::{
    Engine, EngineError, Queue,
    dedup::DedupKey,
    limits, rows,
    state::{Entry, State},
};
use crate::queues::{
    definition::{Definition, QUEUES, QueueId},
    message::Sent,
};

const DEFINITIONS_PAGE: u32 = 500;

/// All queues.
pub fn definitions(tx: &mut ReadTx) -> store::Result<Vec<Definition>> {
    let mut definitions: Vec<Definition> = Vec::new();
    loop {
        let last = definitions.last().map(|last| last.key.clone());
        let after = last
            .as_ref()
            .map(|key| [key.account_id.as_str(), &key.region, &key.name]);
        let page = Page {
            prefix: &[],
            after: after.as_ref().map(<[&str; 3]>::as_slice),
            limit: DEFINITIONS_PAGE,
        };
        let found = QUEUES.list(tx, page)?;
        let is_last = found.len() < DEFINITIONS_PAGE as usize;
        definitions.extend(found.into_iter().map(|stored| stored.record));
        if is_last {
            return Ok(definitions);
        }
    }
}

/// A queue as it is in the store.
struct Loaded {
    messages: Vec<(i64, Entry)>,
    /// How many more there are.
    beyond: i64,
    dedups: Vec<(i64, DedupKey, Sent)>,
}

/// Reads at least all that was ever handed out: what is in flight has to be in memory.
fn read(
    tx: &mut ReadTx,
    id: QueueId,
    after: i64,
    window: usize,
    since_ms: Option<i64>,
) -> store::Result<Loaded> {
    let (count, last_received) = rows::summary(tx, id, after)?;
    let mut messages: Vec<(i64, Entry)> = Vec::new();
    loop {
        let last = messages.last().map_or(after, |(sequence, _)| *sequence);
        if messages.len() >= window && last >= last_received {
            break;
        }
        let page = rows::page(tx, id, last, limits::PAGE)?;
        messages.extend(page.messages);
        if page.is_last {
            break;
        }
    }
    let dedups = match since_ms {
        Some(since_ms) => rows::dedups(tx, id, since_ms, limits::DEDUPS_PAGE)?,
        None => Vec::new(),
    };
    let beyond = count - i64::try_from(messages.len()).unwrap_or(count);
    Ok(Loaded {
        messages,
        beyond,
        dedups,
    })
}

impl Engine {
    /// Reads a queue that memory has nothing of.
    pub(super) async fn load(self: &Arc<Self>, queue: &Arc<Queue>) -> Result<(), EngineError> {
        while !self.try_load(queue).await? {}
        Ok(())
    }

    /// Says whether that is how it is now: not if it was purged while it was read.
    async fn try_load(self: &Arc<Self>, queue: &Arc<Queue>) -> Result<bool, EngineError> {
        let id = queue.id;
        let now_ms = self.clock.now_ms();
        let after = queue.lock().window.purged_until();
        let (window, since_ms) = match queue.is_fifo() {
            true => (
                limits::FIFO_WINDOW_MAX,
                Some(now_ms - limits::DEDUPLICATION_MS),
            ),
            false => (limits::WINDOW_MAX, None),
        };
        let read = self
            .store
            .read(move |tx| read(tx, id, after, window, since_ms));
        let loaded = read.await?;
        let mut state = queue.lock();
        if state.window.purged_until() != after {
            return Ok(false);
        }
        let held = state.in_flight_unwritten();
        state.clear();
        let horizon = loaded.messages.last().map_or(0, |(sequence, _)| *sequence);
        state.window.loaded(horizon, loaded.beyond);
        for (sequence, mut entry) in loaded.messages {
            if let Some(held) = held.get(&sequence) {
                entry.keep_receive(held);
            }
            if !state.window.is_staged(sequence) {
                state.add(sequence, entry.seen_at(now_ms), now_ms);
            }
        }
        state.loaded();
        state.dedups.clear();
        state.dedups.suspect();
        for (at_ms, key, sent) in loaded.dedups {
            state.dedups.remember(key, sent, at_ms.min(now_ms));
        }
        state.dedups.forget_until(after);
        state.is_stale = false;
        // Of those that wait for their time as many more are held as there are.
        self.page_if_low(queue, &mut state);
        queue.told(&mut state);
        Ok(true)
    }

    /// Reads a queue anew that memory and store disagree on.
    pub(super) async fn reload(self: &Arc<Self>, queue: &Arc<Queue>) -> Result<(), EngineError> {
        let _reloading = queue.reloading.lock().await;
        if !queue.lock().is_stale {
            return Ok(());
        }
        tracing::info!(queue = %queue.key.arn(), "reading a queue's messages anew");
        self.flush(queue).await;
        self.load(queue).await
    }

    /// Waits until all that was decided of a queue is written, or has failed.
    pub(super) async fn flush(&self, queue: &Arc<Queue>) {
        let (reply, written) = tokio::sync::oneshot::channel();
        let state = queue.lock();
        self.journal.submit(super::journal::Submission {
            queue: queue.clone(),
            changes: Vec::new(),
            reply: Some(reply),
            room: None,
        });
        drop(state);
        // Whether they were written is not of interest, only that they are over.
        let _ = written.await;
    }

    /// Begins to read the next page, if memory is running low and there is one.
    pub(super) fn page_if_low(self: &Arc<Self>, queue: &Arc<Queue>, state: &mut State) {
        if queue.is_low(state) && state.window.begin_page() {
            tokio::spawn(
                self.clone()
                    .page(queue.clone(), state.epoch, state.window.horizon()),
            );
        }
    }

    async fn page(self: Arc<Self>, queue: Arc<Queue>, epoch: u64, after: i64) {
        let id = queue.id;
        let read = self
            .store
            .read(move |tx| rows::page(tx, id, after, limits::PAGE));
        let read = read.await;
        let now_ms = self.clock.now_ms();
        let mut state = queue.lock();
        // Otherwise memory was filled anew meanwhile, and the page is of before.
        if state.epoch == epoch {
            match read {
                Ok(page) => {
                    let mut sequences: Vec<i64> = page.messages.iter().map(|(s, _)| *s).collect();
                    state.window.paged(&mut sequences, page.is_last);
                    let mut wanted = sequences.into_iter().peekable();
                    for (sequence, entry) in page.messages {
                        if wanted.next_if_eq(&sequence).is_some() {
                            state.add(sequence, entry.seen_at(now_ms), now_ms);
                        }
                    }
                    self.page_if_low(&queue, &mut state);
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "read messages");
                    // Whoever needs more reads it all, and is told if that fails, too.
                    state.is_stale = true;
                }
            }
            queue.told(&mut state);
        }
        drop(state);
        queue.paged.notify_waiters();
    }
}
