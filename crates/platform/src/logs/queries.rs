//! Queries of Insights while they run and for a while after: in memory, as their answers are only
//! for whoever asked.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    error::{Error, Result},
    insights::{Query, Row, Run, Source, Statistics},
    limits,
    lines::{GroupKey, Logs, frame::Frame},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Scheduled,
    Running,
    Complete,
    Failed,
    Cancelled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Running => "Running",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    fn has_ended(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Running)
    }
}

/// What is asked.
pub struct Asked {
    pub id: String,
    pub account_id: String,
    pub region: String,
    pub groups: Vec<(GroupKey, i64)>,
    /// As it is shown.
    pub text: String,
    pub query: Query,
    pub limit: Option<usize>,
    /// From the first of these on and before the second, in milliseconds.
    pub since_ms: i64,
    pub until_ms: i64,
    pub now_ms: i64,
}

/// A query and what has come of it.
pub struct Entry {
    pub asked: Asked,
    is_cancelled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone)]
pub struct State {
    pub status: Status,
    pub rows: Arc<Vec<Row>>,
    pub statistics: Statistics,
}

pub struct Queries {
    known: Mutex<VecDeque<Arc<Entry>>>,
    turns: Arc<Semaphore>,
}

impl Default for Queries {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turns: Arc::new(Semaphore::new(limits::QUERIES_RUNNING_MAX)),
        }
    }
}

impl Queries {
    /// Takes a query; it is answered when its turn comes.
    pub fn start(self: &Arc<Self>, logs: Logs, asked: Asked) -> Result<()> {
        let entry = Arc::new(Entry {
            asked,
            is_cancelled: AtomicBool::new(false),
            state: Mutex::new(State {
                status: Status::Scheduled,
                rows: Arc::default(),
                statistics: Statistics::default(),
            }),
        });
        let mut known = self.lock();
        let waits = |other: &&Arc<Entry>| {
            other.asked.account_id == entry.asked.account_id && !other.state().status.has_ended()
        };
        if known.iter().filter(waits).count() >= limits::QUERIES_WAITING_MAX {
            return Err(Error::OverLimit);
        }
        known.push_back(entry.clone());
        drop(known);
        let (queries, turns) = (self.clone(), self.turns.clone());
        tokio::spawn(async move {
            // Never closed.
            let _turn = turns.acquire().await;
            let running = entry.clone();
            let ended = spawn_blocking(move || running.run(&logs)).await;
            if let Err(error) = ended {
                tracing::error!(%error, "a query of logs ended badly");
                entry.end(Status::Failed, Vec::new(), Statistics::default());
            }
            queries.forget();
        });
        Ok(())
    }

    pub fn find(&self, account_id: &str, region: &str, id: &str) -> Option<Arc<Entry>> {
        let known = self.lock();
        let is_it = |entry: &&Arc<Entry>| entry.asked.id == id && entry.is_of(account_id, region);
        known.iter().find(is_it).cloned()
    }

    /// The newest first.
    pub fn list(&self, account_id: &str, region: &str) -> Vec<Arc<Entry>> {
        let known = self.lock();
        let of = known
            .iter()
            .rev()
            .filter(|entry| entry.is_of(account_id, region));
        of.cloned().collect()
    }

    /// The oldest go when there are too many, or too much in their answers.
    fn forget(&self) {
        let mut known = self.lock();
        let sizes: Vec<usize> = known.iter().map(|entry| entry.size()).collect();
        let (mut count, mut bytes) = (known.len(), sizes.iter().sum::<usize>());
        let mut sizes = sizes.into_iter();
        known.retain(|entry| {
            let size = sizes.next().unwrap_or(0);
            let is_too_much =
                count > limits::QUERIES_KEPT_MAX || bytes > limits::QUERY_ANSWERS_BYTES_MAX;
            let goes = is_too_much && entry.state().status.has_ended();
            if goes {
                count -= 1;
                bytes -= size;
            }
            !goes
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether it had not ended yet.
    pub fn cancel(&self) -> bool {
        self.is_cancelled.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        let is_it = !state.status.has_ended();
        if is_it {
            state.status = Status::Cancelled;
        }
        is_it
    }

    fn is_of(&self, account_id: &str, region: &str) -> bool {
        self.asked.account_id == account_id && self.asked.region == region
    }

    fn size(&self) -> usize {
        let rows = self.state().rows;
        let fields = rows.iter().flatten();
        fields
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum()
    }

    fn run(&self, logs: &Logs) {
        {
            let mut state = self.lock();
            if state.status.has_ended() {
                return;
            }
            state.status = Status::Running;
        }
        let asked = &self.asked;
        let mut run = Run::new(&asked.query, asked.limit, asked.now_ms);
        match self.read(logs, &mut run) {
            Ok(()) => {
                let (rows, statistics) = run.finish(|event| self.pointer(event));
                self.end(Status::Complete, rows, statistics);
            }
            Err(error) => {
                tracing::error!(%error, "a query of logs failed");
                self.end(Status::Failed, Vec::new(), run.statistics);
            }
        }
    }

    fn read(&self, logs: &Logs, run: &mut Run) -> std::io::Result<()> {
        let asked = &self.asked;
        for (number, (key, kept_since_ms)) in asked.groups.iter().enumerate() {
            let log: Arc<str> = format!("{}:{}", key.account_id, key.name).into();
            let since_ms = asked.since_ms.max(*kept_since_ms);
            let visit = |at, frame: &Frame<'_>| {
                if self.is_cancelled.load(Ordering::Relaxed) || run.is_full() {
                    return ControlFlow::Break(());
                }
                run.take(Source {
                    timestamp_ms: frame.timestamp_ms,
                    ingested_ms: frame.ingested_ms,
                    message: String::from_utf8_lossy(frame.message).into_owned(),
                    stream: String::from_utf8_lossy(frame.stream).into_owned(),
                    log: log.clone(),
                    place: (number, at),
                });
                ControlFlow::Continue(())
            };
            logs.group(key)
                .view()?
                .each(since_ms, asked.until_ms, visit)?;
        }
        Ok(())
    }

    fn pointer(&self, event: &Source) -> String {
        let (group, at) = event.place;
        let key = self.asked.groups.get(group).map(|(key, _)| key);
        key.map(|key| super::api::pointer(key, at))
            .unwrap_or_default()
    }

    fn end(&self, status: Status, rows: Vec<Row>, statistics: Statistics) {
        let mut state = self.lock();
        if state.status.has_ended() {
            return;
        }
        *state = State {
            status,
            rows: Arc::new(rows),
            statistics,
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
