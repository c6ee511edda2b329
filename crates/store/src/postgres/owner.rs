//! One owner of a database, and no write of the one before it.
//!
//! Two things make the owner. An advisory lock of a session of its own says that it lives: the
//! server lets go of it when the process dies, so that the next one takes over at once. But that
//! session can end while the process does not (a network that is cut, a process that is stopped),
//! so each owner also leaves a *claim* in a table, a name nobody else uses, and each write
//! transaction looks whether that is still there:
//!
//! ```text
//! a writer                                       the next owner
//! BEGIN SERIALIZABLE                             BEGIN
//! LOCK TABLE store_owner IN ROW SHARE MODE       LOCK TABLE store_owner IN EXCLUSIVE MODE
//! INSERT the mark, if the claim is ours          UPDATE store_owner SET claim = ...
//! ... COMMIT                                     COMMIT
//! ```
//!
//! The two modes exclude each other and writers do not exclude writers. LOCK TABLE comes before the
//! transaction's snapshot, so whoever gets the lock after the next owner sees its claim, and whoever
//! had it before has ended when the next owner begins to read. SERIALIZABLE alone would not do:
//! "wrote first, in an order that could have been" is no help to somebody who has read already. The
//! lock is one that the server keeps in the session's own memory, and writes nothing.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::ToSql;

use super::error::classify;
use super::mark;
use super::server::{self, Server, Wire};
use crate::error::{Error, Result};
use crate::limits;
use crate::owner::{Owner, Tenure, named};

/// Any number of ours: who makes the table holds this advisory lock.
const TABLE_LOCK: i64 = 0x6c61_6d62_656e_7402;
/// The owner's advisory lock: a number of ours, which is no half of the others', and the table's, so
/// that stores in several schemas of one database do not exclude each other.
const OWNER_LOCK: &str = "1870098034, 'store_owner'::regclass::oid::int4";

/// Of one row. `epoch` counts the owners there have been.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS store_owner (\
         single BOOLEAN PRIMARY KEY DEFAULT true CHECK (single), epoch BIGINT NOT NULL, \
         claim TEXT NOT NULL, host TEXT NOT NULL, pid BIGINT NOT NULL, since TEXT NOT NULL); \
     INSERT INTO store_owner (epoch, claim, host, pid, since) VALUES (0, '', '', 0, '') \
         ON CONFLICT DO NOTHING";

const SHARE: &str = "LOCK TABLE store_owner IN ROW SHARE MODE";
const LOOK: &str = "SELECT claim, host, pid, since FROM store_owner";

/// Ends those who hold [`SHARE`]: sessions of the owner before, as nobody else's writers do.
const END_WRITERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks \
     WHERE relation = 'store_owner'::regclass AND mode = 'RowShareLock' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// How this process's writers see that they still may write.
pub(super) struct Fence {
    claim: String,
    lost: watch::Sender<Option<Error>>,
}

impl Fence {
    /// Fails once the store is known to be lost, without asking anybody.
    pub fn check(&self) -> Result<()> {
        self.lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// To be run first in a transaction; gives one row if this process is the owner, and makes
    /// that last until the transaction ends.
    pub fn hold(&self) -> String {
        format!("{SHARE}; SELECT 1 FROM {}", self.condition())
    }

    /// The same in one with what a write transaction has to insert; one row of it is inserted.
    pub fn hold_and_insert(&self, mark: &mark::Mark) -> String {
        format!("{SHARE}; {}", mark.insert_if(&self.condition()))
    }

    fn condition(&self) -> String {
        // Made of hexadecimal digits.
        format!("store_owner WHERE claim = '{}'", self.claim)
    }

    /// Whether what [`Fence::hold`] or [`Fence::hold_and_insert`] was answered lets the
    /// transaction go on.
    pub fn holds(answer: &[SimpleQueryMessage]) -> bool {
        matches!(answer.last(), Some(SimpleQueryMessage::CommandComplete(1)))
    }

    /// Who is named instead of us; asks [`Fence::LOOK`].
    pub const LOOK: &str = LOOK;

    /// Tells everybody that the store is lost, to whom `answer` names.
    pub fn lose(&self, answer: &[SimpleQueryMessage]) -> Error {
        let by = Claim::read(answer).and_then(|claim| claim.owner);
        let error = Error::NotOwner { by };
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                tracing::error!("{error}: this process writes to it no more");
                *lost = Some(error.clone());
            }
            first
        });
        error
    }
}

/// What the table says.
struct Claim {
    claim: String,
    owner: Option<Owner>,
}

impl Claim {
    fn read(answer: &[SimpleQueryMessage]) -> Option<Self> {
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })?;
        let field = |name: &str| row.try_get(name).ok().flatten().map(str::to_owned);
        let owner = || {
            Some(Owner {
                host: field("host")?,
                pid: field("pid")?.parse().ok().filter(|pid| *pid != 0)?,
                since: field("since")?,
            })
        };
        Some(Self {
            claim: field("claim")?,
            owner: owner(),
        })
    }
}

/// Becomes the database's owner, waiting a little for one that is just ending.
pub(super) fn own(server: &Arc<Server>, owner: &Owner) -> Result<(Arc<Fence>, Tenure)> {
    let session = Session::open(server.reach()?)?;
    session.ask(&format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({TABLE_LOCK}); \
         {TABLE}; COMMIT"
    ))?;
    if !session.try_lock()? {
        let (named, wait) = (named(&session.owner()?), server.owner_wait);
        tracing::warn!("the store is in use by {named}: waiting {wait:?} for it to end");
        if !session.lock(wait)? {
            let by = session.owner()?;
            return Err(Error::Owned { by });
        }
    }
    let claim = mark::name()?;
    session.claim(&claim, owner)?;
    let (lost, seen) = watch::channel(None);
    let fence = Arc::new(Fence { claim, lost });
    let keeper = Keeper::start(server.clone(), fence.clone(), session)?;
    Ok((fence, Tenure::new(seen, keeper)))
}

/// The session that holds the advisory lock.
struct Session {
    wire: Wire,
}

impl Session {
    /// Not ended by the server for being idle, but in bounded time when our machine is dead.
    fn open(wire: Wire) -> Result<Self> {
        let session = Self { wire };
        let (idle_s, interval_s, count) = limits::OWNER_KEEPALIVE;
        let wait_ms = limits::OWNER_WAIT.as_millis();
        session.ask(&format!(
            "SET client_min_messages = warning; SET statement_timeout = 0; \
             SET lock_timeout = {wait_ms}; SET idle_session_timeout = 0; \
             SET tcp_keepalives_idle = {idle_s}; \
             SET tcp_keepalives_interval = {interval_s}; SET tcp_keepalives_count = {count}"
        ))?;
        Ok(session)
    }

    fn ask(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
        let Wire {
            runtime, client, ..
        } = &self.wire;
        let answer = runtime.block_on(client.simple_query(sql));
        answer.map_err(|error| classify(error).error)
    }

    /// Who has left its name.
    fn owner(&self) -> Result<Option<Owner>> {
        let found = self.ask(LOOK)?;
        Ok(Claim::read(&found).and_then(|claim| claim.owner))
    }

    fn try_lock(&self) -> Result<bool> {
        let sql = format!("SELECT pg_try_advisory_lock({OWNER_LOCK}) AS held");
        let answer = self.ask(&sql)?;
        Ok(answer.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get("held") == Some("t"),
            _ => false,
        }))
    }

    /// Whether the lock could be had within a time.
    fn lock(&self, within: Duration) -> Result<bool> {
        let within_ms = within.as_millis().max(1);
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = {within_ms}; \
             SELECT pg_advisory_lock({OWNER_LOCK}); COMMIT"
        );
        self.unless_busy(&sql)
    }

    /// Runs a script that is one transaction; false where somebody else's lock was in the way.
    fn unless_busy(&self, sql: &str) -> Result<bool> {
        match self.ask(sql) {
            Ok(_) => Ok(true),
            Err(Error::Busy { .. }) => self.ask("ROLLBACK").map(|_| false),
            Err(error) => Err(error),
        }
    }

    /// Leaves this process's claim, once no writer of the owner before is at work any more. One
    /// that does not end by itself belongs to a process that hangs, and is ended.
    fn claim(&self, claim: &str, owner: &Owner) -> Result<()> {
        let exclude_ms = limits::OWNER_DRAIN.as_millis();
        let exclude = format!(
            "BEGIN; SET LOCAL lock_timeout = {exclude_ms}; \
             LOCK TABLE store_owner IN EXCLUSIVE MODE"
        );
        let began = Instant::now();
        while !self.unless_busy(&exclude)? {
            if began.elapsed() > limits::OWNER_WAIT {
                let by = self.owner()?;
                return Err(Error::Owned { by });
            }
            self.ask(END_WRITERS)?;
        }
        let sql = "UPDATE store_owner SET epoch = epoch + 1, claim = $1, host = $2, pid = $3, \
             since = $4 RETURNING epoch";
        let pid = i64::from(owner.pid);
        let values: [&(dyn ToSql + Sync); 4] = [&claim, &owner.host, &pid, &owner.since];
        let Wire {
            runtime, client, ..
        } = &self.wire;
        let row = runtime.block_on(client.query_one(sql, &values));
        let epoch: i64 = row.map_err(|error| classify(error).error)?.get(0);
        self.ask("COMMIT")?;
        tracing::info!(epoch, "this process is the store's owner");
        Ok(())
    }

    /// Lets go of the lock, so that whoever opens the store next does not have to wait.
    fn release(self) {
        let Wire {
            runtime, client, ..
        } = &self.wire;
        let unlocked = client.simple_query("SELECT pg_advisory_unlock_all()");
        let unlocked = async { tokio::time::timeout(limits::OWNER_PAUSE, unlocked).await };
        if !matches!(runtime.block_on(unlocked), Ok(Ok(_))) {
            tracing::debug!("the server lets go of the store when it sees the connection's end");
        }
        self.wire.close();
    }
}

/// Keeps the session, and sees to a new one when it is lost.
struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(server: Arc<Server>, fence: Arc<Fence>, session: Session) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let keeping = Keeping {
            server,
            fence,
            stopped,
            timer: server::runtime()?,
        };
        let thread = std::thread::Builder::new()
            .name("store-owner".into())
            .spawn(move || keeping.run(session))
            .map_err(Error::io)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Keeping {
    server: Arc<Server>,
    fence: Arc<Fence>,
    /// Answers, with an error, when the keeper is dropped.
    stopped: oneshot::Receiver<()>,
    timer: Runtime,
}

impl Keeping {
    fn run(mut self, session: Session) {
        let mut held = Some(session);
        while let Some(mut session) = held.take() {
            if self.keep(&mut session) {
                return session.release();
            }
            tracing::warn!("the session that holds the store was lost: it is opened again");
            held = self.regain();
        }
    }

    /// Waits for an end, and says whether it was ours.
    fn keep(&mut self, session: &mut Session) -> bool {
        let Wire {
            runtime,
            connection,
            ..
        } = &mut session.wire;
        runtime.block_on(async {
            tokio::select! {
                _ = &mut self.stopped => true,
                _ = connection => false,
            }
        })
    }

    /// Tries until the lock is held again, the store is known to be lost, or it is given up.
    /// Meanwhile the writers go on: they look for themselves.
    fn regain(&mut self) -> Option<Session> {
        loop {
            match self.try_regain() {
                Ok(Some(session)) => {
                    tracing::info!("the store is held again");
                    return Some(session);
                }
                Err(Error::NotOwner { .. }) => return None,
                // The server has not noticed yet that the old session is gone, or it is the next
                // owner that has the lock, and will say so.
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the store is not held again yet"),
            }
            if self.stops_within(limits::OWNER_PAUSE) {
                return None;
            }
        }
    }

    fn try_regain(&self) -> Result<Option<Session>> {
        self.fence.check()?;
        let session = Session::open(self.server.reach_once()?)?;
        let held = session.try_lock()?;
        let found = session.ask(LOOK)?;
        if Claim::read(&found).is_none_or(|found| found.claim != self.fence.claim) {
            return Err(self.fence.lose(&found));
        }
        Ok(held.then_some(session))
    }

    fn stops_within(&mut self, time: Duration) -> bool {
        let stopped = async { tokio::time::timeout(time, &mut self.stopped).await.is_ok() };
        self.timer.block_on(stopped)
    }
}
