//! Where an invocation and an environment's Runtime API meet: one event at a time goes in by
//! `next` and comes back by `response` or `error`. Pure state behind a lock; the HTTP is in
//! `runtime_api.rs`, the waiting in `environment.rs`.
//!
//! Refuses what Lambda's own state machine refuses: an answer to a request that does not run, a
//! `next` while one runs, a second answer.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::HeaderValue;
use sandbox::{Exit, Inward};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    extensions::Extensions,
    fault::Fault,
    output::Output,
    stream::{Begin, Begun, End, Flow},
};
use crate::limits;

mod extending;

pub use extending::{About, Ends, Stage};

/// What `next` hands to the runtime.
#[derive(Debug)]
pub struct Event {
    pub request_id: String,
    pub payload: Bytes,
    pub deadline_ms: i64,
    pub invoked_function_arn: String,
    pub trace_id: String,
    pub client_context: Option<String>,
    pub cognito_identity: Option<String>,
}

/// How the init phase ended.
#[derive(Debug)]
pub enum Init {
    Done,
    /// The runtime reported an init error: its object for the caller, and the type from the header.
    Failed {
        payload: Bytes,
        kind: String,
    },
    /// An extension could not be started, or failed.
    Fault(Fault),
    /// It is done, and waits for this before it goes on: a snapshot is to be taken of it.
    Waits(oneshot::Sender<()>),
    Exited(Exit),
}

/// How a request ended.
#[derive(Debug)]
pub enum Reply {
    Response(Bytes),
    Error(Bytes),
    TooLarge,
    /// The response went to the caller as it came; so many bytes of it.
    Streamed {
        bytes: usize,
        end: End,
    },
    /// An extension failed.
    Fault(Fault),
    Exited(Exit),
}

/// The two moments the invoking side waits for.
#[derive(Debug)]
pub struct Delivery {
    pub reply: oneshot::Receiver<Reply>,
    /// The runtime asks for the next event, and so do all extensions: the environment may take
    /// another request.
    pub idle: oneshot::Receiver<()>,
}

/// Why the Runtime API refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `InvalidStateTransition`
    State,
    /// `InvalidRequestID`
    RequestId,
    /// The environment is going away.
    Gone,
}

pub struct Link {
    state: Mutex<State>,
    about: OnceLock<About>,
    /// What its extensions may be told of, and the way there.
    told: OnceLock<(Arc<Output>, Arc<dyn Inward>)>,
    /// Said without the lock, as most environments have none.
    extended: AtomicBool,
    stage: watch::Sender<Stage>,
    ends: watch::Sender<Ends>,
}

#[derive(Debug)]
struct State {
    /// Its init ends with a snapshot.
    snapshots: bool,
    phase: Phase,
    /// An event that no `next` has fetched yet.
    event: Option<Event>,
    /// A `next` that waits for one.
    next: Option<oneshot::Sender<Event>>,
    /// The runtime has asked for an event, which its extensions have not all done yet.
    asked: bool,
    extensions: Extensions,
    /// What an extension did to it: it can take no request any more.
    fault: Option<Fault>,
}

#[derive(Debug)]
enum Phase {
    Init(oneshot::Sender<Init>),
    Idle,
    Busy(Busy),
    Gone(Exit),
}

#[derive(Debug)]
struct Busy {
    request_id: String,
    /// Taken by the first answer.
    reply: Option<oneshot::Sender<Reply>>,
    idle: oneshot::Sender<()>,
    /// The platform answered in the runtime's place (a response that was too large); what the
    /// runtime still says of it is taken and dropped.
    overruled: bool,
    streaming: Streaming,
}

/// How far a response is that goes to the caller as it comes.
#[derive(Debug)]
enum Streaming {
    /// It goes as a whole, or all of it has gone.
    No,
    Wanted(Begin),
    Flowing,
    /// The runtime's connection broke after so many bytes. Why, its exit may tell.
    Cut(usize),
}

impl Link {
    pub fn new() -> (Self, oneshot::Receiver<Init>) {
        Self::of_kind(false)
    }

    /// Of an environment whose init ends with a snapshot.
    pub fn for_snapshot() -> (Self, oneshot::Receiver<Init>) {
        Self::of_kind(true)
    }

    fn of_kind(snapshots: bool) -> (Self, oneshot::Receiver<Init>) {
        let (init, ready) = oneshot::channel();
        let state = State {
            snapshots,
            phase: Phase::Init(init),
            event: None,
            next: None,
            asked: false,
            extensions: Extensions::default(),
            fault: None,
        };
        let link = Self {
            state: Mutex::new(state),
            about: OnceLock::new(),
            told: OnceLock::new(),
            extended: AtomicBool::new(false),
            stage: watch::Sender::new(Stage::Starting),
            ends: watch::Sender::new(Ends::default()),
        };
        (link, ready)
    }

    /// Gives an environment that is idle its next event. With `begin` its response may come piece by
    /// piece.
    pub fn deliver(&self, event: Event, begin: Option<Begin>) -> Delivery {
        let (reply, replied) = oneshot::channel();
        let (idle, idled) = oneshot::channel();
        let mut state = self.lock();
        if let Phase::Gone(exit) = state.phase {
            // The receiver is in our hands.
            let _ = reply.send(Reply::Exited(exit));
        } else if let Some(fault) = state.fault.clone() {
            let _ = reply.send(Reply::Fault(fault));
        } else {
            state.phase = Phase::Busy(Busy {
                request_id: event.request_id.clone(),
                reply: Some(reply),
                idle,
                overruled: false,
                streaming: begin.map_or(Streaming::No, Streaming::Wanted),
            });
            state.asked = false;
            state.tell_extensions(&event);
            state.offer(event);
        }
        Delivery {
            reply: replied,
            idle: idled,
        }
    }

    /// The runtime asks for an event.
    pub fn next(&self) -> Result<oneshot::Receiver<Event>, Refusal> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Init(ready) => {
                state.extensions.close();
                state.phase = Phase::Init(ready);
                state.asked = true;
            }
            Phase::Busy(mut busy) if busy.is_over() => {
                busy.reply_if_cut();
                state.phase = Phase::Busy(busy);
                state.asked = true;
            }
            // It has not fetched its event yet, or its connection broke before it got it.
            Phase::Busy(busy) if state.event.is_some() => state.phase = Phase::Busy(busy),
            Phase::Busy(busy) => {
                state.phase = Phase::Busy(busy);
                return Err(Refusal::State);
            }
            Phase::Idle => {}
            Phase::Gone(exit) => {
                state.phase = Phase::Gone(exit);
                return Err(Refusal::Gone);
            }
        }
        let (next, event) = oneshot::channel();
        match state.event.take() {
            Some(waiting) => drop(next.send(waiting)),
            None => state.next = Some(next),
        }
        state.settle();
        Ok(event)
    }

    /// The runtime has done its init and asks when it may go on.
    pub fn restore_next(&self) -> Result<oneshot::Receiver<()>, Refusal> {
        let mut state = self.lock();
        if !state.snapshots {
            return Err(Refusal::State);
        }
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Init(ready) => {
                let (go, may_go) = oneshot::channel();
                let _ = ready.send(Init::Waits(go));
                Ok(may_go)
            }
            other => {
                state.phase = other;
                Err(Refusal::State)
            }
        }
    }

    /// An event that a broken connection did not take is offered again.
    pub fn give_back(&self, event: Event) {
        let mut state = self.lock();
        if matches!(&state.phase, Phase::Busy(busy) if busy.request_id == event.request_id) {
            state.offer(event);
        }
    }

    /// Says whether an answer to this request would be taken.
    pub fn expects(&self, request_id: &str) -> Result<(), Refusal> {
        match &self.lock().phase {
            Phase::Busy(busy) if busy.request_id != request_id => Err(Refusal::RequestId),
            Phase::Busy(busy) if busy.has_begun() => Err(Refusal::State),
            Phase::Busy(busy) if busy.reply.is_none() && !busy.overruled => Err(Refusal::State),
            Phase::Busy(_) => Ok(()),
            Phase::Gone(_) => Err(Refusal::Gone),
            _ => Err(Refusal::RequestId),
        }
    }

    pub fn answer(&self, request_id: &str, reply: Reply) -> Result<(), Refusal> {
        self.expects(request_id)?;
        if let Phase::Busy(busy) = &mut self.lock().phase {
            busy.overruled |= matches!(reply, Reply::TooLarge);
            busy.answer(reply);
        }
        Ok(())
    }

    /// Whether the caller takes the response piece by piece.
    pub fn streams(&self, request_id: &str) -> bool {
        matches!(
            &self.lock().phase,
            Phase::Busy(busy)
                if busy.request_id == request_id && matches!(busy.streaming, Streaming::Wanted(_))
        )
    }

    /// The response begins; the caller is told.
    pub fn begin(
        &self,
        request_id: &str,
        content_type: Option<HeaderValue>,
    ) -> Result<Flow<'_>, Refusal> {
        self.expects(request_id)?;
        let mut state = self.lock();
        let Phase::Busy(busy) = &mut state.phase else {
            return Err(Refusal::Gone);
        };
        let Streaming::Wanted(begin) = std::mem::replace(&mut busy.streaming, Streaming::Flowing)
        else {
            return Err(Refusal::State);
        };
        let (pieces, chunks) = mpsc::channel(limits::RESPONSE_PIECES_MAX);
        // The caller may be gone; the function runs on.
        let _ = begin.begun.send(Begun {
            content_type,
            trace_id: begin.trace_id,
            chunks,
        });
        Ok(Flow::new(self, request_id, pieces))
    }

    /// The response that flowed is at its end.
    pub fn ended(&self, request_id: &str, bytes: usize, end: End) -> Result<(), Refusal> {
        match &mut self.lock().phase {
            Phase::Busy(busy) if busy.request_id == request_id => {
                busy.streaming = Streaming::No;
                busy.overruled |= matches!(end, End::TooLarge);
                busy.answer(Reply::Streamed { bytes, end });
                Ok(())
            }
            Phase::Gone(_) => Err(Refusal::Gone),
            _ => Err(Refusal::RequestId),
        }
    }

    /// The response that flowed will have no end.
    pub fn cut(&self, request_id: &str, bytes: usize) {
        if let Phase::Busy(busy) = &mut self.lock().phase
            && busy.request_id == request_id
        {
            busy.streaming = Streaming::Cut(bytes);
        }
    }

    pub fn init_error(&self, payload: Bytes, kind: String) -> Result<(), Refusal> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Init(ready) => {
                let _ = ready.send(Init::Failed { payload, kind });
                Ok(())
            }
            other => {
                state.phase = other;
                Err(Refusal::State)
            }
        }
    }

    /// The environment's process has ended.
    pub fn gone(&self, exit: Exit) {
        self.ends.send_modify(|ends| ends.runtime = true);
        let mut state = self.lock();
        state.next = None;
        match std::mem::replace(&mut state.phase, Phase::Gone(exit)) {
            Phase::Init(ready) => drop(ready.send(Init::Exited(exit))),
            Phase::Busy(busy) => {
                if let Some(waiting) = busy.reply {
                    let _ = waiting.send(Reply::Exited(exit));
                }
            }
            Phase::Idle | Phase::Gone(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so a panic elsewhere leaves a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy {
    fn answer(&mut self, reply: Reply) {
        if let Some(waiting) = self.reply.take() {
            // The caller's deadline may just have passed.
            let _ = waiting.send(reply);
        }
    }

    /// A response that has begun is the only one.
    fn has_begun(&self) -> bool {
        matches!(self.streaming, Streaming::Flowing | Streaming::Cut(_))
    }

    /// The runtime is done with it, well or not.
    fn is_over(&self) -> bool {
        self.reply.is_none() || matches!(self.streaming, Streaming::Cut(_))
    }

    /// A runtime that goes on after its connection broke is alive: that was all of the response.
    fn reply_if_cut(&mut self) {
        if let Streaming::Cut(bytes) = self.streaming {
            let end = End::Truncated;
            self.answer(Reply::Streamed { bytes, end });
        }
    }
}

impl State {
    /// The end of an init or a request: the runtime asks for more, and so do its extensions.
    fn settle(&mut self) {
        if !self.asked || !self.extensions.settled() {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            // Whoever started the environment may have given up; then it is about to be ended.
            Phase::Init(ready) => drop(ready.send(Init::Done)),
            Phase::Busy(busy) if busy.reply.is_none() => drop(busy.idle.send(())),
            other => self.phase = other,
        }
    }

    fn offer(&mut self, event: Event) {
        self.event = match self.next.take() {
            Some(next) => next.send(event).err(),
            None => Some(event),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::ExitStatus;

    fn event(request_id: &str) -> Event {
        Event {
            request_id: request_id.into(),
            payload: Bytes::from_static(b"{}"),
            deadline_ms: 0,
            invoked_function_arn: String::new(),
            trace_id: String::new(),
            client_context: None,
            cognito_identity: None,
        }
    }

    const EXIT: Exit = Exit {
        status: ExitStatus::Code(1),
        out_of_memory: false,
    };

    #[test]
    fn an_event_goes_in_and_comes_back() {
        let (link, mut ready) = Link::new();
        let mut next = link.next().unwrap();
        assert!(matches!(ready.try_recv(), Ok(Init::Done)));
        let mut delivery = link.deliver(event("a"), None);
        assert_eq!(next.try_recv().unwrap().request_id, "a");
        assert_eq!(link.answer("b", Reply::TooLarge), Err(Refusal::RequestId));
        link.answer("a", Reply::Response(Bytes::new())).unwrap();
        assert!(matches!(delivery.reply.try_recv(), Ok(Reply::Response(_))));
        assert!(delivery.idle.try_recv().is_err());
        let again = Reply::Response(Bytes::new());
        assert_eq!(link.answer("a", again), Err(Refusal::State));
        link.next().unwrap();
        assert!(delivery.idle.try_recv().is_ok());
    }

    #[test]
    fn an_event_may_wait_for_the_runtime() {
        let (link, _ready) = Link::new();
        drop(link.next().unwrap());
        // That connection broke; the event stays for the next one.
        let _delivery = link.deliver(event("a"), None);
        let mut next = link.next().unwrap();
        assert_eq!(next.try_recv().unwrap().request_id, "a");
        assert_eq!(link.next().unwrap_err(), Refusal::State);
        link.give_back(event("a"));
        assert_eq!(link.next().unwrap().try_recv().unwrap().request_id, "a");
    }

    #[test]
    fn an_exit_ends_whatever_waits() {
        let (link, mut ready) = Link::new();
        link.gone(EXIT);
        assert!(matches!(ready.try_recv(), Ok(Init::Exited(EXIT))));

        let (link, _ready) = Link::new();
        let _next = link.next().unwrap();
        let mut delivery = link.deliver(event("a"), None);
        link.gone(EXIT);
        assert!(matches!(delivery.reply.try_recv(), Ok(Reply::Exited(EXIT))));
        let mut late = link.deliver(event("b"), None);
        assert!(matches!(late.reply.try_recv(), Ok(Reply::Exited(EXIT))));
        assert_eq!(link.next().unwrap_err(), Refusal::Gone);
    }

    #[test]
    fn after_a_response_that_was_too_large_the_runtimes_error_is_dropped() {
        let (link, _ready) = Link::new();
        let _next = link.next().unwrap();
        let mut delivery = link.deliver(event("a"), None);
        link.answer("a", Reply::TooLarge).unwrap();
        assert!(matches!(delivery.reply.try_recv(), Ok(Reply::TooLarge)));
        link.answer("a", Reply::Error(Bytes::new())).unwrap();
        assert!(link.next().is_ok());
    }

    #[test]
    fn a_snapshot_is_waited_for_where_there_is_to_be_one() {
        let (link, mut ready) = Link::new();
        assert_eq!(link.restore_next().unwrap_err(), Refusal::State);
        assert!(ready.try_recv().is_err());
        let (link, mut ready) = Link::for_snapshot();
        let mut may_go = link.restore_next().unwrap();
        let Ok(Init::Waits(go)) = ready.try_recv() else {
            panic!("it waits");
        };
        assert!(may_go.try_recv().is_err());
        go.send(()).unwrap();
        assert!(may_go.try_recv().is_ok());
        assert_eq!(link.restore_next().unwrap_err(), Refusal::State);
    }

    #[test]
    fn an_init_error_is_told_once() {
        let (link, mut ready) = Link::new();
        link.init_error(Bytes::new(), "Runtime.ImportModuleError".into())
            .unwrap();
        assert!(matches!(ready.try_recv(), Ok(Init::Failed { .. })));
        assert_eq!(
            link.init_error(Bytes::new(), String::new()),
            Err(Refusal::State)
        );
    }
}
