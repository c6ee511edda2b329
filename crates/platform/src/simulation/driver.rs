//! What happens in a simulation, step by step, and what has to be so in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use store::Store;
use tokio::{task::JoinSet, time::sleep};
use wire::lambda::{self as api, Lambda};

use super::{
    behaviour::INCARNATION,
    model::Model,
    process::{Process, queue_key, received},
};
use crate::{
    events::Waiting,
    functions::testing::zip_of,
    queues::{
        Created,
        definition::{Attributes, Definition},
    },
};

const FUNCTIONS: [&str; 3] = ["a", "b", "c"];
const DONE: &str = "done";
const DEAD: &str = "dead";
const ALIAS: &str = "live";
/// Nothing waits longer than the oldest event may be and a worker holds one.
const ALL_OVER_WITHIN_S: u64 = 3 * 3_600;

/// What is known of a function of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Absent,
    Present,
    /// Something was asked for, and there was no answer.
    Unknown,
}

struct Function {
    name: &'static str,
    incarnation: u64,
    standing: Standing,
    /// Its settings are as a simulation wants them.
    is_ready: bool,
    has_alias: bool,
    /// What may hold for its events.
    retries: (u64, u64),
    age_s: (u64, u64),
}

/// An incarnation that is gone, or may be.
type Gone = BTreeSet<(String, u64)>;

pub struct Driver {
    model: Arc<Model>,
    functions: Vec<Function>,
    gone: Gone,
    dead_letters: BTreeMap<(String, u64), bool>,
    terms: BTreeMap<(String, u64), Terms>,
    events: u64,
    incarnations: u64,
    step: u64,
    steps: u64,
    ends_per_mille: u64,
    pub now_ms: i64,
}

#[derive(Clone, Copy)]
struct Terms {
    retries_min: u64,
    age_s_min: u64,
    was_stopped: bool,
}

/// Why a process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Crash,
    Done,
}

impl Driver {
    pub fn new(model: Arc<Model>, ends_per_mille: u64) -> Self {
        let function = |name| Function {
            name,
            incarnation: 0,
            standing: Standing::Absent,
            is_ready: false,
            has_alias: false,
            retries: (0, 0),
            age_s: (0, 0),
        };
        Self {
            functions: FUNCTIONS.map(function).into(),
            gone: Gone::new(),
            dead_letters: BTreeMap::new(),
            terms: BTreeMap::new(),
            events: 0,
            incarnations: 0,
            step: 0,
            steps: 60,
            ends_per_mille,
            now_ms: 1_900_000_000_000,
            model,
        }
    }

    /// One life of the process.
    pub async fn live(&mut self, dir: &Path, store: Store) -> End {
        let model = self.model.clone();
        let process = Process::open(dir, store, &model, self.now_ms).await;
        model.say("the process is there");
        let (ends, chance) = (model.lock().ends, model.chance);
        // In the middle of whatever is going on then.
        let ends_after_ms = match chance.happens(self.ends_per_mille, "ends", &[ends]) {
            true => 1 + chance.below(60_000, "ends after", &[ends]),
            false => u64::MAX / 4_000_000,
        };
        let ended = tokio::select! {
            biased;
            () = sleep(Duration::from_millis(ends_after_ms)) => End::Crash,
            () = self.storm(&process) => End::Done,
        };
        if ended == End::Done {
            model.weather.calm(true);
            self.finish(&process).await;
        }
        self.now_ms = process.clock.now_ms();
        model.say(format!("the process ends: {ended:?}"));
        model.weather.calm(true);
        ended
    }

    async fn storm(&mut self, process: &Process) {
        for name in [DONE, DEAD] {
            self.queue(process, name).await;
        }
        self.model.weather.calm(false);
        let mut asked = JoinSet::new();
        while self.step < self.steps && self.model.lock().broken.is_empty() {
            self.step += 1;
            self.step(process, &mut asked).await;
            let chance = self.model.chance;
            let pause_ms = [5, 300, 4_000, 90_000][chance.below(4, "pace", &[self.step]) as usize];
            let pause_ms = chance.below(pause_ms, "pause", &[self.step]);
            sleep(Duration::from_millis(pause_ms)).await;
        }
        // Who waits for an answer gets one.
        while asked.join_next().await.is_some() {}
    }

    fn draw(&self, limit: u64, what: &str) -> u64 {
        self.model.chance.below(limit, what, &[self.step])
    }

    async fn step(&mut self, process: &Process, asked: &mut JoinSet<()>) {
        let at = self.draw(FUNCTIONS.len() as u64, "function") as usize;
        if !self.functions[at].is_ready {
            return self.prepare(process, at).await;
        }
        match self.draw(20, "step") {
            0..9 => {
                let many = 1 + self.draw(6, "many");
                self.send(process, at, many).await;
            }
            9..12 => self.ask(process, at, asked),
            12..15 => self.reserve(process, at).await,
            15..17 => self.configure(process, at).await,
            17..19 => self.shift(process, at).await,
            _ => {
                self.delete(process, at).await;
                // Often at once again.
                if self.draw(2, "again") == 0 {
                    self.prepare(process, at).await;
                }
            }
        }
    }

    /// Makes a function what it should be, whatever became of what was asked for before.
    async fn prepare(&mut self, process: &Process, at: usize) {
        let name = self.functions[at].name;
        let get = || api::GetFunctionConfigurationRequest {
            function_name: name.into(),
            qualifier: None,
        };
        let cx = process.cx();
        if self.functions[at].standing == Standing::Unknown {
            let found = process
                .functions
                .get_function_configuration(&cx, get())
                .await;
            self.functions[at].standing = match &found {
                Ok(_) => Standing::Present,
                Err(_) => Standing::Absent,
            };
            if let Ok(found) = found {
                let variables = found.environment.and_then(|it| it.variables);
                let variables = variables.unwrap_or_default();
                let found = variables.get(INCARNATION).and_then(|it| it.parse().ok());
                let incarnation = self.functions[at].incarnation;
                if found != Some(incarnation) {
                    let what = format!("{name} should be {incarnation} and is {found:?}");
                    self.model.lock().breaks(what);
                }
                self.gone.remove(&(name.to_owned(), incarnation));
            }
        }
        if self.functions[at].standing == Standing::Absent {
            self.create(process, at).await;
        }
        if self.functions[at].standing != Standing::Present {
            return;
        }
        for _ in 0..60 {
            // Long enough that it does not matter how long threads take for files.
            sleep(Duration::from_secs(10)).await;
            let found = process
                .functions
                .get_function_configuration(&cx, get())
                .await;
            match found.map(|it| it.state.unwrap_or_default()) {
                Ok(state) if state == "Active" => {
                    self.functions[at].is_ready = true;
                    self.alias(process, at).await;
                    return self.configure(process, at).await;
                }
                Ok(state) if state == "Failed" => return self.delete(process, at).await,
                _ => {}
            }
        }
        self.model
            .lock()
            .breaks(format!("{name} does not become active"));
    }

    async fn create(&mut self, process: &Process, at: usize) {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let has_dead_letters = self.draw(2, "dead letters") == 0;
        let name = self.functions[at].name;
        self.functions[at] = Function {
            incarnation,
            standing: Standing::Unknown,
            is_ready: false,
            has_alias: false,
            retries: (2, 2),
            age_s: (21_600, 21_600),
            name,
        };
        self.dead_letters
            .insert((name.to_owned(), incarnation), has_dead_letters);
        self.model.say(format!("create {name} {incarnation}"));
        let variable = (INCARNATION.to_owned(), incarnation.to_string());
        let request = api::CreateFunctionRequest {
            function_name: name.into(),
            runtime: Some("provided.al2023".into()),
            handler: Some("bootstrap".into()),
            role: "arn:aws:iam::111111111111:role/r".into(),
            code: api::FunctionCode {
                zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/sh\n")])),
                ..Default::default()
            },
            dead_letter_config: has_dead_letters.then(|| api::DeadLetterConfig {
                target_arn: Some(queue_key(DEAD).arn().to_string()),
            }),
            environment: Some(api::Environment {
                variables: Some([variable].into_iter().collect()),
            }),
            ..Default::default()
        };
        let created = process
            .functions
            .create_function(&process.cx(), request)
            .await;
        if let Err(error) = &created {
            self.model.say(format!("  {error:?}"));
        }
        if created.is_ok() {
            self.functions[at].standing = Standing::Present;
        }
    }

    async fn alias(&mut self, process: &Process, at: usize) {
        let name = self.functions[at].name;
        let publish = api::PublishVersionRequest {
            function_name: name.into(),
            ..Default::default()
        };
        let cx = process.cx();
        let published = process.functions.publish_version(&cx, publish).await;
        let alias = api::CreateAliasRequest {
            function_name: name.into(),
            name: ALIAS.into(),
            function_version: match published {
                Ok(published) => published.version.unwrap_or_default(),
                Err(_) => "1".into(),
            },
            ..Default::default()
        };
        // Where there is one already, or none can be, events go to the function itself.
        let made = process.functions.create_alias(&cx, alias).await;
        let get = api::GetAliasRequest {
            function_name: name.into(),
            name: ALIAS.into(),
        };
        let is_there = made.is_ok() || process.functions.get_alias(&cx, get).await.is_ok();
        self.functions[at].has_alias = is_there;
    }

    /// Other terms for its events.
    async fn configure(&mut self, process: &Process, at: usize) {
        let retries = self.draw(3, "retries");
        let age_s = [60, 400, 3_600][self.draw(3, "age") as usize];
        let function = &mut self.functions[at];
        let (name, incarnation) = (function.name, function.incarnation);
        function.is_ready = false;
        // It has to be so before events come, and may be so from here on.
        function.retries.0 = function.retries.0.min(retries);
        function.retries.1 = function.retries.1.max(retries);
        function.age_s.0 = function.age_s.0.min(age_s);
        let key = (name.to_owned(), incarnation);
        let terms = self.terms.entry(key).or_insert(Terms {
            retries_min: 2,
            age_s_min: 21_600,
            was_stopped: false,
        });
        terms.retries_min = terms.retries_min.min(retries);
        terms.age_s_min = terms.age_s_min.min(age_s);
        self.raise_retries(at);
        self.model
            .say(format!("configure {name}: {retries} retries, {age_s} s"));
        let to = || Some(queue_key(DONE).arn().to_string());
        let qualifiers = [None, self.functions[at].has_alias.then(|| ALIAS.to_owned())];
        for qualifier in qualifiers
            .into_iter()
            .enumerate()
            .filter_map(|(index, it)| (index == 0 || it.is_some()).then_some(it))
        {
            let request = api::PutFunctionEventInvokeConfigRequest {
                function_name: name.into(),
                qualifier,
                maximum_retry_attempts: Some(retries as i32),
                maximum_event_age_in_seconds: Some(age_s as i32),
                destination_config: Some(api::DestinationConfig {
                    on_success: Some(api::OnSuccess { destination: to() }),
                    on_failure: Some(api::OnFailure { destination: to() }),
                }),
            };
            let put = process
                .events
                .put_function_event_invoke_config(&process.cx(), request)
                .await;
            if let Err(error) = put {
                self.model.say(format!("  {error:?}"));
                return;
            }
        }
        self.functions[at].is_ready = true;
    }

    /// Events that wait may be run as often as the newest terms say.
    fn raise_retries(&self, at: usize) {
        let function = &self.functions[at];
        let mut state = self.model.lock();
        for event in state.events.values_mut() {
            if event.function == function.name && event.incarnation == function.incarnation {
                event.retries_max = event.retries_max.max(function.retries.1);
            }
        }
    }

    async fn send(&mut self, process: &Process, at: usize, many: u64) {
        let mut sending = JoinSet::new();
        for index in 0..many {
            let number = self.number(at, true);
            let input = self.request(at, number, index, "Event");
            let (events, cx, model) = (process.events.clone(), process.cx(), self.model.clone());
            sending.spawn(async move {
                let sent = events.invoke(&cx, input).await;
                let mut state = model.lock();
                match sent {
                    Ok(_) => state.events.get_mut(&number).unwrap().accepted = true,
                    Err(error) => {
                        let line = format!("{:>9}   {number}: {error:?}", state.now_ms());
                        state.story.push(line);
                    }
                }
            });
        }
        sending.join_all().await;
    }

    fn number(&mut self, at: usize, is_event: bool) -> u64 {
        self.events += 1;
        let function = &self.functions[at];
        self.model
            .sends(self.events, function.name, function.incarnation, is_event);
        let what = if is_event { "send" } else { "ask" };
        let Function {
            name, incarnation, ..
        } = function;
        self.model
            .say(format!("{what} {} to {name} {incarnation}", self.events));
        self.raise_retries(at);
        self.events
    }

    fn request(&self, at: usize, number: u64, index: u64, kind: &str) -> api::InvocationRequest {
        let function = &self.functions[at];
        let to_alias = function.has_alias && (number + index).is_multiple_of(2);
        api::InvocationRequest {
            function_name: function.name.into(),
            qualifier: to_alias.then(|| ALIAS.to_owned()),
            invocation_type: Some(kind.into()),
            payload: Some(Bytes::from(format!(r#"{{"n":{number}}}"#))),
            ..Default::default()
        }
    }

    /// Requests that somebody waits for.
    fn ask(&mut self, process: &Process, at: usize, asked: &mut JoinSet<()>) {
        for index in 0..1 + self.draw(5, "requests") {
            let number = self.number(at, false);
            let input = self.request(at, number, index, "RequestResponse");
            let (events, cx) = (process.events.clone(), process.cx());
            asked.spawn(async move { drop(events.invoke(&cx, input).await) });
        }
    }

    async fn reserve(&mut self, process: &Process, at: usize) {
        let name = self.functions[at].name;
        let drawn = self.draw(5, "reserve");
        let cx = process.cx();
        self.model.say(format!("reserve {name}: {drawn} (4: none)"));
        if drawn == 0 {
            let key = (name.to_owned(), self.functions[at].incarnation);
            if let Some(terms) = self.terms.get_mut(&key) {
                terms.was_stopped = true;
            }
        }
        let ended = match drawn {
            4 => {
                let input = api::DeleteFunctionConcurrencyRequest {
                    function_name: name.into(),
                };
                process
                    .functions
                    .delete_function_concurrency(&cx, input)
                    .await
            }
            _ => {
                let input = api::PutFunctionConcurrencyRequest {
                    function_name: name.into(),
                    reserved_concurrent_executions: drawn as i32,
                };
                let put = process.functions.put_function_concurrency(&cx, input).await;
                put.map(drop)
            }
        };
        if let Err(error) = ended {
            self.model.say(format!("  {error:?}"));
        }
        self.check_reserved(process, at).await;
    }

    /// What is shown is what holds.
    async fn check_reserved(&self, process: &Process, at: usize) {
        let name = self.functions[at].name;
        let input = api::GetFunctionConcurrencyRequest {
            function_name: name.into(),
        };
        let cx = process.cx();
        let shown = process.functions.get_function_concurrency(&cx, input);
        let Ok(shown) = shown.await else { return };
        let shown = shown.reserved_concurrent_executions.map(|it| it as u32);
        let mut state = self.model.lock();
        let held = state.reserved.get(name).copied();
        if shown != held {
            state.breaks(format!("{name} shows {shown:?} reserved and has {held:?}"));
        }
    }

    /// Another version, and a part of the alias's requests for it.
    async fn shift(&mut self, process: &Process, at: usize) {
        let name = self.functions[at].name;
        self.model.say(format!("shift {name}"));
        let (cx, functions) = (process.cx(), &process.functions);
        let update = api::UpdateFunctionConfigurationRequest {
            function_name: name.into(),
            description: Some(self.step.to_string()),
            ..Default::default()
        };
        let updated = functions.update_function_configuration(&cx, update).await;
        sleep(Duration::from_millis(5_000 + self.draw(400, "update"))).await;
        let publish = api::PublishVersionRequest {
            function_name: name.into(),
            ..Default::default()
        };
        let published = functions.publish_version(&cx, publish).await;
        if let (Ok(_), Ok(published)) = (updated, published) {
            let weight = (published.version.unwrap_or_default(), 0.5);
            let update = api::UpdateAliasRequest {
                function_name: name.into(),
                name: ALIAS.into(),
                routing_config: Some(api::AliasRoutingConfiguration {
                    additional_version_weights: Some([weight].into_iter().collect()),
                }),
                ..Default::default()
            };
            let _ = functions.update_alias(&cx, update).await;
        }
    }

    async fn delete(&mut self, process: &Process, at: usize) {
        let function = &mut self.functions[at];
        let (name, incarnation) = (function.name, function.incarnation);
        function.standing = Standing::Unknown;
        function.is_ready = false;
        self.gone.insert((name.to_owned(), incarnation));
        self.model.say(format!("delete {name} {incarnation}"));
        let input = api::DeleteFunctionRequest {
            function_name: name.into(),
            qualifier: None,
        };
        let deleted = process.events.delete_function(&process.cx(), input).await;
        match deleted {
            Ok(_) => self.functions[at].standing = Standing::Absent,
            Err(error) => self.model.say(format!("  {error:?}")),
        }
    }

    async fn queue(&self, process: &Process, name: &str) {
        let key = queue_key(name);
        let definition = Definition {
            id: process.queues.new_id(&key),
            key,
            created_s: 0,
            modified_s: 0,
            attributes: Attributes {
                retention_s: 1_209_600,
                ..Attributes::new(false)
            },
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match process.queues.create(definition).await.unwrap() {
            Created::New(_) | Created::There(_) => {}
        }
    }

    /// All is quiet: what was accepted comes to its end.
    async fn finish(&mut self, process: &Process) {
        self.model.say("calm");
        for at in 0..self.functions.len() {
            // What is not known is asked for, so that it is known whose events have to end.
            if self.functions[at].standing == Standing::Unknown {
                self.prepare(process, at).await;
            }
            if self.functions[at].standing == Standing::Present {
                self.check_reserved(process, at).await;
            }
        }
        let is_over = async {
            // One that is on its way back into its queue, or to its end, is in none.
            let mut quiet_s = 0;
            while quiet_s < 10 {
                let Waiting {
                    ready,
                    running,
                    delayed,
                    ..
                } = process.events.waiting();
                quiet_s = if ready + running + delayed == 0 {
                    quiet_s + 1
                } else {
                    0
                };
                sleep(Duration::from_secs(1)).await;
            }
        };
        let within = Duration::from_secs(ALL_OVER_WITHIN_S);
        if tokio::time::timeout(within, is_over).await.is_err() {
            let waiting = process.events.waiting();
            let mut state = self.model.lock();
            state.breaks(format!("events have no end: {waiting:?}"));
        }
        self.check_ends(process).await;
        for at in 0..self.functions.len() {
            if self.functions[at].standing == Standing::Present {
                self.delete(process, at).await;
            }
        }
        process.execution.drain(Duration::from_secs(60)).await;
        process.background.stop();
        for _ in 0..100 {
            if process.fake.alive() == 0 {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let alive = process.fake.alive();
        self.model
            .lock()
            .breaks(format!("{alive} environments are left"));
    }

    async fn check_ends(&self, process: &Process) {
        let told = received(process, DONE).await;
        let dead = received(process, DEAD).await;
        let mut records: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
        for body in told {
            let record: Value = serde_json::from_str(&body).unwrap_or_default();
            let number = record["requestPayload"]["n"].as_u64().unwrap_or_default();
            let context = &record["requestContext"];
            let condition = context["condition"].as_str().unwrap_or_default().to_owned();
            let runs = context["approximateInvokeCount"]
                .as_u64()
                .unwrap_or_default();
            records.entry(number).or_default().push((condition, runs));
        }
        let mut letters: BTreeMap<u64, u64> = BTreeMap::new();
        for body in dead {
            let event: Value = serde_json::from_str(&body).unwrap_or_default();
            *letters
                .entry(event["n"].as_u64().unwrap_or_default())
                .or_default() += 1;
        }
        let (faults, now_ms) = (self.model.weather.faults(), process.clock.now_ms());
        let mut state = self.model.lock();
        let is_plain = faults == 0 && state.ends == 0;
        for (number, event) in state.events.clone() {
            let key = (event.function.clone(), event.incarnation);
            let own = records.remove(&number).unwrap_or_default();
            if !event.is_event {
                if !own.is_empty() {
                    state.breaks(format!("request {number} has a record"));
                }
                continue;
            }
            let is_gone = self.gone.contains(&key);
            if own.is_empty() && event.accepted && !is_gone {
                state.breaks(format!("event {number} was lost: {event:?}"));
            }
            if is_plain && own.len() > 1 {
                state.breaks(format!("event {number} has {} records", own.len()));
            }
            let terms = self.terms[&key];
            for (condition, runs) in &own {
                let is_true = match condition.as_str() {
                    "Success" => event.answered > 0,
                    "RetriesExhausted" => {
                        *runs > terms.retries_min
                            && (event.runs > terms.retries_min || self.model.has_bad_inits())
                    }
                    "EventAgeExceeded" => {
                        now_ms - event.at_ms >= (terms.age_s_min as i64 - 120) * 1000
                    }
                    "ZeroReservedConcurrency" => terms.was_stopped,
                    _ => false,
                };
                if !is_true {
                    state.breaks(format!(
                        "event {number} is told of as {condition}: {event:?}"
                    ));
                }
            }
            let failed = own.iter().filter(|(condition, _)| condition != "Success");
            let (failed, own_letters) = (failed.count() as u64, letters.remove(&number));
            let due = if self.dead_letters[&key] { failed } else { 0 };
            if own_letters.unwrap_or(0) != due {
                state.breaks(format!(
                    "event {number} has {own_letters:?} dead letters, and {failed} records of failures"
                ));
            }
        }
        if !records.is_empty() || !letters.is_empty() {
            state.breaks(format!("nobody sent {records:?} {letters:?}"));
        }
    }
}
