//! What an environment's extensions are told of its log, by the Telemetry API and the Logs API
//! before it: who has subscribed, to what, and what is on its way to them.
//!
//! Subscriptions are taken during the init only. What was said before one came is kept until the
//! init ends, and told to it first. Everything is bounded: a subscriber that is slower than the log
//! loses of it, and is told how much.
//!
//! AWS: "Lambda Telemetry API reference" and "Lambda Telemetry API Event schema reference".

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sandbox::Inward;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use wire::Timestamp;

use self::{buffer::Buffer, delivery::Subscriber, event::Event};
pub use self::{
    event::Source,
    subscription::{Api, Invalid, Subscription},
};
use super::{LogFormat, report};

mod buffer;
mod delivery;
mod event;
mod subscription;

/// What is kept for those who have not subscribed yet.
const EARLY_EVENTS_MAX: usize = 1000;
const EARLY_BYTES_MAX: usize = 256 * 1024;

pub struct Telemetry {
    format: LogFormat,
    /// Somebody listens, or may come to.
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    subscribers: Vec<Arc<Subscriber>>,
    /// Ended with the environment.
    deliveries: JoinSet<()>,
    /// None when it is too late to subscribe.
    early: Option<Early>,
}

#[derive(Default)]
struct Early {
    events: Vec<Event>,
    bytes: usize,
}

/// Why a subscription is not taken.
#[derive(Debug)]
pub enum NotSubscribed {
    Closed,
    Invalid(Invalid),
}

impl Telemetry {
    /// Of an environment that logs in this format.
    pub fn new(format: LogFormat) -> Self {
        let early = Some(Early::default());
        Self {
            format,
            on: AtomicBool::new(true),
            state: Mutex::new(State {
                early,
                ..State::default()
            }),
        }
    }

    /// Whether there is a point in telling it anything.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// An extension asks to be told. Who has asked before is not asked again, but by the other API.
    pub async fn subscribe(
        &self,
        name: &str,
        subscription: Subscription,
        inward: &Arc<dyn Inward>,
    ) -> Result<(), NotSubscribed> {
        let (api, told) = (subscription.api, subscription.types_told());
        let destination = subscription.open(&**inward).await;
        let destination = destination.map_err(NotSubscribed::Invalid)?;
        let mut state = self.lock();
        let State {
            subscribers,
            deliveries,
            early,
        } = &mut *state;
        let Some(early) = early else {
            return Err(NotSubscribed::Closed);
        };
        if let Some(known) = subscribers.iter().find(|one| one.name == name) {
            return match known.subscription.api == api {
                true => Ok(()),
                false => Err(NotSubscribed::Invalid(Invalid::other_api())),
            };
        }
        let buffer = Buffer::new(subscription.buffering);
        let subscriber = Arc::new(Subscriber::new(name, subscription, buffer));
        early.events.iter().for_each(|event| subscriber.tell(event));
        deliveries.spawn(subscriber.clone().deliver(destination, inward.clone()));
        subscribers.push(subscriber);
        let record = json!({"name": name, "state": "Subscribed", "types": told});
        state.tell(Event::platform(api.subscribed(), record, Timestamp::now()));
        Ok(())
    }

    /// One of the platform's own lines, as the JSON log format has it.
    pub fn say(&self, line: &str) {
        let Ok(said) = serde_json::from_str::<Value>(line) else {
            return;
        };
        if let Some(event) = Event::said(said) {
            self.lock().tell(event);
        }
    }

    /// A line of the function's or of an extension's.
    pub fn hear(&self, source: Source, at: Timestamp, message: &[u8]) {
        if !self.is_on() {
            return;
        }
        let message = String::from_utf8_lossy(message);
        let message = message.strip_suffix('\n').unwrap_or(&message);
        let event = Event::line(source, report::millis(at), message, self.format);
        self.lock().tell(event);
    }

    /// The init has ended: nobody can subscribe any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.early = None;
        if state.subscribers.is_empty() {
            self.on.store(false, Ordering::Release);
        }
    }

    /// Delivers what waits, for so long at most.
    pub async fn flush(&self, within: Duration) {
        let subscribers = self.lock().subscribers.clone();
        let until = Instant::now() + within;
        subscribers.iter().for_each(|one| one.hurry());
        for subscriber in subscribers {
            let _ = tokio::time::timeout_at(until, subscriber.flushed()).await;
        }
    }

    /// The environment is gone, and so is everybody who could be told.
    pub fn end(&self) {
        self.on.store(false, Ordering::Release);
        let mut state = self.lock();
        state.early = None;
        state.subscribers.clear();
        state.deliveries.abort_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, event: Event) {
        for subscriber in &self.subscribers {
            subscriber.tell(&event);
        }
        let Some(early) = &mut self.early else { return };
        let bytes = early.bytes + event.bytes();
        // The first lines are what a late subscriber misses least; they stay.
        if early.events.len() < EARLY_EVENTS_MAX && bytes <= EARLY_BYTES_MAX {
            early.bytes = bytes;
            early.events.push(event);
        }
    }
}
