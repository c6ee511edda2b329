//! Schedules over a real store and real queues, with a clock that is moved by hand.

mod api;
mod once;
mod ticks;

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use store::{Faults, Store, StoreConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wire::{
    Context,
    scheduler::{
        CreateScheduleInput, DeleteScheduleInput, FlexibleTimeWindow, GetScheduleInput,
        GetScheduleOutput, Scheduler, Target,
    },
};

use super::Schedules;
use crate::{
    background::Background,
    clock::Clock,
    deliveries::Deliveries,
    platform,
    queues::{
        Created, Queue, Queues,
        definition::{Attributes, Definition, QueueKey},
        message::{Receive, Received},
    },
    secrets::Secrets,
    timers::Timers,
};

const ACCOUNT: &str = "111111111111";
const ROLE: &str = "arn:aws:iam::111111111111:role/scheduler";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// What the clocks of these tests begin with; they go on with time that passes.
const START: &str = "2027-03-27T23:59:30Z";

struct World {
    dir: TempDir,
    parts: Parts,
}

struct Parts {
    store: Store,
    clock: Arc<Clock>,
    queues: Queues,
    keeping: JoinHandle<()>,
    deliveries: Deliveries,
    timers: Timers,
    schedules: Schedules,
    background: Background,
}

impl World {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(faults: Option<Arc<dyn Faults>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock::from(ms(START)));
        let parts = Parts::open(dir.path(), clock, faults).await;
        Self { dir, parts }
    }

    /// As after the end of the process, which was not there for a while.
    async fn crashed(self, away_ms: i64) -> Self {
        let Self { dir, parts } = self;
        parts.background.stop();
        parts.keeping.abort();
        parts.deliveries.begin_stop();
        parts.store.close().await;
        parts.clock.advance(away_ms);
        let parts = Parts::open(dir.path(), parts.clock, None).await;
        Self { dir, parts }
    }

    async fn queue(&self, name: &str) -> Arc<Queue> {
        let key = QueueKey {
            account_id: ACCOUNT.into(),
            region: "us-east-1".into(),
            name: name.into(),
        };
        let definition = Definition {
            id: self.parts.queues.new_id(&key),
            attributes: Attributes::new(key.is_fifo()),
            key,
            created_s: 0,
            modified_s: 0,
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.parts.queues.create(definition).await.unwrap() {
            Created::New(queue) | Created::There(queue) => queue,
        }
    }

    fn find(&self, name: &str) -> Arc<Queue> {
        let key: QueueKey = arn(name).parse().unwrap();
        self.parts.queues.find(&key).expect("it was made")
    }

    async fn create(
        &self,
        name: &str,
        expression: &str,
        set: impl FnOnce(&mut CreateScheduleInput),
    ) {
        let mut input = input(name, expression);
        set(&mut input);
        let created = self.parts.schedules.create_schedule(&cx(), input).await;
        created.unwrap();
    }

    async fn get(&self, name: &str) -> Result<GetScheduleOutput, wire::Error> {
        let input = GetScheduleInput {
            name: name.into(),
            group_name: None,
        };
        self.parts.schedules.get_schedule(&cx(), input).await
    }

    async fn delete(&self, name: &str) -> Result<(), wire::Error> {
        let input = DeleteScheduleInput {
            name: name.into(),
            ..Default::default()
        };
        let deleted = self.parts.schedules.delete_schedule(&cx(), input).await;
        deleted.map(|_| ())
    }

    /// Lets time pass, in steps, and what falls due tick at each.
    async fn pass(&self, by_ms: i64, step_ms: i64) {
        let mut left = by_ms;
        while left > 0 {
            self.parts.clock.advance(step_ms.min(left));
            left -= step_ms;
            self.settle().await;
        }
    }

    /// Waits until nothing is due.
    async fn settle(&self) {
        self.parts.timers.look();
        let settled = async {
            loop {
                let now_ms = self.parts.clock.now_ms();
                let due = self.parts.timers.due(now_ms).await;
                if due.is_ok_and(|due| due == 0) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.parts.timers.look();
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(60), settled);
        within.await.expect("all ticks");
        // What ticked last is told to its queue when the pass is over.
        let passes = || {
            let tasks = self.parts.background.tasks().into_iter();
            tasks
                .filter(|task| task.name == "timers")
                .map(|task| task.passes)
                .sum::<u64>()
        };
        let before = passes();
        while passes() == before {
            self.parts.timers.look();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The same, to the minute: a rate counts from when it was asked for.
    async fn minutes(&self, queue: &str) -> Vec<String> {
        let bodies = self.bodies(queue).await.into_iter();
        bodies.map(|body| body[..16].to_owned()).collect()
    }

    /// The bodies of all that is in a queue, in their order.
    async fn bodies(&self, queue: &str) -> Vec<String> {
        let mut all = self.received(queue).await;
        all.sort_by_key(|received| received.sequence);
        all.into_iter().map(|received| body_of(&received)).collect()
    }

    async fn received(&self, queue: &str) -> Vec<Received> {
        let queue = self.find(queue);
        let mut all = Vec::new();
        loop {
            let receive = Receive {
                max: 10,
                visibility_timeout_ms: Some(43_200_000),
                wait_ms: 0,
                attempt_id: None,
            };
            let some = self.parts.queues.receive(&queue, receive).await.unwrap();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }
}

impl Parts {
    async fn open(dir: &Path, clock: Arc<Clock>, faults: Option<Arc<dyn Faults>>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let config = StoreConfig {
            faults,
            ..StoreConfig::new(location.to_str().unwrap())
        };
        let store = Store::open(config, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let url = "http://127.0.0.1:4566";
        let queues = Queues::open(store.clone(), secrets, clock.clone(), url);
        let (queues, keeping) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        let timers = Timers::open(store.clone(), clock.clone(), deliveries.clone());
        let background = Background::default();
        deliveries.begin(&background).await;
        let schedules = Schedules::open(
            store.clone(),
            clock.clone(),
            timers.clone(),
            deliveries.clone(),
            &background,
        );
        timers.begin(&background);
        Self {
            store,
            clock,
            queues,
            keeping,
            deliveries,
            timers,
            schedules,
            background,
        }
    }
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}")
}

fn cx() -> Context {
    Context {
        request_id: "r".into(),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        access_key_id: "AKIDEXAMPLE".into(),
        role: None,
        host: "localhost".into(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// One that sends the time it is scheduled for to the queue `q`.
fn input(name: &str, expression: &str) -> CreateScheduleInput {
    CreateScheduleInput {
        name: name.into(),
        schedule_expression: expression.into(),
        target: Target {
            arn: arn("q"),
            role_arn: ROLE.into(),
            input: Some("<aws.scheduler.scheduled-time>".into()),
            ..Target::default()
        },
        flexible_time_window: FlexibleTimeWindow {
            mode: "OFF".into(),
            maximum_window_in_minutes: None,
        },
        ..CreateScheduleInput::default()
    }
}

fn body_of(received: &Received) -> String {
    received.content.body.clone()
}
