//! What is known of a simulation, and what may never be: whatever is broken is written down, and the
//! driver comes to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{chance::Chance, weather::Weather};
use crate::{clock::Clock, functions::execution::Throttle};

/// What a function does with an event.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Answer { after_ms: u64 },
    Fail { after_ms: u64 },
    Crash { after_ms: u64 },
    Hang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Answered,
    Failed,
}

pub struct Model {
    pub chance: Chance,
    pub weather: Arc<Weather>,
    pub account_limit: u32,
    init_fails_per_mille: u64,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    pub clock: Option<Arc<Clock>>,
    pub story: Vec<String>,
    pub broken: Vec<String>,
    pub events: BTreeMap<u64, Event>,
    /// Ends of the process.
    pub ends: u64,
    running: BTreeMap<u64, Running>,
    runs: u64,
    /// Requests that have come to the executor.
    entered: u64,
    inits: HashMap<String, u64>,
    /// As the executor was told last, and when that was, counted in its requests.
    pub reserved: HashMap<String, u32>,
    reserved_since: HashMap<String, u64>,
    /// Requests with the executor, by function.
    in_flight: HashMap<String, u32>,
    /// Reservations of functions that are gone, as long as requests of theirs run.
    dying: Vec<(String, u32)>,
    pub throttles: u64,
}

/// An event or a request of a simulation.
#[derive(Debug, Clone)]
pub struct Event {
    pub function: String,
    pub incarnation: u64,
    pub at_ms: i64,
    /// Unknown if there was no answer, or none that says it.
    pub accepted: bool,
    pub is_event: bool,
    pub runs: u64,
    pub answered: u64,
    pub failed: u64,
    pub retries_max: u64,
    faults: u64,
    ends: u64,
    /// When it came to the executor last, counted in its requests.
    entered: u64,
}

struct Running {
    function: String,
    event: u64,
}

impl Model {
    pub fn new(chance: Chance, weather: Arc<Weather>) -> Arc<Self> {
        Arc::new(Self {
            account_limit: 3 + u32::try_from(chance.below(8, "account", &[])).unwrap_or_default(),
            init_fails_per_mille: [0, 0, 60][chance.below(3, "inits", &[]) as usize],
            chance,
            weather,
            state: Mutex::default(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_bad_inits(&self) -> bool {
        self.init_fails_per_mille > 0
    }

    pub fn say(&self, what: impl Into<String>) {
        let mut state = self.lock();
        let line = format!("{:>9} {}", state.now_ms(), what.into());
        state.story.push(line);
    }

    pub fn init_fails(&self, function: &str) -> bool {
        let mut state = self.lock();
        let number = state.inits.entry(function.to_owned()).or_default();
        *number += 1;
        let what = format!("init {function}");
        self.chance
            .happens(self.init_fails_per_mille, &what, &[*number])
    }

    pub fn sends(&self, number: u64, function: &str, incarnation: u64, is_event: bool) {
        let mut state = self.lock();
        let event = Event {
            function: function.to_owned(),
            incarnation,
            at_ms: state.now_ms(),
            accepted: false,
            is_event,
            runs: 0,
            answered: 0,
            failed: 0,
            retries_max: 0,
            faults: self.weather.faults(),
            ends: state.ends,
            entered: 0,
        };
        state.events.insert(number, event);
    }

    /// A function has begun with an event.
    pub fn begins(self: &Arc<Self>, function: &str, incarnation: u64, number: u64) -> Run {
        let mut state = self.lock();
        let faults = self.weather.faults();
        let run = state.runs;
        state.runs += 1;
        state.story_run(function, incarnation, number);
        let running = Running {
            function: function.to_owned(),
            event: number,
        };
        state.running.insert(run, running);
        let all = state.running.len();
        if all > self.account_limit as usize {
            let limit = self.account_limit;
            state.breaks(format!("{all} run at once in an account of {limit}"));
        }
        if let Some(reserved) = state.reserved.get(function).copied() {
            let since = state.reserved_since.get(function).copied().unwrap_or(0);
            let own = state.running.values().filter(|it| it.function == function);
            let of = |it: &&Running| {
                state
                    .events
                    .get(&it.event)
                    .is_some_and(|it| it.entered > since)
            };
            let own = own.filter(of).count();
            if own > reserved as usize {
                state.breaks(format!("{own} of {function} run, {reserved} may"));
            }
        }
        let ends = state.ends;
        let Some(event) = state.events.get_mut(&number) else {
            state.breaks(format!("event {number} runs, which nobody sent"));
            return self.run(run, number, 0);
        };
        event.runs += 1;
        let nth = event.runs;
        let event = event.clone();
        if event.incarnation != incarnation {
            state.breaks(format!(
                "event {number} is for {function} {}, and {incarnation} runs it",
                event.incarnation
            ));
        }
        let retries = if event.is_event { event.retries_max } else { 0 };
        let allowed = 1 + retries + (faults - event.faults) + (ends - event.ends);
        if nth > allowed {
            state.breaks(format!(
                "event {number} runs {nth} times, {allowed} are allowed"
            ));
        }
        self.run(run, number, nth)
    }

    fn run(self: &Arc<Self>, run: u64, event: u64, nth: u64) -> Run {
        Run {
            model: self.clone(),
            run,
            event,
            nth,
        }
    }

    /// A request comes to the executor. Says how many others of the function and of all are there.
    pub fn enters(self: &Arc<Self>, function: &str, number: u64) -> (InFlight, Others) {
        let mut state = self.lock();
        state.entered += 1;
        let entered = state.entered;
        if let Some(event) = state.events.get_mut(&number) {
            event.entered = entered;
        }
        let others = Others {
            own: state.in_flight.get(function).copied().unwrap_or(0),
            all: state.in_flight.values().sum(),
            reserved: state.reserved.get(function).copied(),
            reserved_all: state.reserved.values().sum::<u32>()
                + state
                    .dying
                    .iter()
                    .map(|(_, reserved)| reserved)
                    .sum::<u32>(),
        };
        *state.in_flight.entry(function.to_owned()).or_default() += 1;
        let in_flight = InFlight {
            model: self.clone(),
            function: function.to_owned(),
        };
        (in_flight, others)
    }

    pub fn throttled(&self, function: &str, why: Throttle, others: Others) {
        let mut state = self.lock();
        state.throttles += 1;
        let Others {
            own,
            all,
            reserved,
            reserved_all,
        } = others;
        let is_true = match why {
            Throttle::ReservedFunctionConcurrentInvocationLimitExceeded => {
                reserved.is_some_and(|reserved| own >= reserved)
            }
            Throttle::ConcurrentInvocationLimitExceeded => {
                all >= self.account_limit.saturating_sub(reserved_all)
            }
            // No run starts as many environments as that takes.
            Throttle::ScalingRateExceeded => false,
        };
        if !is_true {
            state.breaks(format!(
                "{function} is throttled for {why:?} with {others:?}"
            ));
        }
    }

    pub fn reserves(&self, function: &str, reserved: Option<u32>) {
        let mut state = self.lock();
        let entered = state.entered;
        state.reserved_since.insert(function.to_owned(), entered);
        match reserved {
            Some(reserved) => state.reserved.insert(function.to_owned(), reserved),
            None => state.reserved.remove(function),
        };
    }

    /// The function goes; what runs of it goes on.
    pub fn removed(&self, function: &str) {
        let mut state = self.lock();
        let entered = state.entered;
        state.reserved_since.insert(function.to_owned(), entered);
        let reserved = state.reserved.remove(function);
        if let Some(reserved) = reserved {
            state.dying.push((function.to_owned(), reserved));
        }
    }

    /// All that runs ends with the process.
    pub fn process_ended(&self) {
        let mut state = self.lock();
        state.ends += 1;
        state.in_flight.clear();
        state.dying.clear();
        state.reserved.clear();
        state.reserved_since.clear();
        if !state.running.is_empty() {
            let left = state.running.len();
            state.breaks(format!("{left} run without a process"));
        }
    }
}

impl State {
    pub fn now_ms(&self) -> i64 {
        self.clock.as_ref().map_or(0, |clock| clock.now_ms())
    }

    pub fn summary(&self, faults: u64) -> String {
        let events = self.events.values().filter(|it| it.is_event);
        let (ends, runs, throttles) = (self.ends, self.runs, self.throttles);
        format!(
            "{} events, {runs} runs, {throttles} throttles, {faults} faults, {ends} ends",
            events.count()
        )
    }

    pub fn breaks(&mut self, what: String) {
        let line = format!("{:>9} BROKEN: {what}", self.now_ms());
        self.story.push(line);
        self.broken.push(what);
    }

    fn story_run(&mut self, function: &str, incarnation: u64, number: u64) {
        let line = format!(
            "{:>9}   {function} {incarnation} runs {number}",
            self.now_ms()
        );
        self.story.push(line);
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Others {
    own: u32,
    all: u32,
    reserved: Option<u32>,
    reserved_all: u32,
}

/// A request that is with the executor.
pub struct InFlight {
    model: Arc<Model>,
    function: String,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.model.lock();
        let Some(count) = state.in_flight.get_mut(&self.function) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            state.dying.retain(|(name, _)| *name != self.function);
        }
    }
}

/// A run of a function.
pub struct Run {
    model: Arc<Model>,
    run: u64,
    event: u64,
    nth: u64,
}

impl Run {
    pub fn act(&self) -> Act {
        let chance = self.model.chance;
        let key = [self.event, self.nth];
        let function = {
            let state = self.model.lock();
            let running = state.running.get(&self.run);
            running.map_or(String::new(), |it| {
                format!("{} {}", it.function, it.event % 2)
            })
        };
        // A function has a character of its own.
        let good = 200 + chance.below(800, &format!("good {function}"), &[]);
        let slow_ms = [20, 700, 2_500][chance.below(3, &format!("slow {function}"), &[]) as usize];
        let after_ms = chance.below(slow_ms, "after", &key);
        match chance.below(1000, "act", &key) {
            drawn if drawn < good => Act::Answer { after_ms },
            drawn => match drawn % 4 {
                0 => Act::Crash { after_ms },
                1 => Act::Hang,
                _ => Act::Fail { after_ms },
            },
        }
    }

    pub fn ends(self, how: Ending) {
        let mut state = self.model.lock();
        if let Some(event) = state.events.get_mut(&self.event) {
            match how {
                Ending::Answered => event.answered += 1,
                Ending::Failed => event.failed += 1,
            }
        }
        drop(state);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.model.lock().running.remove(&self.run);
    }
}
