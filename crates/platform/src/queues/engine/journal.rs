//! The way of all changes into the store: decided in memory, written here in the order in which
//! they were decided, as many in a transaction as have come while the last one was committed.
//!
//! What is committed is then told to memory (a message sent is not to be seen before), and to who
//! waits. When a transaction fails, what memory has decided since is not to be trusted: the queues
//! it concerns are marked to be read anew, and what waits for them fails with it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    EngineError, Queue,
    dedup::DedupKey,
    limits,
    rows::{DedupRow, MessageRow, MoveRow, Rows},
    sequence::Sequence,
    state::{Entry, Standing},
};
use crate::queues::{definition::QueueId, message::Sent};

/// One thing that becomes different in a queue.
pub enum Change {
    /// A message that is sent.
    Insert {
        sequence: i64,
        entry: Entry,
        blob: Vec<u8>,
        dedup: Option<(DedupKey, Sent)>,
    },
    /// A message from another queue.
    Move {
        from: Arc<Queue>,
        old: i64,
        sequence: i64,
        entry: Entry,
        /// Its content, if that changes.
        blob: Option<Vec<u8>>,
    },
    Standing(Standing),
    Delete(i64),
}

/// Changes of one queue that are written together. Without any it only waits for those before.
pub struct Submission {
    pub queue: Arc<Queue>,
    pub changes: Vec<Change>,
    pub reply: Option<oneshot::Sender<Result<(), EngineError>>>,
    pub room: Option<OwnedSemaphorePermit>,
}

pub struct Journal {
    store: Store,
    sequence: Arc<Sequence>,
    room: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    submissions: std::collections::VecDeque<Submission>,
    is_running: bool,
}

impl Journal {
    pub fn new(store: Store, sequence: Arc<Sequence>) -> Arc<Self> {
        Arc::new(Self {
            store,
            sequence,
            room: Arc::new(Semaphore::new(limits::WAITING_KIB_MAX)),
            waiting: Mutex::default(),
        })
    }

    /// Waits until so many bytes may wait.
    pub async fn room(&self, bytes: usize) -> OwnedSemaphorePermit {
        let kib = (bytes / 1024 + 1).min(limits::WAITING_KIB_MAX / 2);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(kib).await;
        room.expect("the semaphore is never closed")
    }

    /// To be called with the queue's state locked, so that the order is that of the decisions.
    pub fn submit(self: &Arc<Self>, submission: Submission) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.submissions.push_back(submission);
        if !waiting.is_running {
            waiting.is_running = true;
            tokio::spawn(self.clone().run());
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(mut batch) = self.next() {
            match self.write(rows_of(&mut batch)).await {
                Ok(()) => batch.into_iter().for_each(settle),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "write messages");
                    self.fail(batch, &error.into());
                }
            }
        }
    }

    /// What goes into the next transaction. With nothing left the task ends.
    fn next(&self) -> Option<Vec<Submission>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut changes, mut bytes) = (0, 0);
        let mut batch = Vec::new();
        while let Some(next) = waiting.submissions.front() {
            let fits = changes + next.changes.len() <= limits::BATCH_CHANGES_MAX
                && bytes <= limits::BATCH_BYTES_MAX;
            if !batch.is_empty() && !fits {
                break;
            }
            changes += next.changes.len();
            bytes += next.changes.iter().map(Change::bytes).sum::<usize>();
            batch.extend(waiting.submissions.pop_front());
        }
        waiting.is_running = !batch.is_empty();
        (!batch.is_empty()).then_some(batch)
    }

    async fn write(&self, mut rows: Rows) -> store::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        rows.floor_ms = rows
            .highest()
            .and_then(|highest| self.sequence.floor_to_store(highest));
        let floor_ms = rows.floor_ms;
        self.store.write(move |tx| rows.write(tx)).await?;
        if let Some(floor_ms) = floor_ms {
            self.sequence.floor_stored(floor_ms);
        }
        Ok(())
    }

    /// The queues of the batch are to be read anew, and what was decided on them since is void.
    fn fail(&self, batch: Vec<Submission>, error: &EngineError) {
        for submission in &batch {
            submission.concerned(|queue| queue.lock().is_stale = true);
        }
        // Nothing more is submitted for them now: whoever locks them sees that they are stale.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let submissions = std::mem::take(&mut waiting.submissions);
        drop(waiting);
        let stale = stale_of(&batch);
        let is_void = |submission: &Submission| {
            let mut void = false;
            submission.concerned(|queue| void |= stale.contains(&queue.id));
            void
        };
        let (void, kept): (Vec<_>, Vec<_>) = submissions.into_iter().partition(is_void);
        // A message that was to move from one of them to another queue is in neither memory now.
        for submission in &void {
            submission.concerned(|queue| queue.lock().is_stale = true);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let later = std::mem::take(&mut waiting.submissions);
        waiting.submissions = kept.into_iter().chain(later).collect();
        drop(waiting);
        for submission in batch.into_iter().chain(void) {
            if let Some(reply) = submission.reply {
                let _ = reply.send(Err(error.clone()));
            }
            submission.queue.wake.notify_one();
        }
    }
}

fn stale_of(batch: &[Submission]) -> HashSet<QueueId> {
    let mut stale = HashSet::new();
    for submission in batch {
        submission.concerned(|queue| {
            stale.insert(queue.id);
        });
    }
    stale
}

impl Submission {
    /// Its queue, and those that messages come from.
    fn concerned(&self, mut act: impl FnMut(&Queue)) {
        act(&self.queue);
        for change in &self.changes {
            if let Change::Move { from, .. } = change {
                act(from);
            }
        }
    }
}

/// Takes what is to be stored out of a batch. Of a message that is deleted in it nothing else is
/// written, and of several standings the last.
fn rows_of(batch: &mut [Submission]) -> Rows {
    let mut rows = Rows::default();
    let mut standings = HashMap::new();
    let mut deleted = HashSet::new();
    for submission in batch {
        let queue = submission.queue.id;
        for change in &mut submission.changes {
            match change {
                Change::Insert {
                    sequence,
                    entry,
                    blob,
                    dedup,
                } => {
                    rows.messages.push(MessageRow::new(queue, *sequence, entry));
                    rows.bodies.push((*sequence, std::mem::take(blob)));
                    rows.dedups.extend(dedup.map(|(key, sent)| DedupRow {
                        queue,
                        at_ms: entry.sent_at_ms,
                        key,
                        sent,
                    }));
                }
                Change::Move {
                    from,
                    old,
                    sequence,
                    entry,
                    blob,
                } => rows.moves.push(MoveRow {
                    from: from.id,
                    old: *old,
                    row: MessageRow::new(queue, *sequence, entry),
                    body: blob.take(),
                }),
                Change::Standing(standing) => {
                    standings.insert((queue, standing.sequence), *standing);
                }
                Change::Delete(sequence) => {
                    if deleted.insert((queue, *sequence)) {
                        rows.deletes.push((queue, *sequence));
                    }
                }
            }
        }
    }
    let kept = standings
        .into_iter()
        .filter(|(key, _)| !deleted.contains(key));
    rows.standings = kept
        .map(|((queue, _), standing)| (queue, standing))
        .collect();
    // Neighbours lie in the same page.
    rows.standings
        .sort_unstable_by_key(|(queue, standing)| (*queue, standing.sequence));
    rows.deletes.sort_unstable();
    rows
}

/// It is durable: memory learns of it, and who waits.
fn settle(submission: Submission) {
    let Submission {
        queue,
        changes,
        reply,
        room,
    } = submission;
    drop(room);
    queue.committed(changes);
    if let Some(reply) = reply {
        let _ = reply.send(Ok(()));
    }
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Insert { blob, .. } => blob.len() + 128,
            Change::Move { blob, .. } => blob.as_ref().map_or(0, Vec::len) + 128,
            Change::Standing(_) | Change::Delete(_) => 64,
        }
    }
}
